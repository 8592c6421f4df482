"""Ten crops and their maps, by hand."""

import numpy as np
import torch

from camloc.data.loading import ten_crops
from camloc.data.ten_crop import merge, places


def test_crops_are_the_corners_the_centre_and_their_mirrors():
    picture = torch.arange(3 * 7 * 7).reshape(3, 7, 7)
    crops = ten_crops(picture, 4)
    assert crops.shape == (10, 3, 4, 4)
    assert torch.equal(crops[1], picture[:, :4, 3:])
    assert torch.equal(crops[2], picture[:, 3:, :4])
    assert torch.equal(crops[4], picture[:, 2:6, 2:6])  # of three pixels to spare, two before
    assert torch.equal(crops[8], picture[:, 3:, 3:].flip(-1))


def test_places_of_the_paper():
    assert places(256, 224) == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def test_maps_that_are_their_crops_merge_into_the_picture():
    picture = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = ten_crops(picture, 6)[:, 0].numpy()
    merged = merge(maps, 8, 6, absolute_sum=False)
    np.testing.assert_allclose(merged, picture[0].numpy(), atol=1e-5)


def test_absolute_sum_counts_each_covering_crop():
    """In a square of 4 with crops of 3: a corner is in one crop and its mirror, the middle in all
    five and theirs. Values of -1 count as 1."""
    merged = merge(np.full((10, 3, 3), -1.0), 4, 3)
    assert merged[3, 0] == 2
    assert merged[1, 1] == 10
    assert (merge(np.full((10, 3, 3), -1.0), 4, 3, absolute_sum=False) == -1).all()
