"""The paper's tables with the study's figures beside them."""

import pandas as pd

from camloc import paper
from camloc.evaluation import Errors

Rows = dict[str, Errors]
NOT_RUN = float("nan")


def table_1(rows: Rows, images: int) -> pd.DataFrame:
    """Classification error on `images` pictures, paper beside measured (percent and points)."""
    return _beside(rows, paper.TABLE_1, "cls_err", images)


def table_2(rows: Rows, images: int) -> pd.DataFrame:
    """Localization error on `images` pictures, paper beside measured, with GT-known error."""
    table = _beside(rows, paper.TABLE_2, "loc_err", images)
    known = [rows.get(row, {}).get("loc_err_gt_known", NOT_RUN) for row in table.index]
    table.insert(len(table.columns) - 1, "GT-known", known)
    return table


def table_3(rows: Rows, images: int) -> pd.DataFrame:
    """Top-5 localization error beside the paper's on its test set."""
    lines = []
    for title, supervision, stated, row in paper.TABLE_3:
        measured = rows.get(row, {}).get("loc_err_top5", NOT_RUN)
        lines.append(
            {
                "method": title,
                "supervision": supervision,
                "top-5 paper": stated,
                "top-5 measured": measured,
                "top-5 difference": measured - stated,
                "images": images if pd.notna(measured) else 0,
            }
        )
    return pd.DataFrame(lines).set_index("method")


def baselines(rows: Rows, images: int) -> pd.DataFrame:
    """GT-known localization error in percent of every row that has one, best first."""
    errors = {
        row: errors["loc_err_gt_known"]
        for row, errors in rows.items()
        if "loc_err_gt_known" in errors
    }
    table = pd.DataFrame({"GT-known": errors, "images": images}).rename_axis("row")
    return table.sort_values("GT-known", kind="stable")


def by_split(rows: dict[str, Rows]) -> pd.DataFrame:
    """Every error in percent, rows by row and split."""
    lines = {
        f"{row}, {split}": errors for split, found in rows.items() for row, errors in found.items()
    }
    table = pd.DataFrame.from_dict(lines, orient="index")
    return table.sort_index().rename_axis("row, split")


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, one decimal, rows by their title and name."""
    shown = formatted(table)
    align = ["left"] + ["right"] * shown.shape[1]
    return shown.reset_index().to_markdown(index=False, colalign=align, disable_numparse=True)


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text for people: one decimal, signs on differences, a dash for nothing."""
    shown = table.astype(object).copy()
    for column in table:
        sign = "+" if "difference" in column else ""
        shown[column] = [_text(value, sign) for value in table[column]]
    shown.index = [
        f"{paper.TITLES[row]} (`{row}`)" if row in paper.TITLES else row for row in table.index
    ]
    return shown.rename_axis(table.index.name)


def _text(value: object, sign: str) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:{sign}.1f}"
    return str(value)


def _beside(rows: Rows, stated: dict, prefix: str, images: int) -> pd.DataFrame:
    """The paper's rows in its order, then the study's own that have such an error."""
    own = [row for row in rows if row not in stated and _has(rows[row], prefix)]
    lines = {}
    for row in [*stated, *own]:
        line = {}
        for k, figure in zip((1, 5), stated.get(row, (NOT_RUN, NOT_RUN)), strict=True):
            measured = rows.get(row, {}).get(f"{prefix}_top{k}", NOT_RUN)
            line[f"top-{k} paper"] = figure
            line[f"top-{k} measured"] = measured
            line[f"top-{k} difference"] = measured - figure
        line["images"] = images if _has(rows.get(row, {}), prefix) else 0
        lines[row] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    return table.rename_axis("row")


def _has(errors: Errors, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in errors)
