"""Archives that nobody has checked, tar or zip: read member by member, and nothing let in.

One rule for all of them, on every Python: plain files inside, as many as the archive's size
justifies, and an archive that is whole. A member that leads out of its folder, a link, a device or
a sparse file is refused where files are asked for, and so is whatever is damaged or truncated, by
the archive's name. Folders and the `._` files that macOS adds are passed over.
"""

import gzip
import io
import re
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from camloc.core.errors import UserError, refusing

# Bytes that an archive may hold: some, and so many times its own. ILSVRC's val annotations are 31
# times their tar.gz, of what is a data set's the most by far; zeros are a thousand times theirs.
SLACK, TIMES = 1 << 20, 200
LONGEST = 16 << 20  # bytes read at once: a header of tar may claim any size
TOO_MUCH = "it would unpack to more than its size justifies"


class Member:
    """A member of the archive `name`; a failure of reading it becomes a message that names the
    archive, which a failure of writing a copy is not taken for."""

    def __init__(
        self,
        name: str | Path,
        path: str,
        size: int,
        is_plain: bool,
        is_folder: bool,
        opened: Callable[[], IO[bytes]],
    ) -> None:
        self.name, self.path, self.size, self.opened = name, PurePosixPath(path), size, opened
        # Plain: its bytes stand in the archive as they are. No link, device, sparse file.
        self.is_plain, self.is_folder = is_plain, is_folder
        self.full_name, self.place = path, f"{name}: {path}"

    @property
    def is_inside(self) -> bool:
        """Whether its path leads nowhere else, not on Windows either."""
        path = PureWindowsPath(self.full_name)  # which takes / and \ for separators
        return not path.anchor and ".." not in path.parts

    @cached_property
    def file(self) -> IO[bytes]:
        return self.opened()

    def read(self, size: int = -1) -> bytes:
        with _damaged(self.name):
            return self.file.read(size)

    def copy(self, path: Path) -> None:
        """Write it as a file, unless that is there and has its size already."""
        if not path.exists() or path.stat().st_size != self.size:
            with path.open("wb") as file:
                shutil.copyfileobj(self, file)
                written = file.tell()
            if written != self.size:
                with _damaged(self.name):
                    raise EOFError(f"{self.full_name!r} has {written} bytes, not {self.size}")


class _Bounded:
    """A file for tarfile, which would read and seek as far as any header says."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.most = file, most(size)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, place: int) -> int:
        self._check(place)
        return self.file.seek(place)

    def read(self, size: int) -> bytes:
        if size > LONGEST:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        found = self.file.read(size)
        self._check(self.file.tell())
        return found

    def _check(self, place: int) -> None:
        if place > self.most:
            raise tarfile.ReadError(TOO_MUCH)


def most(size: int) -> int:
    """How many bytes an archive of so many may hold."""
    return SLACK + TIMES * size


def members(name: str | Path, file: IO[bytes] | None = None) -> Iterator[Member]:
    """The members of an archive, given by its path or in another archive: a zip if its name ends
    in zip, else a tar, compressed if it ends in gz.

    Raises:
        UserError: it is damaged, truncated or a bomb.
    """
    with ExitStack() as stack:
        with _damaged(name):
            file = file or stack.enter_context(Path(name).open("rb"))
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
        if str(name).endswith("zip"):
            yield from _of_zip(name, file, size)
        else:
            if str(name).endswith("gz"):
                file = stack.enter_context(gzip.GzipFile(fileobj=file))
            yield from _of_tar(name, _Bounded(file, size))


def _of_tar(name: str | Path, file: _Bounded) -> Iterator[Member]:
    """It must have its end mark after the last: tarfile itself takes one that ends between two
    files or has a spoilt header for a shorter one, and zeros in the place of what was not
    downloaded for the end; a negative size sends it back to where it was.
    """
    with _damaged(name):
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115, its block is the next
    with archive:
        while True:
            with _damaged(name):
                info = archive.next()
                archive.members.clear()  # which would keep what it knows of each
                if info and info.size < 0:
                    raise tarfile.ReadError(f"{info.name!r} has {info.size} bytes")
            if info is None:
                break
            plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
            opened = partial(archive.extractfile, info)
            yield Member(name, info.name, info.size, plain, info.isdir(), opened)
        with _damaged(name):
            file.seek(archive.offset)
            rest = file.read(2 * tarfile.RECORDSIZE)  # the mark, and zeros up to a record
            if len(rest) < tarfile.BLOCKSIZE or any(rest) or len(rest) == 2 * tarfile.RECORDSIZE:
                raise tarfile.ReadError("it does not end after its last whole file")


def _of_zip(name: str | Path, file: IO[bytes], size: int) -> Iterator[Member]:
    """A member is never longer than it is told to be, so what they are told is what counts."""
    with _damaged(name):
        archive = zipfile.ZipFile(file)
        if sum(info.file_size for info in archive.infolist()) > most(size):
            raise zipfile.BadZipFile(TOO_MUCH)
        _check_directory(archive, file, size)
    with archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was written on no Unix
            plain = kind in (0, stat.S_IFREG) and not info.is_dir()
            opened = partial(archive.open, info)
            folder = info.is_dir() and kind in (0, stat.S_IFDIR)
            yield Member(name, info.filename, info.file_size, plain, folder, opened)


def _check_directory(archive: zipfile.ZipFile, file: IO[bytes], size: int) -> None:
    """Hold the directory of a zip, which no checksum covers, against its end, which counts the
    entries, and against the header before each member; zipfile compares their names alone."""
    file.seek(size - 22 - len(archive.comment))
    (count,) = struct.unpack_from("<H", file.read(22), 10)
    if count not in (len(archive.infolist()) & 0xFFFF, 0xFFFF):  # the latter where it says more
        raise zipfile.BadZipFile("its directory lacks entries")
    for info in archive.infolist():
        file.seek(info.header_offset)
        flags, method, crc, *sizes = struct.unpack_from("<2H4x3L", file.read(30), 6)
        told = [info.compress_size, info.file_size]
        if flags & 8:  # they stand behind the member
            continue
        if method != info.compress_type or crc != info.CRC or sizes not in (told, [0xFFFFFFFF] * 2):
            raise zipfile.BadZipFile(f"its directory and {info.filename!r} differ")


def files(
    name: str | Path, pattern: str = r"(?s:(.+))", file: IO[bytes] | None = None
) -> Iterator[tuple[str, Member]]:
    """The files in an archive, all of which match `pattern`, behind what its group matches.

    Raises:
        UserError: any other member, one of another kind (a link), or one that leads out of the
            folder that the archive is unpacked into; see also `members`.
    """
    for member in members(name, file):
        if member.path.name.startswith("._") or (member.is_folder and member.is_inside):
            continue
        match = re.fullmatch(pattern, member.full_name.removeprefix("./"))
        if not (match and member.is_plain and member.is_inside):
            raise UserError(
                f"{name} holds {member.full_name!r}, which is no file that belongs there; nothing "
                "of it was written: fetch the original file"
            )
        yield match[1], member


def _damaged(name: str | Path) -> AbstractContextManager:
    return refusing(f"{name} is damaged or truncated", "fetch it again")
