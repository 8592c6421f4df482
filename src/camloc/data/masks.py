"""The one reader of masks: where the object is, where nobody says, and where its parts are.

An image may have several masks, of which each has one object, and masks of what counts for neither
object nor background, as wsolevaluation has them of OpenImages. A manifest lists them as text
(`listed`), a path a line.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camloc.core.errors import UserError, refusing
from camloc.data.pictures import opened

BACKGROUND, OBJECT, IGNORED = 0, 1, 255
_IGNORE = "ignore:"  # before the path of a mask of what is to be ignored


def listed(masks: Sequence[str], ignored: Sequence[str] = ()) -> str | None:
    """The masks of an image as a manifest lists them, None where there are none."""
    return "\n".join([*masks, *(f"{_IGNORE}{path}" for path in ignored)]) or None


def paths_of(masks: str) -> list[str]:
    """The paths in what `listed` gave."""
    return [line.removeprefix(_IGNORE) for line in masks.split("\n")]


def read_masks(root: Path, masks: str) -> NDArray[np.uint8]:
    """What `listed` gave, as one mask (height, width): an object is wherever any mask has one, and
    what is to be ignored counts where there is none.

    Raises:
        UserError: as `read_mask`, or two are of different sizes.
    """
    found: NDArray[np.uint8] | None = None
    for line in sorted(masks.split("\n"), key=lambda line: line.startswith(_IGNORE)):
        path = root / line.removeprefix(_IGNORE)
        own = read_mask(path)
        found = np.zeros_like(own) if found is None else found
        if own.shape != found.shape:
            raise UserError(
                f"mask {path} is {own.shape[1]}×{own.shape[0]} pixels and another of its image "
                f"{found.shape[1]}×{found.shape[0]}; save them alike"
            )
        value = IGNORED if line.startswith(_IGNORE) else OBJECT
        found[(own == OBJECT) & (found == BACKGROUND)] = value
    return found


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


def read_parts(root: Path, mask: str) -> NDArray[np.uint8]:
    """The mask of an image of `shapes`: 0 beside the labelled object, on it the number of the part
    from 1. The file holds 16 times the number of the object, the labelled one's being 1, plus the
    part's.

    Raises:
        UserError: the file is missing or no image.
    """
    values = _channels(root / mask)[0][:, :, 0]
    return np.where(values // 16 == 1, values % 16, 0).astype(np.uint8)


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
