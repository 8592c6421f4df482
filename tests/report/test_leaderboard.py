"""The leaderboard: a line for each row, with its figures and their intervals."""

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from small import results

from camloc.core.rows import Row
from camloc.report import leaderboard

ERROR, PXAP = "localization error, top-1", "PxAP"


@pytest.fixture
def study():
    return results(
        {
            "net": {"loc_err_top1": [1, 1, 1, 0], "pxap_err": [0.4, 0.2, 0.4, 0.2]},
            Row("net", "grad-cam"): {"loc_err_top1": [1, 0, 0, 0]},
            Row(None, "centre-box"): {"loc_err_gt_known": [1, 1, 0, 0]},
        },
        map_sides={"net": 14, "grad-cam-net": 7},
    )


def test_rows_have_their_network_method_and_resolution_and_figures_with_intervals(study):
    table = leaderboard.table(study).set_index("row")
    assert table.index.tolist() == ["net", "grad-cam-net", "centre-box"]
    assert table["network"].tolist()[:2] == ["net", "net"]
    assert table["method"].tolist() == ["cam", "grad-cam", "centre-box"]
    assert table["map side"].tolist()[:2] == [14, 7] and np.isnan(table["map side"]["centre-box"])
    assert table[ERROR].tolist()[:2] == [75, 25] and np.isnan(table[ERROR]["centre-box"])
    assert table.loc["net", f"{ERROR} low"] < 75 < table.loc["net", f"{ERROR} high"]
    assert "MaxBoxAcc" not in table  # which none has


def test_accuracy_tuned_on_the_split_itself_stands_where_no_other_split_is():
    errors = {"loc_err_top1": [1, 0]}
    rows = {"net": errors | {"max_box_acc": [1, 0]}, "alone": errors}
    tuned = {"max_box_acc": 66.0, "max_box_acc_v2": 61.0}
    table = leaderboard.table(results(rows, wsol={"net": tuned, "alone": tuned})).set_index("row")
    assert table["MaxBoxAcc"]["net"] == 50 and np.isnan(table["MaxBoxAcc"]["alone"])
    assert table["MaxBoxAcc, tuned here"].fillna(0).tolist() == [0, 66]
    assert table["MaxBoxAccV2, tuned here"]["alone"] == 61


def test_pxap_is_what_its_error_leaves(study):
    line = leaderboard.table(study).set_index("row").loc["net"]
    assert line[PXAP] == pytest.approx(70)
    assert line[f"{PXAP} low"] < 70 < line[f"{PXAP} high"]


def test_page_has_numbers_to_sort_by_and_texts_to_read(study, tmp_path):
    leaderboard.table(study).to_csv(tmp_path / leaderboard.FILE, index=False)
    page = leaderboard.contents(tmp_path, {})
    assert page["columns"] == [ERROR, "localization error, GT-known", PXAP]
    names = [row["names"] for row in page["rows"]]
    assert names == [["net", "cam", "14"], ["net", "grad-cam", "7"], ["–", "centre-box", "–"]]
    number, figure, ends = page["rows"][0]["cells"][0]
    assert (number, figure) == (75, "75.0") and re.fullmatch(r"\([\d.]+ to [\d.]+\)", ends)
    assert page["rows"][2]["cells"][0] == (None, "–", "")
    assert page["csv"] == (tmp_path / leaderboard.FILE).read_text()


def test_page_and_its_csv_have_what_maps_cost_where_that_was_measured(study, tmp_path):
    leaderboard.table(study).to_csv(tmp_path / leaderboard.FILE, index=False)
    measured = {"seconds": 0.025, "error": 0.001, "batches": 3, "mib": 12.34}
    once = {"seconds": 2.0, "batches": 1}
    page = leaderboard.contents(tmp_path, {"net": measured, "grad-cam-net": once})
    assert page["columns"][-2:] == [leaderboard.SECONDS, leaderboard.MEMORY]
    found = [row["cells"][-2:] for row in page["rows"]]
    reach = 4.302653 * 0.001  # Student's t at two degrees of freedom
    assert found[0][0] == (0.025, "0.025", f"({0.025 - reach:.3g} to {0.025 + reach:.3g})")
    assert found[0][1] == (12.34, "12.3", "")
    assert found[1] == [(2.0, "2", ""), (None, "–", "")]
    assert found[2] == [(None, "–", ""), (None, "–", "")]
    csv = pd.read_csv(StringIO(page["csv"])).set_index("row")
    assert csv.loc["net", f"{leaderboard.SECONDS} high"] == pytest.approx(0.025 + reach)


def test_records_are_told_with_their_source_and_a_dash_where_none_is_stated(tmp_path):
    page = leaderboard.contents(tmp_path, {})
    assert page["rows"] == [] and page["columns"] == []
    assert ("Pro2SAM", ["66.85", "–", "–"], "Yang et al., ECCV 2024, arXiv:2505.04905") in page[
        "records"
    ]
