"""ILSVRC in Kaggle's layout: a miniature tree, and the real boxes where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.sources import ilsvrc
from camloc.data.sources.ilsvrc import BLACKLIST, SYNSETS, read
from camloc.data.sources.reading import ENDINGS
from clone import SHARED
from made import annotation, jpeg

REAL = SHARED / "data" / "ilsvrc-val"
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


def test_images_of_every_ending_in_any_case_are_read(folder):
    names = {f"{DOG}_{end[1:]}{end.upper()}" for end in ENDINGS}
    for name in names:
        Image.new("RGB", (50, 40)).save(folder / DATA / f"train/{DOG}" / name)
    for split, image, end in (
        ("train", f"{TENCH}/{TENCH}_18", "jpg"),  # the annotated one
        ("val", "ILSVRC2012_val_00000001", "PNG"),
        ("test", "ILSVRC2012_test_00000001", "webp"),
    ):
        path = folder / DATA / split / f"{image}.JPEG"
        Image.open(path).save(path.with_suffix(f".{end}"))
        path.unlink()
    manifest = read(folder)
    assert manifest.split("train")["path"].str.split("/").str[-1].tolist() == sorted(
        [f"{TENCH}_18.jpg", f"{TENCH}_2.JPEG", f"{DOG}_7.JPEG", *names]
    )
    assert manifest.boxes_of(f"{TENCH}_18").tolist() == [[1, 2, 30, 39], [0, 0, 49, 5]]
    assert manifest.split("val")["path"].tolist() == [
        f"{DATA}/val/ILSVRC2012_val_00000001.PNG",
        f"{DATA}/val/ILSVRC2012_val_00000002.JPEG",
    ]
    assert manifest.split("test")["path"].tolist() == [f"{DATA}/test/ILSVRC2012_test_00000001.webp"]


def test_what_is_no_image_is_left_out_counted_and_named(folder, caplog):
    train = folder / DATA / "train"
    for name in (f"{DOG}/Thumbs.db", f"{DOG}/.DS_Store", f"{TENCH}/._{TENCH}_2.JPEG"):
        (train / name).write_bytes(b"")
    assert len(read(folder).images) == 6
    assert "left out" not in caplog.text
    (train / f"{DOG}/{DOG}_8.heic").write_bytes(b"")
    (train / f"{TENCH}/JPEG").write_bytes(b"")
    (train / f"{TENCH}/more.old").mkdir()
    (train / "index.txt").write_bytes(b"")
    assert len(read(folder).images) == 6
    named = [f"{train}/index.txt", f"{train}/{TENCH}/JPEG", f"{train}/{TENCH}/more.old"]
    assert f"4 left out, by their names no images: {', '.join(named)}, …" in caplog.text


def test_stem_given_twice_in_a_folder_is_refused_by_name(folder):
    jpeg(folder / DATA / f"train/{DOG}/{DOG}_7.jpg")
    refused(folder, rf"train/{DOG} holds {DOG}_7\.JPEG and {DOG}_7\.jpg; .*rename or remove one")


def test_training_image_in_no_folder_of_a_class_is_refused(folder):
    jpeg(folder / DATA / f"train/{DOG}_8.JPEG")
    refused(folder, rf"/train holds images that lie in no folder of a class: {DOG}_8\.JPEG")


@pytest.mark.parametrize("place", [f"train/{DOG}", "train", "val", "test"])
def test_name_that_is_not_utf_8_is_refused_with_its_cure(folder, place):
    name = os.fsencode(folder / DATA / place) + b"/caf\xe9.JPEG"
    try:
        Path(os.fsdecode(name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system holds no such name")
    refused(folder, rf"{place} holds b'caf\\xe9\.JPEG', a name that is not UTF-8; rename it")


def sort_val(folder):
    """As the usual scripts do: val/<wnid>/*.JPEG."""
    val = folder / DATA / "val"
    for image, wnid in (("ILSVRC2012_val_00000001", DOG), ("ILSVRC2012_val_00000002", TENCH)):
        (val / wnid).mkdir()
        (val / f"{image}.JPEG").rename(val / wnid / f"{image}.JPEG")


def test_val_sorted_into_class_folders_is_the_same_data(folder, caplog):
    flat = read(folder)
    sort_val(folder)
    manifest = read(folder)
    assert manifest.split("val")["path"].tolist() == [
        f"{DATA}/val/{DOG}/ILSVRC2012_val_00000001.JPEG",
        f"{DATA}/val/{TENCH}/ILSVRC2012_val_00000002.JPEG",
    ]
    assert manifest.images.drop(columns="path").equals(flat.images.drop(columns="path"))
    assert manifest.boxes.equals(flat.boxes) and "left out" not in caplog.text


def move(folder, old, new):
    (folder / DATA / new).parent.mkdir(exist_ok=True)
    (folder / DATA / old).rename(folder / DATA / new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: move(folder, f"val/{DOG}", f"val/{TENCH}_"),
            rf"val/{TENCH}_: class '{TENCH}_' is not in LOC_synset_mapping",
        ),
        (
            lambda folder: move(
                folder,
                f"val/{DOG}/ILSVRC2012_val_00000001.JPEG",
                f"val/{TENCH}/ILSVRC2012_val_00000001.JPEG",
            ),
            rf"val/{TENCH}/ILSVRC2012_val_00000001\.JPEG lies in the folder of {TENCH}, but "
            rf".*{SOLUTION} says {DOG}",
        ),
        (
            lambda folder: jpeg(folder / DATA / "val/ILSVRC2012_val_00000001.png"),
            r"twice .*: ILSVRC2012_val_00000001 \(path=.*/val/ILSVRC2012_val_00000001\.png.*, "
            rf"ILSVRC2012_val_00000001 \(path=.*val/{DOG}/ILSVRC2012_val_00000001\.JPEG",
        ),
        (
            lambda folder: (folder / DATA / f"val/{DOG}/ILSVRC2012_val_00000001.JPEG").unlink(),
            rf"/val lacks images of {SOLUTION}: ILSVRC2012_val_00000001; put",
        ),
        (
            lambda folder: jpeg(folder / DATA / f"val/{DOG}/ILSVRC2012_val_00000003.JPEG"),
            rf"{SOLUTION} has no box of: ILSVRC2012_val_00000003\.JPEG",
        ),
        (
            lambda folder: jpeg(folder / DATA / f"train/{DOG}/{TENCH}_18.jpg"),
            rf": {TENCH}_18 .*{TENCH}/{TENCH}_18\.JPEG.*, {TENCH}_18 .*{DOG}/{TENCH}_18\.jpg",
        ),
        (
            lambda folder: jpeg(folder / DATA / f"test/{DOG}_7.JPEG"),
            f"lists images twice .*: {DOG}_7 ",
        ),
        (
            lambda folder: (folder / DATA / f"train/{DOG}/{DOG}_7.JPEG").unlink(),
            f"has no training image of: {DOG} .Scottish",
        ),
        (lambda folder: replace(folder / SOLUTION, "3 4 5 6", "5 4 3 6"), "has inverted boxes"),
    ],
    ids=["class", "folder", "both", "missing", "no box", "train", "test", "empty", "box"],
)
def test_contradiction_is_told_before_any_image_or_annotation_is_read(
    folder, monkeypatch, change, message
):
    sort_val(folder)
    change(folder)
    for reader in ("examined", "in_threads"):
        monkeypatch.setattr(ilsvrc, reader, lambda *_, **__: pytest.fail("files were read"))
    refused(folder, message)


