"""The executed notebooks as chapters, explorer and leaderboard, and the index that leads to them.

What the index says is lifted from the notebooks by the tags of their cells: `headline` (text),
`index` (a section with the heading before it) and `finding` (the line under a chapter's title).
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from itertools import groupby
from pathlib import Path

import nbformat
import pandas as pd
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from camloc.core.files import replacing, write_text
from camloc.core.params import Params
from camloc.core.paths import ABOUT, EXECUTED, FOLDER, Study, repository_root
from camloc.core.rows import Row
from camloc.report import explorer, formatting, leaderboard
from camloc.report.formatting import NONE, TEMPLATES, filled

THUMBNAIL = (480, 240)  # pixels at most
EXPLORER, LEADERBOARD = "explorer", "leaderboard"
_IMAGE = re.compile(r'<img src="data:image/([\w+]+);base64,([^"]+)" alt="([^"]*)"')
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """An executed notebook and its place in the report."""

    group: str
    title: str
    stem: str
    notebook: NotebookNode

    def text(self, tag: str) -> str:
        """What the cells with a tag printed, as one line."""
        outputs = (o for cell in self.notebook.cells if _has(cell, tag) for o in cell.outputs)
        printed = "".join(output.get("text", "") for output in outputs)
        return "; ".join(printed.strip().splitlines())

    def html(self, tag: str) -> Markup:
        """What the cells with a tag show, for the index: its links lead here."""
        shown = "".join(_html(cell) for cell in self.notebook.cells if _has(cell, tag))
        return Markup(shown.replace('href="#', f'href="html/{self.stem}.html#'))

    def sections(self) -> Iterator[dict]:
        """Heading and HTML of the cells that the index shows; their links lead here."""
        heading = ""
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown" and (found := _HEADING.search(cell.source)):
                heading = found.group(1)
            if _has(cell, "index"):
                html = _html(cell).replace('href="#', f'href="html/{self.stem}.html#')
                yield {"heading": heading, "html": Markup(html)}


def render(params: Params) -> str:
    """Write the chapters, the explorer and the leaderboard to `reports/html`, and the index that
    links them.

    Returns:
        What the study found and where to read it, for people.
    """
    root = repository_root()
    chapters = list(read_chapters(params, root))
    title = {"study": params.study}
    with replacing(root / "reports" / "html") as folder:
        around = zip([None, *chapters], chapters, [*chapters[1:], None], strict=False)
        for before, chapter, after in around:
            page = title | {"title": chapter.title, "before": before, "after": after}
            path = folder / f"{chapter.stem}.html"
            _write(path, "chapter", page | {"body": Markup(_body(chapter.notebook))})
        _write(folder / f"{EXPLORER}.html", "explorer", title | _explorer(params))
        write_leaderboard(folder / f"{LEADERBOARD}.html", params.study, root, chapters)
        cards = [_card(chapter, folder) for chapter in chapters]
        leading = _explorer_card(root / "reports" / "figures" / "maps.png", folder)
    write_text(root / "reports" / ABOUT, json.dumps(made_by(chapters), indent=2) + "\n")
    index = _index(params, chapters, cards)
    sorting = {"stem": LEADERBOARD, "title": "Leaderboard", "thumbnail": None}
    sorting["line"] = "Sort and filter every network and method by each metric; as CSV, too."
    declared = (root / "params.yaml").read_text(encoding="utf-8")
    target = root / "reports" / "index.html"
    _write(target, "index", title | index | {"leading": [leading, sorting], "params": declared})
    return f"{index['headline']}\nRead it all in {target}"


def write_leaderboard(
    path: Path, study: str, root: Path, chapters: list[Chapter], alone: bool = False
) -> None:
    """Write the page of `camloc.report.leaderboard`; `alone` without a way to other reports."""
    board = leaderboard.contents(root / "reports", _costs_of_methods(chapters))
    _write(path, "leaderboard", {"study": study, "alone": alone} | board)


def _write(path: Path, template: str, values: dict) -> None:
    write_text(path, filled(f"{template}.html.j2", **values))


def _explorer(params: Params) -> dict:
    """What the explorer's page is filled with."""
    # Of the study's own boxes what is not the paper's rule on one crop.
    own = params.boxes.model_dump(include={"rule", "normalise", "crops"}, exclude_defaults=True)
    return {
        "title": "Explorer",
        "seed": params.seed,
        "split": params.evaluate.split,
        "deviates": ", ".join(f"{name}: {value}" for name, value in own.items()),
        "contents": explorer.contents(Study.at(FOLDER), params),
    }


