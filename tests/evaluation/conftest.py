"""Four small pictures, and the predictions and maps of a network on them."""

import numpy as np
import pandas as pd
import pytest
from four_pictures import CLASSES, LEFT, RIGHT, WNIDS

from camloc.boxes.predictions import Split
from camloc.data.manifest import Manifest
from camloc.maps.store import Geometry, MapWriter, write_geometry


@pytest.fixture
def manifest(tmp_path):
    """20×10 test pictures: a and b with a box, c without a label, d without a box."""
    images = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d"],
            "path": [f"{name}.png" for name in "abcd"],
            "split": "test",
            "wnid": ["n1", "n2", None, "n3"],
            "width": 20,
            "height": 10,
            "mask": None,
        }
    )
    rows = [("a", "n1", *LEFT), ("b", "n2", *RIGHT)]
    boxes = pd.DataFrame(rows, columns=["image", "wnid", "xmin", "ymin", "xmax", "ymax"])
    return Manifest("test", tmp_path, {wnid: wnid for wnid in WNIDS}, images, boxes)


@pytest.fixture
def stored(tmp_path, manifest):
    """Writes predictions and maps by method, those above but for what is given."""

    def write(classes=CLASSES, **maps) -> Split:
        folder = tmp_path / "predictions"
        writer = MapWriter(folder / "test", ["a", "b", "c", "d"], WNIDS)
        ranks = np.tile([1, 2], (4, 1))
        maps = {method: np.array(low) for method, low in maps.items()}
        writer.write(np.array(classes), ranks, 1 / ranks, maps)
        writer.close()
        write_geometry(folder / "test", Geometry(20, 20, [(9.5, 20), (4.5, 10)]))
        return Split(folder, manifest, "test")

    return write
