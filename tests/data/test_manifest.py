"""Manifest: what goes in comes out, what no stage could use is refused."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.manifest import Manifest, save_truth


@pytest.fixture
def manifest(tmp_path):
    """Five 8 x 6 images of two classes; b and c hold two boxes, e has no label."""
    images = pd.DataFrame(
        {
            "image": ["b", "a", "d", "c", "e"],
            "path": [f"{name}.png" for name in "badce"],
            "split": ["train", "train", "val", "test", "test"],
            "wnid": ["n1", "n2", "n1", "n2", None],
            "width": 8,
            "height": 6,
            "mask": [None, "a_mask.png", None, "c_mask.png", None],
        }
    )
    boxes = pd.DataFrame(
        {
            "image": ["b", "b", "a", "d", "c", "c"],
            "wnid": ["n1", "n2", "n2", "n1", "n2", "n1"],
            "xmin": [0, 1, 2, 3, 4, 5],
            "ymin": [0, 1, 2, 3, 4, 5],
            "xmax": [7, 6, 5, 4, 4, 5],
            "ymax": [5, 4, 3, 5, 4, 5],
        }
    )
    for path in images["path"]:
        Image.new("RGB", (8, 6)).save(tmp_path / path)
    classes, defects = {"n2": "ant", "n1": "bée"}, {"CMYK": ["a", "e"]}
    return Manifest("test", tmp_path, classes, images, boxes, defects)


def equal(manifest, other):
    pd.testing.assert_frame_equal(manifest.images, other.images)
    pd.testing.assert_frame_equal(manifest.boxes, other.boxes)
    for name in ("source", "root", "classes", "defects"):
        assert getattr(manifest, name) == getattr(other, name)


def test_manifest_loads_as_it_was_saved(manifest, tmp_path):
    manifest.validate().save(tmp_path / "m")
    equal(Manifest.load(tmp_path / "m"), manifest)
    about = json.loads((tmp_path / "m/dataset.json").read_text(encoding="utf-8"))
    assert about["classes"] == {"n1": "bée", "n2": "ant"}
    assert about["fingerprint"]["files"] == 5


def test_fingerprint_follows_sizes_and_names(manifest, tmp_path):
    before = manifest.fingerprint()
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes() + b"x")
    after = manifest.fingerprint()
    assert after["bytes"] == before["bytes"] + 1
    assert after["sha256"] != before["sha256"]


def test_wnids_and_split_are_in_order(manifest):
    assert manifest.wnids == ["n1", "n2"]
    assert list(manifest.split("train")["image"]) == ["a", "b"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_truth_is_withheld_and_restored_exactly(manifest, tmp_path, split):
    hidden, labels, boxes = manifest.withhold(split)
    inside = hidden.images["split"] == split
    assert hidden.images.loc[inside, ["wnid", "mask"]].isna().all(axis=None)
    assert not hidden.boxes["image"].isin(hidden.images.loc[inside, "image"]).any()
    pd.testing.assert_frame_equal(hidden.images[~inside], manifest.images[~inside])
    assert len(boxes) + len(hidden.boxes) == len(manifest.boxes)

    hidden.save(tmp_path / "m")
    save_truth(tmp_path / "truth", labels, boxes)
    equal(Manifest.load(tmp_path / "m").with_truth(tmp_path / "truth"), manifest)


def test_truth_without_masks_or_open_boxes_is_restored_exactly(manifest, tmp_path):
    images = manifest.images.assign(mask=None)
    boxes = manifest.boxes[manifest.boxes["image"] == "c"].reset_index(drop=True)
    bare = dataclasses.replace(manifest, images=images, boxes=boxes)
    hidden, labels, withheld = bare.withhold("test")
    hidden.save(tmp_path / "m")
    save_truth(tmp_path / "truth", labels, withheld)
    assert len(Manifest.load(tmp_path / "m").boxes) == 0
    equal(Manifest.load(tmp_path / "m").with_truth(tmp_path / "truth"), bare)


def test_withholding_nothing_changes_nothing(manifest, tmp_path):
    train = manifest.images["split"] == "train"
    images = manifest.images[train].reset_index(drop=True)
    boxes = manifest.boxes[manifest.boxes["image"].isin(images["image"])].reset_index(drop=True)
    only = dataclasses.replace(manifest, images=images, boxes=boxes)
    hidden, labels, withheld = only.withhold("test")
    save_truth(tmp_path / "truth", labels, withheld)
    equal(hidden.with_truth(tmp_path / "truth"), only)


def test_truth_of_other_images_is_refused(manifest, tmp_path):
    hidden, labels, boxes = manifest.withhold("test")
    save_truth(tmp_path / "truth", labels.replace("c", "z"), boxes.replace("c", "z"))
    with pytest.raises(
        UserError, match="holds the ground truth of images that the manifest lacks: z;"
    ):
        hidden.with_truth(tmp_path / "truth")


def test_missing_manifest_says_what_makes_it(manifest, tmp_path):
    with pytest.raises(UserError, match=r"images\.parquet is missing.*dvc repro"):
        Manifest.load(tmp_path / "none")
    with pytest.raises(UserError, match=r"labels\.parquet is missing"):
        manifest.with_truth(tmp_path / "none")


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "other": lambda content: b"<html>log in</html>",
    "end": lambda content: content[:-8] + bytes(8),
    "list": lambda content: b"[1, 2]",
    "deep": lambda content: b"[" * 100_000,
    "bytes": lambda content: b"\xff" + content,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["images.parquet", "boxes.parquet", "dataset.json"])
def test_damaged_file_of_the_manifest_is_named(manifest, tmp_path, name, damage):
    manifest.save(tmp_path / "m")
    path = tmp_path / "m" / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(UserError, match=rf"{name} (is damaged|is not text in UTF-8)"):
        Manifest.load(tmp_path / "m")


def test_damaged_truth_is_named(manifest, tmp_path):
    hidden, labels, boxes = manifest.withhold("test")
    save_truth(tmp_path / "truth", labels, boxes)
    (tmp_path / "truth/labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"labels\.parquet is damaged .*; .*run dvc repro"):
        hidden.with_truth(tmp_path / "truth")


def test_root_whose_name_is_not_utf_8_is_refused_with_its_cure(manifest, tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        root.mkdir()
    except OSError:
        pytest.skip("this file system holds no such name")
    for path in manifest.images["path"]:
        (tmp_path / path).rename(root / path)
    with pytest.raises(UserError, match=r"caf\\xe9' is not UTF-8 .*; rename the folder"):
        dataclasses.replace(manifest, root=root).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "message"),
    [
        ("images", 0, "image", "a", r"lists images twice .*: a \(path=b\.png.*, a \(path=a"),
        ("images", 0, "wnid", "n3", r"images of an unknown class: b \(path=b\.png, wnid=n3"),
        ("boxes", 2, "wnid", "n3", r"boxes of an unknown class: a \(wnid=n3, xmin=2"),
        ("boxes", 2, "image", "z", "boxes of images that are not listed: z "),
        ("boxes", 0, "xmax", -1, r"inverted boxes .*: b \(path=b\.png"),
        ("boxes", 3, "ymin", 6, "inverted boxes .*: d "),
        ("boxes", 0, "xmin", -1, r"boxes outside .*: b \(path=b\.png, wnid=n1, xmin=-1"),
        ("boxes", 1, "ymin", -1, "boxes outside their image .*: b "),
        ("boxes", 0, "xmax", 8, "boxes outside .*: b .*xmax=8, ymax=5, width=8, height=6"),
        ("boxes", 3, "ymax", 6, "boxes outside their image .*: d "),
    ],
)
def test_validate_names_the_first_offender(manifest, table, row, column, value, message):
    frame = getattr(manifest, table).copy()
    frame.loc[row, column] = value
    with pytest.raises(UserError, match=message):
        dataclasses.replace(manifest, **{table: frame}).validate()


def test_validate_counts_the_other_offenders(manifest):
    boxes = manifest.boxes.assign(xmin=-1)
    with pytest.raises(UserError, match=r": b .*, b .*, a .*\) \(and 3 more\)"):
        dataclasses.replace(manifest, boxes=boxes).validate()


def test_validate_refuses_a_class_without_a_training_image(manifest):
    images = manifest.images.assign(split=["train", "val", "val", "test", "test"])
    with pytest.raises(UserError, match=r"has no training image of: n2 \(ant\); give them"):
        dataclasses.replace(manifest, images=images).validate()


def test_quantiles_of_boxes_are_of_the_largest_of_each_image(manifest):
    """Of 48 pixels b's has 8·6, the only ones of a and d have 4·2 and 2·1, and c's two 1 each."""
    boxes = manifest.boxes
    boxes.loc[boxes["image"] == "a", ["ymin", "ymax"]] = [2, 3]
    boxes.loc[boxes["image"] == "d", ["ymin", "ymax"]] = [5, 5]
    quantiles = manifest.box_quantiles()
    assert quantiles.index.tolist() == [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
    areas = np.array([1, 2, 8, 48]) / 48
    assert quantiles["area"].tolist() == pytest.approx(np.quantile(areas, quantiles.index))
    assert quantiles.loc[0.5, "centre x"] == pytest.approx(4 / 8)  # that of all but c's
    ratios = np.log([1, 2 / 1, 4 / 2, 8 / 6])
    assert quantiles["log(w/h)"].tolist() == pytest.approx(np.quantile(ratios, quantiles.index))
