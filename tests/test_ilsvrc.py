"""ILSVRC in Kaggle's layout: a miniature tree, and the real boxes where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camloc.datasets import ilsvrc
from camloc.datasets.ilsvrc import BLACKLIST, read
from camloc.errors import UserError
from made import annotation, jpeg

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "ilsvrc-val"
TENCH, DOG = "n01440764", "n02092002"
DATA = "ILSVRC/Data/CLS-LOC"
ANNOTATION = f"ILSVRC/Annotations/CLS-LOC/train/{TENCH}/{TENCH}_18.xml"
SOLUTION = "LOC_val_solution.csv"


@pytest.fixture
def folder(tmp_path):
    """Two classes: tench 18 (with an annotation) and 2, dog 7; two val images and a test image."""
    root = tmp_path / "kaggle"
    for image in (f"{TENCH}/{TENCH}_18", f"{TENCH}/{TENCH}_2", f"{DOG}/{DOG}_7"):
        jpeg(root / DATA / f"train/{image}.JPEG")
    jpeg(root / DATA / "val/ILSVRC2012_val_00000001.JPEG", (60, 30))
    jpeg(root / DATA / "val/ILSVRC2012_val_00000002.JPEG")
    jpeg(root / DATA / "test/ILSVRC2012_test_00000001.JPEG")
    (root / ANNOTATION).parent.mkdir(parents=True)
    (root / ANNOTATION).write_text(annotation(TENCH, (TENCH, 1, 2, 30, 39), (TENCH, 0, 0, 49, 5)))
    (root / "LOC_synset_mapping.txt").write_text(
        f"{TENCH} tench, Tinca tinca\n{DOG} Scottish deerhound, deerhound\n"
    )
    (root / SOLUTION).write_text(
        "ImageId,PredictionString\n"
        f"ILSVRC2012_val_00000002,{TENCH} 3 4 5 6 \n"
        f"ILSVRC2012_val_00000001,{DOG} 0 0 59 29 {DOG} 10 11 12 13 \n"
    )
    return root


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(folder, message):
    with pytest.raises(UserError, match=message):
        read(folder)


def test_tables_hold_what_the_files_say(folder):
    manifest = read(folder)
    assert manifest.classes == {
        TENCH: "tench, Tinca tinca",
        DOG: "Scottish deerhound, deerhound",
    }
    images = manifest.images.astype(object).where(manifest.images.notna(), None)
    assert images.to_numpy().tolist() == [
        [f"{TENCH}_18", f"{DATA}/train/{TENCH}/{TENCH}_18.JPEG", "train", TENCH, 50, 40, None],
        [f"{TENCH}_2", f"{DATA}/train/{TENCH}/{TENCH}_2.JPEG", "train", TENCH, 50, 40, None],
        [f"{DOG}_7", f"{DATA}/train/{DOG}/{DOG}_7.JPEG", "train", DOG, 50, 40, None],
        *(
            [f"ILSVRC2012_val_{i:08}", f"{DATA}/val/ILSVRC2012_val_{i:08}.JPEG", "val", *rest, None]
            for i, rest in ((1, (DOG, 60, 30)), (2, (TENCH, 50, 40)))
        ),
        [
            "ILSVRC2012_test_00000001",
            f"{DATA}/test/ILSVRC2012_test_00000001.JPEG",
            "test",
            None,
            50,
            40,
            None,
        ],
    ]
    assert manifest.boxes.to_numpy().tolist() == [
        [f"{TENCH}_18", TENCH, 1, 2, 30, 39],
        [f"{TENCH}_18", TENCH, 0, 0, 49, 5],
        ["ILSVRC2012_val_00000001", DOG, 0, 0, 59, 29],
        ["ILSVRC2012_val_00000001", DOG, 10, 11, 12, 13],
        ["ILSVRC2012_val_00000002", TENCH, 3, 4, 5, 6],
    ]
    assert manifest.boxes["xmin"].dtype == np.int64


def test_training_boxes_and_test_images_may_be_left_out(folder):
    (folder / ANNOTATION).unlink()
    (folder / DATA / "test/ILSVRC2012_test_00000001.JPEG").unlink()
    manifest = read(folder)
    assert len(manifest.images) == 5
    assert len(manifest.boxes) == 3
    assert manifest.boxes["xmin"].dtype == np.int64


def test_breed_in_place_of_the_wnid_is_a_box_of_the_images_class(folder):
    path = folder / f"ILSVRC/Annotations/CLS-LOC/train/{DOG}/{DOG}_7.xml"
    path.parent.mkdir()
    path.write_text(annotation(DOG, ("Scottish_deerhound", 1, 2, 3, 4)))
    assert [f"{DOG}_7", DOG, 1, 2, 3, 4] in read(folder).boxes.to_numpy().tolist()


def test_training_box_is_clipped_to_its_image_and_counted(folder, caplog):
    (folder / ANNOTATION).write_text(
        annotation(TENCH, (TENCH, -3, 2, 50, 47), (TENCH, 0, 0, 49, 39), (TENCH, 49, 39, 60, 60))
    )
    boxes = read(folder).boxes
    assert boxes[boxes["image"] == f"{TENCH}_18"].iloc[:, 2:].to_numpy().tolist() == [
        [0, 2, 49, 39],
        [0, 0, 49, 39],
        [49, 39, 49, 39],
    ]
    assert "2 of 6 boxes clipped" in caplog.text


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((50, 2, 60, 30), "outside"),
        ((-9, 2, -1, 30), "outside"),
        ((1, 40, 3, 50), "outside"),
        ((9, 2, 8, 30), "inverted"),
        ((60, 2, 55, 30), "inverted"),
    ],
)
def test_training_box_without_a_pixel_in_its_image_is_refused(folder, box, why):
    (folder / ANNOTATION).write_text(annotation(TENCH, (TENCH, *box)))
    refused(folder, f"image {TENCH}_18 has an? (inverted )?box.*{why}|{why} box")


@pytest.mark.parametrize("box", ["0 0 60 29", "0 0 59 30", "-1 0 59 29", "0 -1 59 29"])
def test_val_box_is_never_clipped(folder, box):
    replace(folder / SOLUTION, "0 0 59 29", box)
    refused(folder, r"ILSVRC2012_val_00000001 has a box outside.*width=60, height=30")


@pytest.mark.parametrize(
    "name", ["", "LOC_synset_mapping.txt", SOLUTION, DATA], ids=["folder", "synsets", "val", "data"]
)
def test_missing_part_of_the_layout_is_named(folder, name):
    (folder / name).rename(folder.parent / "elsewhere")
    refused(folder, rf"{name} is missing; .*LOC_synset_mapping\.txt, LOC_val_solution\.csv")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("LOC_synset_mapping.txt", " tench, Tinca tinca", "", r"mapping\.txt:1: expected a wnid"),
        ("LOC_synset_mapping.txt", TENCH, "n01440746", rf"{TENCH}: .*did you mean n01440746"),
        ("LOC_synset_mapping.txt", TENCH, f"n01443537 goldfish\n{TENCH}", "class n01443537 .gold"),
        (SOLUTION, TENCH, "n01440746", rf"csv:2: class 'n01440746' .* mean {TENCH}"),
        (SOLUTION, "3 4 5 6", "3 4 5", r"csv:2: expected one group or more of wnid xmin"),
        (SOLUTION, "3 4 5 6", "3 4 5 6 7", r"csv:2: expected one group or more"),
        (SOLUTION, "3 4 5 6", "3 4 5 6.5", r"csv:2: expected whole numbers .*'3 4 5 6\.5'"),
        (SOLUTION, "3 4 5 6", "5 4 3 6", "val_00000002 has an inverted box"),
        (SOLUTION, f"{TENCH} 3 4 5 6", "", r"csv:2: .*not nothing; a val image without a box"),
        (SOLUTION, "3 4 5 6", "", r"csv: ILSVRC2012_val_00000002 has a class without a box"),
        (SOLUTION, f"{DOG} 10", f"{TENCH} 10", rf"csv:3: boxes of {DOG} and {TENCH}"),
        (SOLUTION, "00002,", "00002 ", r"csv:2: expected ImageId,PredictionString"),
        (SOLUTION, "00002,", "00001,", r"csv:3: ILSVRC2012_val_00000001 has a line already"),
        (SOLUTION, "00002,", "00003,", r"val_00000002\.JPEG has no box in .*LOC_val_solution"),
    ],
)
def test_mistake_in_a_text_file_is_named(folder, name, old, new, message):
    replace(folder / name, old, new)
    refused(folder, message)


@pytest.mark.parametrize("prediction", [f"{TENCH} 3 4 5 6", TENCH], ids=["boxed", "without"])
def test_blacklisted_val_image_keeps_its_class_and_has_no_box(folder, prediction):
    """Number 2 is the second of the sorted ids, not of the file's lines."""
    replace(folder / SOLUTION, f"{TENCH} 3 4 5 6", prediction)
    (folder / BLACKLIST).write_text("2\n")
    manifest = read(folder)
    assert manifest.split("val")["wnid"].tolist() == [DOG, TENCH]
    assert manifest.boxes["image"].tolist() == [
        *[f"{TENCH}_18"] * 2,
        *["ILSVRC2012_val_00000001"] * 2,
    ]


