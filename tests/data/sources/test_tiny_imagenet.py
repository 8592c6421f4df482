"""Tiny ImageNet: a miniature tree with known boxes, and the real folder where it is at hand."""

import zipfile

import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.sources import tiny_imagenet
from camloc.data.sources.tiny_imagenet import read
from clone import SHARED

REAL = SHARED / "data" / "tiny-imagenet"
FISH, BUS = "n01443537", "n04146614"


def jpeg(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((64, 64), 60).convert(mode).save(path, "JPEG")


@pytest.fixture
def folder(tmp_path):
    """Two classes, five images: goldfish 0 and 1 and school bus 0 in train, val_0 and val_1."""
    root = tmp_path / "tiny"
    for path in (
        f"train/{FISH}/images/{FISH}_0",
        f"train/{FISH}/images/{FISH}_1",
        "val/images/val_1",
    ):
        jpeg(root / f"{path}.JPEG")
    jpeg(root / f"train/{BUS}/images/{BUS}_0.JPEG", mode="L")
    jpeg(root / "val/images/val_0.JPEG")
    (root / "wnids.txt").write_text(f"{BUS}\n{FISH}\n")
    (root / "words.txt").write_text(
        f"n00001740\tentity\n{FISH}\tgoldfish, Carassius auratus\n{BUS}\tschool bus\n"
    )
    (root / f"train/{FISH}/{FISH}_boxes.txt").write_text(
        f"{FISH}_1.JPEG\t1\t2\t30\t40\n{FISH}_0.JPEG\t0\t10\t63\t58\n"
    )
    (root / f"train/{BUS}/{BUS}_boxes.txt").write_text(f"{BUS}_0.JPEG\t63\t0\t63\t63\n")
    (root / "val/val_annotations.txt").write_text(
        f"val_0.JPEG\t{BUS}\t5\t6\t7\t8\nval_1.JPEG\t{FISH}\t0\t0\t63\t63\n"
    )
    return root


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(folder, message, val_per_class=0):
    with pytest.raises(UserError, match=message):
        read(folder, val_per_class=val_per_class, seed=0)


def test_tables_hold_what_the_files_say(folder):
    manifest = read(folder, val_per_class=0, seed=0)
    assert manifest.classes == {FISH: "goldfish, Carassius auratus", BUS: "school bus"}
    assert list(manifest.classes) == [FISH, BUS]
    assert manifest.images.drop(columns="mask").to_numpy().tolist() == [
        [f"{FISH}_0", f"train/{FISH}/images/{FISH}_0.JPEG", "train", FISH, 64, 64],
        [f"{FISH}_1", f"train/{FISH}/images/{FISH}_1.JPEG", "train", FISH, 64, 64],
        [f"{BUS}_0", f"train/{BUS}/images/{BUS}_0.JPEG", "train", BUS, 64, 64],
        ["val_0", "val/images/val_0.JPEG", "test", BUS, 64, 64],
        ["val_1", "val/images/val_1.JPEG", "test", FISH, 64, 64],
    ]
    assert manifest.images["mask"].isna().all()
    assert manifest.boxes.to_numpy().tolist() == [
        [f"{FISH}_0", FISH, 0, 10, 63, 58],
        [f"{FISH}_1", FISH, 1, 2, 30, 40],
        [f"{BUS}_0", BUS, 63, 0, 63, 63],
        ["val_0", BUS, 5, 6, 7, 8],
        ["val_1", FISH, 0, 0, 63, 63],
    ]
    assert (manifest.images["image"] == manifest.boxes["image"]).all()


def add_images(folder, wnid, first, last):
    picture = (folder / f"train/{wnid}/images/{wnid}_0.JPEG").read_bytes()
    with (folder / f"train/{wnid}/{wnid}_boxes.txt").open("a") as lines:
        for i in range(first, last + 1):
            (folder / f"train/{wnid}/images/{wnid}_{i}.JPEG").write_bytes(picture)
            lines.write(f"{wnid}_{i}.JPEG\t0\t0\t9\t9\n")


def val_of(manifest, wnid):
    val = manifest.split("val")
    return set(val.loc[val["wnid"] == wnid, "image"])


def test_val_is_drawn_from_each_class_by_the_seed(folder):
    add_images(folder, FISH, 10, 39)
    add_images(folder, BUS, 10, 39)
    first = read(folder, val_per_class=8, seed=1)
    assert first.images["split"].value_counts().to_dict() == {"train": 47, "val": 16, "test": 2}
    assert len(val_of(first, FISH)) == len(val_of(first, BUS)) == 8
    assert val_of(read(folder, val_per_class=8, seed=1), FISH) == val_of(first, FISH)
    assert val_of(read(folder, val_per_class=8, seed=2), FISH) != val_of(first, FISH)


def test_val_of_a_class_depends_neither_on_other_classes_nor_on_the_order_of_lines(folder):
    add_images(folder, FISH, 10, 39)
    add_images(folder, BUS, 10, 19)
    before = val_of(read(folder, val_per_class=8, seed=1), FISH)
    add_images(folder, BUS, 20, 29)
    boxes = folder / f"train/{FISH}/{FISH}_boxes.txt"
    boxes.write_text("\n".join(reversed(boxes.read_text().splitlines())))
    assert val_of(read(folder, val_per_class=8, seed=1), FISH) == before


def test_images_with_other_endings_are_those_that_the_text_files_name(folder, caplog):
    for name, end in ((f"train/{FISH}/images/{FISH}_0", "png"), ("val/images/val_1", "jpg")):
        path = folder / f"{name}.JPEG"
        Image.open(path).save(path.with_suffix(f".{end}"))
        path.unlink()
    (folder / f"train/{BUS}/images/list.txt").write_bytes(b"")
    images = read(folder, val_per_class=0, seed=0).images
    assert images["path"].str.split("/").str[-1].tolist() == [
        f"{FISH}_0.png",
        f"{FISH}_1.JPEG",
        f"{BUS}_0.JPEG",
        "val_0.JPEG",
        "val_1.jpg",
    ]
    assert f"1 left out, by their names no images: {folder}/train/{BUS}/images/list" in caplog.text


@pytest.mark.parametrize("place", ["val/images", f"train/{FISH}/images"])
def test_image_of_any_ending_needs_its_box(folder, place):
    jpeg(folder / place / "other.Jpg")
    refused(folder, r"has no box of: other\.Jpg; give")


def test_byte_order_mark_in_any_text_file_is_passed_over(folder):
    whole = read(folder, val_per_class=0, seed=0)
    for path in folder.rglob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    marked = read(folder, val_per_class=0, seed=0)
    assert marked.classes == whole.classes
    assert marked.images.equals(whole.images) and marked.boxes.equals(whole.boxes)


def test_windows_line_ends_are_read(folder):
    for path in [folder / "wnids.txt", folder / "words.txt", *folder.glob("*/*.txt")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(folder, val_per_class=0, seed=0).classes[BUS] == "school bus"


def test_missing_folder_tells_the_layout_and_the_download(tmp_path):
    refused(tmp_path / "none", r"none is missing; .*wnids\.txt.*leaving data\.folder out downloads")
    refused(tmp_path, r"wnids\.txt is missing; .*train/<wnid>/images")


@pytest.mark.parametrize(
    "name", ["words.txt", "val/val_annotations.txt", f"train/{FISH}/{FISH}_boxes.txt"]
)
def test_missing_index_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, f"{name} is missing")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("wnids.txt", BUS, "a/b", r"wnids\.txt:1: 'a/b' is no name of a class's folder"),
        ("wnids.txt", BUS, "n04146641", r"wnids\.txt:1: .*n04146641.*did you mean n04146614"),
        ("wnids.txt", f"{BUS}\n", "", rf"train/{BUS}: class '{BUS}' is not in wnids\.txt"),
        (
            "words.txt",
            f"{BUS}\t",
            f"{BUS} ",
            r"words\.txt:3: expected wnid names, separated by tabs",
        ),
        ("val/val_annotations.txt", BUS, "n04146641", r"annotations\.txt:1: .*n04146614"),
        ("val/val_annotations.txt", "\t7\t8", "\t7", r"annotations\.txt:1: expected name wnid"),
        ("val/val_annotations.txt", "\t7\t8", "\t7\t8\t9", r"annotations\.txt:1: .*'5 6 7 8\\t9'"),
        ("val/val_annotations.txt", "\t7\t8", "\t7\t8.5", r"annotations\.txt:1: .*'5 6 7 8\.5'"),
        (f"train/{FISH}/{FISH}_boxes.txt", "63\t58", "x\t58", r"boxes\.txt:2: .*'0 10 x 58'"),
        (f"train/{FISH}/{FISH}_boxes.txt", "\t", " ", r"boxes\.txt:1: .*separated by tabs"),
        (
            f"train/{FISH}/{FISH}_boxes.txt",
            "63\t58",
            "64\t58",
            rf"boxes outside their image .*: {FISH}_0 ",
        ),
        (
            f"train/{FISH}/{FISH}_boxes.txt",
            "0\t10",
            "-1\t10",
            rf"boxes outside their image .*: {FISH}_0 ",
        ),
        (f"train/{FISH}/{FISH}_boxes.txt", "10\t63\t58", "59\t63\t58", "has inverted boxes"),
        (
            "val/val_annotations.txt",
            "val_1",
            "val_2",
            r"annotations\.txt has no box of: val_1\.JPEG",
        ),
        (f"train/{FISH}/{FISH}_boxes.txt", "_1.J", "_2.J", rf"has no box of: {FISH}_1\.JPEG"),
        ("val/val_annotations.txt", "val_1", "val_0", r"has no box of: val_1\.JPEG"),
    ],
)
def test_mistake_in_a_file_is_named(folder, name, old, new, message):
    replace(folder / name, old, new)
    refused(folder, message)


