"""What people read: tables as HTML and Markdown, and filled templates."""

import re
from html import escape
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from camloc.report import paper

NONE = "–"  # where there is no figure
TEMPLATES = Path(__file__).parent / "templates"


def filled(template: str, **values: object) -> str:
    """One of the templates, filled; in HTML what is no markup is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # most notebooks fill none

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(template).render(values)


def show(table: pd.DataFrame, caption: str, decimals: int = 1) -> HTML:
    """The table as HTML: figures as `formatted` writes them, wide tables scroll in a box of their
    own."""
    if table.empty:
        return HTML(f"<p>{escape(caption)}: this study has no such rows.</p>")
    shown = formatted(table, decimals)
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in shown)
    lines = [
        f'<tr><th scope="row">{_parts(str(row))}</th>'
        + "".join(f"<td>{_parts(value)}</td>" for value in line)
        + "</tr>"
        for row, line in zip(shown.index, shown.to_numpy(), strict=True)
    ]
    title = escape(caption)
    corner = escape(str(shown.index.name or ""))
    return HTML(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f"<table><caption>{title}</caption>"
        f'<thead><tr><th scope="col">{corner}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _parts(text: str) -> str:
    """A cell as HTML: a row's name on a line of its own, an interval not broken into lines."""
    marked = re.sub(r"\(`([^`]+)`\)", r"<code>\1</code>", escape(text))
    return re.sub(r"(\([^()]* to [^()]*\))", r'<span class="interval">\1</span>', marked)


def markdown(table: pd.DataFrame, decimals: int = 1) -> str:
    """A table as Markdown, rows by their title and name."""
    if table.empty:
        return "This study has no such rows."
    shown = formatted(table, decimals)
    align = ["left"] + ["right"] * shown.shape[1]
    return shown.reset_index().to_markdown(index=False, colalign=align, disable_numparse=True)


def formatted(table: pd.DataFrame, decimals: int = 1) -> pd.DataFrame:
    """The table as text for people: so many decimals, signs on differences, a dash for nothing, an
    interval in brackets behind the figure of the column before it."""
    shown: dict[str, list[str]] = {}
    figure = ""
    for column in table:
        if column.endswith("interval"):
            both = zip(shown[figure], table[column], strict=True)
            shown[figure] = [f"{value} ({ends})" if ends != NONE else value for value, ends in both]
        else:
            figure, sign = column, "+" if "difference" in column else ""
            shown[figure] = [_text(value, sign, decimals) for value in table[column]]
    rows = [f"{paper.TITLES[row]} (`{row}`)" if row in paper.TITLES else row for row in table.index]
    return pd.DataFrame(shown, index=pd.Index(rows, name=table.index.name))


def _text(value: object, sign: str, decimals: int) -> str:
    if isinstance(value, float):
        return NONE if pd.isna(value) else f"{value:{sign}.{decimals}f}"
    return str(value)


def interval(low: float, high: float) -> str:
    """An interval as text, a dash where there is none."""
    return NONE if pd.isna(low) else f"{low:.1f} to {high:.1f}"


def signed(low: float, high: float, decimals: int = 1) -> str:
    """The interval of a difference as text."""
    return NONE if pd.isna(low) else f"{low:+.{decimals}f} to {high:+.{decimals}f}"
