"""Fetch a published file once: resumed after a stop, checked before it takes its name, unpacked."""

import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO

import requests

from camloc.core.errors import UserError, reason, refusing
from camloc.core.files import replacing
from camloc.core.progress import progress

CHUNK = 1 << 20  # bytes


def fetch(url: str, path: Path, *, md5: str, size: int | None = None) -> None:
    """Download `url` to `path`, unless `path` is there already with the right checksum.

    The bytes go to `path` + `.part`, which a later call continues; only a file whose MD5 is right
    takes the name `path`. `size` in bytes, where known, tells a whole `.part` without the network.

    Raises:
        UserError: no network or a refusal by the server, a wrong checksum (also of a file that
            is at `path` already, which is left alone).
    """
    if path.exists():
        if (found := _md5(path)) != md5:
            raise UserError(
                f"{path} has the MD5 checksum {found}, not {md5}: it is incomplete or not the file "
                f"of {url}; delete it to have it downloaded, or put the right one in its place"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    if not (size and part.exists() and part.stat().st_size == size):
        _download(url, path, part, size)
    if (found := _md5(part)) != md5:
        part.unlink()
        raise UserError(
            f"what {url} sent for {path} has the MD5 checksum {found}, not {md5}, and was removed; "
            "run again, and if it stays wrong the file there has changed or something on the way "
            "(a proxy, a login page) alters it"
        )
    part.replace(path)


def unpack_zip(path: Path, folder: Path) -> None:
    """Unpack a zip file as `folder`, which appears only when everything is unpacked.

    Raises:
        UserError: the file is missing, damaged or not a zip file, or it holds a member that would
            lie outside `folder` (an absolute path, `..`, a symbolic link); or `folder` cannot be
            written. Nothing is left then.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; put the zip file there")
    with damaged(path):
        archive = zipfile.ZipFile(path)
    with archive, _filling(folder, path) as new:
        members = archive.infolist()
        for member in members:
            link = stat.S_ISLNK(member.external_attr >> 16)
            _refuse_unsafe(member.filename, path, link)
        for member in progress(members, f"unpack {path.name}", unit="file"):
            if member.is_dir():
                (new / member.filename).mkdir(parents=True, exist_ok=True)
                continue
            with damaged(path):
                file = archive.open(member)
            with file:
                _write_member(Member(file, path), new / member.filename)


def unpack_tar(paths: Sequence[Path], folder: Path) -> None:
    """Unpack tar files, compressed or not, side by side as `folder`, which appears only when
    everything is unpacked.

    Raises:
        UserError: a file is missing, damaged or not a tar file, or it holds a member that would
            lie outside `folder` (an absolute path, `..`) or is neither file nor folder (a link, a
            device, a sparse file); or `folder` cannot be written. Nothing is left then.
    """
    with _filling(folder, *paths) as new:
        for path in paths:
            if not path.exists():
                raise UserError(f"{path} is missing; put the tar file there")
            with opened_tar(path) as archive:
                _unpack_tar(archive, path, new)


def _unpack_tar(archive: tarfile.TarFile, path: Path, folder: Path) -> None:
    members = list(members_of(archive, path))
    for member in members:
        _refuse_unsafe(member.name, path, link=not (is_plain(member) or member.isdir()))
    for member in progress(members, f"unpack {path.name}", unit="file"):
        if member.isdir():
            (folder / member.name).mkdir(parents=True, exist_ok=True)
        else:
            _write_member(Member(archive.extractfile(member), path), folder / member.name)


def damaged(name: str | Path) -> AbstractContextManager:
    """Whatever the parser of an archive raises about it becomes a message that names it."""
    return refusing(f"{name} is damaged or truncated", "fetch it again")


@contextmanager
def opened_tar(name: str | Path, file: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """A tar file, by its path or in another tar; compressed where its name ends in gz.

    Raises:
        UserError: it is damaged or no tar file.
    """
    with damaged(name):
        mode = "r:gz" if str(name).endswith("gz") else "r:"
        archive = tarfile.open(name, mode, file)  # noqa: SIM115, its block is the next
    with archive:
        yield archive


def members_of(archive: tarfile.TarFile, name: str | Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file, which must have its end mark after the last.

    Raises:
        UserError: it is damaged or truncated. tarfile itself takes one that ends between two files
            or has a spoilt header for a shorter one, and zeros in the place of what was not
            downloaded for the end; a negative size sends it back to where it was.
    """
    while True:
        with damaged(name):
            member = archive.next()
            if member and member.size < 0:
                raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
        if member is None:
            break
        yield member
    with damaged(name):
        archive.fileobj.seek(archive.offset)
        rest = archive.fileobj.read(2 * tarfile.RECORDSIZE)  # the mark, and zeros to fill a record
        if len(rest) < tarfile.BLOCKSIZE or any(rest) or len(rest) == 2 * tarfile.RECORDSIZE:
            raise tarfile.ReadError("it does not end after its last whole file")


def is_plain(member: tarfile.TarInfo) -> bool:
    """Whether it is a file whose bytes stand in the tar as they are: no link, device or sparse."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


class Member:
    """The content of an archive's member; a failure of reading it becomes a message that names the
    archive, which a failure of writing a copy is not taken for."""

    def __init__(self, file: IO[bytes], name: str | Path) -> None:
        self.file, self.name = file, name

    def read(self, size: int = -1) -> bytes:
        with damaged(self.name):
            return self.file.read(size)


@contextmanager
def _filling(folder: Path, *archives: Path) -> Iterator[Path]:
    """A new folder as of `replacing`; that it cannot be written is told, as is the name of a member
    that no file or folder there can have."""
    try:
        with replacing(folder) as new:
            yield new
    except OSError as error:
        raise UserError(
            f"cannot unpack {' and '.join(map(str, archives))} into {folder} ({reason(error)}); "
            "give room or rights, or fetch it again, and run again"
        ) from None


def _write_member(member: Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(member, file)


def _download(url: str, path: Path, part: Path, size: int | None) -> None:
    """Append the rest of `url` to `part`, or write all of it where the server ignores Range."""
    start = part.stat().st_size if part.exists() else 0
    # identity: lengths and ranges are those of the file itself, not of a compressed transfer
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=60) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is left to send; the checksum tells whether that is right
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                start = 0
            length = response.headers.get("Content-Length")
            _write(response, part, start, start + int(length) if length else size)
    except requests.RequestException as error:
        raise UserError(
            f"could not download {url} ({error}); run again to continue where it stopped, or fetch "
            f"that file by hand where there is a network, put it at {path} and run again"
        ) from None


def _write(response: requests.Response, part: Path, start: int, total: int | None) -> None:
    with (
        part.open("ab" if start else "wb") as file,
        progress(
            desc=f"download {part.stem}",
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
        ) as bar,
    ):
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _refuse_unsafe(member: str, path: Path, link: bool) -> None:
    # The rules of Windows paths cover POSIX paths too, and refuse on every system what one refuses.
    name = PureWindowsPath(member)
    if not member or name.anchor or ".." in name.parts or "\0" in member or link:
        raise UserError(
            f"{path} holds {member!r}, no name, an absolute path, one with '..', or a link; "
            "nothing was unpacked, because a data set holds none: fetch the original file"
        )
