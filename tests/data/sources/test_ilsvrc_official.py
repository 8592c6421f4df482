"""ILSVRC's official files: miniature ones against the same data in Kaggle's layout."""

import io
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.core.paths import Study
from camloc.data.manifest import Manifest
from camloc.data.sources import ilsvrc
from camloc.data.sources.ilsvrc import ANNOTATIONS, DATA, SOLUTION, SYNSETS
from camloc.data.sources.ilsvrc_official import (
    DEVKITS,
    TRAIN,
    TRAIN_BOXES,
    VAL,
    VAL_BOXES,
    found,
    unpack,
)
from camloc.pipeline.parameters import DataParameters
from camloc.pipeline.stages import data
from made import annotation, jpeg
from official import (
    BOXES,
    DOG,
    KIT_2012,
    KIT_2014,
    LABELS,
    NAMES,
    SNAKE,
    TENCH,
    val,
    write_devkit,
    write_tar,
    write_val_boxes,
)

TEST = "ILSVRC2012_img_test_v10102019.tar"
TRAINED = {TENCH: (18, 2), SNAKE: (5,), DOG: (7,)}


@pytest.fixture
def kaggle(tmp_path):
    """Kaggle's layout: four training images, one with an annotation; four of val, one of test."""
    root = tmp_path / "kaggle"
    for wnid, numbers in TRAINED.items():
        for number in numbers:
            jpeg(root / DATA / f"train/{wnid}/{wnid}_{number}.JPEG")
    for number in range(1, 5):
        jpeg(root / DATA / f"val/{val(number)}.JPEG")
    Image.new("CMYK", (50, 40)).save(root / DATA / f"val/{val(4)}.JPEG")
    jpeg(root / DATA / "test/ILSVRC2012_test_00000001.JPEG")
    (root / ANNOTATIONS / TENCH).mkdir(parents=True)
    xml = annotation(TENCH, (TENCH, 1, 2, 30, 39), (TENCH, 0, 0, 49, 5))
    (root / ANNOTATIONS / TENCH / f"{TENCH}_18.xml").write_text(xml)
    (root / SYNSETS).write_text("".join(f"{wnid} {name}\n" for wnid, name in NAMES.items()))
    lines = ["ImageId,PredictionString"]
    for number, boxes in enumerate(BOXES, start=1):
        lines.append(f"{val(number)},{' '.join(str(field) for box in boxes for field in box)} ")
    (root / SOLUTION).write_text("\n".join(lines))
    return root


def files(folder, pattern="*"):
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def write_train(folder, kaggle, **changes):
    """The tar of tars; `changes` are members of the tar of tenches."""
    classes = {}
    for wnid in (DOG, TENCH, SNAKE):
        members = files(kaggle / DATA / "train" / wnid) | (changes if wnid == TENCH else {})
        classes[f"{wnid}.tar"] = write_tar(folder / "class.tar", members)
    (folder / "class.tar").unlink()
    write_tar(folder / TRAIN, classes)


@pytest.fixture
def folder(tmp_path, kaggle):
    """The official files of Kaggle's miniature, with the devkit of 2012."""
    root = tmp_path / "official"
    root.mkdir()
    write_train(root, kaggle)
    write_tar(root / VAL, files(kaggle / DATA / "val"))
    write_tar(root / TEST, {f"test/{k}": v for k, v in files(kaggle / DATA / "test").items()})
    write_devkit(root / KIT_2012)
    write_val_boxes(root, BOXES)
    write_train_boxes(root, kaggle)
    return root


def write_train_boxes(folder, kaggle, **others):
    members = {f"{TENCH}/{k}": v for k, v in files(kaggle / ANNOTATIONS / TENCH).items()}
    write_tar(folder / TRAIN_BOXES, {TENCH: None} | members | others)


def refused(folder, target, message):
    with pytest.raises(UserError, match=message):
        unpack(folder, target)


def equal(manifest: Manifest, other: Manifest):
    pd.testing.assert_frame_equal(manifest.images, other.images)
    pd.testing.assert_frame_equal(manifest.boxes, other.boxes)
    assert (manifest.classes, manifest.defects) == (other.classes, other.defects)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("devkits", [[KIT_2012], [KIT_2014], [KIT_2012, KIT_2014]])
