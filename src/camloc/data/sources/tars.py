"""Tar files that nobody has checked: read member by member, each damage told by the file's name."""

import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from camloc.core.errors import UserError, refusing


class Member:
    """A member of the tar `name`; a failure of reading it becomes a message that names the tar,
    which a failure of writing a copy is not taken for."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo, name: str | Path) -> None:
        self.archive, self.info, self.name = archive, info, name
        self.path, self.size = PurePosixPath(info.name), info.size
        self.place = f"{name}: {info.name}"

    @property
    def is_plain(self) -> bool:
        """Whether its bytes stand in the tar as they are: no folder, link, device, sparse file."""
        return self.info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not self.info.issparse()

    @cached_property
    def file(self) -> IO[bytes]:
        return self.archive.extractfile(self.info)

    def read(self, size: int = -1) -> bytes:
        with _damaged(self.name):
            return self.file.read(size)

    def copy(self, path: Path) -> None:
        """Write it as a file, unless that is there and has its size already."""
        if not path.exists() or path.stat().st_size != self.size:
            with path.open("wb") as file:
                shutil.copyfileobj(self, file)


def members(name: str | Path, file: IO[bytes] | None = None) -> Iterator[Member]:
    """The members of a tar, given by its path or in another tar; compressed if its name ends in gz.

    It must have its end mark after the last: tarfile itself takes one that ends between two files
    or has a spoilt header for a shorter one, and zeros in the place of what was not downloaded for
    the end; a negative size sends it back to where it was.

    Raises:
        UserError: it is damaged or truncated.
    """
    with _damaged(name):
        mode = "r:gz" if str(name).endswith("gz") else "r:"
        archive = tarfile.open(name, mode, file)  # noqa: SIM115, its block is the next
    with archive:
        while True:
            with _damaged(name):
                info = archive.next()
                if info and info.size < 0:
                    raise tarfile.ReadError(f"{info.name!r} has {info.size} bytes")
            if info is None:
                break
            yield Member(archive, info, name)
        with _damaged(name):
            archive.fileobj.seek(archive.offset)
            rest = archive.fileobj.read(
                2 * tarfile.RECORDSIZE
            )  # the mark, and zeros up to a record
            if len(rest) < tarfile.BLOCKSIZE or any(rest) or len(rest) == 2 * tarfile.RECORDSIZE:
                raise tarfile.ReadError("it does not end after its last whole file")


def files(
    name: str | Path, pattern: str, file: IO[bytes] | None = None
) -> Iterator[tuple[str, Member]]:
    """The files in a tar, all of which match `pattern`, behind what its group matches.

    Folders and the `._` files that macOS adds are passed over.

    Raises:
        UserError: any other member, of another name or kind (a link); see also `members`.
    """
    for member in members(name, file):
        inside = not member.path.is_absolute() and ".." not in member.path.parts
        if member.path.name.startswith("._") or (member.info.isdir() and inside):
            continue
        match = re.fullmatch(pattern, member.info.name.removeprefix("./"))
        if not match or not member.is_plain:
            raise UserError(
                f"{name} holds {member.info.name!r}, which is no file that belongs there; nothing "
                "of it was written: fetch the original file"
            )
        yield match[1], member


def _damaged(name: str | Path) -> AbstractContextManager:
    return refusing(f"{name} is damaged or truncated", "fetch it again")
