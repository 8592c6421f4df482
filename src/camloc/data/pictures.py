"""The readers of pictures, for networks, figures and the explorer alike.

Pixels are taken as they are stored, because the boxes and masks of ILSVRC, CUB-200-2011 and Tiny
ImageNet are drawn on those: EXIF turns nothing. Photographs of one's own are taken as a person sees
them (`read_photo`; `Manifest.read` is the one of a data set). What is no 8-bit RGB becomes it:

- 16-bit grey: its upper 8 bits, as Pillow itself reads 16-bit colours
- a palette: its colours; grey and black and white: three equal channels
- transparency is left out, the colours under it stay
- CMYK, YCbCr, Lab: Pillow's conversion
- an animation: its first frame
- 32-bit integers and floats are refused, since nothing in the file says what white is
- a TIFF that is to be turned is refused, since Pillow turns it while it reads

Only the formats that data sets hold are opened.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from camloc.core.errors import UserError, refusing

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
_BITS, _BLACK = 258, 262  # TIFF's tags: bits of a value, and whether 0 is white (0) or black (1)
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes


# What counts is told once, by `examine` or an error; Pillow would warn at each reading of a file.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """The pixels of an image file, RGB (height, width, 3), as the module's docstring says.

    Raises:
        UserError: the file is missing, damaged, of a format that is not opened, larger than Pillow
            opens (179 million pixels), or of pixels without a known range.
    """
    with (
        refusing(f"image {path} cannot be read", "replace or remove it"),
        opened(path) as image,
    ):
        _check_range(image)
        if image.mode.startswith("I"):
            return _grey(image)
        return np.array(image.convert("RGB"))


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """16-bit grey as RGB."""
    grey = (np.asarray(image) >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def read_photo(path: str | Path | BinaryIO, name: str = "") -> NDArray[np.uint8]:
    """The pixels of a photograph as a person sees it, RGB (height, width, 3): turned as EXIF says,
    and on white where it is transparent.

    Args:
        name: what an open file is called, for messages.

    Raises:
        UserError: as `read_picture`.
    """
    with refusing(f"image {name or path} cannot be read", "give another"), opened(path) as image:
        _check_range(image)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            return _grey(upright)
        if not upright.has_transparency_data:
            return np.array(upright.convert("RGB"))
        seen = upright.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return np.array(Image.alpha_composite(white, seen).convert("RGB"))


@contextmanager
def opened(file: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """An image file of one of the formats, whose pixels come as they are stored.

    Raises:
        Exception: whatever Pillow raises about a damaged file; also of a TIFF that is to be turned.
    """
    with Image.open(file, formats=FORMATS) as image:
        if image.format == "TIFF" and image.tag_v2.get(ExifTags.Base.Orientation, 1) != 1:
            raise ValueError("a TIFF with an orientation, which would be turned; save it without")
        yield image


class Examined(NamedTuple):
    """What the header of an image file says; width and height in pixels."""

    width: int
    height: int
    defects: tuple[str, ...] = ()


def is_turned(path: Path) -> tuple[bool, bool]:
    """Whether EXIF turns or mirrors an image file, and whether it lays it on its side."""
    with opened(path) as image:
        way = image.getexif().get(ExifTags.Base.Orientation, 1)
    return way in range(2, 9), way in range(5, 9)


def examine(path: Path) -> Examined:
    """The size and the defects of an image file that is there and complete.

    Defects are a format other than the file's name says, CMYK colours, 16-bit grey and bad EXIF;
    such a file can be read. Reads the header and, for JPEG, the end-of-image marker; only where
    that marker is missing is the file decoded, because some writers pad after it.

    Raises:
        UserError: the file is missing, truncated or none that `read_picture` reads.
    """
    with refusing(f"image {path} is truncated or not an image", "replace or remove it"):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            advice = "put it back or take it out of the annotations"
            raise UserError(f"image {path} is missing; {advice}") from None
        with file, opened(file) as image:
            _check_range(image)
            if image.format == "JPEG" and not _ends_with_marker(file):
                image.load()
            return Examined(*image.size, tuple(_defects(path, image)))


def _check_range(image: Image.Image) -> None:
    """Refuse pixels whose range nothing says; older Pillow reads PNG's 16 bits as 32."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise ValueError(f"its pixels are {kind}, of no known range; save it with 8 or 16 bits")
    if image.format == "TIFF" and image.mode.startswith("I"):
        bits, black = image.tag_v2.get(_BITS), image.tag_v2.get(_BLACK)
        if (bits, black) != ((16,), 1):
            raise ValueError("its grey is not 16 bits from black to white; save it so")


def _defects(path: Path, image: Image.Image) -> Iterator[str]:
    if path.suffix == ".JPEG" and image.format not in ("JPEG", "MPO"):
        yield f"{image.format} named JPEG"
    if image.mode == "CMYK":
        yield "CMYK"
    if image.mode.startswith("I"):
        yield "16-bit grey"
    if "exif" in image.info and _leads_astray(image.info["exif"].removeprefix(b"Exif\0\0")):
        yield "bad EXIF"


def _leads_astray(tiff: bytes) -> bool:
    """Whether the first directory of EXIF's TIFF, or one of its values, leaves the segment.

    Pillow skips such values with a warning; warnings cannot be caught a file in threads.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return True
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            _, kind, count, offset = struct.unpack_from(f"{order}HHLL", tiff, entry)
            size = TIFF_SIZES.get(kind, 0) * count  # up to 4 bytes stand in place of the offset
            if size > 4 and offset + size > len(tiff):
                return True
        struct.unpack_from(f"{order}L", tiff, start + 2 + 12 * entries)  # the next directory
    except struct.error:
        return True
    return False


def _ends_with_marker(file: BinaryIO) -> bool:
    file.seek(-2, os.SEEK_END)
    return file.read() == b"\xff\xd9"
