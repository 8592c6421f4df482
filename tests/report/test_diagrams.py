"""The figures that explain, by what is in them; how they look is for the eye."""

import numpy as np
import torch

from camloc.networks import backbones
from camloc.networks import surgery as networks
from camloc.report import diagrams, figures
from camloc.report.diagrams import Part


def test_runs_of_layers_are_alexnets_published_sizes():
    alexnet = backbones.whole("alexnet", 1000, width=0.25).eval()
    assert diagrams.parts(alexnet, "features.11", 224) == [
        Part(3, 224, True),
        Part(16, 55, True),
        Part(48, 27, True),
        Part(64, 13, True),
        Part(64, 6, False),
        Part(2304, 1, False),
        Part(1024, 1, False),
        Part(1000, 1, False),
    ]


def test_layers_after_a_cut_are_told_apart_though_their_maps_are_as_large():
    googlenet = backbones.whole("googlenet", 10, width=0.125).eval()
    of_14 = [part for part in diagrams.parts(googlenet, "inception4c", 224) if part.side == 14]
    assert [part.is_kept for part in of_14] == [True, False]


def test_diagram_of_surgery_that_adds_no_layer_goes_from_what_is_kept_to_the_pool():
    alexnet = backbones.whole("alexnet", 10, width=0.125)
    cut = networks.build("alexnet", "features.11", [], width=0.125, num_classes=10)
    figure = diagrams.surgery(alexnet, cut.eval(), "features.11", ["alexnet", "alexnet-gap"], 224)
    shown = [text.get_text() for text in figure.axes[1].texts]
    *_, last, pooled, classes = filter(None, shown)
    assert last == "32\n13×13"  # 256 units, at an eighth of the width
    assert (pooled, classes) == ("32\npooled (gap)", "10\nclasses")


def test_diagram_of_surgery_shows_both_networks():
    alexnet = backbones.whole("alexnet", 10, width=0.125)
    cut = networks.build("alexnet", "features.11", [64, 32], width=0.125, num_classes=10)
    figure = diagrams.surgery(alexnet, cut.eval(), "features.11", ["alexnet", "alexnet2-gap"], 224)
    before, after = ([text.get_text() for text in panel.texts] for panel in figure.axes)
    assert before[0] == after[0] == "3\n224×224"
    assert [text for text in after if text][-3:] == [
        "4\n13×13\n2 conv 3×3",  # the declaration's 32 units, at an eighth of the width
        "4\npooled (gap)",
        "10\nclasses",
    ]


def titles(figure) -> list[str]:
    return [panel.get_title() for panel in figure.axes]


def test_strongest_units_come_first():
    features = torch.rand(8, 2, 2)
    adds = torch.tensor([0.0, 3, -5, 1, 2, 0.5, 0.25, 0.125])
    figure = diagrams.units(np.zeros((20, 30, 3), np.uint8), features, adds, features[0], "cat")
    assert titles(figure) == [
        "the picture",
        "unit 1 adds +3.00",
        "unit 4 adds +2.00",
        "unit 3 adds +1.00",
        "unit 5 adds +0.50",
        "unit 6 adds +0.25",
        "unit 7 adds +0.12",
        "all 8 units: cat",
    ]


def test_steps_from_a_map_to_a_box_count_what_is_lit():
    full = np.zeros((4, 5), np.float32)
    full[0, :2] = full[3, 4] = 1
    figure = diagrams.from_map_to_box(
        np.zeros((4, 5, 3), np.uint8),
        np.eye(2),
        full,
        full > 0.2,
        [0, 0, 1, 0],
        np.array([[0, 0, 1, 1]]),
        0.5,
    )
    assert titles(figure) == [
        "the picture",
        "1. its map, 2×2",
        "2. upsampled to 4×5",
        "3. above the threshold: 15 % of it",
        "4. connected components: 2",
        "5. its box, IoU 0.50",
    ]


def test_map_that_is_above_the_threshold_everywhere_is_drawn():
    """All of it is lit, so that nothing is left to darken."""
    full = np.ones((4, 5), np.float32)
    picture, whole = np.zeros((4, 5, 3), np.uint8), [0, 0, 4, 3]
    lit = full > 0.2
    figure = diagrams.from_map_to_box(picture, full, full, lit, whole, np.array([whole]), 1.0)
    assert figures.png(figure).startswith(b"\x89PNG")
    assert titles(figure)[3:5] == [
        "3. above the threshold: 100 % of it",
        "4. connected components: 1",
    ]
