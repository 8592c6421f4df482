"""CUB-200-2011: a miniature tree with known boxes and masks, and what is measured on it."""

import json
import logging
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.core.paths import Study
from camloc.data.manifest import Manifest
from camloc.data.sources import cub
from camloc.data.sources.cub import read
from camloc.pipeline.parameters import DataParameters, EvaluateParameters
from camloc.pipeline.stages import data, evaluate
from made import store_random_maps

ALBATROSS, WREN = "001.Black_footed_Albatross", "193.Bewick_Wren"
FILES = {
    "classes.txt": f"1 {ALBATROSS}\n2 {WREN}\n",
    "images.txt": f"1 {ALBATROSS}/A_1.jpg\n2 {ALBATROSS}/A_2.jpg\n3 {ALBATROSS}/A_3.jpg\n"
    f"4 {WREN}/W_4.jpg\n5 {WREN}/W_5.jpg\n6 {WREN}/W_6.jpg\n",
    "image_class_labels.txt": "1 1\n2 1\n3 1\n4 2\n5 2\n6 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n4 1\n5 1\n6 0\n",
    "bounding_boxes.txt": "1 0.0 2.0 10.0 20.0\n2 10.0 0.0 30.0 29.0\n3 5.0 5.0 35.0 26.0\n"
    "4 39.0 29.0 0.0 0.0\n5 1.4 2.6 3.4 4.4\n6 4.0 3.0 11.0 12.0\n",
}