def read_chapters(params: Params, root: Path) -> Iterator[Chapter]:
    """The executed notebooks that are there, in the order of reading, with the prose of the
    repository's notebooks as it is now."""
    for group, title, stem in contents(params):
        ran = root / EXECUTED / f"{stem}.ipynb"
        now = root / "notebooks" / f"{stem.partition('-')[0]}.ipynb"
        if ran.is_file():
            notebook = nbformat.read(ran, as_version=4)
            if now.is_file():
                notebook.cells = _with_prose(notebook, nbformat.read(now, as_version=4))
            yield Chapter(group, title, stem, notebook)


def _with_prose(ran: NotebookNode, now: NotebookNode) -> list[NotebookNode]:
    """The code cells that ran between the Markdown cells of a notebook as it is now, so that an
    edit of prose is read without running anything again. Where the notebook has more or fewer code
    cells now, all cells as they ran."""
    blocks: list[list[NotebookNode]] = []
    for cell in ran.cells:
        if blocks and _has(cell, "injected-parameters"):
            blocks[-1].append(cell)  # behind the cell that it takes the place of
        elif cell.cell_type == "code":
            blocks.append([cell])
    if len(blocks) != sum(cell.cell_type == "code" for cell in now.cells):
        return ran.cells
    code = iter(blocks)
    parts = (next(code) if cell.cell_type == "code" else [cell] for cell in now.cells)
    return [cell for part in parts for cell in part]


