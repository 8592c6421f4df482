"""Insertion, deletion and the average drop, by hand."""

import pytest
import torch
from torch import nn

from camloc.maps.faithfulness import PASSES, STEPS, faithfulness

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


def measured(*maps, classes=None, network=None):
    """Insertion, deletion and average drop of each map."""
    x = PICTURE.expand(len(maps), 3, SIDE, SIDE)
    chosen = torch.tensor(classes or [0] * len(maps))
    return faithfulness(network or SeesTheObject(), x, {"some": torch.stack(maps)}, chosen)["some"]


def areas(*maps, classes=None):
    return measured(*maps, classes=classes)[:, :2]


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


def test_average_drop_is_the_share_of_the_score_that_is_lost_under_the_map():
    """The network sees pixels that are as they were: those whose map has its maximum."""
    half = OBJECT.clone()
    half[:5] /= 2
    drops = measured(OBJECT, half, 3 * OBJECT, 1 - OBJECT, torch.zeros(SIDE, SIDE))[:, 2]
    assert drops.tolist() == pytest.approx([0, 0.5, 0, 1, 1], abs=1e-5)


def test_score_that_rises_under_the_map_is_no_drop():
    assert measured(OBJECT, classes=[1])[0, 2] == 0
    assert measured(1 - OBJECT, classes=[1])[0, 2] == 0


def test_several_maps_are_measured_as_each_alone_and_share_what_knows_no_map():
    shown = []

    class Counting(SeesTheObject):
        def forward(self, x):
            shown.append(len(x))
            return super().forward(x)

    x, classes = PICTURE.expand(2, 3, SIDE, SIDE), torch.tensor([0, 1])
    maps = {"first": torch.stack([OBJECT, -OBJECT]), "second": torch.stack([-OBJECT, OBJECT])}
    together = faithfulness(Counting(), x, maps, classes)
    assert sum(shown) == len(x) * (3 + PASSES * len(maps))
    for method, own in maps.items():
        alone = faithfulness(SeesTheObject(), x, {method: own}, classes)
        assert torch.equal(together[method], alone[method])
