"""The executed notebooks as pages, and the index that leads to them."""

from collections.abc import Iterator
from pathlib import Path

import mistune
import nbformat
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert import HTMLExporter

from camloc.manifest import replacing
from camloc.params import Params
from camloc.pipeline import EXECUTED
from camloc.study import repository_root

TEMPLATES = Path(__file__).parent / "templates"


def executed_notebooks(params: Params) -> Iterator[tuple[str, str]]:
    """Stem and title of each executed notebook, in the order of reading."""
    yield "00_data", "Data"
    for name in params.originals:
        yield f"02_finetune-{name}", f"Training of {name}"
    for name in params.models:
        yield f"01_surgery-{name}", f"Surgery: {name}"
        yield f"02_finetune-{name}", f"Fine-tuning of {name}"
    for name in (*params.originals, *params.models):
        yield f"03_cams-{name}", f"Maps of {name}"
        yield f"04_evaluate-{name}", f"Evaluation of {name}"
    yield "05_report", "Report"


def render(params: Params) -> None:
    """Write a page for each executed notebook to `reports/html` and link them from the index."""
    root = repository_root()
    exporter = HTMLExporter(
        template_name="page", extra_template_basedirs=[str(TEMPLATES)], embed_images=True
    )
    pages = []
    with replacing(root / "reports" / "html") as folder:
        for stem, title in executed_notebooks(params):
            notebook = nbformat.read(root / EXECUTED / f"{stem}.ipynb", as_version=4)
            body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
            (folder / f"{stem}.html").write_text(body, encoding="utf-8")
            pages.append({"href": f"html/{stem}.html", "title": title})
    summary = (root / "reports" / "summary.md").read_text(encoding="utf-8")
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = templates.get_template("index.html.j2").render(
        study=params.study, summary=_page_part(summary), pages=pages
    )
    (root / "reports" / "index.html").write_text(page, encoding="utf-8")


def _page_part(text: str) -> Markup:
    """Markdown as HTML; what looks like HTML in it is escaped, wide tables scroll."""
    body = mistune.create_markdown(escape=True, plugins=["table"])(text)
    body = body.replace("<table>", '<div class="scroll"><table>')
    return Markup(body.replace("</table>", "</table></div>"))