def save(picture, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture
def folder(tmp_path):
    """Six images of 40×30 in two classes: A_1, A_3, W_4, W_5 to train, A_2 and W_6 to test."""
    root = tmp_path / "data" / "CUB_200_2011"
    root.mkdir(parents=True)
    for name, text in FILES.items():
        (root / name).write_text(text)
    for line in FILES["images.txt"].splitlines():
        save(Image.effect_noise((40, 30), 60).convert("RGB"), root / "images" / line.split()[1])
    return root.parent


def add_masks(at):
    """Grey masks, one of which is saved in four channels: 51 on the bird, columns 10 to 19."""
    level = np.zeros((30, 40), np.uint8)
    level[:, 10:20] = 51
    for line in FILES["images.txt"].splitlines():
        mask = Image.fromarray(level).convert("RGBA" if "A_2" in line else "L")
        save(mask, (at / line.split()[1]).with_suffix(".png"))


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refused(folder, message, val_per_class=0, **options):
    with pytest.raises(UserError, match=message):
        read(folder, val_per_class=val_per_class, seed=0, **options)


def test_tables_hold_what_the_files_say(folder):
    manifest = read(folder, val_per_class=0, seed=0)
    assert manifest.classes == {ALBATROSS: "Black footed Albatross", WREN: "Bewick Wren"}
    assert manifest.root == folder / "CUB_200_2011"
    assert manifest.images.drop(columns="mask").to_numpy().tolist() == [
        ["A_1", f"images/{ALBATROSS}/A_1.jpg", "train", ALBATROSS, 40, 30],
        ["A_2", f"images/{ALBATROSS}/A_2.jpg", "test", ALBATROSS, 40, 30],
        ["A_3", f"images/{ALBATROSS}/A_3.jpg", "train", ALBATROSS, 40, 30],
        ["W_4", f"images/{WREN}/W_4.jpg", "train", WREN, 40, 30],
        ["W_5", f"images/{WREN}/W_5.jpg", "train", WREN, 40, 30],
        ["W_6", f"images/{WREN}/W_6.jpg", "test", WREN, 40, 30],
    ]
    assert manifest.images["mask"].isna().all()


def test_box_ends_at_x_plus_width_from_0_within_its_image(folder, caplog):
    with caplog.at_level(logging.WARNING):
        boxes = read(folder, val_per_class=0, seed=0).boxes
    assert boxes.to_numpy().tolist() == [
        ["A_1", ALBATROSS, 0, 2, 10, 22],
        ["A_2", ALBATROSS, 10, 0, 39, 29],  # 10 + 30 is the width: one pixel less
        ["A_3", ALBATROSS, 5, 5, 39, 29],  # both sides
        ["W_4", WREN, 39, 29, 39, 29],  # the last pixel
        ["W_5", WREN, 1, 3, 5, 7],  # 1.4, 2.6, 4.8 and 7.0, rounded
        ["W_6", WREN, 4, 3, 15, 15],
    ]
    assert "2 of 6 boxes clipped" in caplog.text


def test_folder_may_be_the_tree_itself_and_hold_pictures_that_are_not_listed(folder):
    root = folder / "CUB_200_2011"
    (root / "images" / WREN / "W_4_rgb.jpg").write_bytes(b"")
    whole = read(folder, val_per_class=0, seed=0)
    pd.testing.assert_frame_equal(read(root, val_per_class=0, seed=0).images, whole.images)


def test_listed_classes_alone_are_read(folder):
    (folder / "CUB_200_2011/images" / WREN / "W_4.jpg").unlink()
    manifest = read(folder, val_per_class=0, seed=0, classes=[ALBATROSS])
    assert manifest.wnids == [ALBATROSS]
    assert manifest.images["image"].tolist() == manifest.boxes["image"].tolist()
    assert manifest.images["image"].tolist() == ["A_1", "A_2", "A_3"]
    refused(
        folder, "data.classes: class '193.Bewik_Wren'.*did you mean 193", classes=["193.Bewik_Wren"]
    )


def test_val_is_drawn_from_each_classs_training_images_by_the_seed(folder):
    def val(seed, **options):
        return set(read(folder, val_per_class=1, seed=seed, **options).split("val")["image"])

    drawn = {frozenset(val(seed)) for seed in range(20)}
    assert drawn == {frozenset((a, w)) for a in ("A_1", "A_3") for w in ("W_4", "W_5")}
    assert val(3) == val(3)
    assert val(3, classes=[WREN]) == {image for image in val(3) if image.startswith("W")}
    for name in FILES:  # nor does it depend on the order of the lines
        path = folder / "CUB_200_2011" / name
        path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert {frozenset(val(seed)) for seed in range(20)} == drawn and val(3) == val(3)


@pytest.mark.parametrize("place", ["segmentations", "CUB_200_2011/segmentations"])
def test_masks_are_found_beside_the_tree_or_in_it(folder, place):
    add_masks(folder / place)
    manifest = read(folder, val_per_class=0, seed=0)
    assert all((manifest.root / mask).is_file() for mask in manifest.images["mask"])
    assert manifest.images["mask"].str.endswith(f"segmentations/{ALBATROSS}/A_1.png").sum() == 1
    assert not manifest.masks_have_parts


def test_mask_that_is_missing_or_of_another_size_is_named(folder):
    add_masks(folder / "segmentations")
    mask = folder / "segmentations" / WREN / "W_5.png"
    save(Image.new("L", (30, 40)), mask)
    refused(folder, r"W_5\.png is 30×40 pixels, its image 40×30")
    mask.unlink()
    refused(folder, r"W_5\.png is missing")


def test_missing_folder_tells_the_layout_and_the_download(tmp_path):
    refused(tmp_path / "none", r"none is missing; .*bounding_boxes\.txt.*leaving data\.folder out")
    for name in ("CUB_200_2011.tgz", "segmentations.tgz"):
        (tmp_path / name).touch()
    refused(tmp_path, r"&& tar -xzf CUB_200_2011\.tgz && tar -xzf segmentations\.tgz$")


@pytest.mark.parametrize("name", FILES)
def test_missing_index_file_is_named(folder, name):
    (folder / "CUB_200_2011" / name).unlink()
    refused(folder, f"{name} is missing")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("classes.txt", f"2 {WREN}", "2", r"classes\.txt:2: expected id name"),
        (
            "classes.txt",
            f"2 {WREN}",
            f"2 {WREN} x",
            rf"images\.txt:4: .* lie in {WREN} x, the fold",
        ),
        ("images.txt", f"2 {ALBATROSS}", f"2 {WREN}", r"images\.txt:2: .*A_2.* not lie in 001\."),
        ("images.txt", f"{ALBATROSS}/A_2.jpg", ".", r"images\.txt:2: \. does not lie in 001\."),
        ("images.txt", "\n2 ", "\n1 ", r"images\.txt:2: id 1 has a line already"),
        ("images.txt", "A_3", "A_1", "lists images twice .*: A_1 "),
        ("images.txt", "A_3", "A_4", r"A_4\.jpg is missing"),
        (
            "image_class_labels.txt",
            "4 2",
            "4 9",
            r"labels\.txt:4: class '9' is not in classes\.txt",
        ),
        (
            "image_class_labels.txt",
            "4 2\n",
            "",
            r"labels\.txt lacks images .*: 4; add",
        ),
        ("image_class_labels.txt", "4 2", "7 2", r"labels\.txt:4: images\.txt lists no image 7"),
        ("train_test_split.txt", "4 1", "4 2", r"split\.txt:4: is_training is 1 or 0, not '2'"),
        ("train_test_split.txt", "4 1", "4 1 0", r"split\.txt:4: is_training is 1 or 0, not '1 0'"),
        ("bounding_boxes.txt", "10.0 20.0", "10.0 20.0 1", r"boxes\.txt:1: expected numbers"),
        ("train_test_split.txt", "1 1", "1", r"split\.txt:1: expected id is_training"),
        ("bounding_boxes.txt", "2.0 10.0", "2.0", r"boxes\.txt:1: expected id x y width height"),
        ("bounding_boxes.txt", "0.0 2.0", "0.0 two", r"boxes\.txt:1: expected numbers.*'0\.0 two"),
        ("bounding_boxes.txt", "0.0 2.0", "nan 2.0", r"boxes\.txt:1: expected numbers"),
        ("bounding_boxes.txt", "0.0 2.0", "inf 2.0", r"boxes\.txt:1: expected numbers"),
        ("bounding_boxes.txt", "39.0 29.0", "40.0 29.0", "boxes outside their image .*: W_4 "),
        ("bounding_boxes.txt", "2.0 10.0", "2.0 -1.0", "inverted boxes .*: A_1 "),
    ],
)
def test_mistake_in_a_file_is_named(folder, name, old, new, message):
    replace(folder / "CUB_200_2011" / name, old, new)
    refused(folder, message)


