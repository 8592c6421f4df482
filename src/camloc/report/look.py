"""A look at pictures of one's own: the classes that a pretrained network sees in one, and where."""

import dataclasses
import json
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from camloc.boxes.paper import boxes_from_maps
from camloc.core.errors import UserError, near_matches, reason, refuse, refusing
from camloc.core.files import replacing_file, write_text
from camloc.core.params import Preprocessing
from camloc.core.rows import OWN, refusal
from camloc.data.loading import standardise, warp
from camloc.data.pictures import read_photo
from camloc.maps.cam import class_activation_maps
from camloc.maps.methods import method_maps
from camloc.networks import backbones, published, surgery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORK = "tf_efficientnet_lite0"  # whose weights come in a package
SIZE, THRESHOLD, TOP = 320, 0.2, 5
CELL = 8  # pixels a side over which the gradient saliency is averaged
EXAMPLES = ("chelsea.png", "coffee.png", "motorcycle_left.png", "astronaut.png")
SHOWN = 640  # pixels of the longer side of a picture that is drawn
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Seen:
    """A class in a picture: its number among ImageNet's in the order of their wnids, how probable
    the network finds it, its map (h, w) and its box in inclusive pixels of the picture."""

    index: int
    wnid: str
    name: str
    probability: float
    box: list[int]
    map: NDArray[np.float32]


@dataclass(frozen=True)
class Eye:
    """A network with published weights on ImageNet's 1,000 classes that has CAMs as it is: whole,
    with its layers by their names, and seen as one with CAMs."""

    name: str
    whole: nn.Module
    network: surgery.CamNetwork
    wanted: Preprocessing
    wnids: list[str]
    names: list[str]

    @classmethod
    def of(cls, backbone: str = NETWORK) -> "Eye":
        """Weights are of a package where there is one, else torchvision's or timm's, which are
        downloaded once.

        Raises:
            UserError: an unknown network, one without weights or without CAMs, a failed download.
        """
        backbones.check_name(backbone)
        source = "package" if backbone in published.PACKAGES else "torchvision"
        source = "timm" if source == "torchvision" and backbones.is_of_timm(backbone) else source
        published.check(backbone, source, width=1.0)
        whole = backbones.whole(backbone, 1000, weights=published.file(backbone, source)).eval()
        wanted, (wnids, names) = published.preprocessing(backbone, source), published.imagenet()
        network = surgery.with_its_own_cams(whole).eval()
        return cls(backbone, whole, network, wanted, wnids, names)

    def number(self, text: str) -> int:
        """The class of a number, a wnid or a name.

        Raises:
            UserError: there is none.
        """
        lower = [name.lower() for name in self.names]  # Cardigan is a dog, cardigan is worn
        for known, wanted in ((self.names, text), (self.wnids, text), (lower, text.lower())):
            if wanted in known:
                return known.index(wanted)
        if text.isdecimal() and int(text) < len(self.wnids):
            return int(text)
        raise UserError(
            f"no class {text!r} among ImageNet's{near_matches(text, self.names)}; give a name, a "
            f"wnid or a number up to {len(self.wnids) - 1}"
        )

    def look(
        self,
        picture: NDArray[np.uint8],
        classes: list[int] | None = None,
        size: int = SIZE,
        threshold: float = THRESHOLD,
        method: str = OWN,
    ) -> list[Seen]:
        """The classes in a picture (height, width, 3), by themselves the five most probable.

        The picture is warped to a square of `size` pixels; boxes are the paper's, around what
        `method` (see `camloc.maps.methods`) lights.
        """
        height, width = picture.shape[:2]
        square = warp(picture, size, self.wanted.interpolation)
        x = standardise(square[None], CPU, self.wanted)
        pixels = f"{size}×{size} pixels"
        with torch.no_grad():
            with refusing(f"{self.name} takes no pictures of {pixels}", "give another size"):
                features = self.network.features(x)
            scores = self.network.logits(features).softmax(1)[0]
            chosen = torch.tensor(classes or scores.topk(TOP).indices.tolist())
            maps = class_activation_maps(features, self.network.classifier.weight, chosen[None])
        if method != OWN:
            maps = method_maps(method, self.whole, self.network, x, chosen[None], CELL)
        low = maps[0].numpy()
        boxes = boxes_from_maps(low, np.tile([width, height], (len(low), 1)), threshold)
        return [
            Seen(i, self.wnids[i], self.names[i], float(scores[i]), box.tolist(), own)
            for i, own, box in zip(chosen.tolist(), low, boxes, strict=True)
        ]


