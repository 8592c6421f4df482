"""Errors by hand, and against a slow implementation of the devkit's rule."""

import numpy as np
import pandas as pd
import pytest
from four_pictures import MAPS

from camloc.boxes.geometry import CORNERS
from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.errors import (
    ERRORS,
    HELD_OUT,
    image_errors,
    outcomes,
    percentages,
    score,
    score_cams,
)


def table(rows, columns):
    return pd.DataFrame(rows, columns=columns)


def predictions_table(rows):
    """Rows of image, rank, wnid and box."""
    return table([[i, r, w, *b] for i, r, w, b in rows], ["image", "rank", "wnid", *CORNERS])


def boxes_table(rows):
    return table([[i, w, *b] for i, w, b in rows], ["image", "wnid", *CORNERS])


def labels_table(labels):
    return table(list(labels.items()), ["image", "wnid"])


def errors_of(predictions, labels, boxes, threshold=0.5):
    outcome = outcomes(
        predictions_table(predictions), labels_table(labels), boxes_table(boxes), threshold
    )
    return percentages(image_errors(outcome, threshold))


BIG, SMALL, ELSEWHERE = [0, 0, 9, 9], [0, 0, 2, 2], [50, 50, 59, 59]


def test_right_class_with_right_box_is_found():
    errors = errors_of([("a", 1, "n1", BIG)], {"a": "n1"}, [("a", "n1", BIG)])
    assert errors == {
        "cls_err_top1": 0.0,
        "cls_err_top5": 0.0,
        "loc_err_top1": 0.0,
        "loc_err_top5": 0.0,
        "loc_err_gt_known": 0.0,
    }


def test_right_class_with_wrong_box_is_classified_but_not_located():
    errors = errors_of([("a", 1, "n1", ELSEWHERE)], {"a": "n1"}, [("a", "n1", BIG)])
    assert (errors["cls_err_top1"], errors["loc_err_top1"], errors["loc_err_top5"]) == (0, 100, 100)
    assert errors["loc_err_gt_known"] == 100


def test_right_box_with_wrong_class_is_not_located():
    """A missing rank must count as an error: an overflow once made it a hit."""
    errors = errors_of([("a", 1, "n2", BIG)], {"a": "n1"}, [("a", "n1", BIG)])
    assert errors == {
        "cls_err_top1": 100.0,
        "cls_err_top5": 100.0,
        "loc_err_top1": 100.0,
        "loc_err_top5": 100.0,
    }


@pytest.mark.parametrize("missing", ["predictions", "one prediction"])
def test_image_without_a_prediction_counts_as_an_error(missing):
    labels = {"a": "n1", "b": "n1"}
    boxes = [("a", "n1", BIG), ("b", "n1", BIG)]
    predictions = [("b", 1, "n1", BIG)] if missing == "one prediction" else []
    errors = errors_of(predictions, labels, boxes)
    expected = 50.0 if predictions else 100.0
    names = ["cls_err_top1", "cls_err_top5", "loc_err_top1", "loc_err_top5"]
    assert [errors[name] for name in names] == [expected] * 4


def test_any_of_several_ground_truth_boxes_counts():
    boxes = [("a", "n1", ELSEWHERE), ("a", "n1", BIG), ("a", "n1", SMALL)]
    outcome = outcomes(
        predictions_table([("a", 1, "n1", BIG)]), labels_table({"a": "n1"}), boxes_table(boxes)
    )
    assert outcome.loc[0, "loc_rank"] == 1
    assert outcome.loc[0, "gt_known_iou"] == 1.0


def test_box_of_another_class_in_the_image_does_not_count():
    boxes = [("a", "n1", ELSEWHERE), ("a", "n2", BIG)]
    predictions = [("a", 1, "n1", BIG), ("a", 2, "n2", BIG)]
    errors = errors_of(predictions, {"a": "n1"}, boxes)
    assert (errors["loc_err_top1"], errors["loc_err_top5"]) == (100, 100)
    assert errors["loc_err_gt_known"] == 100