def test_byte_order_mark_in_any_text_file_is_passed_over(folder):
    whole = read(folder)
    for path in (folder / SYNSETS, folder / SOLUTION):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (folder / ANNOTATION).write_text((folder / ANNOTATION).read_text(), encoding="utf-16")
    marked = read(folder)
    assert marked.classes == whole.classes and marked.boxes.equals(whole.boxes)


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
    refused(folder, f"has ({why} boxes|boxes {why}) .*: {TENCH}_18 ")


@pytest.mark.parametrize("box", ["0 0 60 29", "0 0 59 30", "-1 0 59 29", "0 -1 59 29"])
def test_val_box_is_never_clipped(folder, box):
    replace(folder / SOLUTION, "0 0 59 29", box)
    refused(folder, r"boxes outside .*: ILSVRC2012_val_00000001 .*width=60, height=30")


@pytest.mark.parametrize(
    "name", ["", "LOC_synset_mapping.txt", SOLUTION, DATA], ids=["folder", "synsets", "val", "data"]
)
def test_missing_part_of_the_layout_is_named(folder, name):
    (folder / name).rename(folder.parent / "elsewhere")
    refused(folder, rf"{name} is missing; .*LOC_synset_mapping\.txt, LOC_val_solution\.csv")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "LOC_synset_mapping.txt",
            " tench, Tinca tinca",
            "",
            r"mapping\.txt:1: expected wnid",
        ),
        (
            "LOC_synset_mapping.txt",
            TENCH,
            "/etc",
            r"mapping\.txt:1: '/etc' is no name of a class's",
        ),
        ("LOC_synset_mapping.txt", TENCH, "..", r"mapping\.txt:1: '\.\.' is no name of a class's"),
        ("LOC_synset_mapping.txt", TENCH, "n01440746", rf"{TENCH}: .*did you mean n01440746"),
        (
            "LOC_synset_mapping.txt",
            TENCH,
            f"n01443537 goldfish\n{TENCH}",
            "of: n01443537 .gold",
        ),
        (SOLUTION, TENCH, "n01440746", rf"csv:2: class 'n01440746' .* mean {TENCH}"),
        (SOLUTION, "3 4 5 6", "3 4 5", r"csv:2: expected one group or more of wnid xmin"),
        (SOLUTION, "3 4 5 6", "3 4 5 6 7", r"csv:2: expected one group or more"),
        (SOLUTION, "3 4 5 6", "3 4 5 1_6", r"csv:2: expected whole numbers .*'3 4 5 1_6'"),
        (SOLUTION, "3 4 5 6", "3 4 5 " + "9" * 5000, r"csv:2: expected whole numbers"),
        (SOLUTION, "3 4 5 6", "3 4 5 6.5", r"csv:2: expected whole numbers .*'3 4 5 6\.5'"),
        (SOLUTION, "3 4 5 6", "5 4 3 6", "inverted boxes .*: ILSVRC2012_val_00000002"),
        (SOLUTION, f"{TENCH} 3 4 5 6", "", r"csv:2: .*not nothing; a val image without a box"),
        (
            SOLUTION,
            "3 4 5 6",
            "",
            r"csv gives a class without a box, .* for: .*_00000002;",
        ),
        (SOLUTION, f"{DOG} 10", f"{TENCH} 10", rf"csv:3: boxes of {DOG} and {TENCH}"),
        (SOLUTION, "00002,", "00002 ", r"csv:2: expected ImageId PredictionString, separated by ,"),
        (SOLUTION, "00002,", "00001,", r"csv:3: ILSVRC2012_val_00000001 has a line already"),
        (
            SOLUTION,
            "00002,",
            "00003,",
            r"_solution.csv has no box of: ILSVRC2012_val_00000002",
        ),
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


