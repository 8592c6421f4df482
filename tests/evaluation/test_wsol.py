"""Scores over all thresholds, by hand and against the rule written out slowly."""

import io
import json
import pickle

import cv2
import numpy as np
import pytest

from camloc import cli
from camloc.core.errors import UserError
from camloc.data.masks import IGNORED, OBJECT
from camloc.evaluation import wsol
from camloc.evaluation.wsol import (
    LEVELS,
    SIDE,
    PixelCounts,
    box_hits,
    hits,
    pixel_counts,
    resized_boxes,
    score_map,
)


def square(*parts):
    """A map at full size: zero but for the parts, each xmin, ymin, xmax, ymax and a value."""
    full = np.zeros((SIDE, SIDE), np.float32)
    for xmin, ymin, xmax, ymax, value in parts:
        full[ymin : ymax + 1, xmin : xmax + 1] = value
    return full


TRUE = np.array([[50, 50, 100, 100]])


def test_box_reaches_one_pixel_further_than_its_outline():
    """A block [50, 99]² is boxed [50, 100]², just the true box; its IoU is 1 at every level."""
    assert hits(square((50, 50, 99, 99, 1.0)), TRUE).all()


def test_level_keeps_what_is_above_it():
    """The block of 0.5 is 127 of 255: it joins the box up to level 126 and makes it too large."""
    found = hits(square((50, 50, 199, 99, 0.5), (50, 50, 99, 99, 1.0)), TRUE)
    assert not found[0, :127].any() and found[0, 127:].all()


def test_largest_outline_alone_counts_for_the_first_version_and_any_for_the_second():
    full = square((50, 50, 99, 99, 1.0), (110, 110, 210, 210, 1.0))
    found = hits(full, TRUE)
    assert not found[0].any() and found[1:].all()


def test_hole_has_an_outline_too():
    """A frame around [50, 99]²: the hole's outline runs through the frame's inner pixels."""
    full = square((20, 20, 199, 199, 1.0), (50, 50, 99, 99, 0.0))
    found = hits(full, TRUE)
    assert not found[0].any() and found[1:].all()


def test_constant_map_holds_no_box():
    assert not hits(score_map(np.full((7, 7), 3.0)), TRUE).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_refused(value):
    with pytest.raises(UserError, match="not finite"):
        score_map(np.array([[0.0, value]]))


@pytest.mark.parametrize(
    "low",
    [np.ones((2, 2), complex), np.full((2, 2), "1"), np.full((2, 2), 1e39), np.ones(4)],
    ids=["complex", "text", "large", "flat"],
)
def test_map_that_gives_no_box_gives_no_scores(low):
    with pytest.raises(UserError, match="a map"):
        score_map(low)


def test_largest_values_are_scaled_as_all_others_are():
    """Bicubic weights and the range from minimum to maximum go beyond single precision."""
    low = np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)
    assert np.abs(score_map(low * np.float32(3.4e38)) - score_map(low)).max() < 1e-5


def test_true_boxes_are_scaled_and_rounded_down():
    boxes = resized_boxes(np.array([[10, 20, 499, 374]]), 500, 375)
    assert boxes.tolist() == [[4, 11, 223, 223]]