@pytest.mark.parametrize("line", ["0", "3", "-1", "2.0", "ILSVRC2012_val_00000002"])
def test_line_of_the_blacklist_that_numbers_no_val_image_is_named(folder, line):
    (folder / BLACKLIST).write_text(f"1\n{line}\n")
    refused(folder, rf"{BLACKLIST}:2: expected the number of a val image, 1 to 2, not '{line}'")


def test_defects_of_image_files_are_listed_by_kind(folder):
    for name in (f"train/{TENCH}/{TENCH}_2", "test/ILSVRC2012_test_00000001"):
        Image.new("CMYK", (50, 40)).save(folder / DATA / f"{name}.JPEG")
    Image.new("RGB", (50, 40)).save(folder / DATA / f"train/{DOG}/{DOG}_7.JPEG", "PNG")
    assert read(folder).defects == {
        "CMYK": ["ILSVRC2012_test_00000001", f"{TENCH}_2"],
        "PNG named JPEG": [f"{DOG}_7"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(TENCH), "has no <object>"),
        (annotation(TENCH).replace("</ann", "<object/></ann"), "without a whole <bndbox>"),
        (
            annotation(TENCH, (TENCH, 1, 2, 3, 4)).replace("<xmin>1</xmin>", ""),
            "without a whole <bndbox>",
        ),
        (annotation(TENCH, (TENCH, "", 2, 3, 4)), "expected whole numbers .*' 2 3 4'"),
        (annotation(TENCH, (DOG, 1, 2, 3, 4)), f"a box of {DOG}, but an image of {TENCH}"),
        ("<annotation><object>", "is not a readable XML file"),
        ("", "is not a readable XML file"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
            "is not a readable XML file",
        ),
    ],
    ids=["no object", "no box", "no xmin", "empty xmin", "class", "cut", "empty", "entity"],
)
def test_mistake_in_an_annotation_is_named(folder, text, message):
    (folder / ANNOTATION).write_text(text)
    refused(folder, rf"{TENCH}_18\.xml.*{message}")


