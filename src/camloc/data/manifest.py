"""The manifest: what a data set is to everything after the data stage.

A folder of Parquet tables and one JSON file:

- `images.parquet`: one row per image: `image` (id), `path` (relative to the root), `split`
  (train, val or test), `wnid` (its label; null where withheld), `width`, `height` (pixels),
  `mask` (its masks as `camloc.data.masks.listed` has them, or null)
- `boxes.parquet`: one row per box: `image`, `wnid`, `xmin`, `ymin`, `xmax`, `ymax` (inclusive
  pixels), in the order of the images table
- `dataset.json`: source, root (relative to the manifest's parent folder where it lies in it),
  classes (wnid to name), the known defects of image files (see `examine`) and the fingerprint

Ground truth that must stay unseen until scoring lies in a folder of its own (see `save_truth`).
Labels are wnids in every file, because label orders differ between the devkit, Kaggle and
torchvision.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.core.errors import UserError, refuse, refusing
from camloc.core.files import read_text, replacing
from camloc.data.pictures import read_photo, read_picture

SPLITS = ("train", "val", "test")
IMAGE_COLUMNS = ["image", "path", "split", "wnid", "width", "height", "mask"]
BOX_COLUMNS = ["image", "wnid", "xmin", "ymin", "xmax", "ymax"]
TRUTH_COLUMNS = ["image", "wnid", "mask"]


@dataclass(frozen=True)
class Manifest:
    """A data set as tables; `classes` maps each wnid to its name, in sorted order of wnids.

    `defects` maps each kind of defect among the image files to the sorted ids of those that have
    it; all of them can be read.
    """

    source: str
    root: Path
    classes: dict[str, str]
    images: pd.DataFrame
    boxes: pd.DataFrame
    defects: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    @property
    def wnids(self) -> list[str]:
        """The classes in the order of the networks' outputs."""
        return sorted(self.classes)

    @property
    def read(self) -> Callable[[Path], NDArray[np.uint8]]:
        """What reads a picture's file, RGB (height, width, 3): of images of one's own as a person
        sees them, of published data as it is stored, since boxes are drawn on that."""
        return read_photo if self.source == "folder" else read_picture

    def picture(self, path: str) -> NDArray[np.uint8]:
        """The picture of a path of the images table."""
        return self.read(self.root / path)

    @property
    def masks_have_parts(self) -> bool:
        """Whether a mask's file holds objects and their parts, as `shapes` has it; any other
        source's is above zero on the labelled object."""
        return self.source == "shapes"

    def split(self, name: str) -> pd.DataFrame:
        """The images of one split, in the order of their ids."""
        chosen = self.images[self.images["split"] == name]
        return chosen.sort_values("image", ignore_index=True)

    def with_part(self, split: str, part: int, count: int) -> "Manifest":
        """The manifest with, of one split, only the images of a part: parts are consecutive, of
        `count` images each."""
        kept = self.split(split)["image"].iloc[part * count : (part + 1) * count]
        chosen = (self.images["split"] != split) | self.images["image"].isin(kept)
        return dataclasses.replace(self, images=self.images[chosen])

    def short_name(self, wnid: str) -> str:
        """The first of a class's names, for titles; empty for a withheld label."""
        return self.classes[wnid].split(",")[0] if wnid in self.classes else ""

    def boxes_of(self, image: str, wnid: str | None = None) -> np.ndarray:
        """The boxes of an image (N, 4), of one class where it is given."""
        chosen = self.boxes["image"] == image
        if wnid is not None:
            chosen &= self.boxes["wnid"] == wnid
        return self.boxes.loc[chosen, BOX_COLUMNS[2:]].to_numpy()

    def box_quantiles(self) -> pd.DataFrame:
        """Quantiles of the largest box of each image that has one.

        Area and centre are fractions of the image, `log(w/h)` is of the box's sides in pixels.
        """
        boxes = self.boxes.merge(self.images[["image", "width", "height"]], on="image")
        w = boxes["xmax"] - boxes["xmin"] + 1
        h = boxes["ymax"] - boxes["ymin"] + 1
        boxes["area"] = w * h / (boxes["width"] * boxes["height"])
        boxes["centre x"] = (boxes["xmin"] + w / 2) / boxes["width"]
        boxes["centre y"] = (boxes["ymin"] + h / 2) / boxes["height"]
        boxes["log(w/h)"] = np.log(w / h)
        largest = boxes.sort_values("area").drop_duplicates("image", keep="last")
        columns = ["area", "centre x", "centre y", "log(w/h)"]
        return largest[columns].quantile([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])

    def validate(self) -> "Manifest":
        """Refuse tables that no later stage could use; the message lists the first three cases.

        Raises:
            UserError: as `validate_lists`; a box is outside its image.
        """
        self.validate_lists()
        merged = self.boxes.merge(self.images[["image", "path", "width", "height"]], on="image")
        outside = (
            (merged["xmin"] < 0)
            | (merged["ymin"] < 0)
            | (merged["xmax"] >= merged["width"])
            | (merged["ymax"] >= merged["height"])
        )
        limits = "inclusive pixels run from 0 to width - 1, height - 1"
        self._refuse(merged[outside], f"has boxes outside their image ({limits})")
        return self

    def validate_lists(self) -> None:
        """The part of `validate` that needs no sizes of images, which are slow to read.

        Raises:
            UserError: a label or box of an unknown class, an inverted box, an image id given twice,
                a class without a training image where there are any.
        """
        images, boxes = self.images, self.boxes
        twice = images[images["image"].duplicated(keep=False)].sort_values("image", kind="stable")
        self._refuse(twice, "lists images twice (ids are file names without their ends)")
        labelled = images[images["wnid"].notna()]
        unknown = ~labelled["wnid"].isin(self.classes)
        self._refuse(labelled[unknown], "has images of an unknown class")
        self._refuse(boxes[~boxes["wnid"].isin(self.classes)], "has boxes of an unknown class")
        merged = boxes.merge(images[["image", "path"]], on="image", how="left")
        self._refuse(merged[merged["path"].isna()], "has boxes of images that are not listed")
        inverted = (merged["xmin"] > merged["xmax"]) | (merged["ymin"] > merged["ymax"])
        self._refuse(merged[inverted], "has inverted boxes (xmin > xmax or ymin > ymax)")
        trained = set(images.loc[images["split"] == "train", "wnid"])
        untrained = [wnid for wnid in self.wnids if trained and wnid not in trained]
        without = [f"{wnid} ({self.classes[wnid]})" for wnid in untrained]
        advice = "give them images or take them out of the class list"
        refuse(self.root, without, "has no training image of", advice)

    def _refuse(self, rows: pd.DataFrame, what: str) -> None:
        """End with the first three of the rows, if there are any."""
        shown = ["path", *BOX_COLUMNS[1:], "width", "height"]
        cases = [
            f"{row['image']} "
            f"({', '.join(f'{name}={row[name]}' for name in shown if pd.notna(row.get(name)))})"
            for row in rows.to_dict("records")
        ]
        refuse(self.root, cases, what)

    def withhold(self, split: str) -> tuple["Manifest", pd.DataFrame, pd.DataFrame]:
        """Take the labels, masks and boxes of a split out.

        Returns:
            The manifest without them, the withheld labels (`image`, `wnid`, `mask`) and boxes.
        """
        hidden = self.images["split"] == split
        labels = self.images.loc[hidden, TRUTH_COLUMNS].reset_index(drop=True)
        hidden_boxes = self.boxes["image"].isin(labels["image"])
        images = self.images.copy()
        images.loc[hidden, ["wnid", "mask"]] = None
        open_boxes = self.boxes[~hidden_boxes].reset_index(drop=True)
        return (
            dataclasses.replace(self, images=images, boxes=open_boxes),
            labels,
            self.boxes[hidden_boxes].reset_index(drop=True),
        )

    def with_truth(self, folder: Path) -> "Manifest":
        """Put back the labels, masks and boxes of a folder that `save_truth` wrote.

        Raises:
            UserError: the folder is missing, or it is of images that are not in this manifest.
        """
        labels = _read_table(folder / "labels.parquet").set_index("image")
        images = self.images.set_index("image")
        stray = sorted(set(labels.index) - set(images.index))
        what = "holds the ground truth of images that the manifest lacks"
        refuse(folder, stray, what, "they come from different runs: make both again")
        for column in labels:  # not DataFrame.update, which leaves the columns' dtypes to chance
            images.loc[labels.index, column] = labels[column]
        boxes = pd.concat([self.boxes, _read_table(folder / "boxes.parquet")], ignore_index=True)
        order = np.argsort(images.index.get_indexer(boxes["image"]), kind="stable")
        return dataclasses.replace(
            self,
            images=images.reset_index()[IMAGE_COLUMNS],
            boxes=boxes.iloc[order].reset_index(drop=True),
        )

    def fingerprint(self) -> dict:
        """Names, bytes and number of the image files: cheap, and enough to notice a swap."""
        digest, total = hashlib.sha256(), 0
        for path in sorted(self.images["path"]):
            size = (self.root / path).stat().st_size
            digest.update(f"{path} {size}\n".encode())
            total += size
        return {"files": len(self.images), "bytes": total, "sha256": digest.hexdigest()}

    def save(self, folder: Path) -> None:
        """Write the manifest; an earlier one stays whole until the new one is."""
        with replacing(folder) as new:
            self.images[IMAGE_COLUMNS].to_parquet(new / "images.parquet", index=False)
            self.boxes[BOX_COLUMNS].to_parquet(new / "boxes.parquet", index=False)
            about = {
                "source": self.source,
                "root": _portable(self.root, folder.parent),
                "classes": {wnid: self.classes[wnid] for wnid in self.wnids},
                "defects": self.defects,
                "fingerprint": self.fingerprint(),
            }
            text = json.dumps(about, indent=2, ensure_ascii=False)
            (new / "dataset.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read what `save` wrote.

        Raises:
            UserError: nothing was saved in the folder yet, or a file there is damaged.
        """
        images = _read_table(folder / "images.parquet")
        boxes = _read_table(folder / "boxes.parquet")
        with _made_by_the_data_stage(folder / "dataset.json") as path:
            about = json.loads(read_text(path))
            root, defects = folder.parent / about["root"], about.get("defects", {})
            return cls(about["source"], root, about["classes"], images, boxes, defects)


def saved_digest(folder: Path) -> str:
    """The digest in the fingerprint that a manifest was saved with.

    Raises:
        UserError: nothing was saved in the folder yet, or it is damaged.
    """
    with _made_by_the_data_stage(folder / "dataset.json") as path:
        return json.loads(read_text(path))["fingerprint"]["sha256"]


def _portable(root: Path, study: Path) -> str:
    """The root relative to the study's folder where it lies in it, so that both can move.

    Raises:
        UserError: JSON cannot hold it.
    """
    root, study = root.absolute(), study.absolute()
    portable = root.relative_to(study) if root.is_relative_to(study) else root
    with refusing(f"the path {bytes(portable)} is not UTF-8", "rename the folder"):
        return bytes(portable).decode()


def save_truth(
    folder: Path, labels: pd.DataFrame, boxes: pd.DataFrame, masks: Path | None = None
) -> None:
    """Write withheld labels and boxes (both may be empty) where only scoring reads them.

    Args:
        masks: the folder of the withheld masks, moved in as `masks`; their paths in `labels`
            must say so already.
    """
    with replacing(folder) as new:
        if masks is not None:
            shutil.move(masks, new / "masks")
        labels[TRUTH_COLUMNS].to_parquet(new / "labels.parquet", index=False)
        boxes[BOX_COLUMNS].to_parquet(new / "boxes.parquet", index=False)


def _read_table(path: Path) -> pd.DataFrame:
    with _made_by_the_data_stage(path):
        return pd.read_parquet(path)


@contextmanager
def _made_by_the_data_stage(path: Path) -> Iterator[Path]:
    advice = "the data stage (00_data) makes it: run dvc repro"
    if not path.exists():
        raise UserError(f"{path} is missing; {advice}")
    with refusing(f"{path} is damaged", advice):
        yield path
