"""The paper's tables with a study's figures beside them."""

import math

import numpy as np
import pandas as pd
import pytest
from small import measured, results

from camloc.core.params import Control, Model, Original
from camloc.core.rows import Row
from camloc.evaluation.error_types import CORRECT, MISLOCALIZED, OVERSIZED, PART
from camloc.report import claims, formatting, paper, tables

GAP = "googlenet-gap"


def wrong(share: float) -> list[float]:
    """Errors on eight images of which so many are wrong."""
    return [1.0] * round(8 * share) + [0.0] * round(8 * (1 - share))


@pytest.fixture(scope="module")
def study():
    names = ["cls_err_top1", "cls_err_top5", "loc_err_top1", "loc_err_top5", "loc_err_gt_known"]

    def errors(*shares: float, start: int = 0) -> dict[str, list[float]]:
        return {name: wrong(s) for name, s in zip(names[start:], shares, strict=False)}

    return results(
        {
            "googlenet": errors(0.25, 0.125, 0.75, 0.5, 0.5),
            Row("googlenet", "backprop"): errors(0.875, 0.75, 0.625, start=2),
            GAP: errors(0.5, 0.25, 0.625, 0.5, 0.375),
            "googlenet-4a": errors(0.5, 0.25, 0.875, 0.75),
            Row(None, "whole-image"): {names[4]: wrong(0.75)},
        }
    )


def test_difference_is_measured_minus_paper(study):
    table = tables.table_1(study)
    assert table.loc[GAP, ["top-1 paper", "top-1 measured", "images"]].tolist() == [35.0, 50.0, 8]
    assert table.loc[GAP, "top-1 difference"] == pytest.approx(15)
    assert table.loc["googlenet", "top-5 difference"] == pytest.approx(12.5 - 11.3)


def test_rows_that_were_not_run_show_a_dash(study):
    table = tables.table_1(study)
    assert math.isnan(table.loc["nin", "top-1 measured"]) and table.loc["nin", "images"] == 0
    shown = formatting.formatted(table).loc["NIN (`nin`)"]
    assert shown.tolist() == ["41.9", "–", "–", "19.6", "–", "–", "0"]


def test_rows_stand_in_the_papers_order_and_the_studys_own_behind_them(study):
    assert tables.table_1(study).index.tolist() == [*paper.TABLE_1, "googlenet-4a"]
    assert tables.table_2(study).index.tolist() == [*paper.TABLE_2, "googlenet-4a"]


def test_networks_that_stand_for_the_papers_have_its_figures_beside_theirs(study):
    own = {"mine": {"cls_err_top1": wrong(0.5), "loc_err_top1": wrong(0.5)}}
    networks = {"mine": Model(backbone="a", cut="b", stands_for=GAP), "a": Original()}
    found = results(own, networks=networks)
    assert tables.table_1(found).index.tolist() == ["mine"]
    assert tables.table_1(found).loc["mine", "top-1 paper"] == 35.0
    assert found.headline.endswith("In the paper's claims mine stands for GoogLeNet-GAP.")


def test_table_2_has_the_gt_known_error_of_every_row_and_its_interval(study):
    table = tables.table_2(study)
    assert table["GT-known"][[GAP, "backprop-googlenet"]].tolist() == [37.5, 62.5]
    assert table["GT-known"][["googlenet-4a", "nin"]].isna().all()
    low, high = map(float, table.loc[GAP, "GT-known interval"].split(" to "))
    assert 0 <= low < 37.5 < high <= 87.5
    assert table.loc["nin", "GT-known interval"] == "–"


def test_table_3_sets_our_rows_beside_the_papers_top_5(study):
    table = tables.table_3(study)
    assert table.loc["GoogLeNet-GAP", "top-5 measured"] == 50
    assert table.loc["GoogLeNet-GAP", "top-5 difference"] == pytest.approx(50 - 42.9)
    assert table["images"].tolist() == [0, 8, 0, 0, 0, 0]


def test_baselines_are_sorted_by_their_gt_known_error(study):
    known = {GAP: 37.5, "googlenet": 50, "backprop-googlenet": 62.5, "whole-image": 75}
    assert tables.baselines(study)["GT-known"].to_dict() == known


def test_every_error_of_every_split_has_its_interval(study):
    table = tables.by_split(study)
    assert list(table.index)[:2] == ["backprop-googlenet, test", "googlenet, test"]
    low, high = map(float, table.loc["googlenet, test", "cls_err_top1 interval"].split(" to "))
    assert low < table.loc["googlenet, test", "cls_err_top1"] == 25 < high
    assert table.loc["backprop-googlenet, test", "cls_err_top1 interval"] == "–"


