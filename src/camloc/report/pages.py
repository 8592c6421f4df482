"""The executed notebooks as chapters, the explorer, and the index that leads to them.

What the index says is lifted from the notebooks by the tags of their cells: `headline` (text),
`index` (a section with the heading before it) and `finding` (the line under a chapter's title).
"""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import groupby, pairwise
from pathlib import Path

import nbformat
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from camloc.core.files import replacing
from camloc.core.params import Boxes, Params
from camloc.core.paths import EXECUTED, Study, repository_root
from camloc.pipeline.notebooks import FOLDER
from camloc.report import explorer, formatting

TEMPLATES = Path(__file__).parent / "templates"
THUMBNAIL = (480, 240)  # pixels at most
EXPLORER = "explorer"
_IMAGE = re.compile(r'<img src="data:image/([\w+]+);base64,([^"]+)" alt="([^"]*)"')
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """An executed notebook and its place in the report."""

    group: str
    title: str
    stem: str
    notebook: NotebookNode

    def outputs(self, tag: str) -> Iterator[NotebookNode]:
        """The outputs of the cells that carry a tag."""
        for cell in self.notebook.cells:
            if tag in cell.metadata.get("tags", []):
                yield from cell.get("outputs", [])

    def text(self, tag: str) -> str:
        """What the cells with a tag printed, as one line."""
        printed = "".join(output.get("text", "") for output in self.outputs(tag))
        return "; ".join(printed.strip().splitlines())

    def sections(self) -> Iterator[dict]:
        """Heading and HTML of the cells that the index shows; their links lead here."""
        heading = ""
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown" and (found := _HEADING.search(cell.source)):
                heading = found.group(1)
            if "index" in cell.metadata.get("tags", []):
                parts = [o["data"]["text/html"] for o in cell.outputs if "data" in o]
                html = "".join(parts).replace('href="#', f'href="html/{self.stem}.html#')
                yield {"heading": heading, "html": Markup(html)}


def render(params: Params) -> str:
    """Write the chapters and the explorer to `reports/html`, and the index that links them.

    Returns:
        What the study found and where to read it, for people.
    """
    root = repository_root()
    chapters = list(read_chapters(params, root / EXECUTED))
    with replacing(root / "reports" / "html") as folder:
        for before, chapter, after in _between(chapters):
            page = filled(
                "chapter.html.j2",
                study=params.study,
                title=chapter.title,
                before=before,
                after=after,
                body=Markup(_body(chapter.notebook)),
            )
            (folder / f"{chapter.stem}.html").write_text(page, encoding="utf-8")
        cards = [_card(chapter, folder) for chapter in chapters]
        leading = _explorer_card(root / "reports" / "figures" / "maps.png", folder)
        page = filled(
            "explorer.html.j2",
            study=params.study,
            title="Explorer",
            split=params.evaluate.split,
            seed=params.seed,
            deviates=_deviations(params.boxes),
            contents=explorer.contents(Study.at(FOLDER), params),
        )
        (folder / f"{EXPLORER}.html").write_text(page, encoding="utf-8")
    text = (root / "params.yaml").read_text(encoding="utf-8")
    index = _index(params, text, chapters, cards)
    page = filled("index.html.j2", leading=leading, **index)
    (root / "reports" / "index.html").write_text(page, encoding="utf-8")
    return f"{index['headline']}\nRead it all in {root / 'reports' / 'index.html'}"


def _deviations(boxes: Boxes) -> str:
    """What in the study's own boxes is not the paper's rule on one crop, as in params.yaml."""
    paper = {"rule": "largest-component", "normalise": "max", "crops": 1}
    own = {name: getattr(boxes, name) for name in paper}
    return ", ".join(f"{name}: {value}" for name, value in own.items() if value != paper[name])


