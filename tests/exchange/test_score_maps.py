"""The command that scores maps that people bring."""

import io
import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from camloc import cli
from camloc.core.errors import UserError
from camloc.exchange.score import as_text, check_target, write_scores


@pytest.fixture
def brought(tmp_path):
    """Two images with a box each; the first one's map is right, the second one's is not."""
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


def test_score_maps_gives_every_wsol_metric(brought, capsys):
    scores = score_maps(brought)
    names = ["max_box_acc", "max_box_acc_v2", "box_acc_30", "box_acc_50", "box_acc_70"]
    assert [scores[name] for name in names] == [50] * 5
    assert scores["loc_err_gt_known"] == 50 and scores["images"] == 2
    assert set(scores["intervals"]) == {"loc_err_gt_known"}  # the others are tuned on these images
    assert all(low <= scores[name] <= high for name, (low, high) in scores["intervals"].items())
    assert set(scores["thresholds"]) == {"max_box_acc", "box_acc_30", "box_acc_50", "box_acc_70"}
    assert "tuned" in capsys.readouterr().out


def test_thresholds_are_shares_of_the_range_at_which_the_boxes_are_best(tmp_path):
    """A block of 1 on ground of 0.5 or 0.25, 127 and 63 of 255: the block alone is boxed from those
    levels on. The block is [50, 99]², the true box [50, 100]²; the third image's lies elsewhere."""
    (tmp_path / "truth.csv").write_text(
        "image,label,xmin,ymin,xmax,ymax\na,x,50,50,100,100\nb,x,50,50,100,100\nc,x,0,0,9,9\n"
    )
    (tmp_path / "sizes.csv").write_text("image,width,height\na,224,224\nb,224,224\nc,224,224\n")
    maps = np.zeros((3, 224, 224))
    for low, ground in zip(maps, (0.5, 0.25, 0.25), strict=True):
        low[30:] = ground
        low[50:100, 50:100] = 1
    np.save(tmp_path / "maps.npy", maps)
    scores = score_maps(tmp_path)
    curves = {"max_box_acc", "box_acc_30", "box_acc_50", "box_acc_70"}
    assert scores["thresholds"] == dict.fromkeys(curves, 127 / 255)
    assert [scores[name] for name in curves] == pytest.approx([200 / 3] * 4)
    # At 20 % of the maximum each box is [0, 223] × [30, 223].
    assert scores["loc_err_gt_known"] == 100
    low, high = scores["intervals"]["loc_err_gt_known"]
    t = 4.3027  # Student's of 2; Wilson's interval of none of 3
    assert (low, high) == (pytest.approx(100 * 3 / (3 + t**2), abs=1e-3), 100)


@pytest.mark.parametrize(("ymax", "error"), [(9, 0), (10, 100)])
def test_iou_of_one_half_is_found_by_the_papers_rule(tmp_path, ymax, error):
    """The box [0, 9] × [0, 4] has 50 pixels of the true one's 100, or of 110."""
    truth = f"image,label,xmin,ymin,xmax,ymax\na,x,0,0,9,{ymax}\n"
    (tmp_path / "truth.csv").write_text(truth)
    (tmp_path / "sizes.csv").write_text("image,width,height\na,20,20\n")
    maps = np.zeros((1, 20, 20))
    maps[0, :5, :10] = 1
    np.save(tmp_path / "maps.npy", maps)
    scores = score_maps(tmp_path)
    assert (scores["loc_err_gt_known"], scores["images"], scores["intervals"]) == (error, 1, {})


def test_pxap_has_an_interval_over_the_images(tmp_path):
    """By hand: one map is its mask, the other is bright beside it, with as much of the object left
    in the dark as there is ground."""
    (tmp_path / "truth.csv").write_text(
        "image,label,xmin,ymin,xmax,ymax\na,x,0,0,9,9\nb,x,0,0,9,9\n"
    )
    (tmp_path / "sizes.csv").write_text("image,width,height\na,224,224\nb,224,224\n")
    (tmp_path / "masks").mkdir()
    mask = np.zeros((224, 224), np.uint8)
    mask[:, :112] = 7
    maps = np.stack([mask > 0, mask == 0]).astype(float)
    np.save(tmp_path / "maps.npy", maps)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"masks/{name}.png"), mask)
    scores = score_maps(tmp_path, "--masks", str(tmp_path / "masks"))
    # Half of the objects first, with as much ground; then all of it, with all ground.
    assert scores["pxap"] == pytest.approx(50)
    low, high = scores["intervals"]["pxap"]
    # Without the first PxAP is 50, without the second 100: they add 50 ± 25, by the jackknife.
    assert (low, high) == pytest.approx((50 - 12.706 * 25, 50 + 12.706 * 25), abs=0.1)
    ignored = score_maps(tmp_path, "--masks", str(tmp_path / "masks"), "--ignore", "7")
    assert ignored == {"code": 2}  # no pixel of an object is left