def slow_hits(full, true):
    """The rule by loops: threshold, outlines, boxes, at each level on its own."""
    gray = (full * 255).astype(np.uint8)
    rows = []
    for level in range(LEVELS):
        contours, _ = cv2.findContours(
            (gray > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        )
        boxes = [cv2.boundingRect(c) for c in contours]
        boxes = [(x, y, min(x + w, 223), min(y + h, 223)) for x, y, w, h in boxes]
        overlaps = [max(slow_iou(box, t) for t in true) for box in boxes or [(0, 0, 0, 0)]]
        areas = [cv2.contourArea(c) for c in contours] or [0]
        largest = overlaps[areas.index(max(areas))]
        rows.append([largest >= 0.5, *(max(overlaps) >= d for d in (0.3, 0.5, 0.7))])
    return np.array(rows).T


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    both = max(0, width) * max(0, height)
    sides = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return both / (sum(sides) - both)


def test_hits_agree_with_a_slow_implementation():
    rng = np.random.default_rng(0)
    for case in range(60):
        low = rng.normal(size=rng.integers(2, 15, 2))
        if case % 3 == 0:
            low = rng.integers(0, 4, low.shape)  # plateaus and ties
        corners = np.sort(rng.integers(0, 223, (rng.integers(1, 4), 2, 2)), axis=1)
        true = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
        full = score_map(low)
        assert (hits(full, true) == slow_hits(full, true)).all(), case


@pytest.mark.parametrize("cell", [1, 2, 7, 32])
def test_hits_agree_with_a_slow_implementation_on_noise_and_plateaus(cell):
    """Blocks of few values: thousands of components and holes that touch, join and tie."""
    rng = np.random.default_rng(cell)
    side = -(-SIDE // cell)
    for values in (2, 4):
        low = rng.integers(0, values, (side, side)) / (values - 1)
        full = np.kron(low, np.ones((cell, cell)))[:SIDE, :SIDE].astype(np.float32)
        true = np.array([[20, 30, 120, 160], [5, 5, 6, 6], [100, 100, 131, 131]])
        assert (hits(full, true) == slow_hits(full, true)).all(), values


def test_box_that_looks_at_nothing_hits_alike_at_every_level():
    whole = [0, 0, SIDE - 1, SIDE - 1]
    found = box_hits(whole, np.array([[0, 0, 99, 99], [0, 0, SIDE - 1, 133]]))  # IoU 134 / 224
    assert found[:3].all() and not found[3].any()  # 0.6: over 0.3 and 0.5, not 0.7


def test_pxap_of_a_map_that_is_the_mask_is_perfect():
    pixels = PixelCounts()
    full = square((50, 50, 99, 99, 1.0))
    pixels.add(pixel_counts(full, (full > 0).astype(np.uint8)))
    assert pixels.average_precision() == pytest.approx(100)


def test_pxap_by_hand():
    """Half of the object is found first with as much background, the rest only with all of it.

    Precision is 1/2 at a recall of 1/2, then the object's share of all pixels."""
    full = square((0, 0, 9, 9, 1.0))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[0:10, 0:5] = 1  # 50 of the 100 bright pixels
    mask[100:105, 100:110] = 1  # and 50 dark ones
    pixels = PixelCounts()
    pixels.add(pixel_counts(full, mask))
    expected = 100 * (0.5 * 0.5 + 0.5 * 100 / SIDE**2)
    assert pixels.average_precision() == pytest.approx(expected)
    assert pixels.interval() == pytest.approx((expected, expected))  # of one image


def test_held_out_level_is_not_tuned_on_the_split_itself():
    mine, other = (np.zeros((4, 4, LEVELS), bool) for _ in range(2))
    mine[:, :, 10] = True
    mine[:1, :, 20] = True
    other[:, :, 20] = True
    found = wsol.summary(mine, other)
    assert found["best"]["max_box_acc"] == 100 and found["held_out"]["max_box_acc"] == 25
    assert found["levels"]["held_out"]["max_box_acc"] == 20
    assert found["held_out"]["max_box_acc_v2"] == 25
    assert "held_out" not in wsol.summary(mine)


def test_interval_of_a_tuned_score_tunes_each_resample_anew():
    """Of two images one is hit at level 10 only, the other at level 20: a resample of both has
    50 % at best, one of either alone 100 %, and nothing has less."""
    hit = np.zeros((2, 4, LEVELS), bool)
    hit[0, :, 10] = hit[1, :, 20] = True
    found = wsol.summary(hit)
    assert found["best"]["max_box_acc"] == 50
    assert found["intervals"]["best"]["max_box_acc"] == (50, 100)


@pytest.fixture
def brought(tmp_path):
    """Two images with a true box each; the first one's map is right, the second one's is not."""
    (tmp_path / "truth.csv").write_text(
        "image,label,xmin,ymin,xmax,ymax\na,x,0,0,49,49\nb,x,0,0,19,19\n"
    )
    (tmp_path / "sizes.csv").write_text("image,width,height\na,100,100\nb,100,100\n")
    maps = np.zeros((2, 10, 10))
    maps[0, :5, :5] = 1
    maps[1, 8:, 8:] = 1
    np.save(tmp_path / "maps.npy", maps)
    return tmp_path


def score_maps(folder, *more, maps="maps.npy"):
    names = {"--truth": "truth.csv", "--sizes": "sizes.csv", "--maps": maps, "--json": "out.json"}
    options = [str(part) for key, name in names.items() for part in (key, folder / name)]
    code = cli.main(["score-maps", *options, *more])
    return json.loads((folder / "out.json").read_text()) if code == 0 else {"code": code}


def test_score_maps_gives_every_protocol(brought, capsys):
    scores = score_maps(brought)
    names = ["max_box_acc", "max_box_acc_v2", "box_acc_30", "box_acc_50", "box_acc_70"]
    assert [scores[name] for name in names] == [50] * 5
    assert scores["loc_err_gt_known"] == 50 and scores["images"] == 2
    assert set(scores["intervals"]) == {*names, "loc_err_gt_known"}
    assert all(low <= scores[name] <= high for name, (low, high) in scores["intervals"].items())
    assert set(scores["thresholds"]) == {"max_box_acc", "box_acc_30", "box_acc_50", "box_acc_70"}
    assert "tuned" in capsys.readouterr().out


def test_folder_of_maps_scores_as_the_array_does(brought):
    expected = score_maps(brought)
    (brought / "maps").mkdir()
    for name, low in zip("ab", np.load(brought / "maps.npy"), strict=True):
        np.save(brought / "maps" / f"{name}.npy", low)
    assert score_maps(brought, maps="maps") == expected


def test_order_of_the_array_can_be_given(brought):
    np.save(brought / "maps.npy", np.load(brought / "maps.npy")[::-1])
    (brought / "images.txt").write_text("b\na\n")
    assert score_maps(brought, "--images", str(brought / "images.txt"))["max_box_acc"] == 50


def test_masks_give_pxap(brought):
    masks = brought / "masks"
    masks.mkdir()
    mask = np.zeros((100, 100), np.uint8)
    mask[:50, :50] = 255
    cv2.imwrite(str(masks / "a.png"), mask)
    assert score_maps(brought, "--masks", str(masks)) == {"code": 2}  # b has none
    cv2.imwrite(str(masks / "b.png"), mask)
    assert 20 < score_maps(brought, "--masks", str(masks))["pxap"] < 100


def test_one_mask_without_an_object_is_refused_by_name(brought, capsys):
    masks = brought / "masks"
    masks.mkdir()
    mask = np.zeros((100, 100), np.uint8)
    cv2.imwrite(str(masks / "b.png"), mask)
    mask[0, 0] = 1
    cv2.imwrite(str(masks / "a.png"), mask)
    assert score_maps(brought, "--masks", str(masks)) == {"code": 2}
    assert "masks without a pixel of an object, for b\n" in capsys.readouterr().err


def test_ignored_pixels_count_for_neither_object_nor_background():
    """By hand: of four quarters one is object, one ignored; the map lights those two alike."""
    full = np.zeros((224, 224), np.float32)
    full[:112] = 1.0
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2], mask[:2, 2:] = OBJECT, IGNORED
    counts = PixelCounts()
    counts.add(pixel_counts(full, mask))
    assert counts.average_precision() == 100.0  # 50 if the ignored quarter were background
    assert counts.counts.sum() == 224 * 224 * 3 / 4


def test_names_with_separators_are_files_of_subfolders_and_never_elsewhere(brought, capsys):
    """Maps and masks of `x/a` and `NA`; a name that leads out is refused, whatever lies there."""
    expected = score_maps(brought)
    mask = np.zeros((100, 100), np.uint8)
    mask[:50, :50] = 255
    (brought / "maps/x").mkdir(parents=True)
    (brought / "masks/x").mkdir(parents=True)
    for name, low in zip(("x/a", "NA"), np.load(brought / "maps.npy"), strict=True):
        np.save(brought / "maps" / f"{name}.npy", low)
        cv2.imwrite(str(brought / "masks" / f"{name}.png"), mask)
    for file in ("truth.csv", "sizes.csv"):
        text = (brought / file).read_text().replace("\na,", "\nx/a,").replace("\nb,", "\nNA,")
        (brought / file).write_text(text)
    masks = "--masks", str(brought / "masks")
    assert score_maps(brought, maps="maps") == expected
    assert 20 < score_maps(brought, *masks, maps="maps")["pxap"] < 100
    (brought / "masks/x/a.png").unlink()
    assert score_maps(brought, *masks, maps="maps") == {"code": 2}
    assert "masks lacks x/a.png" in capsys.readouterr().err
    np.save(brought / "NA.npy", np.ones((2, 2)))
    for name in ("../NA", str(brought / "NA"), "x/../../NA", "n" * 300):
        for file in ("truth.csv", "sizes.csv"):
            text = (brought / file).read_text()
            (brought / file).write_text(text.replace("\nNA,", f"\n{name},"))
        assert score_maps(brought, maps="maps") == {"code": 2}
        error = capsys.readouterr().err
        assert f"{name}.npy" in error
        assert ("cannot hold files that lie elsewhere" in error) == (name[0] != "n")
        for file in ("truth.csv", "sizes.csv"):
            text = (brought / file).read_text()
            (brought / file).write_text(text.replace(f"\n{name},", "\nNA,"))


def test_images_of_another_spelling_are_blamed_on_the_file_that_names_them(brought, capsys):
    (brought / "names.txt").write_text("a.JPEG\nb.JPEG\n")
    assert score_maps(brought, "--images", str(brought / "names.txt")) == {"code": 2}
    assert "names.txt holds images that neither" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_is_no_part_of_a_table(brought, encoding):
    expected = score_maps(brought)
    (brought / "names.txt").write_text("a\nb\n", encoding=encoding)
    for file in ("truth.csv", "sizes.csv"):
        (brought / file).write_text((brought / file).read_text(), encoding=encoding)
    assert score_maps(brought, "--images", str(brought / "names.txt")) == expected


def saved(save, *arrays, **options):
    """What a function of NumPy writes, as bytes."""
    file = io.BytesIO()
    save(file, *arrays, **options)
    return file.getvalue()


NO_MAPS = {
    "npz": (saved(np.savez, np.zeros((2, 4, 4))), "is an archive, as .npz and .pt are"),
    "zip": (b"PK\x03\x04 but no zip", "is not an array as NumPy writes it"),
    "pickle": (pickle.dumps([1]), "is not an array as NumPy writes it"),
    "objects": (saved(np.save, np.full((2, 4, 4), None)), "is not an array as NumPy writes it"),
    "empty": (b"", "is not an array as NumPy writes it"),
    "cut": (saved(np.save, np.zeros((2, 4, 4)))[:200], "is not an array as NumPy writes it"),
    "text": (saved(np.save, np.full((2, 4, 4), "1")), "is of type <U1; wanted real numbers"),
    "complex": (saved(np.save, np.ones((2, 4, 4), complex)), "is of type complex128"),
    "dates": (saved(np.save, np.zeros((2, 4, 4), "M8[s]")), "is of type datetime64[s]"),
    "fields": (saved(np.save, np.zeros((2, 4, 4), [("x", "f4")])), "is of type [('x', '<f4')]"),
    "no side": (saved(np.save, np.zeros((2, 0, 4))), "is of shape (2, 0, 4); wanted (h, w)"),
    "one value": (saved(np.save, np.float32(1)), "is of shape (); wanted (h, w)"),
    "one map": (saved(np.save, np.zeros((4, 4))), "is of shape (4, 4); wanted (N, h, w)"),
    "channel": (saved(np.save, np.zeros((2, 1, 4, 4))), "is of shape (2, 1, 4, 4); wanted (N,"),
    "large": (saved(np.save, np.full((2, 4, 4), 1e300)), "single precision cannot hold"),
}


@pytest.mark.parametrize(("content", "message"), NO_MAPS.values(), ids=NO_MAPS.keys())
def test_what_are_no_maps_is_refused_by_name(brought, capsys, content, message):
    (brought / "maps.npy").write_bytes(content)
    assert score_maps(brought) == {"code": 2}
    error = capsys.readouterr().err
    assert f"camloc: {brought / 'maps.npy'} " in error and message in error


def test_map_of_a_folder_that_is_none_is_refused_by_name(brought, capsys):
    (brought / "maps").mkdir()
    np.save(brought / "maps/a.npy", np.ones((4, 4)))
    for content, message in (
        (np.ones((4, 4), complex), f"{brought / 'maps/b.npy'} is of type complex128"),
        (np.zeros((1, 4, 4)), "or not (h, w) of finite numbers, for b"),
        (np.full((4, 4), np.nan), "or not (h, w) of finite numbers, for b"),
    ):
        np.save(brought / "maps/b.npy", content)
        assert score_maps(brought, maps="maps") == {"code": 2}
        assert message in capsys.readouterr().err


def test_damaged_maps_give_a_message(brought, capsys):
    """Seeded: bytes of the header and of the values are changed, or the file is cut."""
    rng = np.random.default_rng(0)
    whole = (brought / "maps.npy").read_bytes()
    for case in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, 128, 1 + case % 4):
            damaged[place] = rng.integers(256)
        (brought / "maps.npy").write_bytes(
            damaged[: None if case % 3 else rng.integers(len(whole))]
        )
        scores = score_maps(brought)
        error = capsys.readouterr().err
        if "code" in scores:
            assert f"camloc: {brought / 'maps.npy'} " in error, case


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("maps.npy", np.zeros((3, 4, 4)), "wanted (N, h, w) with one map for each of the 2 images"),
        ("maps.npy", np.full((2, 4, 4), np.nan), "not (h, w) of finite numbers, for a, b"),
        ("maps.npy", "text", "is not an array as NumPy writes it"),
        ("sizes.csv", "image,width,height\na,100,100\n", "images without a map in"),
        ("sizes.csv", "image,width,height\na,100,100\nb,0,9\n", "not whole pixels, for b"),
        ("sizes.csv", "image,width\na,100\n", "lacks the column height"),
        (
            "sizes.csv",
            "image,width,height\na,100,100\nb,15,90\n",
            "boxes that leave their image, in b",
        ),
        (
            "sizes.csv",
            "image,width,height\na,100,100\nb,40000,40000\n",
            "sizes.csv holds sizes of more than 178,956,970 pixels, for b",
        ),
        ("sizes.csv", f"image,width,height\na,100,100\nb,{'9' * 30},9\n", "pixels, for b"),
        ("sizes.csv", "image,width,height\n", "images without a map in"),
        ("truth.csv", "image,label,xmin,ymin,xmax,ymax\na,x,,,,\n", "holds no boxes, only labels"),
        (
            "truth.csv",
            "image,label,xmin,ymin,xmax,ymax\na,x,0,0,9,9\n",
            "sizes.csv, holds no boxes of b",
        ),
    ],
)
def test_bad_input_is_refused(brought, capsys, file, content, message):
    if isinstance(content, str):
        (brought / file).write_text(content)
    else:
        np.save(brought / file, content)
    assert score_maps(brought) == {"code": 2}
    assert message in capsys.readouterr().err
