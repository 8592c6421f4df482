"""Figures of pictures whose parts were removed."""

import numpy as np
import pandas as pd
import pytest

from camloc.boxes.predictions import Split
from camloc.data import alterations
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.maps import store
from camloc.report import figures
from made import jpeg


@pytest.fixture
def split(tmp_path):
    """Two images of 8×6 pixels, of which the second has two parts that were altered."""
    images = [(name, f"{name}.jpg", "test", "n1", 8, 6, None) for name in ("a", "b")]
    manifest = Manifest(
        "shapes",
        tmp_path,
        {"n1": "one"},
        pd.DataFrame(images, columns=IMAGE_COLUMNS),
        pd.DataFrame(columns=BOX_COLUMNS),
    )
    changes = [("b", 1, "removed"), ("b", 3, "removed"), ("b", 1, "moved")]
    altered = [(*change, f"{change[1]}-{change[2]}.jpg") for change in changes]
    for name in ["a.jpg", "b.jpg", *(path for *_, path in altered)]:
        jpeg(tmp_path / name, (8, 6))
    alterations.save(tmp_path, altered)
    writer = store.MapWriter(tmp_path / "predictions" / "test", ["a", "b"], ["n1"])
    one = np.ones((2, 1))
    writer.write(np.zeros((2, 1), int), one, one, {"cam": np.ones((2, 1, 3, 4))})
    writer.close()
    return Split(tmp_path / "predictions", manifest, "test")


def test_each_removed_part_is_shown_with_the_scores_change(split):
    falls = [("b", 1, "removed", 2.5), ("b", 3, "removed", -0.5), ("b", 1, "moved", 9.0)]
    columns = ["image", "part", "change", "effect"]
    store.write_effects(split.stored(), pd.DataFrame(falls, columns=columns))
    figure = figures.without_parts(split, "cam", count=4)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["whole", "part 1: -2.5", "part 3: +0.5"]


def test_without_effects_there_is_no_figure(split):
    assert figures.without_parts(split, "cam", count=4) is None