def test_markdown_has_signed_differences_and_intervals_in_brackets(study):
    lines = formatting.markdown(tables.table_1(study)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:4] == ["row", "top-1 paper", "top-1 measured", "top-1 difference"]
    assert len(cells) == 2 + len(paper.TABLE_1) + 1
    expected = ["GoogLeNet-GAP (`googlenet-gap`)", "35.0", "50.0 (16.7 to 83.3)", "+15.0"]
    assert cells[3][:4] == expected


def test_table_without_rows_says_so():
    for made in (tables.differences, tables.wsol, tables.error_types):
        assert formatting.markdown(made(results({}))) == "This study has no such rows."


def test_differences_are_paired_by_image():
    """The first row is wrong on d, the second on a and b: one image of four less."""
    study = results({"x": {"loc_err_top1": [0.0, 0, 0, 1]}, "y": {"loc_err_top1": [1.0, 1, 0, 0]}})
    table = tables.differences(study, [("x", "y"), ("x", "not run")])
    assert table["localization top-1 difference"].to_dict() == {"x − y": -25}
    assert math.isnan(table.loc["x − y", "GT-known difference"])


def test_networks_that_the_paper_lacks_are_compared_with_the_most_alike_before_them():
    small, large = (Original(backbone="lite", size=size) for size in (64, 128))
    networks = {"googlenet": Original(), "64": small, "128": large}
    networks |= {name: Model(backbone="googlenet", cut="x") for name in (GAP, "4a", "4c")}
    networks |= {"alone": Model(backbone="64", cut="x"), "later": Control(original="64")}
    found = tables.pairs(results({}, networks=networks))
    assert found == [*tables.PAIRS, ("128", "64"), ("4a", GAP), ("4c", GAP)]
    lines = [{}, {"convs": [9]}, {"pool": "gmp"}, {"pool": "log-sum-exp", "sharpness": 2}]
    lines += [{"pool": "log-sum-exp", "sharpness": 5}, {"pool": "gmp", "convs": [9]}]
    models = [Model(backbone="nin", cut="x", **line) for line in lines]
    found = tables.pairs(results({}, networks=dict(zip("abcdef", models, strict=True))))
    own = [("b", "a"), ("c", "a"), ("d", "a"), ("e", "a"), ("f", "b")]
    assert found == [*tables.PAIRS, *own]


def test_stand_ins_for_the_papers_networks_are_compared_once():
    mine = {"mine": Model(backbone="nin", cut="x", stands_for=GAP)}
    most = {"max": Model(backbone="nin", cut="x", stands_for="googlenet-gmp")}
    for both in (mine | most, most | mine):  # listed once, however they are declared
        found = tables.pairs(results({}, networks=both))
        assert [pair for pair in found if "max" in pair] == [("mine", "max")]


def test_error_types_are_percent_of_the_images_of_each_row_and_size():
    kinds = pd.DataFrame({"error_type": [CORRECT, PART, PART, MISLOCALIZED]})
    kinds = kinds.assign(row="x", run=1, image=list("abcd"))
    kinds = kinds.assign(size=["small", "small", "large", "large"])
    study = results({}, error_types=kinds)
    line = tables.error_types(study).loc["x"]
    assert line[[CORRECT, PART, OVERSIZED, "images"]].tolist() == [25, 50, 0, 4]
    low, high = map(float, line[f"{OVERSIZED} interval"].split(" to "))
    assert low == 0 and 50 < high < 80  # none of four is not none of all
    by_size = tables.error_types_by_size(study)
    assert by_size[PART].to_dict() == {"x, small": 50, "x, large": 50}


def test_choice_has_its_errors_and_its_paired_difference():
    """The choice is wrong on a and b, the base on a alone."""
    base = {"loc_err_top1": [1, 0, 0, 0]}
    other = measured({"loc_err_top1": [1, 1, 0, 0]})
    table = tables.choices(results({"net": base}, choices={"net": {"other": other}}))
    shown = formatting.formatted(table)
    assert list(shown) == ["top-1", "top-1 difference"]
    assert shown.loc["net, this study", "top-1 difference"] == "+0.0 (+0.0 to +0.0)"
    assert table.loc["net, other", ["top-1", "top-1 difference"]].tolist() == [50, 25]


