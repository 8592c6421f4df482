"""The true effects of parts, on a network whose answer is known."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from camloc.core.params import Preprocessing
from camloc.data.alterations import COLUMNS
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.maps.effects import effects_of_parts, shown

AS_THEY_ARE = Preprocessing(scale=255, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def manifest():
    images = [
        (name, f"images/{name}.jpg", split, None, 8, 6, None)
        for name, split in (("b", "test"), ("a", "test"), ("c", "test"), ("v", "val"))
    ]
    boxes = pd.DataFrame(columns=BOX_COLUMNS)
    return Manifest(
        "shapes", Path("root"), {"n1": "one"}, pd.DataFrame(images, columns=IMAGE_COLUMNS), boxes
    )


ALTERED = pd.DataFrame(
    [
        ("a", 1, "removed", "altered/a-1.jpg"),
        ("a", 2, "removed", "altered/a-2.jpg"),
        ("b", 1, "moved", "altered/b-1.jpg"),
        ("v", 1, "moved", "altered/v-1.jpg"),
    ],
    columns=COLUMNS,
)


def test_pictures_that_are_shown_are_the_altered_ones_of_a_split_and_what_they_come_from(manifest):
    seen, pictures = shown(manifest, "test", ALTERED)
    paths = [f"altered/{name}.jpg" for name in ("a-1", "a-2", "b-1")]
    paths += ["images/a.jpg", "images/b.jpg"]  # c was not altered
    assert seen.split("test")["path"].tolist() == paths
    assert seen.split("test")[["width", "height"]].to_numpy().tolist() == [[8, 6]] * 5
    assert pictures.to_numpy().tolist() == [
        ["a", 1, "removed"],
        ["a", 2, "removed"],
        ["b", 1, "moved"],
        ["a", 0, ""],
        ["b", 0, ""],
    ]


class MeanOfColours(nn.Module):
    """Its logits are the mean of red, and twice that of green."""

    def forward(self, x):
        means = x.mean((2, 3))
        return torch.stack([means[:, 0], 2 * means[:, 1]], 1)


def test_effect_is_what_the_class_of_the_whole_picture_loses(manifest):
    """a is of the first class, whatever an altered one of it is, b of the second."""
    colours = [(30, 0, 0), (10, 90, 0), (0, 20, 0), (40, 10, 0), (0, 50, 0)]
    pictures = torch.tensor(colours, dtype=torch.uint8)[..., None, None].expand(-1, -1, 4, 4)
    batches = [(pictures[:2], None), (pictures[2:], None)]
    table = shown(manifest, "test", ALTERED)[1]
    cpu = torch.device("cpu")
    found = effects_of_parts(MeanOfColours(), table, batches, cpu, AS_THEY_ARE)
    assert found["image"].tolist() == ["a", "a", "b"]
    assert found["part"].tolist() == [1, 2, 1]
    assert found["effect"].tolist() == pytest.approx([40 - 30, 40 - 10, 2 * (50 - 20)])
