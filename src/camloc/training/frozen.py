"""Training of what comes after a body that stays as it is, on maps that it gave once.

The maps are kept on disk, so that several heads on one cut, and all training runs of each, cost one
pass of the body. They are of the whole warped picture and, of training pictures, of its mirror
image: of random crops there would be other ones in each epoch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from camloc.core.arrays import new_array
from camloc.core.files import replacing
from camloc.core.params import Loading, Machine, Preprocessing, Training
from camloc.core.processes import ALONE, Share
from camloc.core.progress import progress
from camloc.data.loading import (
    UNLABELLED,
    Batches,
    TrainingBatches,
    TrainingViews,
    View,
    death_of_decoders_told,
    evaluation_batches,
    standardise,
)
from camloc.data.manifest import Manifest
from camloc.networks.surgery import CamNetwork
from camloc.training.precision import autocast, choose_precision

VIEWS = {"train": 2, "val": 1}  # the picture and, where there are two, its mirror image
_LABELS = "labels-{}.npy"


class KeptMaps(Dataset):
    """A body's maps of a split, (C, h, w) in float16, each with the index of its picture's class;
    asked for as `camloc.data.loading.Pictures` are."""

    def __init__(self, parts: Sequence[Path], split: str) -> None:
        self.labels = np.concatenate([np.load(part / _LABELS.format(split)) for part in parts])
        files = [part / f"{split}.npy" for part in parts]  # one that has no pictures is not there
        self.maps = [np.load(file, mmap_mode="r") for file in files if file.is_file()]
        self.ends = np.cumsum([len(maps) for maps in self.maps])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: int | View) -> tuple[Tensor, int]:
        image, view = (key.image, int(key.mirrored)) if isinstance(key, View) else (key, 0)
        part = int(np.searchsorted(self.ends, image, side="right"))
        maps = self.maps[part][image - self.ends[part], view]  # from the end
        return torch.from_numpy(np.array(maps)), int(self.labels[image])


def keep_maps(
    folder: Path,
    network: CamNetwork,
    manifest: Manifest,
    loading: Loading,
    training: Training,
    device: torch.device,
    *,
    machine: Machine,
    wanted: Preprocessing,
    share: Share = ALONE,
) -> list[Path]:
    """Write the maps that a network's body gives of the train and val splits to a new folder, or of
    this process's share of them.

    Returns:
        The training pictures that cannot be read, where they are to be skipped.

    Raises:
        UserError: a picture cannot be read and stops the training, or there is no room.
    """
    precision = choose_precision(training.precision, device)
    body = network.body.to(device, memory_format=torch.channels_last).eval()
    options = {"machine": machine, "interpolation": wanted.interpolation, "share": share}
    skip = {"train": loading.unreadable == "skip", "val": False}
    unreadable: list[Path] = []
    with replacing(folder) as new, death_of_decoders_told():
        for split, views in VIEWS.items():
            batches = evaluation_batches(
                manifest, split, loading, training.batch, **options, skip=skip[split]
            )
            maps, labels = None, np.full(len(batches.pictures), UNLABELLED)
            done = 0
            for pictures, of_batch in progress(batches, desc=f"maps of {split}", unit="batch"):
                rows = slice(done, done + len(of_batch))
                for view in range(views):
                    seen = pictures.flip(-1) if view else pictures
                    with torch.inference_mode(), autocast(device, precision):
                        given = body(standardise(seen, device, wanted))["maps"].float().cpu()
                    if maps is None:
                        shape = (len(labels), views, *given.shape[1:])
                        maps = new_array(new / f"{split}.npy", shape)
                    maps[rows, view] = given.numpy()
                labels[rows] = of_batch.numpy()
                done += len(of_batch)
            np.save(new / _LABELS.format(split), labels)
            unreadable += batches.pictures.unreadable
    return unreadable


def training_maps(
    parts: Sequence[Path], loading: Loading, training: Training, seed: int, share: Share = ALONE
) -> TrainingBatches:
    """Shuffled batches of the train split's maps, mirrored by chance.

    Args:
        parts: what `keep_maps` wrote, in the order of the processes that did.
    """
    kept = KeptMaps(parts, "train")
    uncropped = loading.model_copy(update={"resize": loading.size})
    views = TrainingViews(
        len(kept), training.batch, uncropped, seed, share, parts=training.accumulate
    )
    return TrainingBatches(kept, views, workers=0)


def val_maps(parts: Sequence[Path], batch: int, share: Share = ALONE) -> Batches:
    """The val split's maps in order."""
    kept = KeptMaps(parts, "val")
    numbers = share.of(range(len(kept)), batch)
    return Batches(kept, [numbers[i : i + batch] for i in range(0, len(numbers), batch)], workers=0)
