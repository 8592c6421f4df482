"""Image-independent baselines, by hand."""

import numpy as np

from camloc.evaluation.baselines import baselines, centre_box


def test_centre_box_has_half_the_area():
    """100 (1 - √0.5) / 2 = 14.6 and 200 (1 - √0.5) / 2 = 29.3, rounded to 15 and 29."""
    assert centre_box(np.array([[100, 200], [200, 100]])).tolist() == [
        [15, 29, 84, 170],
        [29, 15, 170, 84],
    ]


def test_baselines_know_the_size_only(manifest):
    """The whole image has IoU 100/200 with each half, the centre box [3, 1, 16, 8] has 56/156.

    The centre box is 14×8 pixels, 7×8 of them in either half: 56 / (112 + 100 - 56). The Gaussian
    is above a fifth of its largest value at a pixel's centre, exp(-8 (.025² + .05²)) = .975, where
    the distance from the centre is under .452 sides: pixels 1 to 18 and, as .45 is not beyond it,
    0 to 9: 90 / (180 + 100 - 90).
    """
    rows = baselines(manifest, ["test"], 0.5).percentages()["test"]
    assert rows == {
        "whole-image": {"loc_err_gt_known": 0},
        "centre-box": {"loc_err_gt_known": 100},
        "centre-gaussian": {"loc_err_gt_known": 100},
    }
    gaussian = 90 / (180 + 100 - 90)
    for row, iou in (("whole-image", 0.5), ("centre-box", 56 / 156), ("centre-gaussian", gaussian)):
        for threshold, error in ((iou - 0.001, 0), (iou + 0.001, 100)):
            rows = baselines(manifest, ["test"], threshold).percentages()["test"]
            assert rows[row] == {"loc_err_gt_known": error}


def test_baselines_have_wsol_metrics(manifest):
    """On the square the halves are [0, 0, 111, 223] and [112, 0, 212, 223]; the whole image's IoU
    with either is 0.5 and less."""
    scores = baselines(manifest, ["test"], 0.5).wsol["test"]
    assert scores["whole-image"]["best"]["box_acc_30"] == 100
    assert scores["whole-image"]["best"]["box_acc_70"] == 0
    assert set(scores) == {"whole-image", "centre-box", "centre-gaussian"}


def test_split_without_labels_has_no_rows(manifest):
    found = baselines(manifest, ["val"], 0.5)
    assert found.percentages() == {} and found.images.empty
    assert found.wsol["val"]["centre-box"] == {}