@pytest.mark.parametrize("line", ["0", "3", "-1", "2.0", "9" * 5000, "ILSVRC2012_val_00000002"])
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
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "XML file .unknown encoding"),
        ('<?xml version="1.0" encoding="shift_jis"?><annotation/>', "is not a readable XML file"),
        ('<?xml version="1.0" encoding="idna"?><annotation/>', "is not a readable XML file"),
        ('<?xml version="1.0" encoding="utf-16"?><annotation/>', "is not a readable XML file"),
        ("<annotation>\udcff</annotation>", "is not a readable XML file"),
    ],
    ids=[
        "no object",
        "no box",
        "no xmin",
        "empty xmin",
        "class",
        "cut",
        "empty",
        "entity",
        "unknown encoding",
        "multi-byte encoding",
        "encoding of something else",
        "other encoding",
        "no text",
    ],
)
def test_mistake_in_an_annotation_is_named(folder, text, message):
    (folder / ANNOTATION).write_bytes(os.fsencode(text))
    refused(folder, rf"^[^;]*{TENCH}_18\.xml.*{message}")


def test_annotation_that_cannot_be_read_is_named(folder):
    (folder / ANNOTATION).unlink()
    (folder / ANNOTATION).mkdir()
    refused(folder, rf"{TENCH}_18\.xml cannot be read .*directory")


def test_annotation_of_a_missing_image_is_named(folder):
    (folder / DATA / f"train/{TENCH}/{TENCH}_18.JPEG").unlink()
    refused(folder, rf"is of images that {DATA}/train lacks: {TENCH}/{TENCH}_18\.xml; remove")


def test_listed_val_image_that_is_missing_is_named(folder):
    (folder / DATA / "val/ILSVRC2012_val_00000002.JPEG").unlink()
    refused(folder, rf"/val lacks images of {SOLUTION}: ILSVRC2012_val_00000002;")


def test_truncated_image_is_named(folder):
    picture = folder / DATA / "test/ILSVRC2012_test_00000001.JPEG"
    picture.write_bytes(picture.read_bytes()[:-100])
    refused(folder, r"test_00000001\.JPEG is truncated")


def test_class_without_a_training_image_is_named(folder):
    (folder / DATA / f"train/{DOG}/{DOG}_7.JPEG").unlink()
    refused(folder, rf"has no training image of: {DOG} \(Scottish deerhound, deerhound\)")


def test_id_in_two_classes_is_refused(folder):
    jpeg(folder / DATA / f"train/{DOG}/{TENCH}_18.JPEG")
    refused(folder, f"lists images twice .*: {TENCH}_18 ")


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
    (tmp_path / DATA / "val").mkdir()
    for image in labels:
        (tmp_path / DATA / "val" / f"{image}.JPEG").touch()
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
