"""Pictures and masks: whole ones, their damage and their readers."""

import contextlib
import functools
import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from battery import Damage, Format
from camloc.core.errors import UserError
from camloc.data.loading import Pictures
from camloc.data.pictures import examine, read_picture
from damage.anyhow import ANY, extreme, flipped, truncated


def png_chunk(rng: Random, content: bytes, other: bytes) -> bytes:
    """One chunk damaged, dropped, repeated, moved or renamed under a right checksum."""
    chunks = list(_chunks(content))
    i = rng.randrange(len(chunks))
    kind, data = chunks.pop(i)
    if kind == b"IDAT" and rng.random() < 0.5:
        data = zlib.compress(rng.choice(ANY)(rng, zlib.decompress(data), data))
    elif data:
        data = rng.choice([extreme, extreme, flipped, truncated])(rng, data, data)
    new_kind = rng.choice([kind, kind, rng.choice([b"IDAT", b"PLTE", b"acTL", b"fdAT", b"tRNS"])])
    at = rng.choice([i, i, rng.randrange(len(chunks) + 1)])
    chunks[at:at] = [(new_kind, data)] * rng.choice([1, 1, 1, 0, 2])
    return _png(content[:8], chunks)


def png_bomb(rng: Random, content: bytes, other: bytes) -> bytes:
    """A compressed text or colour profile that fills much memory."""
    chunks = list(_chunks(content))
    packed = zlib.compress(bytes(1 << rng.randrange(10, 28)))
    kind, start = rng.choice([(b"zTXt", b"k\0\0"), (b"iCCP", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0")])
    chunks.insert(1, (kind, start + packed))
    return _png(content[:8], chunks)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + size]
        place += 12 + size


def _png(start: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return start + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def pictures(form: str, **kinds: dict[str, Any]) -> dict[str, bytes]:
    """A picture of 24×20 pixels a kind, saved with its options; `mode` and `frames` are ours."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    made, exif = {}, Image.Exif()
    exif[0x010E], exif[0x8298] = "a description of some length", "its author"
    for name, options in kinds.items():
        options = dict(options)
        mode, frames = options.pop("mode", "RGB"), options.pop("frames", 1)
        image = Image.fromarray(noise).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        if frames > 1:
            options |= {"save_all": True, "append_images": [image.rotate(90)] * (frames - 1)}
        stream = io.BytesIO()
        image.save(stream, form, exif=exif, **options)
        made[f"{name}.{form.lower()}"] = stream.getvalue()
    return made


def read_image(path: Path) -> None:
    """Read it as all parts do: among others, where it is skipped, then its header, then it all."""
    names = [path.name, *(other.name for other in path.parent.iterdir() if other != path)]
    images = pd.DataFrame({"path": names, "wnid": "n1"})
    among_others = Pictures(path.parent, images, ["n1"], side=8, skip=True)
    assert among_others[0][0].shape == (3, 8, 8)
    skipped = among_others.unreadable == [path]
    try:
        size = examine(path)[:2]
        pixels = read_picture(path)
    except UserError:
        with contextlib.suppress(UserError):  # the header may be good
            read_picture(path)
            assert not skipped, "a picture that can be read was skipped"
        raise
    assert not skipped, "a picture that can be read was skipped"
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*size[::-1], 3)


PNG = {"rgb": {}, "alpha": {"mode": "RGBA"}, "palette": {"mode": "P"}, "grey16": {"mode": "I;16"}}
TIFF = {"plain": {}, "lzw": {"compression": "tiff_lzw"}, "jpeg": {"compression": "jpeg"}}
TIFF |= {"fax": {"mode": "1", "compression": "group4"}, "grey16": {"mode": "I;16"}}
TIFF |= {"deflate": {"compression": "tiff_adobe_deflate", "frames": 2}}


def of_pictures(form: str, *damages: Damage, **kinds: dict[str, Any]) -> Format:
    return Format(functools.partial(pictures, form, **kinds), read_image, (*ANY, *damages))


FORMATS = {
    "jpeg": of_pictures("JPEG", plain={}, layers={"progressive": True}, cmyk={"mode": "CMYK"}),
    "png": of_pictures("PNG", png_chunk, png_chunk, png_chunk, png_bomb, **PNG),
    "gif": of_pictures("GIF", one={}, three={"frames": 3}),
    "webp": of_pictures("WEBP", lossy={}, lossless={"lossless": True}, three={"frames": 3}),
    "tiff": of_pictures("TIFF", **TIFF),
    "bmp": of_pictures("BMP", rgb={}, palette={"mode": "P"}),
}
