"""From picture files to batches."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from camloc import figures
from camloc.errors import UserError
from camloc.loading import (
    UNLABELLED,
    Pictures,
    decode,
    evaluation_batches,
    normalise,
    training_batches,
)
from camloc.manifest import Manifest
from camloc.params import Loading


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def halves(width, height):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image


def test_picture_is_warped_to_the_square_not_cropped(tmp_path):
    halves(40, 10).save(tmp_path / "wide.png")
    picture = decode(tmp_path / "wide.png", 8)
    assert picture.shape == (3, 8, 8) and picture.dtype == torch.uint8
    assert picture[:, 4, 1].tolist() == [255, 0, 0]
    assert picture[:, 4, 6].tolist() == [0, 0, 255]


def test_picture_of_the_right_size_is_left_as_it_is(tmp_path):
    image = noise(6, 6)
    image.save(tmp_path / "a.png")
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(decode(tmp_path / "a.png", 6), expected)


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.jpg"), ("CMYK", "a.jpg"), ("L", "a.png"), ("RGBA", "a.png"), ("P", "a.png")],
)
def test_every_colour_mode_becomes_rgb(tmp_path, mode, name):
    Image.new("RGB", (20, 10), (204, 204, 204)).convert(mode).save(tmp_path / name)
    picture = decode(tmp_path / name, 8)
    assert picture.shape == (3, 8, 8)
    assert (picture.int() - 204).abs().max() <= 3


def test_png_under_the_name_of_a_jpeg_is_read(tmp_path):
    noise(6, 6).save(tmp_path / "a.JPEG", "PNG")
    assert decode(tmp_path / "a.JPEG", 6).shape == (3, 6, 6)


def test_cmyk_of_adobe_gets_its_true_colours(tmp_path):
    """Adobe stores inks inverted. Pure inks, by hand: cyan, magenta, yellow, and half of black."""
    inks = [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 128)]
    image = Image.new("CMYK", (64, 16))
    for i, ink in enumerate(inks):
        image.paste(ink, (16 * i, 0, 16 * i + 16, 16))
    image.save(tmp_path / "a.JPEG", quality=95)
    assert b"Adobe" in (tmp_path / "a.JPEG").read_bytes()
    picture = decode(tmp_path / "a.JPEG", 64)
    shown = figures.read_picture(tmp_path / "a.JPEG")
    true = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (127, 127, 127)]
    for i, colour in enumerate(true):
        assert picture[:, 32, 16 * i + 8].tolist() == pytest.approx(colour, abs=3)
        assert shown[8, 16 * i + 8].tolist() == pytest.approx(colour, abs=3)


def test_bad_exif_is_read_without_a_warning(tmp_path):
    """In a process of its own, as a worker that decodes is; pytest sets filters of its own."""
    file = io.BytesIO()
    noise(16, 12).save(file, "JPEG", exif=b"Exif\0\0II*\0\xff\0\0\0")
    content = file.getvalue()
    start = content.index(b"\xff\xe1")  # without JFIF's resolution Pillow looks for EXIF's
    (tmp_path / "a.JPEG").write_bytes(content[:2] + content[start:])
    code = "import sys; from camloc.loading import decode; print(decode(sys.argv[1], 8).shape)"
    command = [sys.executable, "-W", "always", "-c", code, str(tmp_path / "a.JPEG")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "torch.Size([3, 8, 8])\n"
    assert "EXIF" not in done.stderr
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        decode(tmp_path / "a.JPEG", 8)


def test_truncated_jpeg_is_refused_by_name(tmp_path):
    file = io.BytesIO()
    noise(64, 64).save(file, "JPEG")
    (tmp_path / "cut.JPEG").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(UserError, match=r"cut\.JPEG cannot be read .*replace or remove it"):
        decode(tmp_path / "cut.JPEG", 8)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_file_that_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.JPEG").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.JPEG cannot be read"):
        decode(tmp_path / "a.JPEG", 8)


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"none\.JPEG cannot be read"):
        decode(tmp_path / "none.JPEG", 8)


LOADING = Loading(size=8, resize=10)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Twelve train pictures; four test pictures, out of order, one of them without a label."""
    root = tmp_path_factory.mktemp("pictures")
    rows = [(f"train_{i:02}", "train", ["n2", "n1", "n3"][i % 3]) for i in range(12)]
    labels = {"test_3": "n3", "test_0": "n2", "test_2": None, "test_1": "n1"}
    rows += [(image, "test", wnid) for image, wnid in labels.items()]
    for seed, (image, _, _) in enumerate(rows):
        noise(14, 10, seed).save(root / f"{image}.png")
    images = pd.DataFrame(rows, columns=["image", "split", "wnid"])
    images = images.assign(path=images["image"] + ".png", width=14, height=10, mask=None)
    classes = {"n3": "c", "n1": "a", "n2": "b"}
    return Manifest("test", root, classes, images, pd.DataFrame())


