"""Pictures from disk to batches: decoding, warping, cropping, standardising."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate, get_worker_info

from camloc.core.errors import UserError, reason
from camloc.core.params import Loading, Machine, Preprocessing
from camloc.core.processes import ALONE, Share
from camloc.data.manifest import Manifest
from camloc.data.pictures import read_picture
from camloc.data.ten_crop import places

IMAGENET = Preprocessing()
UNLABELLED = -1
Reader = Callable[[Path], NDArray[np.uint8]]
PREFETCH = 4  # batches that each decoding process works ahead


class Pictures(Dataset):
    """Pictures warped to a square of `side` pixels, with the index of their class.

    Items are a uint8 tensor (3, h, w) after `transform`, and the index of the class in the sorted
    wnids, `UNLABELLED` where the label is withheld. A training item is asked for by its number and
    its view (see `TrainingViews`), and cropped to it. Where all pictures fit into `memory_gb` they
    are decoded once and kept. A picture that cannot be read gives the `UserError` in place of an
    item or, with `skip`, the item of the next one that can; `unreadable` lists such files.

    Names and labels are arrays, not lists: processes that decode then share their memory, because
    nothing counts references in it.
    """

    def __init__(
        self,
        root: Path,
        images: pd.DataFrame,
        wnids: Sequence[str],
        side: int,
        transform: Callable[[Tensor], Tensor] | None = None,
        memory_gb: float = 0.0,
        skip: bool = False,
        interpolation: str = "bilinear",
        read: Reader = read_picture,
    ) -> None:
        self.root = root
        self.names = np.array([os.fsencode(path) for path in images["path"]], dtype=np.bytes_)
        self.labels = pd.Index(wnids).get_indexer(images["wnid"])  # -1 where it is none
        self.side = side
        self.transform = transform
        self.skip = skip
        self.interpolation = interpolation
        self.read = read
        self.broken = torch.zeros(len(self.names), dtype=torch.bool).share_memory_()
        self.kept: Tensor | None = None
        if 3 * side * side * len(self.names) <= memory_gb * 2**30:
            self._keep()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: "int | View") -> tuple[Tensor, int] | UserError:
        i, view = (key.image, key) if isinstance(key, View) else (key, None)
        try:
            picture, i = self._square(i)
        except UserError as error:
            return error  # raised in a process that decodes, it would lose its type and its words
        if view:
            picture = view.of(picture)
        return self.transform(picture) if self.transform else picture, int(self.labels[i])

    def __getitems__(self, keys: "Sequence[int | View]") -> list[tuple[Tensor, int] | UserError]:
        """The items of a batch, whose files the stage's threads decode, unless this is a process
        that only decodes."""
        if self.kept is not None or get_worker_info() is not None:
            return [self[key] for key in keys]
        with _threads() as pool:
            return list(pool.map(self.__getitem__, keys))

    def path(self, i: int) -> Path:
        """The file of picture `i`."""
        return self.root / os.fsdecode(self.names[i])

    @property
    def unreadable(self) -> list[Path]:
        """The files that could not be read so far."""
        return [self.path(i) for i in self.broken.nonzero().flatten().tolist()]

    def _square(self, i: int) -> tuple[Tensor, int]:
        """A whole picture (3, side, side) and its number, which is another's where i is skipped."""
        for j in itertools.chain(range(i, len(self)), range(i)):
            if not self.broken[j] or not self.skip:
                picture = self._read(j) if self.kept is None else self.kept[j]
                if picture is not None:
                    return picture, j
        raise UserError(f"no image of {self.root} can be read")

    def _read(self, i: int) -> Tensor | None:
        """The picture, or None where it cannot be read and is to be skipped."""
        try:
            return decode(self.path(i), self.side, self.interpolation, self.read)
        except UserError:
            self.broken[i] = True
            if not self.skip:
                raise

    def _keep(self) -> None:
        # Channels last, as `decode` gives them and networks take them: what turns pixels around
        # takes longer than a crop.
        kept = torch.zeros(len(self), self.side, self.side, 3, dtype=torch.uint8).movedim(-1, 1)

        def fill(i: int) -> None:
            picture = self._read(i)
            if picture is not None:
                kept[i] = picture

        with _threads() as pool:
            list(pool.map(fill, range(len(self))))
        self.kept = kept


def _threads() -> ThreadPoolExecutor:
    """As many as this process computes with; decoding releases the interpreter's lock."""
    return ThreadPoolExecutor(torch.get_num_threads())