def test_official_files_read_as_the_same_data_in_kaggles_layout(folder, kaggle, tmp_path, devkits):
    (folder / KIT_2012).unlink()
    for name in devkits:
        write_devkit(folder / name)
    manifest = ilsvrc.read(unpack(folder, tmp_path / "out"))
    equal(manifest, ilsvrc.read(kaggle))
    assert manifest.split("val")["wnid"].tolist() == LABELS
    assert len(manifest.boxes) == 7 and manifest.defects == {"CMYK": [val(4)]}


def test_training_images_may_be_left_out_and_added_later(folder, kaggle, tmp_path):
    (folder / TRAIN).rename(tmp_path / TRAIN)
    refused(folder, tmp_path / "out", f"lacks {TRAIN}")
    manifest = ilsvrc.read(unpack(folder, tmp_path / "out", train=False), with_train=False)
    assert set(manifest.images["split"]) == {"val", "test"} and len(manifest.boxes) == 5
    assert manifest.classes == ilsvrc.read(kaggle).classes
    (tmp_path / TRAIN).rename(folder / TRAIN)
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))


def test_unpacked_files_are_those_of_the_archives_and_no_others(folder, kaggle, tmp_path):
    unpack(folder, tmp_path / "out")
    own, given = tree(tmp_path / "out"), tree(kaggle)
    for text in (SYNSETS, SOLUTION):
        assert own.pop(text).split() == given.pop(text).split()
    assert own == given


@pytest.mark.parametrize("parent", ["", "./", "bbox_train_v2/"])
def test_training_boxes_may_lie_in_a_tar_a_class(folder, kaggle, tmp_path, parent):
    inner = write_tar(tmp_path / "class.tar.gz", files(kaggle / ANNOTATIONS / TENCH))
    write_tar(folder / TRAIN_BOXES, {f"{parent}{TENCH}.tar.gz": inner})
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))


def test_training_boxes_and_test_images_may_be_left_out_and_added_later(folder, kaggle, tmp_path):
    for name in (TRAIN_BOXES, TEST):
        (folder / name).rename(tmp_path / name)
    manifest = ilsvrc.read(unpack(folder, tmp_path / "out"))
    assert len(manifest.boxes) == 5 and len(manifest.split("test")) == 0
    for name in (TRAIN_BOXES, TEST):
        (tmp_path / name).rename(folder / name)
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))


def test_two_tars_of_test_images_are_refused(folder, tmp_path):
    shutil.copy(folder / TEST, folder / "ILSVRC2012_img_test.tar")
    refused(folder, tmp_path / "out", rf"img_test\.tar and {TEST} both hold test images")


def test_annotations_of_no_training_image_are_left_out_and_counted(
    folder, kaggle, tmp_path, caplog
):
    others = {f"{w}/{w}_99.xml": annotation(w).encode() for w in (TENCH, "n00007846")}
    write_train_boxes(folder, kaggle, **others)
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))
    assert f"2 annotations of {folder / TRAIN_BOXES} left out" in caplog.text


@pytest.mark.parametrize("without", [False, True], ids=["annotated", "not annotated"])
def test_blacklisted_val_image_keeps_its_class_and_has_no_box(folder, tmp_path, without):
    """The blacklist is of the 2014 devkit, the ground truth here of 2012's."""
    write_devkit(folder / KIT_2014, blacklist="3\n1\n")
    if without:
        write_val_boxes(folder, [[], BOXES[1], [], BOXES[3]])
    manifest = ilsvrc.read(unpack(folder, tmp_path / "out"))
    assert manifest.split("val")["wnid"].tolist() == LABELS
    boxed = manifest.boxes["image"]
    assert boxed[boxed.str.startswith("ILSVRC")].tolist() == [val(2), val(4)]


def test_val_image_without_an_annotation_is_refused(folder, tmp_path):
    write_val_boxes(folder, [BOXES[0], [], BOXES[2], BOXES[3]])
    refused(folder, tmp_path / "out", rf"{VAL_BOXES} lacks: {val(2)}\.xml; every val image")


def test_ground_truth_that_contradicts_an_annotation_is_refused(folder, tmp_path):
    write_devkit(folder / KIT_2012, labels=[DOG, TENCH, TENCH, SNAKE])
    message = rf"{VAL_BOXES}: val/{val(3)}\.xml has a box of {SNAKE}, but an image of {TENCH}"
    refused(folder, tmp_path / "out", message)


