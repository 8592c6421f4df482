"""Shapes: reproducible pictures whose boxes, masks and labels say the same."""

import sys
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data import alterations
from camloc.data.pictures import examine
from camloc.data.sources import shapes


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Enough images for two processes where there are two processors."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return shapes.generate(folder, train=270, val=12, test=20, seed=3)


@pytest.fixture(scope="module")
def masks(manifest):
    return {
        row.image: np.array(Image.open(manifest.root / row.mask))
        for row in manifest.images.itertuples()
    }


def files(manifest):
    return {
        path: (manifest.root / path).read_bytes()
        for path in [*manifest.images["path"], *manifest.images["mask"]]
    }


def test_manifest_describes_the_files(manifest, masks):
    manifest.validate()
    assert manifest.source == "shapes" and manifest.root.name == "shapes"
    assert manifest.images["split"].value_counts().to_dict() == {
        "train": 270,
        "test": 20,
        "val": 12,
    }
    for row in manifest.images.itertuples():
        assert examine(manifest.root / row.path) == (row.width, row.height, ())
        assert masks[row.image].shape == (row.height, row.width)


def test_classes_are_balanced_within_each_split(manifest):
    for split in ("train", "val", "test"):
        counts = manifest.split(split)["wnid"].value_counts()
        assert len(counts) == 12 and counts.max() - counts.min() <= 1


def test_pixels_depend_on_seed_split_and_number_alone(manifest, tmp_path):
    fewer = shapes.generate(tmp_path / "fewer", train=13, val=0, test=3, seed=3)
    expected = files(manifest)
    assert len(files(fewer)) == 32
    assert all(expected[path] == content for path, content in files(fewer).items())
    other = shapes.generate(tmp_path / "other", train=12, val=0, test=0, seed=4)
    assert all(expected[path] != content for path, content in files(other).items())


