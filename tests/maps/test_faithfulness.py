"""Insertion and deletion, by hand."""

import pytest
import torch
from torch import nn

from camloc.maps.faithfulness import STEPS, insertion_and_deletion

SIDE = 40
OBJECT = torch.zeros(SIDE, SIDE)
OBJECT[:10] = 1  # a quarter of the pixels
PICTURE = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1  # -1 and 1 in turns


class SeesTheObject(nn.Module):
    """Its first class's probability is the share of the object's pixels that are as they were."""

    def forward(self, x):
        same = ((x[:, 0] - PICTURE).abs() < 1e-6).float()
        share = (same * OBJECT).sum((1, 2)) / OBJECT.sum()
        return share.clamp(1e-6, 1 - 1e-6).logit()[:, None] * torch.tensor([1.0, 0.0])


def areas(*maps, classes=None):
    x = PICTURE.expand(len(maps), 3, SIDE, SIDE)
    chosen = torch.tensor(classes or [0] * len(maps))
    return insertion_and_deletion(SeesTheObject(), x, torch.stack(maps), chosen)


def test_map_of_the_object_brings_the_score_back_first_and_takes_it_away_first():
    """Of tenths of the pixels the object is whole, or gone, after two and a half: the probability
    is 0, 0.4, 0.8, 1, 1, … and 1, 0.6, 0.2, 0, 0, …; a map of all else does it last."""
    assert STEPS == 10
    insertion, deletion = areas(OBJECT, -OBJECT).T.tolist()
    assert insertion == pytest.approx(
        [0.1 * (0.4 + 0.8 + 7 + 0.5), 0.1 * (0.2 + 0.6 + 0.5)], abs=1e-5
    )
    assert deletion == pytest.approx(
        [0.1 * (0.5 + 0.6 + 0.2), 0.1 * (0.5 + 7 + 0.8 + 0.4)], abs=1e-5
    )


def test_low_maps_are_enlarged_and_only_their_order_counts():
    low = OBJECT[::10, ::10]
    assert areas(low, 4 * low).tolist() == areas(low, low).tolist()
    assert areas(low)[0, 0] > 0.8


def test_areas_are_of_the_class_that_is_asked_for():
    first, second = areas(OBJECT, OBJECT, classes=[0, 1]).tolist()
    assert second == pytest.approx([1 - area for area in first], abs=1e-5)
