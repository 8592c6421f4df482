"""Does a map tell the parts that a network's answer hangs on from those that it does not?

Where pictures are there that lack a part, its true effect is known. The protocol is the single
deletion of R. Hesse, S. Schaub-Meyer and S. Roth, *FunnyBirds* (ICCV 2023), who correlate the
effects with what a map holds on the parts; here the pairs of parts are counted that both order
alike.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.paper import upsample
from camloc.boxes.predictions import Split
from camloc.data.alterations import CHANGES
from camloc.maps import store

CAUSES = {change: f"causes_{change}" for change in CHANGES}


def causes(split: Split, method: str) -> pd.DataFrame:
    """Of the map of each image's likeliest class how many of the pairs of parts it orders as their
    effects are ordered, by image and change; may have no rows."""
    effects = store.read_effects(split.stored())
    if effects is None:
        return pd.DataFrame(columns=[*CAUSES.values()])
    maps = store.read_maps(split.stored(), method)
    places = {image: i for i, image in enumerate(split.images["image"])}
    found = {}
    for image, own in effects[effects["image"].isin(split.masks)].groupby("image"):
        mask = split.masks[image]()
        full = np.maximum(upsample(maps[places[image], 0], mask.shape[1], mask.shape[0]), 0)
        lit = np.bincount(mask.ravel(), full.ravel(), minlength=own["part"].max() + 1)
        found[image] = {
            CAUSES[change]: ordered(table["effect"].to_numpy(), lit[table["part"]])
            for change, table in own.groupby("change")
        }
    return pd.DataFrame.from_dict(found, orient="index", columns=[*CAUSES.values()])


def ordered(effects: NDArray, lit: NDArray) -> float:
    """The share of the pairs of parts of different effect that a map, which holds so much on them,
    orders alike; a pair that it does not order counts half. NaN where there is no pair."""
    first, second = np.triu_indices(len(effects), 1)
    true, told = (np.sign(values[first] - values[second]) for values in (effects, lit))
    differ = true != 0
    return float((1 + true * told)[differ].mean() / 2) if differ.any() else np.nan
