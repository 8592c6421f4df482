"""Manifest: what goes in comes out, what no stage could use is refused."""

import dataclasses
import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.core.files import replacing
from camloc.data.manifest import Manifest, save_truth
from camloc.data.pictures import examine
from camloc.data.sources.reading import examined, read_lines, whole_numbers


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


def test_replacing_puts_the_new_folder_in_place_of_the_old(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "out") as new:
            assert list(new.iterdir()) == []
            (new / f"{text}.txt").write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second.txt"]


def test_replacing_leaves_the_old_folder_on_an_error(tmp_path):
    with replacing(tmp_path / "out") as new:
        (new / "kept.txt").write_text("kept")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "out") as new:
        (new / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/kept.txt").read_text() == "kept"


def jpeg(size=(30, 20), mode="RGB"):
    """A JPEG with so much in it that every cut loses pixels: the same noise always, since of other
    noise, one in thirty, the last byte may be padding alone."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_size_is_width_and_height(tmp_path, mode):
    (tmp_path / "a.JPEG").write_bytes(jpeg((30, 20), mode))
    assert examine(tmp_path / "a.JPEG") == (30, 20, ())


def test_padding_after_the_end_is_accepted(tmp_path):
    (tmp_path / "a.JPEG").write_bytes(jpeg() + b"\0" * 512)
    assert examine(tmp_path / "a.JPEG") == (30, 20, ())


@pytest.mark.parametrize(("name", "defects"), [("a.JPEG", ("PNG named JPEG",)), ("a.png", ())])
def test_png_is_a_defect_under_the_name_of_a_jpeg_only(tmp_path, name, defects):
    Image.new("RGB", (5, 4)).save(tmp_path / name, "PNG")
    assert examine(tmp_path / name) == (5, 4, defects)


def exif(entry=(0x10F, 2, 6, 26), text=b"maker\0", order="<", start=8):
    """A TIFF of one entry (tag, type, count, offset) and its text, which begins at byte 26."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", start)
    entries = struct.pack(f"{order}HHHLLL", 1, *entry, 0)
    return b"Exif\0\0" + head + entries + text


@pytest.mark.filterwarnings("ignore::UserWarning")  # pytest's filters come after the package's
@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (exif(), False),
        (exif(order=">"), False),
        (exif(entry=(0x10F, 2, 4, 0x61616161)), False),
        (exif(entry=(0x10F, 99, 100, 26)), False),
        (exif(entry=(0x10F, 2, 7, 26)), True),
        (exif(entry=(0x10F, 2, 6, 27)), True),
        (exif(entry=(0x11A, 5, 1, 26)), True),
        (exif(start=27), True),
        (exif()[:31], True),
        (b"Exif\0\0not a TIFF at all", True),
    ],
    ids=[
        "sound",
        "big endian",
        "value in place",
        "unknown type",
        "too long",
        "too far",
        "a rational of 8 bytes",
        "no directory",
        "cut directory",
        "no TIFF",
    ],
)
def test_exif_that_leads_out_of_its_segment_is_a_defect(tmp_path, content, bad):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.JPEG", exif=content)
    assert examine(tmp_path / "a.JPEG").defects == (("bad EXIF",) if bad else ())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_file_may_have_several_defects(tmp_path):
    Image.new("CMYK", (30, 20)).save(tmp_path / "a.JPEG", exif=exif(start=27))
    assert examine(tmp_path / "a.JPEG") == (30, 20, ("CMYK", "bad EXIF"))


@pytest.mark.parametrize("lost", [1, 2, 10, 300])
def test_truncated_jpeg_is_refused(tmp_path, lost):
    (tmp_path / "a.JPEG").write_bytes(jpeg()[:-lost])
    with pytest.raises(UserError, match=r"a\.JPEG is truncated or not an image"):
        examine(tmp_path / "a.JPEG")


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd9", b"<html>not found</html>"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.JPEG").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.JPEG is truncated or not an image"):
        examine(tmp_path / "a.JPEG")


def test_missing_image_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.JPEG is missing"):
        examine(tmp_path / "a.JPEG")


def test_sizes_keep_the_order_over_many_batches(tmp_path):
    for width in (3, 4, 5):
        Image.new("RGB", (width, 2)).save(tmp_path / f"{width}.png")
    sizes, defects = examined(tmp_path, [f"{3 + i % 3}.png" for i in range(1201)])
    assert sizes.tolist() == [[3 + i % 3, 2] for i in range(1201)]
    assert defects == {}


def test_defects_map_each_kind_to_sorted_ids(tmp_path):
    (tmp_path / "b").mkdir()
    for name, mode in (("z", "CMYK"), ("b/a", "CMYK"), ("c", "RGB")):
        (tmp_path / f"{name}.JPEG").write_bytes(jpeg(mode=mode))
    Image.new("RGB", (5, 4)).save(tmp_path / "d.JPEG", "PNG")
    paths = ["z.JPEG", "d.JPEG", "c.JPEG", "b/a.JPEG"]
    assert examined(tmp_path, paths)[1] == {"CMYK": ["a", "z"], "PNG named JPEG": ["d"]}


def test_broken_file_among_many_is_named(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"bad\.png is truncated"):
        examined(tmp_path, ["good.png"] * 700 + ["bad.png"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_come_with_their_place_whatever_the_editor(tmp_path, encoding, end):
    text = f"one{end}{end} twö\x0b\u2028\t"  # what str.splitlines takes for ends stays
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert list(read_lines(tmp_path / "a.txt")) == [
        (f"{tmp_path / 'a.txt'}:1", "one"),
        (f"{tmp_path / 'a.txt'}:3", " twö\x0b\u2028\t"),
    ]


def test_text_file_that_is_none_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\ntwo".encode("utf-16-le"))  # without its mark
    with pytest.raises(UserError, match=r"a\.txt:1: zero bytes, so no text in UTF-8"):
        list(read_lines(tmp_path / "a.txt"))
    with pytest.raises(UserError, match=r"none\.txt is missing"):
        list(read_lines(tmp_path / "none.txt"))


@pytest.mark.parametrize("field", ["1.0", "1_0", "", "-", "1" * 10, "0x1", "²"])
def test_corner_that_is_no_whole_number_is_refused(field):
    assert whole_numbers("a:1", [" 1\n", "\x1e-2", "+3", "04"]) == [1, -2, 3, 4]
    with pytest.raises(UserError, match=r"^a:1: expected whole numbers xmin ymin xmax ymax, not"):
        whole_numbers("a:1", ["1", "2", field, "4"])