def test_annotation_beyond_the_ground_truth_is_refused(folder, tmp_path):
    write_devkit(folder / KIT_2012, labels=LABELS[:3])
    refused(folder, tmp_path / "out", rf"{val(4)}\.xml annotates none of the devkit's 3 val images")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"WNID": "tench"}, "meta.mat is no list of ILSVRC's synsets .a WNID"),
        ({"WNID": "../01440764"}, "meta.mat is no list of ILSVRC's synsets"),
        ({"num_children": 2}, r"ground_truth\.txt:1: '1' is no id of a class"),
        ({"ILSVRC2012_ID": 1002}, r"ground_truth\.txt:1: '1' is no id of a class"),
        ({"labels": [TENCH, "1001"]}, r"ground_truth\.txt:2: '1001' is no id of a class"),
        ({"labels": [TENCH, "x"]}, r"ground_truth\.txt:2: 'x' is no id of a class"),
        ({"labels": [TENCH, "9" * 5000]}, r"ground_truth\.txt:2: '9+' is no id of a class"),
    ],
)
def test_mistake_in_the_devkit_is_named(folder, tmp_path, fields, message):
    write_devkit(folder / KIT_2012, **fields)
    refused(folder, tmp_path / "out", message)


HDF5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"


@pytest.mark.parametrize(
    "content", [b"", b"no mat file", b"MATLAB 5.0 MAT-file" + bytes(200), HDF5 + bytes(400)]
)
def test_meta_file_that_is_none_is_named(folder, tmp_path, content):
    meta, truth = DEVKITS[KIT_2012]
    write_tar(folder / KIT_2012, {f"data/{meta}": content, f"data/{truth}": b"1"})
    refused(folder, tmp_path / "out", r"meta\.mat is no list of ILSVRC's synsets")


def test_byte_order_mark_in_a_devkits_text_is_passed_over(folder, tmp_path):
    write_devkit(folder / KIT_2012, labels=["\ufeff1", "3", "2", "3"])
    write_devkit(folder / KIT_2014, blacklist="\ufeff3\n")
    manifest = ilsvrc.read(unpack(folder, tmp_path / "out"))
    assert manifest.split("val")["wnid"].tolist() == LABELS
    assert val(3) not in set(manifest.boxes["image"])


@pytest.mark.parametrize("encoding", ["klingon", "shift_jis", "utf-16"])
def test_annotation_of_an_encoding_that_cannot_be_read_is_named(folder, tmp_path, encoding):
    xml = f'<?xml version="1.0" encoding="{encoding}"?><annotation/>'.encode()
    write_val_boxes(folder, BOXES, **{f"val/{val(2)}.xml": xml})
    message = rf"{VAL_BOXES}: val/{val(2)}\.xml is not a readable XML file .*fetch both again"
    refused(folder, tmp_path / "out", message)


def test_devkit_without_its_ground_truth_is_named(folder, tmp_path):
    write_tar(folder / KIT_2012, {"data/meta.mat": b""})
    refused(folder, tmp_path / "out", rf"{KIT_2012} lacks: ILSVRC2012_validation_ground_truth")


@pytest.mark.parametrize("name", [TRAIN, VAL, VAL_BOXES, KIT_2012])
def test_missing_file_is_named_with_all_that_is_expected(folder, tmp_path, name):
    (folder / name).unlink()
    message = rf"lacks {name}.*; .*{TRAIN} \(138 GB\), .*or one that holds LOC_synset_mapping"
    refused(folder, tmp_path / "out", message)


def test_class_without_its_tar_is_named(folder, kaggle, tmp_path):
    write_tar(folder / TRAIN, {})
    refused(folder, tmp_path / "out", rf"{TRAIN} lacks the tars of 3 of 3 classes: {TENCH}\.tar, ")


def test_class_that_the_devkit_lacks_is_refused(folder, tmp_path):
    write_tar(folder / TRAIN, {"n09999999.tar": b""})
    refused(folder, tmp_path / "out", rf"n09999999\.tar: class 'n09999999' is not in .*{KIT_2012}")


class Killed(BaseException):
    """What no handler sees, as a kill."""


