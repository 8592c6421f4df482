"""From picture files to batches."""

import dataclasses
import io
import os
import shutil
import signal
import struct
import threading
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from camloc.core.errors import UserError
from camloc.core.params import Loading, Machine, Preprocessing
from camloc.core.processes import Share
from camloc.data.loading import (
    UNLABELLED,
    Batches,
    Pictures,
    death_of_decoders_told,
    decode,
    evaluation_batches,
    standardise,
    training_batches,
)
from camloc.data.manifest import Manifest
from camloc.data.pictures import read_picture


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
    shown = read_picture(tmp_path / "a.JPEG")
    true = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (127, 127, 127)]
    for i, colour in enumerate(true):
        assert picture[:, 32, 16 * i + 8].tolist() == pytest.approx(colour, abs=3)
        assert shown[8, 16 * i + 8].tolist() == pytest.approx(colour, abs=3)


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
MACHINE = Machine()


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
    batches = list(evaluation_batches(manifest, "test", LOADING, batch=3, machine=MACHINE))
    pictures = torch.cat([pictures for pictures, _ in batches])
    assert [len(labels) for _, labels in batches] == [3, 1]
    assert torch.cat([labels for _, labels in batches]).tolist() == [1, 0, UNLABELLED, 2]
    for i, picture in enumerate(pictures):
        assert torch.equal(picture, decode(manifest.root / f"test_{i}.png", 8))


def training(manifest, loading=LOADING, batch=4, machine=None, seed=5, **options):
    """Batches of the train split; the machine is given by the keys that differ."""
    own = Machine(**machine or {})
    return training_batches(manifest, loading, batch, seed, machine=own, **options)


def epoch(manifest, loading=LOADING, number=1, first=0, **options):
    """The steps of one epoch, which are of one part each unless options say more."""
    batches = training(manifest, loading, **options)
    steps = list(batches.steps(number, first))
    assert [len(parts) for parts in steps] == [options.get("parts", 1)] * (len(batches) - first)
    return [part for parts in steps for part in parts]


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


def same(batches, others):
    return all(
        torch.equal(pictures, others[i][0]) and torch.equal(labels, others[i][1])
        for i, (pictures, labels) in enumerate(batches)
    )


def test_epochs_of_one_loader_differ_and_can_be_had_again(manifest):
    loader = training(manifest, batch=12)
    first, second, again = (next(loader.steps(number)) for number in (1, 2, 1))
    assert not torch.equal(first[0][0], second[0][0])
    assert torch.equal(first[0][0], again[0][0])


def test_epoch_taken_up_in_its_middle_is_the_rest_of_it(manifest):
    assert same(epoch(manifest, number=3, first=1), epoch(manifest, number=3)[1:])


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_decode_change_no_batch(manifest, workers):
    assert same(epoch(manifest, machine={"workers": workers}), epoch(manifest))


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_from_torchs_generator(manifest, workers):
    """Or a training that is resumed in an epoch would drop out other units than one that is not."""
    before = torch.get_rng_state()
    epoch(manifest, machine={"workers": workers})
    assert torch.equal(torch.get_rng_state(), before)


def test_processes_and_parts_deal_each_batch_among_them(manifest):
    """Two processes with two parts each: pictures 0, 2 of a batch of four are the first's."""
    whole = epoch(manifest)
    shares = [epoch(manifest, share=Share(rank, 2), parts=2) for rank in (0, 1)]
    for step, (pictures, labels) in enumerate(whole):
        dealt = [shares[i % 2][2 * step + i // 2] for i in range(4)]
        assert torch.equal(torch.cat([part[0] for part in dealt]), pictures)
        assert torch.equal(torch.cat([part[1] for part in dealt]), labels)


def test_batch_that_cannot_be_dealt_evenly_is_refused(manifest):
    with pytest.raises(UserError, match=r"batch: 4 pictures .* 3 processes in 2 parts.* of 6"):
        training(manifest, share=Share(0, 3), parts=2)


def test_shares_of_a_split_are_its_batches_in_order(manifest):
    def batches(**options):
        return list(
            evaluation_batches(manifest, "test", LOADING, batch=1, machine=MACHINE, **options)
        )

    whole, of_three = batches(), [batches(share=Share(rank, 3)) for rank in range(3)]
    assert [len(part) for part in of_three] == [1, 1, 2]
    assert same([batch for part in of_three for batch in part], whole)


def png(*chunks, size=(8, 8), spoilt=None):
    """A grey PNG of these chunks (kind, content); the checksum of the `spoilt` one is wrong."""
    header = (b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n"
    for i, (kind, data) in enumerate((header, *chunks, (b"IEND", b""))):
        checksum = zlib.crc32(kind + data) ^ (i == spoilt)
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return content


PIXELS = (b"IDAT", zlib.compress(bytes(9 * 8)))
DAMAGED = {
    "empty": b"",
    "bomb": png(PIXELS, size=(20_000, 20_000)),
    "broken stream": png((b"IDAT", b"no deflate stream")),
    "bad checksum": png(PIXELS, spoilt=0),
    "large text": png((b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20))), PIXELS),
    "no end": png(PIXELS)[:-30],
}


def test_png_of_which_the_damaged_are_made_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png(PIXELS))
    assert decode(tmp_path / "a.png", 8).tolist() == torch.zeros(3, 8, 8).tolist()


