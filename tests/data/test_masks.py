"""Masks as people store them: instances, palettes, colours, transparency, ignored pixels."""

import cv2
import numpy as np
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.masks import BACKGROUND, IGNORED, OBJECT, listed, read_mask, read_masks, read_parts


def read(path, **options) -> list[list[int]]:
    return read_mask(path, **options).tolist()


@pytest.mark.parametrize("value", [1, 255, 256, 1000, 65535])
def test_every_instance_of_sixteen_bits_is_an_object(tmp_path, value):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, value]], np.uint16))
    assert read(tmp_path / "a.png") == [[BACKGROUND, OBJECT]]


def test_index_of_a_palette_counts_and_not_its_colour(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0])  # the last is as black as the first
    image.putdata([0, 1, 2, 3])
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[BACKGROUND, OBJECT, OBJECT, OBJECT]]


@pytest.mark.parametrize("colour", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_any_channel_above_zero_is_an_object(tmp_path, colour):
    Image.fromarray(np.array([[(0, 0, 0), colour]], np.uint8)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[BACKGROUND, OBJECT]]


def test_opaque_black_and_transparent_colour_are_background(tmp_path):
    pixels = [[(0, 0, 0, 255), (9, 9, 9, 0), (9, 0, 0, 255)]]
    Image.fromarray(np.array(pixels, np.uint8)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[BACKGROUND, BACKGROUND, OBJECT]]


def test_ignored_is_what_is_named_and_else_an_object(tmp_path):
    Image.fromarray(np.array([[0, 7, 255]], np.uint8)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[BACKGROUND, OBJECT, OBJECT]]
    assert read(tmp_path / "a.png", ignore=255) == [[BACKGROUND, OBJECT, IGNORED]]
    assert read(tmp_path / "a.png", ignore=7) == [[BACKGROUND, IGNORED, OBJECT]]


@pytest.mark.parametrize("size", [(160, 120), (500, 316), (16, 16)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_eight_bits_a_colour_are_read_whatever_the_size(tmp_path, size, mode):
    Image.new(mode, size, "white").save(tmp_path / "a.png")
    assert (read_mask(tmp_path / "a.png") == OBJECT).all()


def test_black_and_white_of_one_bit(tmp_path):
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [[BACKGROUND, OBJECT]]


@pytest.mark.parametrize("name", ["rgb16.png", "floats.tif", "broken.png", "missing.png"])
def test_what_cannot_be_read_unchanged_is_refused_by_name(tmp_path, name):
    cv2.imwrite(str(tmp_path / "rgb16.png"), np.ones((2, 2, 3), np.uint16))
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "floats.tif")
    (tmp_path / "broken.png").write_bytes((tmp_path / "rgb16.png").read_bytes()[:40])
    with pytest.raises(UserError, match=name):
        read_mask(tmp_path / name)


def test_parts_of_the_labelled_object_alone(tmp_path):
    """The second object (32) covers part of the first (16)."""
    Image.fromarray(np.array([[0, 17, 18, 33]], np.uint8)).save(tmp_path / "a.png")
    assert read_parts(tmp_path, "a.png").tolist() == [[0, 1, 2, 0]]


def test_masks_of_one_image_that_differ_in_size_are_refused(tmp_path):
    for name, width in (("a", 3), ("b", 4)):
        Image.new("L", (width, 2), 1).save(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match=r"b\.png is 4×2 pixels and another of its image 3×2"):
        read_masks(tmp_path, listed(["a.png", "b.png"]))


def test_image_without_masks_lists_none():
    assert listed([]) is None