def kill_at(monkeypatch, number):
    """Stop in the middle of a file, the `number`th that is copied; gives the names of all."""
    copied = []

    def copy(source, file):
        copied.append(Path(file.name).name)
        content = source.read()
        if len(copied) == number:
            file.write(content[: len(content) // 2])
            raise Killed
        file.write(content)

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    return copied


@pytest.mark.parametrize("number", range(1, 11))
def test_killed_unpacking_goes_on_where_it_stopped(folder, kaggle, tmp_path, monkeypatch, number):
    """Ten files: 4 of train, 4 of val, 1 of test, 1 annotation; the labels come before test."""
    out, before = tmp_path / "out", kill_at(monkeypatch, number)
    with pytest.raises(Killed):
        unpack(folder, out)
    whole = {name: content for name, content in tree(out).items() if ".new" not in name}
    written = {name for name in (SYNSETS, SOLUTION) if name in whole}
    assert written == ({SYNSETS, SOLUTION} if number > 8 else set())
    given = tree(kaggle)
    assert all(given[name] == whole[name] for name in whole.keys() - written)
    after = kill_at(monkeypatch, 0)
    equal(ilsvrc.read(unpack(folder, out)), ilsvrc.read(kaggle))
    assert before[-1] == after[0] and len(before) + len(after) == 11


def test_finished_folder_is_not_opened_again(folder, kaggle, tmp_path, monkeypatch):
    """The tar of tenches is spoilt after it was unpacked, then everything is."""
    out = tmp_path / "out"
    kill_at(monkeypatch, 4)  # in the last class
    with pytest.raises(Killed):
        unpack(folder, out)
    monkeypatch.undo()
    write_train(folder, kaggle, **{"/etc/passwd": b"x"})
    unpack(folder, out)
    for path in folder.iterdir():
        path.write_bytes(b"spoilt")
    equal(ilsvrc.read(unpack(folder, out)), ilsvrc.read(kaggle))


def test_leftover_of_another_size_is_replaced(folder, kaggle, tmp_path):
    left = tmp_path / "out" / DATA / "val.new" / f"{val(1)}.JPEG"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))


def link(name, kind, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_sparse_member_is_refused(folder, tmp_path):
    """What GNU tar writes of a file with holes; here one of an exbibyte."""
    member, content = tarfile.TarInfo(f"{val(1)}.JPEG"), b"1\n0\n0\n".ljust(512, b"\0")
    about = {"major": "1", "minor": "0", "name": member.name, "realsize": str(2**60)}
    member.pax_headers = {f"GNU.sparse.{key}": value for key, value in about.items()}
    member.size = len(content)
    with tarfile.open(folder / VAL, "w") as archive:
        archive.addfile(member, io.BytesIO(content))
    refused(folder, tmp_path / "out", rf"{VAL} holds '{val(1)}\.JPEG', which is no file that bel")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"/{val(9)}.JPEG", b"x"),
        (f"../{val(9)}.JPEG", b"x"),
        (f"val/../../{val(9)}.JPEG", b"x"),
        (f".//{val(9)}.JPEG", b"x"),
        (f"elsewhere/{val(9)}.JPEG", b"x"),
        (f"{val(9)}.JPEG.exe", b"x"),
        (f"{val(9)}.JPEG\n", b"x"),
        ("ILSVRC2012_val_9.JPEG", b"x"),
        ("run.sh", b"x"),
        ("../val", None),
        ("/val", None),
        (f"{val(9)}.JPEG", link(f"{val(9)}.JPEG", tarfile.SYMTYPE, "/etc/passwd")),
        (f"{val(9)}.JPEG", link(f"{val(9)}.JPEG", tarfile.LNKTYPE, f"{val(1)}.JPEG")),
        (f"{val(9)}.JPEG", link(f"{val(9)}.JPEG", tarfile.FIFOTYPE, "")),
    ],
)
def test_member_that_does_not_belong_is_refused_by_name(folder, kaggle, tmp_path, name, content):
    write_tar(folder / VAL, files(kaggle / DATA / "val") | {name: content})
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    refused(folder, tmp_path / "out", rf"{VAL} holds '.*', which is no file that belongs there")
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    unpacked = {path.name for path in (tmp_path / "out" / DATA / "val.new").iterdir()}
    assert unpacked == {f"{val(number)}.JPEG" for number in range(1, 5)}


@pytest.mark.parametrize("name", [f"{DOG}_1.JPEG", f"../{TENCH}_1.JPEG", f"/{TENCH}_1.JPEG"])
def test_member_of_a_class_that_does_not_belong_is_refused(folder, kaggle, tmp_path, name):
    write_train(folder, kaggle, **{name: b"x"})
    refused(folder, tmp_path / "out", rf"{TRAIN}: {TENCH}\.tar holds '{name}'")


def test_files_that_macos_adds_are_passed_over(folder, kaggle, tmp_path):
    write_train(folder, kaggle, **{f"._{TENCH}_18.JPEG": b"x"})
    write_tar(folder / VAL, {"._.": b"x"} | files(kaggle / DATA / "val"))
    write_val_boxes(folder, BOXES, **{f"val/._{val(1)}.xml": b"x"})
    equal(ilsvrc.read(unpack(folder, tmp_path / "out")), ilsvrc.read(kaggle))


