"""The files of the maps stage: predicted classes and low-resolution maps of one network.

One folder per evaluated split: `predictions.parquet` has a row for each stored class of each image
(`image`, `wnid`, `rank` from 1 among all classes, `score`, the softmax), images in the order of
the manifest's split and each image's rows together; `cam.npy`, where the
network has CAMs, and a file of each other method (`backprop.npy`) hold the maps as float16 (images,
classes stored, h, w) in the same order.
Where `camloc.maps.faithfulness` was measured, the folder `faithfulness` has a file of each method,
(images, 3); where `camloc.maps.effects` and `camloc.maps.sanity` were, `effects.parquet` and
`sanity.parquet` hold them.

Where ten crops of each picture were classified, a folder `…-ten-crop` beside it holds the same,
maps as (images, classes stored, 10, h, w); where they were classified in bfloat16, too, `…-bf16`.
`geometry.json` tells where the CAMs lie on the picture (`Geometry`).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from camloc.core.arrays import new_array
from camloc.core.rows import OWN

_TABLE = "predictions.parquet"
_FAITHFULNESS = "faithfulness"
_GEOMETRY = "geometry.json"
_EFFECTS, _SANITY = "effects.parquet", "sanity.parquet"
TEN_CROP, BF16 = "ten-crop", "bf16"  # what may be stored of a split beside its maps
_SCHEMA = pa.schema(
    [("image", pa.string()), ("wnid", pa.string()), ("rank", pa.int32()), ("score", pa.float32())]
)


@dataclass(frozen=True)
class Geometry:
    """Where stored CAMs lie on their picture, in pixels.

    Attributes:
        side: of the square that the picture was warped to.
        size: of what the network saw of it, `side` but for crops.
        cells: of the maps' cells, along the height and the width of what the network saw, where the
            centre of the first one's receptive field lies and how far apart they are (see
            `camloc.networks.cells`); None where that is unknown.
    """

    side: int
    size: int
    cells: Sequence[Sequence[float]] | None


def folder_of(split: Path, kind: str = "") -> Path:
    """The folder of what is stored of a split; `kind` is empty, `TEN_CROP` or `BF16`."""
    return split.with_name(f"{split.name}-{kind}") if kind else split


class MapWriter:
    """Streams predictions and maps to a folder; memory does not grow with the images."""

    def __init__(self, folder: Path, images: Sequence[str], wnids: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.images, self.wnids = folder, list(images), np.array(wnids)
        self.table = pq.ParquetWriter(folder / _TABLE, _SCHEMA)
        self.maps: dict[str, np.memmap] = {}
        self.done = 0

    def write(
        self,
        classes: NDArray,
        ranks: NDArray,
        scores: NDArray,
        maps: dict[str, NDArray],
        faithfulness: dict[str, NDArray] | None = None,
    ) -> None:
        """One batch: classes, ranks and scores (B, k); of each method maps (B, k, h, w) and, where
        it was measured, `camloc.maps.faithfulness` (B, 3)."""
        batch, stored = classes.shape
        names = self.images[self.done : self.done + batch]
        columns = [
            np.repeat(names, stored),
            self.wnids[classes.ravel()],
            ranks.ravel().astype(np.int32),
            scores.ravel().astype(np.float32),
        ]
        self.table.write_table(pa.table(columns, schema=_SCHEMA))
        shares = {f"{_FAITHFULNESS}/{method}": own for method, own in (faithfulness or {}).items()}
        for name, low in (maps | shares).items():
            self._array(name, low)[self.done : self.done + batch] = low
        self.done += batch

    def close(self) -> None:
        """Finish the files; refuses to leave maps of only some of the images."""
        self.table.close()
        for array in self.maps.values():
            array.flush()
        if self.done != len(self.images):
            raise RuntimeError(f"maps of {self.done} of {len(self.images)} images were written")

    def _array(self, name: str, low: NDArray) -> np.memmap:
        if name not in self.maps:
            path = self.folder / f"{name}.npy"
            path.parent.mkdir(exist_ok=True)
            self.maps[name] = new_array(path, (len(self.images), *low.shape[1:]))
        return self.maps[name]


def join(parts: Sequence[Path], folder: Path) -> None:
    """Put the parts of splits that several processes wrote together, in their order.

    Args:
        parts: folders of splits, each as `MapWriter` leaves it; consecutive images.
        folder: gets the same of all images. A single part is moved, not copied.
    """
    splits = dict.fromkeys(split.name for part in parts for split in sorted(part.iterdir()))
    for split in splits:
        found = [part / split for part in parts if (part / split).is_dir()]
        if len(found) == 1:
            found[0].rename(folder / split)
        else:
            _join_split(found, folder / split)


def _join_split(parts: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    with pq.ParquetWriter(folder / _TABLE, _SCHEMA) as table:
        for part in parts:
            read = pq.ParquetFile(part / _TABLE)
            for batch in range(read.num_row_groups):  # kept, so that the file is one process's
                table.write_table(read.read_row_group(batch))
    for path in sorted(parts[0].rglob("*.npy")):
        name = path.relative_to(parts[0])
        arrays = [np.load(part / name, mmap_mode="r") for part in parts]
        (folder / name).parent.mkdir(exist_ok=True)
        whole = new_array(folder / name, (sum(map(len, arrays)), *arrays[0].shape[1:]))
        done = 0
        for low in arrays:
            whole[done : done + len(low)] = low
            done += len(low)
        whole.flush()
    shutil.copy(parts[0] / _GEOMETRY, folder)


def take_over(methods: Sequence[str], earlier: Path, folder: Path) -> None:
    """Copy the maps of methods, and what was measured of them, from a folder of splits to one of
    the same images and classes."""
    for path in (path for path in sorted(earlier.rglob("*.npy")) if path.stem in methods):
        target = folder / path.relative_to(earlier)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)


def read(folder: Path) -> pd.DataFrame:
    """The predictions of a split; row r belongs to map r of the flattened map files."""
    return pd.read_parquet(folder / _TABLE)


def write_geometry(folder: Path, geometry: Geometry) -> None:
    (folder / _GEOMETRY).write_text(json.dumps(asdict(geometry)) + "\n", encoding="utf-8")


def read_geometry(folder: Path) -> Geometry:
    return Geometry(**json.loads((folder / _GEOMETRY).read_text(encoding="utf-8")))


def methods_of(folder: Path) -> list[str]:
    """The methods whose maps a network's folder holds, its CAM first; may be none."""
    methods = sorted(path.stem for path in folder.glob("*.npy"))
    return sorted(methods, key=lambda method: method != OWN)


def read_maps(folder: Path, method: str) -> NDArray[np.float16] | None:
    """Maps (images, classes stored, h, w), read lazily from disk; None if the network has none."""
    path = folder / f"{method}.npy"
    return np.load(path, mmap_mode="r") if path.is_file() else None


def read_faithfulness(folder: Path, method: str) -> NDArray[np.float16] | None:
    """Of each image's likeliest class, (images, 3); None if not measured."""
    path = folder / _FAITHFULNESS / f"{method}.npy"
    return np.load(path) if path.is_file() else None


def write_effects(folder: Path, effects: pd.DataFrame) -> None:
    effects.to_parquet(folder / _EFFECTS, index=False)


def read_effects(folder: Path) -> pd.DataFrame | None:
    """What `camloc.maps.effects` found; None if it was not asked for."""
    path = folder / _EFFECTS
    return pd.read_parquet(path) if path.is_file() else None


def write_sanity(folder: Path, checked: pd.DataFrame) -> None:
    checked.to_parquet(folder / _SANITY, index=False)


def read_sanity(folder: Path) -> pd.DataFrame | None:
    """What `camloc.maps.sanity` found; None if it was not asked for."""
    path = folder / _SANITY
    return pd.read_parquet(path) if path.is_file() else None