@pytest.fixture(params=DAMAGED)
def damaged(request, manifest, tmp_path):
    """The same with the training pictures 3 and 4 damaged."""
    shutil.copytree(manifest.root, tmp_path / "damaged")
    for i in (3, 4):
        (tmp_path / "damaged" / f"train_{i:02}.png").write_bytes(DAMAGED[request.param])
    return dataclasses.replace(manifest, root=tmp_path / "damaged")


@pytest.mark.parametrize("kept", [0.0, 1.0], ids=["read", "kept"])
def test_every_damage_counts_as_unreadable_and_the_next_picture_is_taken(damaged, kept):
    skip = LOADING.model_copy(update={"unreadable": "skip"})
    batches = training(damaged, skip, 12, machine={"memory_gb": kept})
    [[(_, labels)]] = batches.steps(1)
    order = [view.image for view in next(iter(batches.keys))]
    assert labels[[order.index(i) for i in (3, 4)]].tolist() == [2, 2]  # the class of picture 5
    assert [path.name for path in batches.pictures.unreadable] == ["train_03.png", "train_04.png"]


def test_every_damage_stops_the_epoch_by_the_name_of_its_file(damaged):
    with pytest.raises(UserError, match=r"^image .*train_0[34]\.png cannot be read .*remove it$"):
        epoch(damaged, machine={"memory_gb": 0.0})


@pytest.fixture
def broken(manifest, tmp_path):
    """The same with two broken training pictures, 3 and 4."""
    shutil.copytree(manifest.root, tmp_path / "broken")
    for i in (3, 4):
        (tmp_path / "broken" / f"train_{i:02}.png").write_bytes(b"no image")
    return dataclasses.replace(manifest, root=tmp_path / "broken")


machines = pytest.mark.parametrize(
    "machine", [{"memory_gb": 0.0}, {"workers": 2, "memory_gb": 0.0}, {}]
)


@machines
def test_unreadable_picture_stops_the_epoch_by_its_name(broken, machine):
    with pytest.raises(
        UserError, match=r"^image .*train_0[34]\.png cannot be read .*or remove it$"
    ):
        epoch(broken, machine=machine)


@machines
def test_unreadable_pictures_are_skipped_and_listed_where_allowed(broken, manifest, machine):
    """The next one that can be read takes their place: 5, of class n3."""
    skip = LOADING.model_copy(update={"unreadable": "skip"})
    batches = training(broken, skip, 12, machine)
    [[(pictures, labels)]] = batches.steps(1)
    order = [view.image for view in next(iter(batches.keys))]
    places = [order.index(i) for i in (3, 4)]
    assert labels[places].tolist() == [2, 2]
    [[(whole, _)]] = training(manifest, batch=12).steps(1)
    others = [i for i in range(12) if i not in places]
    assert torch.equal(pictures[others], whole[others])
    assert [path.name for path in batches.pictures.unreadable] == ["train_03.png", "train_04.png"]