@pytest.mark.parametrize("name", [TRAIN, VAL, TEST, VAL_BOXES, TRAIN_BOXES, KIT_2012])
@pytest.mark.parametrize("share", [0, 0.01, 0.15])
def test_truncated_archive_is_named(folder, tmp_path, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    refused(folder, tmp_path / "out", rf"{name}.* is damaged or truncated")


@pytest.mark.parametrize("members", range(1, 4))
def test_tar_that_ends_between_two_files_is_named(folder, kaggle, tmp_path, members):
    """tarfile alone takes such a tar for a shorter one."""
    images = files(kaggle / DATA / "val")
    blocks = sum(1 + -(-len(content) // 512) for content in list(images.values())[:members])
    content = (folder / VAL).read_bytes()
    for end in (blocks * 512, blocks * 512 + 100):
        (folder / VAL).write_bytes(content[:end])
        refused(folder, tmp_path / "out", rf"{VAL} is damaged or truncated")
    assert not (tmp_path / "out" / DATA / "val").exists()


@pytest.mark.parametrize("start", [0, 1, 2])
def test_tar_with_zeros_in_the_place_of_what_was_not_downloaded_is_named(folder, tmp_path, start):
    """Downloads that reserve their space first leave such; tarfile takes zeros for the end."""
    write_tar(folder / VAL, {f"{val(number)}.JPEG": bytes(24_064) for number in range(1, 5)})
    content, member = (folder / VAL).read_bytes(), 512 + 24_064
    for end in (len(content), 3 * member):
        holed = content[: start * member] + bytes(end - start * member) + content[end:]
        (folder / VAL).write_bytes(holed)
        refused(
            folder, tmp_path / "out", rf"{VAL} is damaged or truncated .*not end after its last"
        )
    assert not (tmp_path / "out" / DATA / "val").exists()


def test_spoilt_header_is_named(folder, kaggle, tmp_path):
    content = bytearray((folder / VAL).read_bytes())
    second = 512 + -(-len(files(kaggle / DATA / "val")[f"{val(1)}.JPEG"]) // 512) * 512
    content[second + 148] ^= 255  # its checksum
    (folder / VAL).write_bytes(content)
    refused(folder, tmp_path / "out", rf"{VAL} is damaged or truncated")


def test_stage_unpacks_beside_the_files_or_where_it_is_told(folder, kaggle, tmp_path):
    for options, target in (
        ({}, folder / "unpacked"),
        ({"unpack_to": str(tmp_path / "else")}, tmp_path / "else"),
    ):
        study = Study(tmp_path / "study")
        source = {"source": "ilsvrc", "folder": str(folder), **options}
        equal(data.run(study, DataParameters(data=source, seed=1)), ilsvrc.read(kaggle))
        assert Manifest.load(study.manifest).root == target


def test_kaggles_layout_is_read_in_place_although_tars_lie_beside_it(folder, kaggle):
    shutil.copy(folder / TRAIN, kaggle)
    assert found(folder) and not found(kaggle)


def test_folder_that_cannot_be_written_asks_for_another(folder, tmp_path, monkeypatch):
    """Permissions do not bind root, so the error is made."""
    mkdir = Path.mkdir

    def refuse(path, *arguments, **options):
        if path.is_relative_to(folder):
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    refused(folder, folder / "unpacked", r"cannot unpack .*Permission denied.*data\.unpack_to")
    unpack(folder, tmp_path / "out")


def test_full_disk_says_what_to_do(folder, tmp_path, monkeypatch):
    def full(source, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    refused(folder, tmp_path / "out", r"No space left on device.*has room, and run again")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
@pytest.mark.parametrize(
    "image",
    [f"train/{TENCH}.new/{TENCH}_18", f"val.new/{val(1)}", "test.new/ILSVRC2012_test_00000001"],
)
def test_disk_that_fills_up_is_not_taken_for_a_damaged_archive(folder, tmp_path, image):
    path = tmp_path / "out" / DATA / f"{image}.JPEG"
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    refused(folder, tmp_path / "out", r"^cannot unpack .*No space left on device.*and run again")


def test_failure_of_reading_an_archive_is_not_taken_for_one_of_writing(
    folder, tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(tarfile.ExFileObject, "read", fail)
    refused(folder, tmp_path / "out", rf"{KIT_2012} is damaged or truncated .*Input/output error")