def test_names_may_hold_blanks_and_text_files_a_byte_order_mark(folder):
    root, words = folder / "CUB_200_2011", "001.Black footed  Albatross"
    (root / "images" / ALBATROSS / "A_1.jpg").rename(root / "images" / ALBATROSS / "A 1.jpg")
    (root / "images" / ALBATROSS).rename(root / "images" / words)
    for name in FILES:
        text = (root / name).read_text().replace(ALBATROSS, words).replace("A_1", "A 1")
        (root / name).write_text(text.replace("\n", " \r\n"), encoding="utf-8-sig")
    add_masks(folder / "segmentations")
    (folder / "segmentations" / ALBATROSS / "A_1.png").rename(
        folder / "segmentations" / ALBATROSS / "A 1.png"
    )
    (folder / "segmentations" / ALBATROSS).rename(folder / "segmentations" / words)
    manifest = read(folder, val_per_class=0, seed=0, classes=[words]).validate()
    assert manifest.classes == {words: "Black footed  Albatross"}
    assert manifest.images["path"].iloc[0] == f"images/{words}/A 1.jpg"
    assert manifest.images["image"].tolist() == ["A 1", "A_2", "A_3"]
    assert manifest.boxes_of("A 1").tolist() == [[0, 2, 10, 22]]
    manifest.save(folder / "manifest")
    assert Manifest.load(folder / "manifest").wnids == [words]


def test_truncated_image_is_named(folder):
    picture = folder / "CUB_200_2011/images" / WREN / "W_6.jpg"
    picture.write_bytes(picture.read_bytes()[:-100])
    refused(folder, r"W_6\.jpg is truncated")


def test_class_without_an_image_left_for_training_is_named(folder):
    refused(folder, r"Albatross\) has 2 training images, of which val takes 2", val_per_class=2)


def test_download_unpacks_both_archives_once(folder, tmp_path, monkeypatch):
    add_masks(folder / "segmentations")
    fetched = []

    def fetch(url, path, md5):
        fetched.append((Path(url).name, md5))
        with tarfile.open(path, "w:gz") as archive:
            name = path.name.removesuffix(".tgz")
            archive.add(folder / name, name)

    monkeypatch.setattr(cub, "fetch", fetch)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for _ in range(2):
        unpacked = cub.download(downloads)
    assert fetched == [
        ("CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"),
        ("segmentations.tgz", "4d47ba1228eae64f2fa547c47bc65255"),
    ]
    assert read(unpacked, val_per_class=0, seed=0).images["mask"].notna().all()


def test_masks_give_pxap_and_cover_of_the_object_but_none_of_parts(folder, tmp_path):
    """The stages data and evaluate, with a map that is the mask and one that is its reverse."""
    add_masks(folder / "segmentations")
    study = Study(tmp_path / "study")
    study.folder.mkdir()
    linked = study.folder / "birds"
    linked.symlink_to(folder)
    source = {"source": "cub", "folder": linked, "val_per_class": 1}
    data.run(study, DataParameters(data=source, seed=1))
    about = json.loads((study.manifest / "dataset.json").read_text())
    assert about["root"] == "birds/CUB_200_2011"  # the same on a machine with the link elsewhere
    assert Manifest.load(study.manifest).split("test")["wnid"].notna().all()
    store_random_maps(study, "net", side=4)
    for split in ("val", "test"):
        for file in study.predictions("net").glob(f"{split}/*.npy"):
            maps = np.load(file)
            maps[...] = [-1, 1, -1, -1] if file.stem == "cam" else [1, -1, 1, 1]
            np.save(file, maps)
    given = EvaluateParameters(
        network="net", seed=1, boxes={"threshold": 0.2}, evaluate={"split": "test"}
    )
    found = evaluate.run(study, given)
    scores = found.wsol["test"]
    assert scores["net"]["pxap"] > 95 and scores["backprop-net"]["pxap"] < 20
    # The map falls from 0.9 by 0.2 a column to either side: 8 of 10 are above a fifth of that.
    covered = found.measures("test")["net"]
    assert covered["object_cover"].tolist() == [0.8, 0.8]
    assert "part_cover" not in covered
