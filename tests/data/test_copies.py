"""Small copies of the pictures, made once."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc import cli
from camloc.core import params
from camloc.core.errors import UserError
from camloc.core.params import Loading, Machine
from camloc.core.paths import Study
from camloc.data import copies
from camloc.data.loading import decode, evaluation_batches
from camloc.data.manifest import Manifest
from clone import ROOT

LOADING = Loading(size=8, resize=16, copies=True)


@pytest.fixture
def study(tmp_path):
    """Three wide grey pictures, the last of them a PNG."""
    rows = [("train", "n1/a.JPEG"), ("train", "n1/b.JPEG"), ("test", "c.png")]
    for seed, (_, path) in enumerate(rows):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 9), dtype=np.uint8)
        file = tmp_path / "source" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert("RGB").resize((90, 60)).save(file)
    images = pd.DataFrame(rows, columns=["split", "path"])
    images = images.assign(image=["a", "b", "c"], wnid="n1", width=90, height=60, mask=None)
    boxes = pd.DataFrame(columns=["image", "wnid", "xmin", "ymin", "xmax", "ymax"])
    study = Study(tmp_path / "data")
    Manifest("test", tmp_path / "source", {"n1": "a"}, images, boxes).save(study.manifest)
    return study


def seen(study, loading=LOADING):
    return copies.seen(study, Manifest.load(study.manifest), loading)


def test_copies_are_the_squares_that_networks_see_but_for_jpegs_loss(study):
    assert copies.make(study, LOADING) == 3
    original = Manifest.load(study.manifest).root
    for path in seen(study).images["path"]:
        assert Image.open(seen(study).root / path).format == "JPEG"
        copy = decode(seen(study).root / path, 16)
        assert (copy.int() - decode(original / path, 16).int()).abs().float().mean() < 3


def test_without_copies_the_pictures_themselves_are_seen(study):
    assert seen(study, Loading(size=8, resize=16)).root == Manifest.load(study.manifest).root


def test_copies_that_are_there_are_not_made_again(study):
    copies.make(study, LOADING)
    there, missing = (seen(study).root / name for name in ("n1/a.JPEG", "c.png"))
    before = there.stat().st_mtime_ns
    missing.unlink()
    assert copies.make(study, LOADING) == 3
    assert missing.is_file() and there.stat().st_mtime_ns == before


def test_copies_of_other_pictures_or_another_size_are_never_taken(study):
    copies.make(study, LOADING)
    folder = seen(study).root
    about = json.loads((study.manifest / "dataset.json").read_text())
    about["fingerprint"]["sha256"] = "f" * 64
    (study.manifest / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"ffff-16 has no copies .* --single-item copies"):
        seen(study)
    copies.make(study, LOADING.model_copy(update={"resize": 24}))
    assert folder.is_dir()
    assert seen(study, LOADING.model_copy(update={"resize": 24})).root != folder


def test_unreadable_picture_is_refused_or_left_out_where_that_is_allowed(study):
    (Manifest.load(study.manifest).root / "n1/b.JPEG").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.JPEG cannot be read"):
        copies.make(study, LOADING)
    assert copies.make(study, LOADING.model_copy(update={"unreadable": "skip"})) == 2


def test_picture_too_large_to_open_is_left_out_where_that_is_allowed(study, monkeypatch):
    Image.new("RGB", (300, 300)).save(Manifest.load(study.manifest).root / "n1/b.JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # twice as many are refused
    with pytest.raises(UserError, match=r"b\.JPEG cannot be read .*90000 pixels"):
        copies.make(study, LOADING)
    assert copies.make(study, LOADING.model_copy(update={"unreadable": "skip"})) == 2


def test_full_disk_leaves_no_half_copy(study, monkeypatch):
    def full(self, path, *arguments, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"could not be written .*No space left .* run again"):
        copies.make(study, LOADING)
    assert not [p for p in (study.folder / "copies").rglob("*") if p.is_file()]


def test_folder_of_the_pictures_is_only_read(study):
    def listed():
        folder = Manifest.load(study.manifest).root
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    before = listed()
    copies.make(study, LOADING)
    list(evaluation_batches(seen(study), "test", LOADING, batch=1, machine=Machine()))
    assert listed() == before


def test_damaged_manifest_is_named(study):
    copies.make(study, LOADING)
    manifest = Manifest.load(study.manifest)
    (study.manifest / "dataset.json").write_text('{"fingerprint": {}}')
    with pytest.raises(UserError, match=r"dataset\.json is damaged .*run dvc repro"):
        copies.seen(study, manifest, LOADING)


def test_missing_copies_are_told(study):
    copies.make(study, LOADING)
    shutil.rmtree(study.folder / "copies")
    with pytest.raises(UserError, match="has no copies of the pictures"):
        seen(study)


def test_command_makes_the_copies_that_are_asked_for_and_tells_their_number(study, monkeypatch):
    root = study.folder.parent
    (root / "dvc.yaml").touch()
    monkeypatch.chdir(root)
    smoke = params.load(ROOT / "params" / "smoke.yaml")
    for asked, count in ((True, "3\n"), (False, "0\n")):
        declared = smoke.model_copy(
            update={"loading": LOADING.model_copy(update={"copies": asked})}
        )
        monkeypatch.setattr(params, "load", lambda path, declared=declared: declared)
        assert cli.main(["copies"]) == 0
        assert study.copies.read_text() == count