class View(NamedTuple):
    """What training sees of a picture: a crop of its square, perhaps mirrored."""

    image: int
    top: int
    left: int
    size: int
    mirrored: bool

    def of(self, square: Tensor) -> Tensor:
        """(3, side, side) to (3, size, size)."""
        bottom, right = self.top + self.size, self.left + self.size
        crop = square[:, self.top : bottom, self.left : right]
        return crop.flip(-1) if self.mirrored else crop


class TrainingViews(Sampler[list[View]]):
    """The views of an epoch, in batches: every picture once, in an order drawn from the seed.

    Seed, epoch and place in the epoch alone decide what is drawn, so an epoch can be taken up in
    its middle, and by any number of processes: each takes its part of each batch. The incomplete
    last batch is dropped, as batch normalisation wants, unless it is the only one.

    Args:
        batch: pictures of each step of the optimizer, of all processes together.
        parts: in how many parts each process takes its share of a batch.
    """

    def __init__(
        self, count: int, batch: int, loading: Loading, seed: int, share: Share, parts: int
    ) -> None:
        self.count, self.loading, self.seed = count, loading, seed
        self.share, self.parts = share, parts
        pieces = share.size * parts
        self.piece = min(batch, count) // pieces
        if not self.piece or (batch % pieces and batch <= count):
            raise UserError(
                f"params.yaml: batch: {min(batch, count)} pictures cannot be dealt evenly to "
                f"{share.size} processes in {parts} parts each; use a multiple of {pieces}"
            )
        self.epoch, self.first = 1, 0

    def __len__(self) -> int:
        return self.count // (self.piece * self.share.size * self.parts)

    def __iter__(self) -> Iterator[list[View]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.count)
        size = self.loading.size
        corners = rng.integers(self.loading.resize - size + 1, size=(self.count, 2))
        mirrored = rng.random(self.count) < 0.5
        for step, part in itertools.product(range(self.first, len(self)), range(self.parts)):
            place = (step * self.parts + part) * self.share.size + self.share.rank
            rows = slice(place * self.piece, (place + 1) * self.piece)
            yield [
                View(image, top, left, size, mirror)
                for image, (top, left), mirror in zip(
                    order[rows].tolist(),
                    corners[rows].tolist(),
                    mirrored[rows].tolist(),
                    strict=True,
                )
            ]


