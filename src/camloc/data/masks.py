"""The one reader of masks: where the object is, where nobody says, and where its parts are."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camloc.core.errors import refusing
from camloc.data.pictures import opened

BACKGROUND, OBJECT, IGNORED = 0, 1, 255


def read_mask(path: Path, ignore: int | None = None) -> NDArray[np.uint8]:
    """A mask (height, width) of `BACKGROUND`, `OBJECT` and `IGNORED`.

    The file is read unchanged: of grey, 8 or 16 bits, and of a palette's indices every value above
    zero is an object, whatever instance or class it names; of colours every pixel with a channel
    above zero. A pixel whose alpha channel is zero is background.

    Args:
        ignore: the value, in every channel, of pixels that are neither, as 255 is in PASCAL VOC.

    Raises:
        UserError: the file is missing or no image, or its values would not survive reading: floats
            and 16 bits a colour channel.
    """
    values, alpha = _channels(path)
    mask = np.where((values > 0).any(axis=2) & alpha, OBJECT, BACKGROUND).astype(np.uint8)
    if ignore is not None:
        mask[(values == ignore).all(axis=2) & alpha] = IGNORED
    return mask


def read_parts(path: Path) -> NDArray[np.uint8]:
    """The mask of an image of `shapes`: 0 beside the labelled object, on it the number of the part
    from 1. The file holds 16 times the number of the object, the labelled one's being 1, plus the
    part's.

    Raises:
        UserError: the file is missing or no image.
    """
    mask = _channels(path)[0][:, :, 0]
    return np.where(mask // 16 == 1, mask % 16, 0).astype(np.uint8)


def _channels(path: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    """The values as stored (height, width, channels), and which pixels can be seen."""
    with (
        refusing(f"mask {path} cannot be read", "replace it, or put it back"),
        opened(path) as image,
    ):
        if image.mode == "F":
            raise ValueError("its pixels are floats; save it with 8 or 16 bits")
        raw_modes = [str(tile[3]) for tile in image.tile]  # such as RGB;16B
        if not image.mode.startswith("I") and any(";16" in raw for raw in raw_modes):
            raise ValueError("it has 16 bits a colour; save it as grey of 16 bits or RGB of 8")
        values = np.asarray(image)
        values = values.reshape(*values.shape[:2], -1)
        if image.mode not in ("LA", "PA", "RGBA"):
            return values, np.ones(values.shape[:2], dtype=bool)
        return values[:, :, :-1], values[:, :, -1] > 0