def test_annotation_of_a_missing_image_is_named(folder):
    (folder / DATA / f"train/{TENCH}/{TENCH}_18.JPEG").unlink()
    refused(folder, rf"{TENCH}_18\.xml annotates .*{TENCH}_18\.JPEG, which is missing")


def test_listed_val_image_that_is_missing_is_named(folder):
    (folder / DATA / "val/ILSVRC2012_val_00000002.JPEG").unlink()
    refused(folder, r"val_00000002\.JPEG is missing")


def test_truncated_image_is_named(folder):
    picture = folder / DATA / "test/ILSVRC2012_test_00000001.JPEG"
    picture.write_bytes(picture.read_bytes()[:-100])
    refused(folder, r"test_00000001\.JPEG is truncated")


def test_class_without_a_training_image_is_named(folder):
    (folder / DATA / f"train/{DOG}/{DOG}_7.JPEG").unlink()
    refused(folder, rf"class {DOG} \(Scottish deerhound, deerhound\) has no training image")


def test_id_in_two_classes_is_refused(folder):
    jpeg(folder / DATA / f"train/{DOG}/{TENCH}_18.JPEG")
    refused(folder, f"image {TENCH}_18 is listed twice")


def rows_of(name):
    """The lines of a file of the real folder: the image's stem and integers."""
    for line in (REAL / name).read_text().split():
        path, *numbers = line.split(",")
        yield Path(path).stem, [int(number) for number in numbers]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_all_real_val_boxes_are_read_as_they_stand(tmp_path, monkeypatch):
    wnids = [f"n{index:08}" for index in range(1000)]
    labels = {image: wnids[index] for image, (index,) in rows_of("class_labels.txt")}
    sizes = dict(rows_of("image_sizes.txt"))
    boxes = list(rows_of("localization.txt"))
    groups = dict.fromkeys(labels, "")
    for image, corners in boxes:
        groups[image] += f"{labels[image]} {' '.join(map(str, corners))} "
    lines = [f"{image},{group}\n" for image, group in groups.items()]
    (tmp_path / SOLUTION).write_text("ImageId,PredictionString\n" + "".join(lines))
    (tmp_path / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} name\n" for wnid in wnids))
    for wnid in wnids:
        (tmp_path / DATA / "train" / wnid).mkdir(parents=True)
        (tmp_path / DATA / "train" / wnid / f"{wnid}_0.JPEG").touch()
    monkeypatch.setattr(
        ilsvrc,
        "examined",
        lambda _, paths: (np.array([sizes.get(Path(p).stem, (1, 1)) for p in paths]), {}),
    )

    manifest = read(tmp_path)
    assert len(manifest.split("val")) == 50_000
    corners = manifest.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy()
    assert (corners == [corners for _, corners in boxes]).all()
    # What the module says of the real boxes.
    last = np.array([sizes[image] for image, _ in boxes]) - 1
    assert (corners[:, :2] == 0).sum(axis=0).tolist() == [7388, 5414]
    assert (corners[:, 2:] == last).sum(axis=0).tolist() == [6086, 7781]