def test_choice_of_several_runs_is_their_mean_and_its_difference_is_paired_run_by_run():
    base = {"loc_err_top1": [[1, 0], [0, 0], [0, 1], [0, 0]]}
    other = measured({"loc_err_top1": [[1, 1], [0, 0], [1, 1], [0, 0]]})
    table = tables.choices(results({"net": base}, choices={"net": {"other": other}}))
    assert table.loc["net, other", ["top-1", "top-1 difference"]].tolist() == [50, 25]
    alone = measured({"loc_err_top1": [1, 0, 0, 0]})  # as if the second run's were not there
    table = tables.choices(results({"net": base}, choices={"net": {"other": alone}}))
    assert table.loc["net, other", "top-1 difference"] == 0


def test_wsol_metrics_are_those_of_the_held_out_level_and_those_tuned_here():
    both = {"max_box_acc": 60.0, "max_box_acc_v2": 50.0}
    measures = {"max_box_acc": [1, 0, 0, 0], "pxap_err": [0.5, 0.7, 0.9, 0.7]}
    study = results({"x": measures, "unscored": {}}, wsol={"x": both, "unscored": {}})
    line = tables.wsol(study).loc["x"]
    assert line["MaxBoxAcc"] == 25 and np.isnan(line["MaxBoxAccV2"])
    assert line["MaxBoxAccV2 interval"] == "–"
    assert line["MaxBoxAcc, tuned here"] == 60 and "MaxBoxAcc, tuned here interval" not in line
    assert line["PxAP"] == pytest.approx(30)
    low, high = map(float, line["PxAP interval"].split(" to "))
    assert low < 30 < high


def test_thresholds_are_compared_by_what_chose_them_and_the_best_has_no_interval():
    measures = {
        "loc_err_gt_known": [1, 1, 1, 0],
        "held_out_gt_known": [1, 1, 0, 0],
        "otsu_gt_known": [1, 0, 0, 0],
    }
    curve = pd.DataFrame({"threshold": [0.1, 0.2], "loc_err_gt_known": [25.0, 75.0]})
    study = results({"x": measures, "centre-box": measures}, curves={"x": curve})
    table = tables.thresholds(study)
    assert table.index.tolist() == ["x"]
    shown = ["study's rule", "other split's boxes", "Otsu", "best for this split"]
    assert table.loc["x", shown].tolist() == [75, 50, 25, 25]
    assert np.isnan(table.loc["x", "triangle"])
    assert "best for this split interval" not in table
    low, high = map(float, table.loc["x", "Otsu interval"].split(" to "))
    assert low < 25 < high
    costs = tables.threshold_costs(table)
    assert costs.loc["x"].to_dict() == {
        "study's rule difference": 50, "other split's boxes difference": 25, "Otsu difference": 0
    }  # fmt: skip
    assert tables.threshold_costs(tables.thresholds(results({}))).empty


def test_deviation_between_runs_stands_beside_figures_of_several():
    study = results({"googlenet": {"cls_err_top1": [[0, 1], [0, 1], [1, 1], [0, 0]]}})
    line = tables.table_1(study).loc["googlenet"]
    assert line["top-1 measured"] == 50
    assert line["top-1 measured between runs"] == pytest.approx(1250**0.5)
    assert "top-5 measured between runs" not in line


def test_claims_table_says_what_could_be_shown_and_what_would_settle():
    rng = np.random.default_rng(0)
    rows = {
        "googlenet-gap": rng.integers(0, 2, (8, 3)),
        "googlenet-gmp": rng.integers(0, 2, (8, 3)),
    }
    study = results({row: {"loc_err_top5": own} for row, own in rows.items()})
    line = tables.claims(study.verdicts).loc["5"].iloc[0]
    assert (line["images"], line["runs"], line["verdict"]) == (8, 3, "cannot tell")
    assert line["could show"] > 2 * np.hypot(line["error from images"], line["from runs"])
    assert "runs" in line["to settle"] or "images" in line["to settle"]


def test_table_escapes_what_it_shows():
    table = pd.DataFrame({"<b>": [1.25]}, index=pd.Index(["<script>"], name="a & b"))
    html = formatting.show(table, "<i>").data
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html
    assert "&lt;script&gt;" in html and "a &amp; b" in html and ">1.2<" in html


def test_interval_of_a_table_is_not_broken_and_a_rows_name_stands_apart():
    table = pd.DataFrame({"x": [5.0], "x interval": ["4.0 to 6.0"]}, index=["nin"])
    html = formatting.show(table, "").data
    assert '5.0 <span class="interval">(4.0 to 6.0)</span>' in html
    assert "NIN <code>nin</code>" in html


def test_table_without_rows_is_shown_as_its_caption():
    assert "Errors: this study has no such rows" in formatting.show(pd.DataFrame(), "Errors").data