def test_order_of_the_maps_is_that_of_the_names_or_of_the_sizes(brought):
    """Maps of different errors in another order are those of other images."""
    expected = score_maps(brought)
    (brought / "images.txt").write_text("b\na\n")
    swapped = score_maps(brought, "--images", str(brought / "images.txt"))
    assert (expected["max_box_acc"], swapped["max_box_acc"]) == (50, 0)
    (brought / "sizes.csv").write_text("image,width,height\nb,100,100\na,100,100\n")
    assert score_maps(brought)["max_box_acc"] == 0


def test_scores_as_text_tell_intervals_and_what_is_tuned():
    scores = {
        "cls_err_top1": 12.5,
        "max_box_acc": 50.0,
        "thresholds": {"max_box_acc": 0.39608},
        "intervals": {"cls_err_top1": (1.0, 30.25)},
        "images": 1234,
        "predicted_labels": 4321,
        "unknown_labels": 1000,
    }
    assert as_text(scores, Path("folder/truth.csv")).splitlines() == [
        "1,234 images",
        "1,000 of 4,321 predicted labels are no class of truth.csv and count as wrong",
        "cls_err_top1        12.50 %   95 % CI   1.00 to  30.25",
        "max_box_acc         50.00 %   tuned on these images: threshold 0.396",
    ]
    assert as_text({"images": 1}, Path("truth.csv")) == "1 images"


def test_file_that_cannot_be_written_is_refused_before_and_after(tmp_path, monkeypatch):
    target = tmp_path / "scores.json"
    check_target(target)
    write_scores({"a": 1.5}, target)
    assert target.read_text() == '{\n  "a": 1.5\n}\n'
    check_target(target)
    with pytest.raises(UserError, match=r"there is no folder .*none; make it first"):
        check_target(tmp_path / "none/scores.json")
    with pytest.raises(UserError, match="is a folder; name a file"):
        check_target(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        write_scores({}, tmp_path)
    closed = []
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) not in closed)
    closed += [(target, os.W_OK), (tmp_path, os.W_OK)]
    for file in (target, tmp_path / "new.json"):
        with pytest.raises(UserError, match="permission denied"):
            check_target(file)
        closed.pop(0)
    closed[:] = [(tmp_path, os.W_OK)]
    check_target(target)  # in a closed folder an open file can be written


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
    assert "masks without a pixel of an object: b\n" in capsys.readouterr().err


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
    assert "masks lacks: x/a.png" in capsys.readouterr().err
    np.save(brought / "NA.npy", np.ones((2, 2)))
    for name in ("../NA", str(brought / "NA"), "x/../../NA", "n" * 300):
        for file in ("truth.csv", "sizes.csv"):
            text = (brought / file).read_text()
            (brought / file).write_text(text.replace("\nNA,", f"\n{name},"))
        assert score_maps(brought, maps="maps") == {"code": 2}
        error = capsys.readouterr().err
        assert name[:90] in error
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


def test_maps_of_a_name_that_is_too_long_for_any_file_are_refused(brought, capsys):
    assert score_maps(brought, maps="x" * 300) == {"code": 2}
    assert "is not an array as NumPy writes it" in capsys.readouterr().err


def test_map_of_a_folder_that_is_none_is_refused_by_name(brought, capsys):
    (brought / "maps").mkdir()
    np.save(brought / "maps/a.npy", np.ones((4, 4)))
    for content, message in (
        (np.ones((4, 4), complex), f"{brought / 'maps/b.npy'} is of type complex128"),
        (np.zeros((1, 4, 4)), "not (h, w) of finite numbers: b"),
        (np.full((4, 4), np.nan), "not (h, w) of finite numbers: b"),
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
        ("maps.npy", np.full((2, 4, 4), np.nan), "not (h, w) of finite numbers: a, b"),
        ("maps.npy", "text", "is not an array as NumPy writes it"),
        ("sizes.csv", "image,width,height\na,100,100\n", "images without a map in"),
        ("sizes.csv", "image,width,height\na,100,100\nb,0,9\n", "not whole pixels: b"),
        ("sizes.csv", "image,width\na,100\n", "lacks the column height"),
        (
            "sizes.csv",
            "image,width,height\na,100,100\nb,15,90\n",
            "boxes that leave their image: b",
        ),
        (
            "sizes.csv",
            "image,width,height\na,100,100\nb,40000,40000\n",
            "sizes.csv holds sizes of more than 178,956,970 pixels: b",
        ),
        ("sizes.csv", f"image,width,height\na,100,100\nb,{'9' * 30},9\n", "pixels: b"),
        ("sizes.csv", "image,width,height\n", "images without a map in"),
        ("truth.csv", "image,label,xmin,ymin,xmax,ymax\na,x,,,,\n", "holds no boxes, only labels"),
        (
            "truth.csv",
            "image,label,xmin,ymin,xmax,ymax\na,x,0,0,9,9\n",
            "sizes.csv, holds no boxes of: b",
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


def test_image_without_a_size_is_refused(brought, capsys):
    (brought / "sizes.csv").write_text("image,width,height\na,100,100\n")
    (brought / "images.txt").write_text("a\nb\n")
    assert score_maps(brought, "--images", str(brought / "images.txt")) == {"code": 2}
    assert f"{brought / 'sizes.csv'} holds no sizes of: b" in capsys.readouterr().err
