"""Fetch a published file once: resumed after a stop, checked before it takes its name, unpacked."""

import gzip
import hashlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import requests

from camloc.errors import UserError
from camloc.files import replacing
from camloc.progress import progress

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
            lie outside `folder` (an absolute path, `..`, a symbolic link); nothing is written then.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                link = stat.S_ISLNK(member.external_attr >> 16)
                _refuse_unsafe(member.filename, path, link)
            with replacing(folder) as new:
                for member in progress(members, f"unpack {path.name}", unit="file"):
                    archive.extract(member, new)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; put the zip file there") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{path} is damaged or not a zip file ({error}); delete it and fetch it again"
        ) from None


def unpack_tar(paths: Sequence[Path], folder: Path) -> None:
    """Unpack tar files, compressed or not, side by side as `folder`, which appears only when
    everything is unpacked.

    Raises:
        UserError: a file is missing, damaged or not a tar file, or it holds a member that would
            lie outside `folder` (an absolute path, `..`) or is neither file nor folder (a link, a
            device); nothing is left then.
    """
    with replacing(folder) as new:
        for path in paths:
            try:
                _unpack_tar(path, new)
            except FileNotFoundError:
                raise UserError(f"{path} is missing; put the tar file there") from None
            except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError):
                raise UserError(
                    f"{path} is damaged or not a tar file; delete it and fetch it again"
                ) from None


def _unpack_tar(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        # Python before 3.11.4 has no such filter; what it would refuse is refused below.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        members = archive.getmembers()
        for member in members:
            _refuse_unsafe(member.name, path, link=not (member.isfile() or member.isdir()))
        for member in progress(members, f"unpack {path.name}", unit="file"):
            archive.extract(member, folder)


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
    if name.anchor or ".." in name.parts or link:
        raise UserError(
            f"{path} holds {member!r}, an absolute path, one with '..' or a link; nothing was "
            "unpacked, because a data set holds none: fetch the original file"
        )