def test_evaluation_batches_follow_the_split_in_order(manifest):
    batches = list(evaluation_batches(manifest, "test", LOADING, batch=3))
    pictures = torch.cat([pictures for pictures, _ in batches])
    assert [len(labels) for _, labels in batches] == [3, 1]
    assert torch.cat([labels for _, labels in batches]).tolist() == [1, 0, UNLABELLED, 2]
    for i, picture in enumerate(pictures):
        assert torch.equal(picture, decode(manifest.root / f"test_{i}.png", 8))


def epoch(manifest, loading=LOADING, batch=4, seed=5):
    """One epoch; the crops come from the global generator, as training seeds it."""
    torch.manual_seed(seed)
    return list(training_batches(manifest, loading, batch, seed))


def test_training_batches_hold_every_picture_once(manifest):
    batches = epoch(manifest)
    assert [pictures.shape for pictures, _ in batches] == [(4, 3, 8, 8)] * 3
    assert (
        sorted(torch.cat([labels for _, labels in batches]).tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    )


def test_training_pictures_are_crops_of_the_warped_square_or_their_mirrors(manifest):
    paths = [manifest.root / f"train_{i:02}.png" for i in range(12)]
    squares = torch.stack([decode(path, 10) for path in paths])
    crops = {
        crop.numpy().tobytes()
        for y in range(3)
        for x in range(3)
        for picture in squares[:, :, y : y + 8, x : x + 8]
        for crop in (picture, picture.flip(2))
    }
    for pictures, _ in epoch(manifest):
        assert all(picture.contiguous().numpy().tobytes() in crops for picture in pictures)


def test_incomplete_last_batch_is_dropped_unless_it_is_the_only_one(manifest):
    assert [len(labels) for _, labels in epoch(manifest, batch=5)] == [5, 5]
    assert [len(labels) for _, labels in epoch(manifest, batch=64)] == [12]


def test_same_seed_gives_the_same_batches_and_another_seed_others(manifest):
    first, again, other = epoch(manifest), epoch(manifest), epoch(manifest, seed=6)
    for (pictures, labels), (same, same_labels) in zip(first, again, strict=True):
        assert torch.equal(pictures, same) and torch.equal(labels, same_labels)
    assert not torch.equal(first[0][0], other[0][0])


def test_epochs_of_one_loader_differ(manifest):
    loader = training_batches(manifest, LOADING, 12, seed=5)
    (first, _), (second, _) = next(iter(loader)), next(iter(loader))
    assert not torch.equal(first, second)


def test_pictures_kept_in_memory_are_the_same(manifest):
    arguments = manifest.root, manifest.split("train"), manifest.wnids, 10
    read, kept = Pictures(*arguments, memory_gb=0.0), Pictures(*arguments, memory_gb=1.0)
    assert read.kept is None and kept.kept.shape == (12, 3, 10, 10)
    for i in range(12):
        assert torch.equal(read[i][0], kept[i][0]) and read[i][1] == kept[i][1]


def test_pictures_are_kept_only_where_they_fit(manifest):
    """Twelve pictures of 3·10·10 bytes are 3600 bytes."""
    arguments = manifest.root, manifest.split("train"), manifest.wnids, 10
    assert Pictures(*arguments, memory_gb=3600 / 2**30).kept is not None
    assert Pictures(*arguments, memory_gb=3599 / 2**30).kept is None


def test_broken_picture_is_named_when_pictures_are_kept(manifest, tmp_path):
    images = manifest.split("train").assign(path="none.png")
    with pytest.raises(UserError, match=r"none\.png cannot be read"):
        Pictures(tmp_path, images, manifest.wnids, 10, memory_gb=1.0)


def test_pictures_are_normalised_with_the_statistics_of_imagenet():
    """(255/255 - 0.485) / 0.229, (0 - 0.456) / 0.224 and (51/255 - 0.406) / 0.225."""
    picture = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    normal = normalise(picture, torch.device("cpu"))
    assert normal.dtype == torch.float32
    assert normal.flatten().tolist() == pytest.approx([2.248908, -2.035714, -0.915556], abs=1e-5)