def test_line_given_twice_is_refused(folder):
    annotations = folder / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text() * 2)
    refused(folder, "lists images twice .*: val_0 .*, val_0 .*, val_1")


def test_listed_image_that_is_missing_is_named(folder):
    (folder / "val/images/val_1.JPEG").unlink()
    refused(folder, r"val_1\.JPEG is missing")


def test_truncated_image_is_named(folder):
    picture = folder / f"train/{FISH}/images/{FISH}_1.JPEG"
    picture.write_bytes(picture.read_bytes()[:-100])
    refused(folder, rf"{FISH}_1\.JPEG is truncated")


def test_class_without_an_image_left_for_training_is_named(folder):
    refused(folder, rf"class {BUS} \(school bus\) has 1 training images", val_per_class=1)
    (folder / f"train/{BUS}/images/{BUS}_0.JPEG").unlink()
    (folder / f"train/{BUS}/{BUS}_boxes.txt").write_text("")
    refused(folder, rf"class {BUS} \(school bus\) has 0 training images, of which val takes 0")


def test_download_unpacks_once(folder, tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path, md5):
        fetched.append((url, md5))
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.rglob("*.*"):
                archive.write(file, f"tiny-imagenet-200/{file.relative_to(folder)}")

    monkeypatch.setattr(tiny_imagenet, "fetch", fetch)
    (tmp_path / "data").mkdir()
    for _ in range(2):
        unpacked = tiny_imagenet.download(tmp_path / "data")
    assert fetched == [(tiny_imagenet.URL, "90528d7ca1a48142e341f4ef8d21d0de")]
    assert len(read(unpacked, val_per_class=0, seed=0).images) == 5


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_real_folder():
    manifest = read(REAL, val_per_class=50, seed=0)
    assert manifest.images["split"].value_counts().to_dict() == {
        "train": 9000,
        "val": 1000,
        "test": 1000,
    }
    assert (manifest.split("val")["wnid"].value_counts() == 50).all()
    assert (manifest.images[["width", "height"]] == 64).all(axis=None)
    # What the module says of the real boxes.
    corners = manifest.boxes[["xmin", "ymin", "xmax", "ymax"]]
    assert (corners.min().min(), corners.max().max()) == (0, 63)
    assert (corners["xmax"] == 63).sum() == 4687
    thin = (corners["xmin"] == corners["xmax"]) | (corners["ymin"] == corners["ymax"])
    assert thin.sum() == 33
    first = manifest.boxes.set_index("image").loc["n01443537_0"]
    assert first.tolist() == ["n01443537", 0, 10, 63, 58]
