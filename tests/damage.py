"""Files of every format that people bring, whole, the ways to damage them, and their readers.

A few are read by tests/data/sources/test_damaged_files.py, many by benchmarks/damaged.py. A reader
raises an `AssertionError` where what it read is wrong although the file holds a checksum.
"""

import contextlib
import functools
import gzip
import io
import json
import pickle
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from battery import OUT, Damage, Format
from camloc.core import params
from camloc.core.errors import UserError
from camloc.data.loading import Pictures
from camloc.data.pictures import examine, read_picture
from camloc.data.sources import ilsvrc, ilsvrc_official
from camloc.data.sources.download import unpack
from camloc.exchange.score import score, score_maps
from camloc.networks import backbones, surgery
from camloc.networks import files as network_files_of
from camloc.training.checkpoint import Checkpoint, State
from made import annotation
from official import BOXES, KIT_2012, LABELS, val, write_devkit, write_tar, write_val_boxes

# Damage that any file may take


def _part(rng: Random, content: bytes) -> tuple[int, int]:
    """Start and end of a part, short ones as likely as long ones."""
    start = rng.randrange(len(content))
    return start, start + int(len(content) ** rng.random())


def flipped(rng: Random, content: bytes, other: bytes) -> bytes:
    place, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def overwritten(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    size = end - start
    new = rng.choice([rng.randbytes(size), bytes(size), b"\xff" * size])
    return content[:start] + new + content[end:]


def extreme(rng: Random, content: bytes, other: bytes) -> bytes:
    """A number that a header may hold, at its limit, near the start as likely as elsewhere."""
    size = rng.choice((1, 2, 4, 8))
    most = 256**size - 1
    number = rng.choice((0, 1, most // 2, most // 2 + 1, most, rng.randint(0, most)))
    start = int(len(content) ** rng.random()) - 1
    new = number.to_bytes(size, rng.choice(("little", "big")))
    return content[:start] + new + content[start + size :]


def truncated(rng: Random, content: bytes, other: bytes) -> bytes:
    gone = int(len(content) ** rng.random())
    return content[: rng.choice([gone - 1, -gone])]


def inserted(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:start] + rng.randbytes(end - start) + content[start:]


def deleted(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:start] + content[end:]


def doubled(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:end] + content[start:]


def spliced(rng: Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


ANY = (flipped, overwritten, extreme, truncated, inserted, deleted, doubled, spliced)


# Pictures


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


# Arrays


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


# Weights

WIDTH = 0.02  # of NIN: 15 kB


def tensor_header(rng: Random, content: bytes, other: bytes) -> bytes:
    """The header of safetensors, whole, with something else about one tensor or the file."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    name = rng.choice(sorted(header))
    about = header[name]
    numbers = (0, 1, -1, 7, 1 << 31, 1 << 47, 1 << 62, 1 << 64, 1.5, None, "4")
    if "dtype" in about:
        new = {
            "dtype": rng.choice(["F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "C64", "X"]),
            "shape": rng.choices(numbers, k=rng.randrange(5)),
            "data_offsets": rng.choices(numbers, k=2),
        }
        about = about | {key: new[key] for key in rng.sample(sorted(new), rng.choice((1, 1, 2)))}
    else:
        about = about | {rng.choice([*about, "x"]): rng.choice(["", "[" * 3000, 7, None])}
    changes = [{name: about}, {name: about}, {name: None}, {"x" * rng.choice((1, 9999)): about}]
    header |= rng.choice(changes)
    text = rng.choice([json.dumps(header)] * 9 + ["{" * 5000, "[" * 5000, "{}", "null"]).encode()
    return struct.pack("<Q", len(text)) + text + content[end:]


def changed(rng: Random, tree: Any) -> Any:
    """The tree of lists and mappings with something else in one place, or without that place."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.1:
        numbers = [0, -1, 1, 7, 1 << 31, 10**30, 0.5, 1e300, float("inf"), float("nan"), [10**30]]
        return rng.choice([*numbers, True, None, "", "nin", "a\0b", "x" * 9999, [], {}, {"a": 1}])
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    new = tree.copy()
    if rng.random() < 0.2:
        del new[key]
    else:
        new[key] = changed(rng, tree[key])
    return new


def changed_tensors(rng: Random, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of which one is missing or is another tensor."""
    name, new = rng.choice(sorted(state)), state.copy()
    one = new.pop(name)
    others = [torch.ones(3), torch.ones(()), one.double(), one.to(torch.complex64), one > 0]
    others += [one.to(torch.int8), one[:0], one[None], one * torch.nan, one.repeat(2, 1, 1, 1)]
    return new | rng.choice([{name: rng.choice(others)}] * 9 + [{}, {name + "x": one}])


def torch_object(rng: Random, content: bytes, other: bytes) -> bytes:
    """A whole torch file of something else."""
    state = dict(torch.load(io.BytesIO(content), weights_only=True))
    kinds = [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.zeros(1).expand(1 << 40),
    ]
    more = {rng.choice([*state, 7, "more"]): rng.choice([*kinds, nn.Parameter(torch.ones(2))])}
    stream = io.BytesIO()
    torch.save(rng.choice([changed(rng, state), changed_tensors(rng, state), state | more]), stream)
    return stream.getvalue()


def torch_record(rng: Random, content: bytes, other: bytes) -> bytes:
    """A file in torch's zip damaged, dropped or renamed, mostly the pickle, in a whole zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # torch's older form: pickles and numbers one after the other
        return overwritten(rng, content, other)
    name = rng.choice(sorted(files) + [name for name in files if name.endswith("data.pkl")] * 9)
    record = files.pop(name)
    new = rng.choice(ANY)(rng, record or b"x", other)
    files |= rng.choice([{name: new}] * 8 + [{}, {name + "x": record}, {name: b""}])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, record in files.items():
            archive.writestr(zipfile.ZipInfo(name), record)
    return stream.getvalue()


def nin() -> nn.Module:
    torch.manual_seed(0)
    return backbones.whole("nin", 3, width=WIDTH)


def states() -> dict[str, bytes]:
    """Whole networks in torch's two forms, the older one with all tensors in one storage."""
    new, old, state = io.BytesIO(), io.BytesIO(), nin().state_dict()
    torch.save(state, new)
    sizes = [value.numel() for value in state.values()]
    parts = torch.cat([value.flatten() for value in state.values()]).split(sizes)
    state = {name: part.view_as(state[name]) for name, part in zip(state, parts, strict=True)}
    torch.save(state, old, _use_new_zipfile_serialization=False)
    # It names the storage after its address, which differs each time.
    named = re.sub(rb"X[\x0c-\x0f]\0\0\0\d{12,15}", b"X\1\0\0\0k", old.getvalue())
    return {"new.pth": new.getvalue(), "old.pth": named}


def weights() -> dict[str, bytes]:
    return {"nin.safetensors": save(nin().state_dict(), {"format": "pt"})}


def read_weights(path: Path) -> None:
    backbones.whole("nin", 3, width=WIDTH, weights=path)


@functools.cache
def kept_networks() -> dict[str, tuple[nn.Module, dict]]:
    """A whole network and one that is cut, with what their files say."""
    original = {"backbone": "nin", "width": WIDTH, "dropout": None, "gap": "features"}
    cut = {"cut": "features.13", "convs": [8], "pool": "gap"}
    about = {"original": original, "wnids": ["n1", "n2", "n3"]}
    built = surgery.build("nin", **cut, width=WIDTH, num_classes=3, weights=nin())
    return {
        "whole.safetensors": (nin(), about | {"surgery": None}),
        "cut.safetensors": (built, about | {"surgery": cut}),
    }


def written(write: Callable[[Path, str], None], *names: str) -> dict[str, bytes]:
    """What files hold that a function writes under these names."""
    with TemporaryDirectory() as folder:
        for name in names:
            write(Path(folder) / name, name)
        return {name: (Path(folder) / name).read_bytes() for name in names}


def network_files() -> dict[str, bytes]:
    kept = kept_networks()
    return written(
        lambda path, name: network_files_of.save(kept[name][0], path, kept[name][1]), *kept
    )


def read_network(path: Path) -> None:
    network, about = network_files_of.load(path)
    kept, kept_about = kept_networks()[path.name]
    assert same(network.state_dict(), kept.state_dict()), "other weights"
    assert about == kept_about, "another declaration"


def network_again(rng: Random, content: bytes, other: bytes) -> bytes:
    """What is declared or held is something else, under a right digest."""
    network, about = rng.choice(list(kept_networks().values()))
    state, key = network.state_dict(), rng.choice(sorted(about))
    if rng.random() < 0.3:
        state = changed_tensors(rng, state)
    else:
        about = about | {key: changed(rng, about[key])}
    network = SimpleNamespace(state_dict=lambda: state)
    return written(lambda path, _: network_files_of.save(network, path, about), "again")["again"]


def same(a: dict, b: dict) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def training() -> State:
    """After its first step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    network(torch.rand(2, 3, 6, 6)).sum().backward()
    optimizer.step()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return State(network, optimizer, schedule, scaler, step=1, history=[[1.0, 50.0]])


def checkpoint_files() -> dict[str, bytes]:
    return written(lambda path, _: Checkpoint(path, {"seed": 1}).save(training()), "a.pt", "b.pt")


def resume(path: Path) -> State:
    state = training()
    with torch.no_grad():
        state.network[0].weight.zero_()
    assert Checkpoint(path, {"seed": 1}).resume(state)
    return state


def read_checkpoint(path: Path) -> None:
    state, saved = resume(path), training()
    assert same(state.network.state_dict(), saved.network.state_dict()), "other weights"
    assert (state.epoch, state.step, state.history) == (1, 1, saved.history), "another place"


def checkpoint_again(rng: Random, content: bytes, other: bytes) -> bytes:
    """A state that is something else, under a right digest."""
    tree = changed(rng, training().to_dict())
    state = SimpleNamespace(to_dict=lambda: tree)
    return written(lambda path, _: Checkpoint(path, {"seed": 1}).save(state), "again")["again"]


# Archives

NAMES = ("../outside", "../../outside", "a/../../outside", "..\\outside", "C:outside", "a.txt/b")
NAMES += ("n" * 300, "n/" * 3000 + "n", ".", "", "a\nb", "é", "a:b", "inner", "con")


def zip_record(rng: Random, content: bytes, other: bytes) -> bytes:
    """A number at its limit in one of the headers, which no checksum covers."""
    starts = [found.start() for found in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06)", content)]
    place = rng.choice(starts) + rng.randrange(4, 46)
    size = rng.choice((1, 2, 4))
    new = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size), b"\1" + bytes(size - 1)])
    return content[:place] + new + content[place + size :]


def zip_member(rng: Random, content: bytes, other: bytes) -> bytes:
    """One member more, of a strange name and kind."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        member = zipfile.ZipInfo(rng.choice(NAMES) or "/")
        member.external_attr = rng.choice((0, 0, 0o120777, 0o040755, 0o010644, 0o100000)) << 16
        member.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
        archive.writestr(member, b"../outside")
    return stream.getvalue()


def zips() -> dict[str, bytes]:
    made = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, text in (("a.txt", "first " * 50), ("inner/b.txt", "second")):
                archive.writestr(zipfile.ZipInfo(name), text, method)
        made[f"method{method}.zip"] = stream.getvalue()
    return made


HEADER = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "size": (124, 12),
    "mtime": (136, 12),
}
HEADER |= {"type": (156, 1), "link": (157, 100), "magic": (257, 8), "prefix": (345, 155)}


def uncompressed(damage: Damage) -> Damage:
    """Damage to what gzip holds, where it is gzip; else to the file."""

    @functools.wraps(damage)
    def within(rng: Random, content: bytes, other: bytes) -> bytes:
        if content.startswith(b"\x1f\x8b"):
            return gzip.compress(damage(rng, gzip.decompress(content), other), mtime=0)
        return damage(rng, content, other)

    return within


@uncompressed
def tar_header(rng: Random, content: bytes, other: bytes) -> bytes:
    """A field of a header, under a right checksum."""
    blocks = range(0, len(content), 512)
    start = rng.choice([i for i in blocks if content[i + 257 : i + 262] == b"ustar"])
    header = bytearray(content[start : start + 512])
    field = rng.choice(sorted(HEADER))
    place, size = HEADER[field]
    new = [
        bytes(size),
        b"7" * size,
        b"\xff" * size,
        b"\x80" + b"\1" * size,
        rng.randbytes(size),
        b"-1",
    ]
    if field == "type":
        new = [bytes([kind]) for kind in b"01234567xgLKSVDMNAX\0"]
    elif field in ("name", "link", "prefix"):
        new += [name.encode() for name in NAMES]
    header[place : place + size] = rng.choice(new)[:size].ljust(size, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:start] + header + content[start + 512 :]


@uncompressed
def tar_member(rng: Random, content: bytes, other: bytes) -> bytes:
    """One member more, before the others, of a strange name, kind or with strange extensions."""
    member = tarfile.TarInfo(rng.choice(NAMES))
    member.type = rng.choice((tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE))
    member.linkname = rng.choice(("", "..", "a.txt", "/"))
    key = rng.choice(("size", "mtime", "uid", "path", "hdrcharset", "GNU.sparse.map", "a" * 9999))
    member.pax_headers = {key: rng.choice(("-1", "x", "9" * 30, "1e999", "nan", "", "BINARY", "é"))}
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    return member.tobuf(form) + content


@uncompressed
def content_damaged(rng: Random, content: bytes, other: bytes) -> bytes:
    return rng.choice(ANY)(rng, content, other)


def tars() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        files = {
            "a.txt": b"first " * 50,
            "inner": None,
            "inner/b.txt": b"second",
            "n" * 120: b"third",
        }
        plain = write_tar(Path(folder) / "made.tar", files)
    return {"plain.tar": plain, "packed.tar.gz": gzip.compress(plain, mtime=0)}


def unpacked(path: Path) -> None:
    unpack([path], path.parent / OUT)


TENCH = LABELS[1]


def official_files() -> dict[str, bytes]:
    """ILSVRC's official files of three classes, four validation and no test images."""
    image = pictures("JPEG", image={})["image.jpeg"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        classes = {
            f"{wnid}.tar": write_tar(folder / ilsvrc_official.TRAIN, {f"{wnid}_1.JPEG": image})
            for wnid in sorted({*LABELS})
        }
        write_tar(folder / ilsvrc_official.TRAIN, classes)
        write_tar(folder / ilsvrc_official.VAL, {f"{val(n)}.JPEG": image for n in range(1, 5)})
        write_devkit(folder / KIT_2012)
        write_val_boxes(folder, BOXES)
        own = annotation(TENCH, (TENCH, 1, 2, 3, 4)).encode()
        write_tar(folder / ilsvrc_official.TRAIN_BOXES, {f"{TENCH}/{TENCH}_1.xml": own})
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: _undated(content) for name, content in files.items()}


def _undated(content: bytes) -> bytes:
    """Without the time at which gzip and savemat wrote it."""
    undate = uncompressed(lambda rng, plain, _: re.sub(rb"Created on: .{24}", b" " * 36, plain))
    return undate(Random(0), content, b"")


def read_official(path: Path) -> None:
    """Unpack all; what is unpacked before a refusal is kept, so it is taken away here."""
    out = path.parent / OUT
    try:
        ilsvrc_official.unpack(path.parent, out)
        assert (out / ilsvrc.SYNSETS).is_file() and (out / ilsvrc.DATA / "val").is_dir()
    finally:
        shutil.rmtree(out, ignore_errors=True)


# Text

NUMBERS = (b"-1", b"0", b"1e999", b"nan", b"inf", b"1.5", b"9" * 30, b"9" * 5000, b"1_0", b"0x10")
NUMBERS += ("\u0663".encode(), "²".encode(), b"", b"--1", b"+1", b"1e308", b"-0", b"007", b"NA")
WORDS = (b"NA", b"", b'"', b"'", b"\0", "ü".encode(), b"\xfc", b"\xef\xbb\xbf", b"x" * 1_000_000)
WORDS += (b"a,b", b"&x;", b"<", b"%", b"#", b"=1+1", b"\x1b[2J", b"0", b"\t", b"*a", b"- ", b"|")
ENDS = (b"\r", b"\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x85", "\u2028".encode(), b"", b" ", b"\n\0")
CODINGS = ("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "utf-7", "cp037", "utf-16-be")


def number_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    return _replaced(rng, rb"-?\d[\d.]*", content, rng.choice(NUMBERS))


def word_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    return _replaced(rng, rb"[^\s,:<>/]+|[,:<>/]", content, rng.choice(WORDS))


def _replaced(rng: Random, pattern: bytes, content: bytes, new: bytes) -> bytes:
    start, end = rng.choice([found.span() for found in re.finditer(pattern, content)] or [(0, 0)])
    return content[:start] + rng.choice([new, new, content[start:end] + new]) + content[end:]


def lines_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    """A line dropped, repeated or moved, or other ends of lines."""
    lines = content.splitlines()
    line = lines.pop(rng.randrange(len(lines)))
    at = rng.randrange(len(lines) + 1)
    lines[at:at] = [line] * rng.choice((0, 1, 2, 2, 1000))
    return rng.choice((b"\n", b"\n", *ENDS)).join(lines)


def encoded(rng: Random, content: bytes, other: bytes) -> bytes:
    anew = content.decode().encode(rng.choice(CODINGS))
    return rng.choice([anew, anew, anew, b"", b"\xff\xfe", b"\xef\xbb\xbf"])


XML_CODINGS = (
    "utf-16 utf-32 latin-1 shift_jis cp037 unknown rot13 hex idna punycode undefined utf-7"
)
XML_CODINGS += " mbcs unicode_escape base64 é"
TEXT = (number_changed, word_changed, lines_changed, encoded)


def xml_start(rng: Random, content: bytes, other: bytes) -> bytes:
    """Encodings that Python knows or not, entities that grow, and entities from elsewhere."""
    coding = rng.choice(XML_CODINGS.split())
    start = f'<?xml version="{rng.choice(("1.0", "1.1", "9"))}" encoding="{coding}"?>'.encode()
    doubling = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 9}">' for i in range(12))
    kinds = [f'<!ENTITY a0 "aaaa">{doubling}', '<!ENTITY a12 SYSTEM "file:///etc/hostname">']
    entities = f"<!DOCTYPE annotation [{rng.choice(kinds)}]>".encode()
    elsewhere = b"<!DOCTYPE annotation SYSTEM 'http://127.0.0.1:9/a.dtd'>"
    told = content.replace(b"</name>", b"&a12;</name>")
    return rng.choice([start + content, start + content, entities + told, elsewhere + content])


def xml_nested(rng: Random, content: bytes, other: bytes) -> bytes:
    tag, depth = rng.choice((b"object", b"bndbox", b"a")), rng.choice((900, 100_000))
    deep = b"<%s>" % tag * depth + b"</%s>" % tag * depth * rng.choice((0, 1))
    many = b"<a %s/>" % b" ".join(b"a%d='1'" % i for i in range(50_000))
    new = rng.choice((deep, many, b"<![CDATA[", b"<!--"))
    return content.replace(b"<object>", new + b"<object>")


def xmls() -> dict[str, bytes]:
    boxes = (TENCH, 1, 2, 30, 39), (TENCH, 0, 0, 49, 5)
    text = annotation(TENCH, *boxes)
    return {"a.xml": text.encode(), "b.xml": f'<?xml version="1.0"?>\n{text}'.encode()}


def read_xml(path: Path) -> None:
    boxes = ilsvrc.annotation(path.read_bytes(), str(path), TENCH, "correct it")
    assert boxes and all(len(box) == 4 for box in boxes)


TRUTH = "image,label,xmin,ymin,xmax,ymax\nfirst,n1,0,0,5,5\nsecond,n2,1,1,9,9\nsecond,n2,2,3,4,5\n"
ANSWERS = "first,1,n1,0,0,5,5\nfirst,2,n2,1,1,5,5\nsecond,1,n2,1,1,9,9\n"
KAGGLE = "ImageId,PredictionString\n"
SIZES = "image,width,height\nfirst,20,20\nsecond,20,30\n"
KIT_TRUTH = TRUTH.replace(",n", ",")
KIT = {"predictions.txt": b"1 0 0 5 5 2 1 1 5 5\n2 1 1 9 9\n"}
KIT |= {"images.txt": b"first\nsecond\n", "blacklist.txt": b"second\n"}


def tables() -> dict[str, bytes]:
    texts = {
        "truth.csv": TRUTH,
        "predictions.csv": f"image,rank,label,xmin,ymin,xmax,ymax\n{ANSWERS}",
        "kaggle-truth.csv": f"{KAGGLE}first,n1 0 0 5 5\nsecond,n2 1 1 9 9 n2 2 3 4 5 \n",
        "kaggle-predictions.csv": f"{KAGGLE}first,n1 0 0 5 5 n2 1 1 5 5\nsecond,n2 1 1 9 9\n",
        "sizes.csv": SIZES,
    }
    return {name: text.encode() for name, text in texts.items()}


def read_table(path: Path) -> None:
    folder = path.parent
    if path.name == "sizes.csv":
        score_maps(folder / "truth.csv", path, folder / "maps.npy")
    else:
        form = "kaggle-" if path.name.startswith("kaggle") else ""
        score(folder / f"{form}truth.csv", folder / f"{form}predictions.csv")


def read_kit_texts(path: Path) -> None:
    names = ("truth.csv", "predictions.txt", "images.txt", "blacklist.txt")
    score(*(path.parent / name for name in names))


YAML_VALUES = [
    ".inf",
    ".nan",
    "1e999",
    "-1",
    "0",
    "1_000",
    "0o17",
    "1:30",
    "2001-01-01",
    "yes",
    "~",
]
YAML_VALUES += ["[]", "{}", "|", ">-", '"', "'", "@", "*a"]
YAML_VALUES += ["9" * 30, "9" * 1_000_000, "x" * 1_000_000, "[10" + "0" * 30 + "]", "&a [*a]", ""]
YAML_VALUES += ["[" * 900, "[" * 900 + "]" * 900, "{a: " * 900, "{<<: 1}", "- a", "? a", "a: b: c"]
YAML_VALUES += ["!!binary x", "!!python/object:os.system x", "!!timestamp x", "!!set {a}"]
YAML_STARTS = ["%YAML 9.9\n---\n", "%TAG ! x\n---\n", "a: 1\n---\n", "--- !!set\n", "\t"]


def yaml_value(rng: Random, content: bytes, other: bytes) -> bytes:
    """Another value of one key."""
    keys = [found.end() for found in re.finditer(rb"^ *[\w-]+:", content, re.MULTILINE)]
    place, new = rng.choice(keys), rng.choice(YAML_VALUES).encode()
    return content[:place] + b" " + new + b"\n" + content[place:].partition(b"\n")[2]


def yaml_start(rng: Random, content: bytes, other: bytes) -> bytes:
    """What stands before the first key: bombs of aliases, directives, other documents."""
    doubling = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    merging = doubling.replace("[", "{<<: [").replace("]", "]}")
    bombs = [f"a0: &a0 [lol]\n{doubling}", f"a0: &a0 {{b: 1}}\n{merging}"]
    text = rng.choice([*bombs, *bombs, *YAML_STARTS]).encode() + content
    return text if rng.random() < 0.5 else text.replace(b"study: ", b"study: *a9\nx: ", 1)


def studies() -> dict[str, bytes]:
    folder = Path(__file__).parents[1]
    return {"params.yaml": (folder / "params" / "smoke.yaml").read_bytes()}


PNG = {"rgb": {}, "alpha": {"mode": "RGBA"}, "palette": {"mode": "P"}, "grey16": {"mode": "I;16"}}
TIFF = {"plain": {}, "lzw": {"compression": "tiff_lzw"}, "jpeg": {"compression": "jpeg"}}
TIFF |= {"fax": {"mode": "1", "compression": "group4"}, "grey16": {"mode": "I;16"}}
TIFF |= {"deflate": {"compression": "tiff_adobe_deflate", "frames": 2}}


def of_pictures(form: str, *damages: Damage, **kinds: dict[str, Any]) -> Format:
    return Format(functools.partial(pictures, form, **kinds), read_image, (*ANY, *damages))


TABLES = {"truth.csv": TRUTH.encode(), "sizes.csv": SIZES.encode()}
TARS = (*ANY, tar_header, tar_header, tar_member, content_damaged)
FORMATS = {
    "jpeg": of_pictures("JPEG", plain={}, layers={"progressive": True}, cmyk={"mode": "CMYK"}),
    "png": of_pictures("PNG", png_chunk, png_chunk, png_chunk, png_bomb, **PNG),
    "gif": of_pictures("GIF", one={}, three={"frames": 3}),
    "webp": of_pictures("WEBP", lossy={}, lossless={"lossless": True}, three={"frames": 3}),
    "tiff": of_pictures("TIFF", **TIFF),
    "bmp": of_pictures("BMP", rgb={}, palette={"mode": "P"}),
    "npy": Format(arrays, read_maps, (*ANY, npy_header, npy_header, npy_values), TABLES),
    "safetensors": Format(weights, read_weights, (*ANY, tensor_header, tensor_header)),
    "network": Format(network_files, read_network, (*ANY, tensor_header)),
    "network again": Format(network_files, network_files_of.load, (network_again,)),
    "pth": Format(states, read_weights, (*ANY, torch_record, torch_record, torch_object)),
    "checkpoint": Format(checkpoint_files, read_checkpoint, ANY),
    "checkpoint again": Format(checkpoint_files, resume, (checkpoint_again,)),
    "tar": Format(tars, unpacked, TARS),
    "official": Format(official_files, read_official, TARS),
    "zip": Format(zips, unpacked, (*ANY, zip_record, zip_record, zip_member)),
    "xml": Format(xmls, read_xml, (*ANY, *TEXT, xml_start, xml_nested)),
    "csv": Format(tables, read_table, (*ANY, *TEXT), {"maps.npy": arrays()["maps.npy"]}),
    "devkit": Format(KIT.copy, read_kit_texts, (*ANY, *TEXT), {"truth.csv": KIT_TRUTH.encode()}),
    "params": Format(studies, params.load, (*ANY, *TEXT, yaml_value, yaml_value, yaml_start)),
}