def _has(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def _html(cell: NotebookNode) -> str:
    """What a cell shows as HTML."""
    data = (output.get("data", {}) for output in cell.get("outputs", []))
    return "".join(each.get("text/html", "") for each in data)


def contents(params: Params) -> Iterator[tuple[str, str, str]]:
    """Group, title and stem of each notebook of a study, in the order of reading."""
    yield "The answer", "Report", "05_report"
    yield "Data", "Data", "00_data"
    for name in params.models:
        yield "Surgery", f"Surgery: {name}", f"01_surgery-{name}"
    for name in params.networks:
        title = f"Fine-tuning of {name}" if name in params.models else f"Training of {name}"
        yield "Training", title, f"02_finetune-{name}"
    for name in params.networks:
        yield "Maps", f"Maps of {name}", f"03_cams-{name}"
    for name in params.networks:
        yield "Evaluation", f"Evaluation of {name}", f"04_evaluate-{name}"


def _body(notebook: NotebookNode) -> str:
    """The cells as HTML; default parameters are left out where the run brought its own."""
    injected = any(_has(cell, "injected-parameters") for cell in notebook.cells)
    return _exporter().from_notebook_node(notebook, {"injected": injected})[0]


@cache
def _exporter() -> HTMLExporter:
    return HTMLExporter(
        template_name="chapter",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def _card(chapter: Chapter, folder: Path) -> dict:
    """A chapter on the index: title, finding, and a thumbnail of its first figure, written here."""
    card = {"stem": chapter.stem, "title": chapter.title, "line": chapter.text("finding")}
    found = _IMAGE.search("".join(map(_html, chapter.notebook.cells)))
    if not found:
        return card | {"thumbnail": None}
    kind, data, alt = found.groups()
    name = f"{chapter.stem}.{'svg' if kind == 'svg+xml' else 'jpg'}"
    (folder / name).write_bytes(_thumbnail(kind, base64.b64decode(data)))
    return card | {"thumbnail": name, "alt": unescape(alt)}


def _explorer_card(maps: Path, folder: Path) -> dict:
    """The explorer on the index, with the picture of every network's maps where there is one."""
    line = "Choose an image, a network and a class, move the threshold, and see the box change."
    card = {"stem": EXPLORER, "title": "Explorer", "line": line}
    if not maps.is_file():
        return card | {"thumbnail": None}
    (folder / f"{EXPLORER}.jpg").write_bytes(_thumbnail("png", maps.read_bytes()))
    alt = "Pictures under the maps of every network."
    return card | {"thumbnail": f"{EXPLORER}.jpg", "alt": alt}


def _thumbnail(kind: str, data: bytes) -> bytes:
    if kind == "svg+xml":
        return data
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _index(params: Params, chapters: list[Chapter], cards: list[dict]) -> dict:
    """What the index says of the chapters."""
    by_stem = {chapter.stem: chapter for chapter in chapters}
    report, data = by_stem.get("05_report"), by_stem.get("00_data")
    groups = groupby(zip(chapters, cards, strict=True), key=lambda pair: pair[0].group)
    costs = pd.DataFrame({chapter.stem: _cost(chapter) for chapter in chapters}).T
    return {
        "title": "Results",
        "headline": report.text("headline") if report else "The report has not run yet.",
        "sections": list(report.sections()) if report else [],
        "report": report.stem if report else "",
        **{tag: report.html(tag) if report else "" for tag in ("hero", "strip", "answer")},
        "groups": [(group, [card for _, card in pairs]) for group, pairs in groups],
        "missing": [title for _, title, stem in contents(params) if stem not in by_stem],
        "data": data.text("finding") if data else "The data stage has not run yet.",
        "machines": sorted({_machine(chapter) for chapter in chapters}),
        "precisions": ", ".join(_precisions(chapters)),
        "costs": formatting.show(costs, "When each notebook last ran, and what it took"),
    }


def made_by(chapters: list[Chapter]) -> dict[str, list[str]]:
    """The machines, numbers of threads, instructions, precisions of trainings, versions and commits
    that made the chapters, each sorted: of one machine and commit one each."""
    recorded = [c.notebook.metadata["camloc"] for c in chapters if "camloc" in c.notebook.metadata]
    found = {
        "machines": {about["machine"] for about in recorded},
        "threads": {str(about["threads"]) for about in recorded},
        "portable": {str(about.get("portable", False)).lower() for about in recorded},
        "precision": _precisions(chapters),
        "commits": {about["commit"] for about in recorded},
    }
    names = dict.fromkeys(name for about in recorded for name in about["versions"])
    found |= {name: {about["versions"][name] for about in recorded} for name in names}
    return {name: sorted(values) for name, values in found.items()}


def _precisions(chapters: list[Chapter]) -> list[str]:
    """In which the networks were trained: what `auto` came to, too."""
    return sorted({chapter.text("precision") for chapter in chapters} - {""})


def _machine(chapter: Chapter) -> str:
    about = chapter.notebook.metadata.get("camloc")
    if not about:
        return "not recorded"
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    portable = ", with instructions that every x86 processor has" if about.get("portable") else ""
    return f"{about['machine']}, stages on {about['threads']} threads{portable}; {versions}"


def _costs_of_methods(chapters: list[Chapter]) -> dict[str, dict[str, float]]:
    """What `camloc.maps.cost` told of each row, by its name."""
    costs = {}
    for chapter in chapters:
        network = (
            chapter.notebook.metadata.get("papermill", {}).get("parameters", {}).get("network")
        )
        told = chapter.notebook.metadata.get("camloc", {}).get("methods", {})
        costs |= {Row(network, method).name: dict(cost) for method, cost in told.items()}
    return costs


def _cost(chapter: Chapter) -> dict[str, str]:
    """When a chapter ran, from which commit, and what it took; a dash where it was not recorded."""
    ran, about = (chapter.notebook.metadata.get(key, {}) for key in ("papermill", "camloc"))
    start, duration = ran.get("start_time"), ran.get("duration")
    return {
        "ran (UTC)": start[:16].replace("T", " ") if start else NONE,
        "commit": about.get("commit", NONE),
        "duration (s)": NONE if duration is None else f"{duration:.0f}",
        "processor time (s)": str(about.get("processor_seconds", NONE)),
        "peak memory (MiB)": str(about.get("peak_memory_mib", NONE)),
    }