def filled(template: str, **values: object) -> str:
    """A page of the templates; what is no markup is escaped."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return templates.get_template(template).render(values)


def read_chapters(params: Params, folder: Path) -> Iterator[Chapter]:
    """The executed notebooks that are there, in the order of reading."""
    for group, title, stem in contents(params):
        path = folder / f"{stem}.ipynb"
        if path.is_file():
            yield Chapter(group, title, stem, nbformat.read(path, as_version=4))


def contents(params: Params) -> Iterator[tuple[str, str, str]]:
    """Group, title and stem of each notebook of a study, in the order of reading."""
    networks = [*params.originals, *params.models]
    yield "The answer", "Report", "05_report"
    yield "Data", "Data", "00_data"
    for name in params.models:
        yield "Surgery", f"Surgery: {name}", f"01_surgery-{name}"
    for name in networks:
        title = f"Training of {name}" if name in params.originals else f"Fine-tuning of {name}"
        yield "Training", title, f"02_finetune-{name}"
    for name in networks:
        yield "Maps", f"Maps of {name}", f"03_cams-{name}"
    for name in networks:
        yield "Evaluation", f"Evaluation of {name}", f"04_evaluate-{name}"


def _between(chapters: list[Chapter]) -> Iterator[tuple[Chapter | None, Chapter, Chapter | None]]:
    """Each chapter with the one before it and the one after it."""
    padded = [None, *chapters, None]
    for (before, chapter), (_, after) in pairwise(pairwise(padded)):
        yield before, chapter, after


def _body(notebook: NotebookNode) -> str:
    """The cells as HTML; default parameters are left out where the run brought its own."""
    exporter = HTMLExporter(
        template_name="chapter",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    body, _ = exporter.from_notebook_node(notebook, {"injected": "injected-parameters" in tags})
    return body


def _card(chapter: Chapter, folder: Path) -> dict:
    """A chapter on the index: title, finding, and a thumbnail of its first figure, written here."""
    card = {"stem": chapter.stem, "title": chapter.title, "line": chapter.text("finding")}
    html = "".join(
        output["data"].get("text/html", "")
        for cell in chapter.notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    )
    if found := _IMAGE.search(html):
        kind, data, alt = found.groups()
        name = f"{chapter.stem}.{'svg' if kind == 'svg+xml' else 'jpg'}"
        (folder / name).write_bytes(_thumbnail(kind, base64.b64decode(data)))
        card |= {"thumbnail": name, "alt": unescape(alt)}
    return card


def _explorer_card(maps: Path, folder: Path) -> dict:
    """The explorer on the index, with the picture of every network's maps where there is one."""
    line = "Choose an image, a network and a class, move the threshold, and see the box change."
    card = {"stem": EXPLORER, "title": "Explorer", "line": line}
    if maps.is_file():
        (folder / f"{EXPLORER}.jpg").write_bytes(_thumbnail("png", maps.read_bytes()))
        card |= {"thumbnail": f"{EXPLORER}.jpg", "alt": "Pictures under the maps of every network."}
    return card


def _thumbnail(kind: str, data: bytes) -> bytes:
    if kind == "svg+xml":
        return data
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _index(params: Params, text: str, chapters: list[Chapter], cards: list[dict]) -> dict:
    """What the template of the index is filled with.

    Args:
        text: of params.yaml.
    """
    by_stem = {chapter.stem: chapter for chapter in chapters}
    report, data = by_stem.get("05_report"), by_stem.get("00_data")
    groups = groupby(zip(chapters, cards, strict=True), key=lambda pair: pair[0].group)
    costs = pd.DataFrame({chapter.stem: _cost(chapter) for chapter in chapters}).T
    return {
        "study": params.study,
        "title": "Results",
        "headline": report.text("headline") if report else "The report has not run yet.",
        "sections": list(report.sections()) if report else [],
        "groups": [(group, [card for _, card in pairs]) for group, pairs in groups],
        "missing": [title for _, title, stem in contents(params) if stem not in by_stem],
        "params": text,
        "data": data.text("finding") if data else "The data stage has not run yet.",
        "machines": sorted({_machine(chapter) for chapter in chapters}),
        "costs": formatting.show(costs, "When each notebook last ran, and what it took"),
    }


def _machine(chapter: Chapter) -> str:
    about = chapter.notebook.metadata.get("camloc")
    if not about:
        return "not recorded"
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{about['machine']}, stages on {about['threads']} threads; {versions}"


def _cost(chapter: Chapter) -> dict[str, str]:
    """When a chapter ran, from which commit, and what it took; a dash where it was not recorded."""
    ran, about = (chapter.notebook.metadata.get(key, {}) for key in ("papermill", "camloc"))
    start, duration = ran.get("start_time"), ran.get("duration")
    return {
        "ran (UTC)": start[:16].replace("T", " ") if start else formatting.NONE,
        "commit": about.get("commit", formatting.NONE),
        "duration (s)": formatting.NONE if duration is None else f"{duration:.0f}",
        "processor time (s)": str(about.get("processor_seconds", formatting.NONE)),
        "peak memory (MiB)": str(about.get("peak_memory_mib", formatting.NONE)),
    }