def test_answer_is_of_the_networks_rows_that_were_scored():
    errors = {"cls_err_top1": [0, 0, 0, 1], "loc_err_gt_known": [1, 1, 0, 0]}
    measures = {"net": errors, "unscored": {}, Row(None, "centre-box"): errors}
    table = tables.answer(results(measures))
    assert table.index.tolist() == ["net"]
    shown = formatting.formatted(table).loc["net"]
    assert list(shown.index) == [
        *("classification, top-1", "localization, top-1", "localization, top-5", "GT-known")
    ]
    assert shown["GT-known"].startswith("50.0 (") and shown["localization, top-1"] == "–"


def test_strip_has_a_word_of_each_verdict_and_leads_to_its_claim():
    html = tables.strip(claims.verdicts({}, {})).data
    assert html.count("<li") == html.count("not measured</a>") == 11
    assert '<a href="#claim-11" title="Maps of different classes on one image' in html


def test_rows_of_a_study_that_has_none_of_the_papers_come_first():
    errors = {"cls_err_top1": [0, 1], "cls_err_top5": [0, 0]}
    assert tables.table_1(results({"mine": errors})).index[0] == "mine"
    both = tables.table_1(results({"mine": errors, "googlenet": errors})).index
    assert both[-1] == "mine" and both[0] == next(iter(paper.TABLE_1))


def under_test():
    """Three rows, of which the ranking by deletion is that by true causes, and by insertion the
    opposite; the images differ alike."""
    noise = [0.0, 0.01, 0.02, 0.03]
    rows = {"good": 0.9, "fair": 0.7, "poor": 0.5}
    return results(
        {
            name: {
                "causes_removed": [share + more for more in noise],
                "deletion": [1 - share + more for more in noise],
                "insertion": [1 - share + more for more in noise],
            }
            for name, share in rows.items()
        }
        | {"other": {"deletion": [0.0] * 4}}
    )


def test_causes_are_of_the_rows_whose_parts_were_altered():
    table = tables.causes(under_test())
    assert table.index.tolist() == ["good", "fair", "poor"]
    assert table["removed"].tolist() == pytest.approx([91.5, 71.5, 51.5])
    assert table["moved"].isna().all()


def test_agreement_is_of_each_metric_whichever_way_it_is_better():
    study = under_test()
    found = tables.agreement(study)
    assert found.index.tolist() == [("insertion", "removed"), ("deletion", "removed")]
    assert found["tau"].tolist() == [-1, 1]
    told = tables.agreement_by_change(found)
    assert told.loc["deletion"].tolist() == [1, "+1.00 to +1.00"]
    assert tables.agreement(results({"net": {"deletion": [0, 1]}})).empty


def test_sanity_is_the_mean_over_images_by_the_share_of_the_layers():
    rows = [
        ("net", layers, 8, image, correlation + shift)
        for layers, correlation in ((1, 0.9), (2, 0.7), (4, 0.5), (8, 0.1))
        for image, shift in (("a", -0.1), ("b", 0.1))
    ]
    columns = ["row", "layers", "of", "image", "correlation"]
    study = results({}, sanity=pd.DataFrame(rows, columns=columns))
    found = tables.sanity(study)
    assert found["share"].tolist() == [1 / 8, 1 / 4, 1 / 2, 1]
    assert found["mean"].tolist() == pytest.approx([0.9, 0.7, 0.5, 0.1])
    assert (found["low"] < found["mean"]).all()
    told = tables.sanity_by_depth(found)
    assert told.loc["net", ["top layer", "a quarter", "half", "all"]].tolist() == pytest.approx(
        [0.9, 0.7, 0.5, 0.1]
    )
    assert tables.sanity_by_depth(tables.sanity(results({}))).empty


def test_sanity_leaves_out_empty_maps_and_has_a_dash_where_all_are():
    rows = [
        ("some", 1, 1, "a", 0.2), ("some", 1, 1, "b", np.nan), ("some", 1, 1, "c", 0.8),
        ("none", 1, 1, "a", np.nan), ("none", 1, 1, "b", np.nan),
    ]  # fmt: skip
    columns = ["row", "layers", "of", "image", "correlation"]
    told = tables.sanity_by_depth(
        tables.sanity(results({}, sanity=pd.DataFrame(rows, columns=columns)))
    )
    assert told.loc["some", "all"] == pytest.approx(0.5)
    assert told.loc["some", "all interval"] == "-1.00 to +1.00"  # of two images, and no further
    assert np.isnan(told.loc["none", "all"]) and told.loc["none", "all interval"] == "–"