def test_no_readable_picture_is_refused(broken):
    for path in broken.root.glob("train*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"no image of .*broken can be read"):
        epoch(broken, LOADING.model_copy(update={"unreadable": "skip"}))


class Dying(Pictures):
    def __getitem__(self, key):
        os.kill(os.getpid(), signal.SIGKILL)


def test_process_that_dies_while_decoding_is_told(manifest):
    pictures = Dying(manifest.root, manifest.split("train"), manifest.wnids, 10)
    told = pytest.raises(UserError, match=r"process that decodes pictures died .*machine.workers")
    with told, death_of_decoders_told():
        list(Batches(pictures, [[0], [1]], workers=1))


def test_any_other_error_while_decoding_stays_as_it_is():
    with pytest.raises(RuntimeError, match=r"^CUDA out of memory$"), death_of_decoders_told():
        raise RuntimeError("CUDA out of memory")


class Grouped(Pictures):
    def __getitem__(self, key):
        return super().__getitem__(key)[0], os.getpgrp()


def test_processes_that_decode_are_out_of_reach_of_signals_to_the_training(manifest):
    """torchrun sends SIGTERM to the whole group of each of its processes."""
    pictures = Grouped(manifest.root, manifest.split("train"), manifest.wnids, 10)
    [(_, groups)] = Batches(pictures, [[0, 1]], workers=1)
    assert os.getpgrp() not in groups.tolist()


def test_pictures_kept_in_memory_are_the_same(manifest):
    arguments = manifest.root, manifest.split("train"), manifest.wnids, 10
    read, kept = Pictures(*arguments, memory_gb=0.0), Pictures(*arguments, memory_gb=1.0)
    assert read.kept is None and kept.kept.shape == (12, 3, 10, 10)
    for i in range(12):
        assert torch.equal(read[i][0], kept[i][0]) and read[i][1] == kept[i][1]


def test_pictures_of_a_batch_are_decoded_side_by_side_and_come_in_order(manifest, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    second = threading.Event()

    def read(path):
        found = read_picture(path)
        if path == pictures.path(5):  # the first of the batch is done after the second
            assert second.wait(timeout=60)
        elif path == pictures.path(2):
            second.set()
        return found

    pictures = Pictures(manifest.root, manifest.split("train"), manifest.wnids, 10, read=read)
    [(batch, labels)] = Batches(pictures, [[5, 2]], workers=0)
    assert labels.tolist() == pictures.labels[[5, 2]].tolist()
    alone = [decode(pictures.path(i), 10) for i in (5, 2)]
    assert torch.equal(batch, torch.stack(alone))


def test_pictures_are_kept_only_where_they_fit(manifest):
    """Twelve pictures of 3·10·10 bytes are 3600 bytes."""
    arguments = manifest.root, manifest.split("train"), manifest.wnids, 10
    assert Pictures(*arguments, memory_gb=3600 / 2**30).kept is not None
    assert Pictures(*arguments, memory_gb=3599 / 2**30).kept is None


def test_broken_picture_is_named_when_pictures_are_kept(manifest, tmp_path):
    images = manifest.split("train").assign(path="none.png")
    with pytest.raises(UserError, match=r"none\.png cannot be read"):
        Pictures(tmp_path, images, manifest.wnids, 10, memory_gb=1.0)


def test_pictures_are_standardised_with_the_statistics_of_imagenet():
    """(255/255 - 0.485) / 0.229, (0 - 0.456) / 0.224 and (51/255 - 0.406) / 0.225."""
    picture = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    normal = standardise(picture, torch.device("cpu"))
    assert normal.dtype == torch.float32
    assert normal.flatten().tolist() == pytest.approx([2.248908, -2.035714, -0.915556], abs=1e-5)


def test_pictures_are_standardised_as_a_caffe_network_wants_them():
    """Blue first, from 0 to 255, less a mean of each channel."""
    picture = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    wanted = Preprocessing(mean=[104, 117, 123], std=[1, 1, 2], channels="bgr", scale=255)
    normal = standardise(picture, torch.device("cpu"), wanted)
    assert normal.flatten().tolist() == [51 - 104, 0 - 117, (255 - 123) / 2]


def test_batches_are_warped_by_the_interpolation_that_is_asked_for(manifest):
    loading, machine = Loading(size=6, resize=6), Machine()
    first = manifest.root / manifest.split("test")["path"].iloc[0]
    for way in ("bilinear", "bicubic"):
        batches = evaluation_batches(
            manifest, "test", loading, 4, machine=machine, interpolation=way
        )
        pictures, _ = next(iter(batches))
        assert torch.equal(pictures[0], decode(first, 6, way))
    assert not torch.equal(pictures[0], decode(first, 6))