def test_box_of_another_image_does_not_count():
    predictions = [("a", 1, "n1", BIG), ("b", 1, "n1", BIG)]
    boxes = [("a", "n1", ELSEWHERE), ("b", "n1", BIG)]
    assert errors_of(predictions, {"a": "n1", "b": "n1"}, boxes)["loc_err_top1"] == 50


def test_iou_of_exactly_the_threshold_is_found():
    """[0, 9] × [0, 9] against [0, 9] × [0, 4] is 50/100."""
    prediction, truth = [("a", 1, "n1", [0, 0, 9, 4])], [("a", "n1", BIG)]
    errors = errors_of(prediction, {"a": "n1"}, truth)
    assert (errors["loc_err_top1"], errors["loc_err_gt_known"]) == (0, 0)
    errors = errors_of(prediction, {"a": "n1"}, truth, threshold=0.51)
    assert (errors["loc_err_top1"], errors["loc_err_gt_known"]) == (100, 100)


@pytest.mark.parametrize(
    ("rank", "top1", "top5"), [(1, 0, 0), (2, 100, 0), (5, 100, 0), (6, 100, 100)]
)
def test_rank_decides_between_top_1_and_top_5(rank, top1, top5):
    predictions = [("a", r, "n1" if r == rank else f"x{r}", BIG) for r in range(1, 7)]
    errors = errors_of(predictions, {"a": "n1"}, [("a", "n1", BIG)])
    assert (errors["cls_err_top1"], errors["cls_err_top5"]) == (top1, top5)
    assert (errors["loc_err_top1"], errors["loc_err_top5"]) == (top1, top5)
    assert errors["loc_err_gt_known"] == 0  # whatever was predicted


def test_repeated_class_counts_with_its_first_right_box():
    predictions = [("a", 1, "n1", ELSEWHERE), ("a", 2, "n2", BIG), ("a", 3, "n1", BIG)]
    outcome = outcomes(
        predictions_table(predictions), labels_table({"a": "n1"}), boxes_table([("a", "n1", BIG)])
    )
    assert (outcome.loc[0, "cls_rank"], outcome.loc[0, "loc_rank"]) == (1, 3)


def test_image_without_a_box_of_its_class_is_left_out_of_localization():
    labels = {"a": "n1", "b": "n1", "c": "n1"}
    predictions = [("a", 1, "n1", BIG), ("b", 1, "n2", BIG), ("c", 1, "n2", BIG)]
    boxes = [("a", "n1", BIG), ("b", "n2", BIG)]  # b has a box of another class, c has none
    outcome = outcomes(predictions_table(predictions), labels_table(labels), boxes_table(boxes))
    assert outcome["has_box"].tolist() == [True, False, False]
    errors = percentages(image_errors(outcome))
    assert errors["cls_err_top1"] == pytest.approx(200 / 3)
    located = {name: error for name, error in errors.items() if name.startswith("loc")}
    assert located == {"loc_err_top1": 0.0, "loc_err_top5": 0.0, "loc_err_gt_known": 0.0}


def test_gt_known_error_is_left_out_where_the_true_class_was_not_predicted():
    labels = {"a": "n1", "b": "n1"}
    boxes = [("a", "n1", BIG), ("b", "n1", BIG)]
    predictions = [("a", 1, "n1", BIG), ("b", 1, "n2", BIG)]
    assert "loc_err_gt_known" not in errors_of(predictions, labels, boxes)
    errors = errors_of([*predictions, ("b", 9, "n1", ELSEWHERE)], labels, boxes)
    assert errors["loc_err_gt_known"] == 50


def test_gt_known_error_needs_no_map_of_an_image_without_a_box():
    labels = {"a": "n1", "b": "n1"}
    errors = errors_of([("a", 1, "n1", BIG)], labels, [("a", "n1", BIG)])
    assert errors["loc_err_gt_known"] == 0


