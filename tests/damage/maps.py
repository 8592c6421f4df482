"""Arrays of maps: whole ones, their damage and their readers."""

import io
import pickle
import struct
from pathlib import Path
from random import Random

import numpy as np

from battery import Format
from camloc.exchange.score import score_maps
from damage.anyhow import ANY


def npy_header(rng: Random, content: bytes, other: bytes) -> bytes:
    """A header that is whole and says something else."""
    kinds = ["<f4", "<f8", "<f2", "|u1", "|b1", "<c8", "<M8[ns]", "|O", "|S3", "<U2", "|V8", "<g"]
    kind = rng.choice([*kinds, [["x", "<f4"]], [["x", "<f4", [2]]], "", "nonsense", None, 7])
    sides = (0, 1, 2, 3, 4, -1, 1 << 31, 1 << 40, 1 << 62, 1 << 63, 10**30, 2.0, True, None)
    shape = tuple(rng.choice(sides) for _ in range(rng.choice((0, 1, 2, 3, 3, 3, 4, 70))))
    header = {"descr": kind, "fortran_order": rng.choice([True, False, 3]), "shape": shape}
    text = rng.choice([str(header)] * 9 + ["[" * 5000, "(" * 90 + ")" * 90, "{}", "10" * 9000])
    data = content[10 + int.from_bytes(content[8:10], "little") :]
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + data


def npy_values(rng: Random, content: bytes, other: bytes) -> bytes:
    """Whole files that hold no maps: of other numbers, or of other things that NumPy writes."""
    values = rng.choice([np.nan, np.inf, 1e308, -1e308, 1e-320, 0.0, 7.0, 2.0**63])
    array = np.full(rng.choice([(2, 4, 4), (4, 4), (2, 1, 1), (2, 1, 4), (2, 0, 4)]), values)
    stream = io.BytesIO()
    if rng.random() < 0.7:
        np.save(stream, array.astype(rng.choice(["f8", "c16", "O", "U9", "f16"])))
    else:
        np.savez(stream, array)
    return rng.choice([stream.getvalue(), pickle.dumps(array)])


TRUTH = "image,label,xmin,ymin,xmax,ymax\nfirst,n1,0,0,5,5\nsecond,n2,1,1,9,9\nsecond,n2,2,3,4,5\n"
SIZES = "image,width,height\nfirst,20,20\nsecond,20,30\n"


def arrays() -> dict[str, bytes]:
    maps = np.random.default_rng(0).random((2, 4, 4))
    made = {
        "maps.npy": maps,
        "first.npy": maps[0].astype(np.float16),
        "second.npy": np.asfortranarray(maps[1]),
    }
    streams = {name: io.BytesIO() for name in made}
    for name, stream in streams.items():
        np.save(stream, made[name])
    return {name: stream.getvalue() for name, stream in streams.items()}


def read_maps(path: Path) -> None:
    """Score an array of all maps, or a folder of a file a map."""
    maps = path if path.name == "maps.npy" else path.parent
    scores = score_maps(path.parent / "truth.csv", path.parent / "sizes.csv", maps)
    assert all(0 <= value <= 100 for value in scores.values() if isinstance(value, float))


def array() -> dict[str, bytes]:
    return {"maps.npy": arrays()["maps.npy"]}


def folder() -> dict[str, bytes]:
    return {name: content for name, content in arrays().items() if name != "maps.npy"}


TABLES = {"truth.csv": TRUTH.encode(), "sizes.csv": SIZES.encode()}
DAMAGES = (*ANY, npy_header, npy_header, npy_values)
FORMATS = {
    "map array": Format(array, read_maps, DAMAGES, TABLES),
    "map folder": Format(folder, read_maps, DAMAGES, TABLES),
}
