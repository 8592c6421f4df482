"""Archives: whole ones, their damage and their readers."""

import functools
import gzip
import io
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from battery import OUT, Damage, Format
from camloc.data.sources import ilsvrc, ilsvrc_official
from camloc.data.sources.archives import most
from camloc.data.sources.download import unpack
from damage.anyhow import ANY
from damage.pictures import pictures
from made import annotation
from official import BOXES, KIT_2012, LABELS, TENCH, val, write_devkit, write_tar, write_val_boxes

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


FILES = {"a.txt": b"first " * 50, "inner/b.txt": b"second"}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zips() -> dict[str, bytes]:
    made = {}
    for method in METHODS:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, text in FILES.items():
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
        files = FILES | {"inner": None, "n" * 120: b"third"}
        plain = write_tar(Path(folder) / "made.tar", files)
    return {"plain.tar": plain, "packed.tar.gz": gzip.compress(plain, mtime=0)}


def packed() -> dict[str, bytes]:
    """Those that hold a checksum of each byte of their files."""
    with TemporaryDirectory() as folder:
        return zips() | {
            "packed.tgz": gzip.compress(write_tar(Path(folder) / "made.tar", FILES), mtime=0)
        }


def bomb(rng: Random, content: bytes, other: bytes) -> bytes:
    """A few bytes that unpack to very many, in a file or in what tells of it."""
    size = 1 << rng.randrange(10, 23)
    if content.startswith(b"PK"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", rng.choice(METHODS)) as archive:
            archive.writestr(zipfile.ZipInfo("zeros"), bytes(size), rng.choice(METHODS))
            archive.filelist *= rng.choice((1, 1, 1000))
        return stream.getvalue()
    member = tarfile.TarInfo("zeros")
    kinds = (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE)
    member.size, member.type = size, rng.choice(kinds)
    header, number = member.tobuf(tarfile.GNU_FORMAT), rng.choice((1, 1, 1000))
    bomb = header + bytes(size) if number == 1 else (header + bytes(512)) * number
    return gzip.compress(bomb + gzip.decompress(content), mtime=0)


def unpacked(path: Path) -> dict[str, bytes]:
    """The files by name: plain ones, of which there are no more than the archive justifies."""
    out = path.parent / OUT
    unpack([path], out)
    found = [file for file in out.rglob("*") if not file.is_dir() or file.is_symlink()]
    assert all(file.is_file() and not file.is_symlink() for file in found), "no plain file"
    assert sum(file.stat().st_size for file in found) <= most(path.stat().st_size), "too much"
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in found}


def read_packed(path: Path) -> None:
    assert unpacked(path) == FILES, "other files"


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


TARS = (*ANY, tar_header, tar_header, tar_member, content_damaged)
FORMATS = {
    "tar": Format(tars, unpacked, TARS),
    "packed": Format(packed, read_packed, ANY),
    "bomb": Format(packed, unpacked, (bomb,)),
    "official": Format(official_files, read_official, TARS),
    "zip": Format(zips, unpacked, (*ANY, zip_record, zip_record, zip_member)),
}