def examples() -> list[Path]:
    """Free photographs that scikit-image's package holds; its README there has their licences.

    Raises:
        UserError: it is not installed.
    """
    package = find_spec("skimage")
    if package is None:
        raise UserError("give a picture; examples come with scikit-image, `uv sync --group photos`")
    folder = Path(package.submodule_search_locations[0]) / "data"
    return [folder / name for name in EXAMPLES]


def look(
    photos: list[Path],
    folder: Path,
    network: str = NETWORK,
    classes: list[str] | None = None,
    size: int = SIZE,
    threshold: float = THRESHOLD,
    method: str = OWN,
) -> None:
    """Print what a network sees in pictures, and write of each a PNG and a JSON of its name.

    Raises:
        UserError: a picture cannot be read (after the others are done), two have one name, a file
            of one would be written over, an unknown method, or any of `Eye`.
    """
    from camloc.report import figures  # plotting takes a second to import

    photos = photos or examples()
    _check_targets(photos, folder)
    if method != OWN and (why := refusal(method)):
        raise UserError(why)
    eye, failed = Eye.of(network), []
    chosen = [eye.number(text) for text in classes or []]
    for photo in photos:
        try:
            picture = read_photo(photo)
        except UserError as error:
            failed.append(str(error))
            continue
        seen = eye.look(picture, chosen, size, threshold, method)
        told = {
            "photo": str(photo),
            "height": picture.shape[0],
            "width": picture.shape[1],
            "network": network,
            "size": size,
            "threshold": threshold,
            "method": method,
            "classes": [
                {k: v for k, v in dataclasses.asdict(one).items() if k != "map"} for one in seen
            ],
        }
        target, text = folder / f"{photo.stem}.png", json.dumps(told, indent=2) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(target.with_suffix(".json"), text)
            with replacing_file(target) as new:
                new.write_bytes(figures.png(drawn(picture, seen)))
        except OSError as error:
            raise UserError(
                f"{target} cannot be written ({reason(error)}); give another folder with --out"
            ) from None
        print(f"{photo.name}: " + ", ".join(f"{s.name} {s.probability:.2f}" for s in seen))
        print(f"  {target}")
    if failed:
        raise UserError("\n".join(failed))


def _check_targets(photos: list[Path], folder: Path) -> None:
    """Refuse pictures whose results would take the place of one another, or of a picture."""
    stems = [photo.stem for photo in photos]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    refuse(folder, twice, "would hold several results of the name", "look at those one by one")
    given = {photo.resolve() for photo in photos}
    over = [f"{stem}.png" for stem in stems if (folder / f"{stem}.png").resolve() in given]
    refuse(
        folder, over, "holds pictures that would be written over", "give another folder as --out"
    )


def drawn(picture: NDArray[np.uint8], seen: list[Seen]) -> "Figure":
    """A picture, and the picture under the map of each class that was seen in it, with its box."""
    from camloc.report.figures import PREDICTED, draw_boxes, draw_picture, grid

    height, width = picture.shape[:2]
    scale = min(1.0, SHOWN / max(height, width))
    sides = [max(1, round(scale * side)) for side in (width, height)]
    small = cv2.resize(picture, sides, interpolation=cv2.INTER_AREA)
    aspect = min(max(height / width, 0.3), 3.0) + 0.1  # for the titles
    panels = 1 + len(seen)
    rows = 1 if panels < 4 else 2
    figure, axes = grid(rows, math.ceil(panels / rows), side=2.6, aspect=aspect)
    draw_picture(axes[0, 0], small)
    for panel, one in zip(axes.flat[1:], seen, strict=False):
        draw_picture(panel, small, f"{one.name} {one.probability:.2f}", one.map)
        draw_boxes(panel, scale * np.array(one.box), PREDICTED)
    return figure