def test_boxes_are_the_tight_boxes_of_the_masks(manifest, masks):
    for image, boxes in manifest.boxes.groupby("image"):
        assert set(np.unique(masks[image] // 16)) == set(range(len(boxes) + 1))
        for number, box in enumerate(boxes.itertuples(), start=1):
            places = np.argwhere(shapes.object_mask(masks[image], number))
            assert (box.ymin, box.xmin) == tuple(places.min(axis=0))
            assert (box.ymax, box.xmax) == tuple(places.max(axis=0))


def test_labelled_object_comes_first_and_has_the_largest_box(manifest):
    boxes = manifest.boxes.assign(
        area=lambda box: (box["xmax"] - box["xmin"] + 1) * (box["ymax"] - box["ymin"] + 1)
    )
    label = manifest.images.set_index("image")["wnid"]
    for image, group in boxes.groupby("image"):
        assert group["wnid"].iloc[0] == label[image]
        assert group["area"].idxmax() == group.index[0]
        assert group["wnid"].is_unique


def test_about_fifteen_percent_of_images_hold_two_objects(manifest):
    counts = manifest.boxes["image"].value_counts()
    assert set(counts) == {1, 2}
    assert 0.09 < (counts == 2).mean() < 0.21


def parts_of(mask, number, shape):
    """Where each part of an object is seen, in the order that its class declares them in."""
    return [mask == 16 * number + part for part in range(1, len(shape.parts) + 1)]


def test_masks_hold_the_parts_that_the_class_declares(manifest, masks):
    shown = Counter()
    for image, boxes in manifest.boxes.groupby("image"):
        for number, wnid in enumerate(boxes["wnid"], start=1):
            parts = parts_of(masks[image], number, shapes.CLASSES[wnid])
            assert np.array_equal(np.any(parts, axis=0), shapes.object_mask(masks[image], number))
            shown.update((wnid, i) for i, part in enumerate(parts) if part.any())
    assert len(shown) == sum(len(shape.parts) for shape in shapes.CLASSES.values())


def test_first_part_is_small_and_no_other_class_has_it(manifest, masks):
    users = Counter(part.name for shape in shapes.CLASSES.values() for part in shape.parts)
    images = manifest.images
    for wnid, shape in shapes.CLASSES.items():
        assert users.pop(shape.parts[0].name) == 1
        sizes = [
            parts_of(masks[image], 1, shape)[0].sum() / shapes.object_mask(masks[image], 1).sum()
            for image in images.loc[images["wnid"] == wnid, "image"]
        ]
        assert 0.10 < np.median(sizes) < 0.30
    assert all(2 <= count <= 4 for count in users.values())


def measures(boxes, sizes):
    """Area, centre and log proportions of boxes with fractional edges, as the table has them."""
    side = boxes[:, 2:] - boxes[:, :2]
    x, y = ((boxes[:, :2] + side / 2) / sizes).T
    elongation = np.log(side[:, 0] / side[:, 1])
    return {"area": (side / sizes).prod(axis=1), "x": x, "y": y, "elongation": elongation}


def test_labelled_boxes_follow_the_quantiles_of_ilsvrc():
    """Within 0.03 in area and centre and 0.08 in log(width/height), over 4,000 layouts."""
    rng = np.random.default_rng(0)
    layouts = [shapes.sample_layout(rng, "s0001") for _ in range(4000)]
    boxes = np.array([layout.boxes[0] for layout in layouts])
    sizes = np.array([(layout.width, layout.height) for layout in layouts])
    assert (boxes[:, :2] >= -1e-9).all() and (boxes[:, 2:] <= sizes + 1e-9).all()
    for name, values in measures(boxes, sizes).items():
        measured = np.quantile(values, shapes.LEVELS[1:-1])
        tolerance = 0.08 if name == "elongation" else 0.03
        assert np.abs(measured - shapes.QUANTILES[name][1:-1]).max() < tolerance, name


def test_drawn_object_fills_the_box_laid_out_for_it():
    for i in range(40):
        rng = np.random.default_rng(i)
        layout = shapes.sample_layout(rng, "s0005")
        if len(layout.boxes) == 1:
            rows, columns = np.nonzero(shapes.render(rng, layout)[1])
            drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(drawn - layout.boxes[0]).max() < 2


def between_share(values, groups):
    """The share of the variance of `values` (n, d) that the groups' means explain, each column."""
    total = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for group in np.unique(groups):
        chosen = values[groups == group]
        between += len(chosen) * (chosen.mean(axis=0) - values.mean(axis=0)) ** 2
    return between / total


def test_background_tells_nothing_of_the_class(manifest, masks):
    """Classes explain no more of the backgrounds' mean colours than chance: 11/301, about 4 %."""
    rows = [row for row in manifest.images.itertuples() if (masks[row.image] == 0).sum() > 500]
    means = np.array(
        [
            np.array(Image.open(manifest.root / row.path))[masks[row.image] == 0].mean(axis=0)
            for row in rows
        ]
    )
    assert between_share(means, np.array([row.wnid for row in rows])).max() < 0.08


def test_program_on_standard_input_needs_no_other_process(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>", raising=False)
    monkeypatch.setattr(shapes, "ProcessPoolExecutor", None)
    wanted = [("train", i) for i in range(1000)]
    assert shapes._write_all(lambda image: image, wanted) == wanted


def test_fewer_training_images_than_classes_are_refused(tmp_path):
    with pytest.raises(UserError, match="train is 11; give at least 12, one per class"):
        shapes.generate(tmp_path / "shapes", train=11, val=1, test=1, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def altered(tmp_path_factory):
    """Images whose parts are altered, too, and the table of these."""
    folder = tmp_path_factory.mktemp("data") / "altered"
    manifest = shapes.generate(folder, train=12, val=2, test=8, seed=3, altered=6)
    return manifest, alterations.load(manifest.root)


def test_every_visible_part_of_the_first_images_is_altered_in_each_way(altered):
    manifest, table = altered
    assert set(table["image"]) == {f"test_0000{i}" for i in range(6)} | {"val_00000", "val_00001"}
    for image, own in table.groupby("image"):
        mask = np.array(Image.open(manifest.root / f"masks/{image[:-6]}/{image}.png"))
        parts = (np.unique(mask[mask // 16 == 1]) % 16).tolist()
        made = [*zip(own["part"], own["change"], strict=True)]
        assert made == [(part, change) for part in parts for change in alterations.CHANGES]
        assert all((manifest.root / path).is_file() for path in own["path"])


def test_images_are_the_same_whether_they_are_altered_or_not(altered, manifest):
    expected = files(manifest)
    assert all(content == expected[path] for path, content in files(altered[0]).items())
    assert alterations.load(manifest.root).empty


def test_altered_part_changes_its_own_pixels_and_leaves_what_is_far_from_it():
    """A recoloured part changes its own pixels alone, but for the blur of the light; a removed one
    also its shadow, which reaches some 8 pixels and a blur of 3 far."""
    for i in range(4):
        _, picture, mask, made = shapes.sample_image(3, "test", i, altered=True)
        for (part, change), other in made.items():
            apart = np.abs(picture.astype(int) - other).max(axis=2) > 12
            own = (mask == 16 + part).astype(np.uint8)
            reach = {"recoloured": 5, "removed": 41, "moved": 0}[change]
            if reach:
                near = cv2.dilate(own, np.ones((reach, reach)))
                assert not apart[near == 0].any()
            if own.sum() > 20:
                assert apart[own == 1].mean() > 0.1 or (change == "moved" and apart.any())


def test_moved_part_stands_on_the_other_side_of_the_objects_middle():
    coverage = np.zeros((2, 20, 30), np.float32)
    coverage[0, 2:6, 4:8], coverage[1, 2:12, 4:24] = 1, 1  # the whole spans x 4 to 23, y 2 to 11
    paint = shapes.Paint(np.eye(2, 3), 0.0, (np.zeros((20, 30, 3)), np.zeros((20, 30, 3))))
    _, moved = shapes._altered(paint, coverage, 1, "moved")
    assert np.array_equal(np.argwhere(moved[0] > 0.5).min(0), [8, 20])
    assert np.array_equal(np.argwhere(moved[0] > 0.5).max(0), [11, 23])
    assert np.array_equal(moved[1], coverage[1])


def test_recoloured_part_has_the_opposite_hue():
    red = np.tile(np.float32([200, 40, 60]), (2, 2, 1))
    paint = shapes.Paint(np.eye(2, 3), 0.0, (red,))
    changed, _ = shapes._altered(paint, np.ones((1, 2, 2), np.float32), 1, "recoloured")
    assert changed.colours[0][0, 0].tolist() == [40, 200, 180]
