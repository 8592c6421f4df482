"""Pictures from disk to batches: decoding, warping, cropping, normalising."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from camloc.crops import ten_crops
from camloc.errors import UserError
from camloc.manifest import Manifest
from camloc.params import Loading

# ImageNet's channel statistics, which torchvision's pretrained weights expect; shares of 255.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
UNLABELLED = -1


class Pictures(Dataset):
    """Pictures warped to a square of `side` pixels, with the index of their class.

    Items are a uint8 tensor (3, h, w) after `transform`, and the index of the class in the sorted
    wnids, `UNLABELLED` where the label is withheld. Where all pictures fit into `memory_gb` they
    are decoded once and kept.
    """

    def __init__(
        self,
        root: Path,
        images: pd.DataFrame,
        wnids: Sequence[str],
        side: int,
        transform: Callable[[Tensor], Tensor] | None = None,
        memory_gb: float = 0.0,
    ) -> None:
        index = {wnid: i for i, wnid in enumerate(wnids)}
        self.paths = [str(root / path) for path in images["path"]]
        self.labels = [index.get(wnid, UNLABELLED) for wnid in images["wnid"]]
        self.side = side
        self.transform = transform
        self.kept: Tensor | None = None
        if 3 * side * side * len(self.paths) <= memory_gb * 2**30:
            self._keep()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        picture = decode(self.paths[i], self.side) if self.kept is None else self.kept[i]
        return self.transform(picture) if self.transform else picture, self.labels[i]

    def _keep(self) -> None:
        kept = torch.empty(len(self.paths), 3, self.side, self.side, dtype=torch.uint8)

        def fill(i: int) -> None:
            kept[i] = decode(self.paths[i], self.side)

        with ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
            list(pool.map(fill, range(len(self.paths))))
        self.kept = kept


def decode(path: str | Path, side: int) -> Tensor:
    """A picture as uint8 (3, side, side), warped to a square as the paper does.

    Raises:
        UserError: the file is missing, truncated or not an image.
    """
    try:
        with Image.open(path) as image:
            picture = functional.pil_to_tensor(image.convert("RGB"))  # (3, H, W)
    except OSError as error:
        raise UserError(f"image {path} cannot be read ({error}); replace or remove it") from None
    return functional.resize(picture, [side, side], antialias=True)


def training_batches(manifest: Manifest, loading: Loading, batch: int, seed: int) -> DataLoader:
    """Shuffled batches of the train split: random crops of the warped square, mirrored by chance.

    `seed` fixes the order. Crops and mirrors come from torch's own generator, in this process or
    in the workers, so it must be seeded, too.

    Returns:
        A loader of uint8 (batch, 3, size, size) and class indices (batch,); the incomplete last
        batch is dropped, as batch normalisation wants.
    """
    transform = v2.Compose([v2.RandomCrop(loading.size), v2.RandomHorizontalFlip()])
    pictures = Pictures(
        manifest.root,
        manifest.split("train"),
        manifest.wnids,
        loading.resize,
        transform,
        loading.memory_gb,
    )
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        pictures,
        batch,
        shuffle=True,
        drop_last=len(pictures) >= batch,
        num_workers=loading.workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=loading.workers > 0,
        generator=generator,
    )


def evaluation_batches(
    manifest: Manifest, split: str, loading: Loading, batch: int, memory_gb: float = 0.0
) -> DataLoader:
    """Batches of a split in the order of `manifest.split`: the whole picture, warped to `size`.

    Nothing is cropped, so that a map covers the whole picture. Pictures that are read more than
    once are kept in memory up to `memory_gb`.
    """
    images = manifest.split(split)
    pictures = Pictures(manifest.root, images, manifest.wnids, loading.size, memory_gb=memory_gb)
    return DataLoader(
        pictures, batch, num_workers=loading.workers, pin_memory=torch.cuda.is_available()
    )


def ten_crop_batches(manifest: Manifest, split: str, loading: Loading, batch: int) -> DataLoader:
    """Batches of a split as ten crops of each warped square, uint8 (B, 10, 3, size, size)."""
    transform = partial(ten_crops, size=loading.size)
    pictures = Pictures(
        manifest.root, manifest.split(split), manifest.wnids, loading.resize, transform
    )
    return DataLoader(
        pictures, batch, num_workers=loading.workers, pin_memory=torch.cuda.is_available()
    )


def normalise(pictures: Tensor, device: torch.device) -> Tensor:
    """uint8 (B, 3, h, w) to float32 on the device, with ImageNet's mean 0 and deviation 1."""
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    x = pictures.to(device, non_blocking=True).float()
    # In place: on CPUs a copy for each step takes as long as a thin network does.
    return x.sub_(255 * mean).div_(255 * std).to(memory_format=torch.channels_last)