def test_outcomes_keep_the_order_of_the_labels():
    labels = {"c": "n1", "a": "n2", "b": "n1"}
    predictions = [("a", 2, "n2", BIG), ("b", 1, "n2", BIG), ("c", 4, "n1", BIG)]
    outcome = outcomes(predictions_table(predictions), labels_table(labels), boxes_table([]))
    assert outcome["image"].tolist() == ["c", "a", "b"]
    assert outcome["cls_rank"].tolist()[:2] == [4, 2]
    assert outcome["cls_rank"].tolist()[2] > 1000


def slow_iou(a, b):
    pixels = [
        {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}
        for box in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def slow_errors(predictions, labels, boxes):
    """The errors by loops over images, predictions and boxes."""
    wrong = {name: [] for name in ("cls1", "cls5", "loc1", "loc5", "known")}
    known_everywhere = True
    for image, wnid in labels.items():
        mine = sorted((g for g in predictions if g[0] == image), key=lambda g: g[1])
        truth = [b for i, w, b in boxes if i == image and w == wnid]
        for k in (1, 5):
            top = [g for g in mine if g[1] <= k]
            wrong[f"cls{k}"].append(all(g[2] != wnid for g in top))
            if truth:
                hits = [g[2] == wnid and slow_iou(g[3], t) >= 0.5 for g in top for t in truth]
                wrong[f"loc{k}"].append(not any(hits))
        if truth:
            own = [slow_iou(g[3], t) for g in mine if g[2] == wnid for t in truth]
            known_everywhere &= bool(own)
            wrong["known"].append(max(own, default=0) < 0.5)
    names = ["cls_err_top1", "cls_err_top5", "loc_err_top1", "loc_err_top5", "loc_err_gt_known"]
    rates = {
        name: 100 * sum(w) / len(w) for name, w in zip(names, wrong.values(), strict=True) if w
    }
    if not known_everywhere:
        del rates["loc_err_gt_known"]
    return rates


def random_box(rng):
    xmin, ymin = rng.integers(0, 6, 2)
    return [int(v) for v in (xmin, ymin, xmin + rng.integers(0, 5), ymin + rng.integers(0, 5))]


def random_case(rng):
    """Up to four images, three classes that repeat among up to seven predictions."""
    wnids = ["n1", "n2", "n3"]
    images = [f"i{i}" for i in range(rng.integers(1, 5))]
    labels = {image: str(rng.choice(wnids)) for image in images}
    few = 1 if rng.random() < 0.5 else 0  # half of the cases have one of every image
    predictions = [
        (image, rank, str(rng.choice(wnids)), random_box(rng))
        for image in images
        for rank in range(1, 1 + rng.integers(few, 8))
    ]
    boxes = [
        (image, str(rng.choice(wnids)), random_box(rng))
        for image in images
        for _ in range(rng.integers(0, 4))
    ]
    return predictions, labels, boxes


def test_errors_agree_with_a_slow_implementation():
    rng = np.random.default_rng(0)
    with_known = 0
    for _ in range(150):
        predictions, labels, boxes = random_case(rng)
        expected = slow_errors(predictions, labels, boxes)
        assert errors_of(predictions, labels, boxes) == pytest.approx(expected)
        with_known += "loc_err_gt_known" in expected
    assert 30 < with_known < 150


def test_image_with_two_labels_counts_half_for_each():
    """The devkit's mean over the true labels of an image: one of a's two is predicted and found."""
    labels = table([["a", "n1"], ["a", "n2"], ["b", "n1"]], ["image", "wnid"])
    predictions = predictions_table([("a", 1, "n1", BIG), ("b", 1, "n1", BIG)])
    boxes = boxes_table([("a", "n1", BIG), ("a", "n2", BIG), ("b", "n1", BIG)])
    errors = percentages(image_errors(outcomes(predictions, labels, boxes)))
    assert errors["cls_err_top1"] == errors["loc_err_top1"] == 25


def test_blacklisted_image_counts_for_its_class_alone():
    labels = labels_table({"a": "n1", "b": "n1"})
    predictions = predictions_table([("a", 1, "n1", BIG), ("b", 1, "n2", ELSEWHERE)])
    boxes = boxes_table([("a", "n1", BIG), ("b", "n1", BIG)])
    errors = percentages(image_errors(outcomes(predictions, labels, boxes), blacklist=["b"]))
    assert (errors["cls_err_top1"], errors["loc_err_top1"]) == (50, 0)


def test_any_number_of_predictions_can_be_looked_at():
    predictions = predictions_table([("a", r, "n1" if r == 3 else "x", BIG) for r in (1, 2, 3)])
    outcome = outcomes(predictions, labels_table({"a": "n1"}), boxes_table([("a", "n1", BIG)]))
    errors = percentages(image_errors(outcome, top=range(1, 6)))
    assert [errors[f"loc_err_top{k}"] for k in range(1, 6)] == [100, 100, 0, 0, 0]


def test_localization_errors_alone_have_a_held_out_threshold():
    assert list(HELD_OUT) == ["held_out_top1", "held_out_top5", "held_out_gt_known"]
    assert HELD_OUT["held_out_top5"] == "top-5 localization error at the held-out threshold"
    errors = errors_of([("a", 1, "n1", BIG)], {"a": "n1"}, [("a", "n1", BIG)])
    assert list(ERRORS) == list(errors)


def test_rows_of_labels_keep_their_own_outcomes_whatever_their_index():
    labels = labels_table({"a": "n1", "b": "n2"}).set_axis([7, 7])
    predictions = predictions_table([("b", 1, "n2", BIG), ("a", 3, "n1", SMALL)])
    boxes = boxes_table([("b", "n2", BIG), ("a", "n1", BIG)])
    outcome = outcomes(predictions, labels, boxes)
    columns = ["image", "wnid", "cls_rank", "loc_rank", "gt_known_iou", "has_box"]
    assert outcome.columns.tolist() == columns and outcome.index.tolist() == [0, 1]
    never = 2**31 - 1
    assert outcome.to_numpy().tolist() == [
        ["a", "n1", 3, never, 0.09, True],
        ["b", "n2", 1, 1, 1.0, True],
    ]


def test_errors_of_images_are_in_the_order_of_the_labels():
    labels = labels_table({"c": "n1", "a": "n1", "b": "n1"})
    outcome = outcomes(predictions_table([("c", 2, "n1", BIG)]), labels, boxes_table([]))
    errors = image_errors(outcome)
    assert errors.index.tolist() == ["c", "a", "b"]
    assert errors["cls_err_top1"].tolist() == [1, 1, 1]
    assert errors["cls_err_top5"].tolist() == [0, 1, 1]
    assert errors.columns.tolist() == ["cls_err_top1", "cls_err_top5"]


@pytest.mark.parametrize(("rule", "error"), [("largest-component", 1), ("heuristic-text", 0)])
def test_top_5_error_of_cams_is_of_five_predictions_of_three_classes_where_asked(
    stored, rule, error
):
    """The loose box is the whole picture, which at an IoU of 0.6 is wrong, the tight one right."""
    split = stored(cam=[[[[1.0, 0.9]], [[1.0, 0.9]]]] * 4)
    made = Rule.of(Boxes(threshold=0.5, tight=0.95, rule=rule))
    predictions, maps = split.predictions("cam", made, ranks=5)
    errors, outcome = score_cams(split, predictions, maps, made, 0.6)
    assert errors["loc_err_top5"].dropna().to_dict() == {"a": error, "b": 1}
    assert errors["loc_err_top1"].dropna().to_dict() == {"a": 1, "b": 1}
    assert outcome["image"].tolist() == ["a", "b", "d"]
    assert outcome["gt_known_iou"].tolist()[:2] == [0.5, 0.5]


def test_errors_of_a_split_are_at_the_iou_that_is_asked_for(stored):
    """Boxes at a threshold of 0.5 are the halves: b's is right second, at an IoU of 1."""
    split = stored(cam=MAPS)
    predictions, _ = split.predictions("cam", Rule.of(Boxes(threshold=0.5)), ranks=5)
    errors, outcome = score(split, predictions, 1.0)
    assert errors["loc_err_top5"].dropna().to_dict() == {"a": 0, "b": 0}
    assert outcome["loc_rank"].tolist()[:2] == [1, 2]