class Batches:
    """Batches of pictures (b, 3, h, w) or, of ten crops, (b, 10, 3, h, w), and of labels (b,).

    Args:
        keys: what each batch holds.
        workers: processes that decode; 0 decodes in threads of this one.
    """

    persistent = False  # whether the processes that decode stay until the next time

    def __init__(self, pictures: Dataset, keys: Iterable[Sequence], workers: int) -> None:
        self.pictures, self.keys = pictures, keys
        self.loader = DataLoader(
            pictures,
            batch_sampler=keys,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.persistent and workers > 0,
            prefetch_factor=PREFETCH if workers else None,
            worker_init_fn=_leave_group,
            # Its own, since it draws a number whenever it starts, also in the middle of an epoch.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.loader:
            if isinstance(batch, UserError):
                try:
                    raise batch
                finally:  # what holds itself is not freed at once, and processes end late then
                    del batch
            pictures, labels = batch
            yield pictures, torch.tensor(labels)


class TrainingBatches(Batches):
    """The batches of the train split, epoch by epoch.

    Iterated, they are the parts of this process of the epoch that `keys` stands at.
    """

    keys: TrainingViews
    persistent = True

    def steps(self, epoch: int, first: int = 0) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Each step's batch from step `first` of an epoch on, as the parts of this process."""
        self.keys.epoch, self.keys.first = epoch, first
        parts = iter(self)
        while step := list(itertools.islice(parts, self.keys.parts)):
            yield step


def decode(
    path: str | Path, side: int, interpolation: str = "bilinear", read: Reader = read_picture
) -> Tensor:
    """A picture as uint8 (3, side, side), channels last, warped to a square as the paper does.

    Raises:
        UserError: the file is missing, truncated or not an image.
    """
    return warp(read(path), side, interpolation)


def warp(picture: NDArray[np.uint8], side: int, interpolation: str = "bilinear") -> Tensor:
    """A picture (height, width, 3) as uint8 (3, side, side), channels last."""
    whole = torch.from_numpy(picture)[None].movedim(-1, 1)  # (1, 3, H, W)
    return functional.interpolate(whole, (side, side), mode=interpolation, antialias=True)[0]


@contextmanager
def death_of_decoders_told() -> Iterator[None]:
    """A process that decodes and dies, which torch tells wherever the main thread happens to be.

    Raises:
        UserError: in the place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that decodes pictures died ({reason(error)}); where memory is short, "
            "machine.workers in params.yaml needs less"
        ) from None


def _leave_group(worker: int) -> None:
    """Put a decoding process out of the reach of signals that are sent to all of a training: its
    main process saves, for which it may still need batches, and ends the others."""
    os.setpgrp()


def _collate(items: list) -> tuple[Tensor, list[int]] | UserError:
    """Items as a batch, pictures channels last and labels a list, since each tensor that changes
    process costs a meeting; in the place of a batch with an unreadable picture, what is wrong."""
    for item in items:
        if isinstance(item, UserError):
            return item
    pictures, labels = zip(*items, strict=True)
    stacked = default_collate([picture.movedim(-3, -1) for picture in pictures])
    return stacked.movedim(-1, -3), list(labels)


def training_batches(
    manifest: Manifest,
    loading: Loading,
    batch: int,
    seed: int,
    *,
    machine: Machine,
    share: Share = ALONE,
    parts: int = 1,
    interpolation: str = "bilinear",
) -> TrainingBatches:
    """Shuffled batches of the train split: random crops of the warped square, mirrored by chance.

    Raises:
        UserError: a picture cannot be read, unless they are skipped; the batch cannot be dealt
            evenly.
    """
    images = manifest.split("train")
    keys = TrainingViews(len(images), batch, loading, seed, share, parts)
    pictures = Pictures(
        manifest.root,
        images,
        manifest.wnids,
        loading.resize,
        memory_gb=machine.memory_gb,
        skip=loading.unreadable == "skip",
        interpolation=interpolation,
        read=manifest.read,
    )
    return TrainingBatches(pictures, keys, machine.workers)


def evaluation_batches(
    manifest: Manifest,
    split: str,
    loading: Loading,
    batch: int,
    *,
    machine: Machine,
    keep: bool = False,
    skip: bool = False,
    share: Share = ALONE,
    interpolation: str = "bilinear",
) -> Batches:
    """Batches of a split in the order of `manifest.split`: the whole picture, warped to `size`.

    Nothing is cropped, so that a map covers the whole picture. What is read more than once is to
    be kept in memory (`keep`), up to `machine.memory_gb`. The next picture takes the place of one
    that cannot be read where it is to be skipped.
    """
    memory_gb = machine.memory_gb if keep else 0.0
    options = {"memory_gb": memory_gb, "interpolation": interpolation, "skip": skip}
    return _in_order(manifest, split, loading.size, batch, machine, share, **options)


def ten_crops(picture: Tensor, size: int) -> Tensor:
    """A picture (3, side, side) as its ten crops, (10, 3, size, size)."""
    side = picture.shape[-1]
    crops = [picture[:, y : y + size, x : x + size] for y, x in places(side, size)]
    five = torch.stack(crops)
    return torch.cat([five, five.flip(-1)])


def ten_crop_batches(
    manifest: Manifest,
    split: str,
    loading: Loading,
    batch: int,
    *,
    machine: Machine,
    share: Share = ALONE,
    interpolation: str = "bilinear",
) -> Batches:
    """Batches of a split as ten crops of each warped square, uint8 (b, 10, 3, size, size)."""
    options = {"transform": partial(ten_crops, size=loading.size), "interpolation": interpolation}
    return _in_order(manifest, split, loading.resize, batch, machine, share, **options)


def _in_order(
    manifest: Manifest,
    split: str,
    side: int,
    batch: int,
    machine: Machine,
    share: Share,
    **options: Any,
) -> Batches:
    images = share.of(manifest.split(split), batch)
    pictures = Pictures(manifest.root, images, manifest.wnids, side, **options, read=manifest.read)
    keys = [range(i, min(i + batch, len(images))) for i in range(0, len(images), batch)]
    return Batches(pictures, keys, machine.workers)


def standardise(pictures: Tensor, device: torch.device, wanted: Preprocessing = IMAGENET) -> Tensor:
    """uint8 RGB (B, 3, h, w) to float32 on the device, as a network wants its pictures."""
    mean, std = _statistics(device, tuple(wanted.mean), tuple(wanted.std), wanted.scale)
    x = pictures.to(device, non_blocking=True)
    x = (x.flip(1) if wanted.channels == "bgr" else x).float()
    # In place: on CPUs a copy for each step takes as long as a thin network does.
    return x.sub_(mean).div_(std).to(memory_format=torch.channels_last)


@cache
def _statistics(
    device: torch.device, mean: tuple[float, ...], std: tuple[float, ...], scale: float
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of bytes, (1, 3, 1, 1), made once: a GPU is waited for."""
    of_bytes = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (mean, std))
    mean, std = (255 / scale * values for values in of_bytes)
    return mean, std
