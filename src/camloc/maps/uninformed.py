"""Maps that know nothing of a network, to measure others against."""

import zlib

import numpy as np
from numpy.typing import NDArray


def centre_gaussian(height: int = 224, width: int = 224) -> NDArray[np.float64]:
    """The baseline map of Choe et al. (2020): a Gaussian about the centre, deviation a quarter."""
    y, x = ((np.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    return np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * 0.25**2))


def noise(picture: NDArray, height: int, width: int) -> NDArray[np.float64]:
    """A map (height, width) of even noise from 0 to 1, always the same for a picture."""
    return np.random.default_rng(zlib.crc32(picture.tobytes())).random((height, width))
