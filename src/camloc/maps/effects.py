"""What each part of an object does to a network's answer, where there are pictures that lack it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn

from camloc.core.params import Preprocessing
from camloc.data.loading import IMAGENET, standardise
from camloc.data.manifest import Manifest

EFFECTS = ["image", "part", "change", "effect"]
_WHOLE = 0  # in the place of a part: the picture as it is


def shown(manifest: Manifest, split: str, altered: pd.DataFrame) -> tuple[Manifest, pd.DataFrame]:
    """The pictures that a network is shown: those of a split that were altered, as they are and
    altered.

    Args:
        altered: as `camloc.data.alterations` has it.

    Returns:
        A manifest of them as this split, and what each is (`image`, `part`, `change`), in order.
    """
    images = manifest.split(split)
    own = altered[altered["image"].isin(images["image"])]
    whole = images[images["image"].isin(own["image"])].assign(part=_WHOLE, change="")
    sides = images.set_index("image")[["split", "width", "height"]]
    table = pd.concat([whole, own.join(sides, on="image")], ignore_index=True)
    table = table.sort_values("path", ignore_index=True)  # which become the ids, that order a split
    listed = table.assign(image=table["path"], wnid=None, mask=None)[manifest.images.columns]
    seen = Manifest(manifest.source, manifest.root, manifest.classes, listed, manifest.boxes[:0])
    return seen, table[EFFECTS[:3]]


@torch.no_grad()
def effects_of_parts(
    network: nn.Module,
    pictures: pd.DataFrame,
    batches: Iterable,
    device: torch.device,
    wanted: Preprocessing = IMAGENET,
) -> pd.DataFrame:
    """By how much the logit of the class that is likeliest on the whole picture falls where a part
    is altered: `EFFECTS`.

    Args:
        network: in evaluation mode; gives logits (B, K).
        pictures: what `shown` says of them.
        batches: the pictures in this order, and labels, which are not looked at.
        wanted: what the network wants of pictures.
    """
    given = [network(standardise(batch, device, wanted)).float().cpu() for batch, _ in batches]
    logits, whole = torch.cat(given).numpy(), (pictures["part"] == _WHOLE).to_numpy()
    places = pd.Series(np.flatnonzero(whole), index=pictures.loc[whole, "image"])
    originals = places.loc[pictures["image"]].to_numpy()
    likeliest = logits[originals].argmax(1)
    falls = logits[originals, likeliest] - logits[np.arange(len(logits)), likeliest]
    return pictures.assign(effect=falls)[~whole].reset_index(drop=True)
