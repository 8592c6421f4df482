"""Files that are whole under their names, and text as people's programs write it."""

import codecs
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from camloc.core.errors import UserError, reason

_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path, errors: str = "strict") -> str:
    """A text file in UTF-8, or in UTF-16 where it starts with that mark; the mark is left out.

    Args:
        errors: `replace` puts a sign in the place of what is not UTF-8.

    Raises:
        UserError: the file is missing, cannot be read or is not such text.
    """
    try:
        content = path.read_bytes()
        return content.decode(_MARKS.get(content[:2], "utf-8-sig"), errors)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; give a text file that exists") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8 ({reason(error)}); save it as that") from None


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new empty folder that takes `folder`'s place if the block ends without an error."""
    new, old = (_beside(folder, kind) for kind in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    # Renamed before it is deleted: deleting takes long, and a stop in between would leave a part.
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A name to write a file under; it takes `path`'s place if the block ends without an error."""
    new = _beside(path, "new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield new
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, which takes its name when it is whole."""
    with replacing_file(path) as new:
        new.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _beside(path: Path, kind: str) -> Path:
    """This process's own name for what is not yet `path`, or no longer."""
    return path.with_name(f"{path.name}.{os.getpid()}.camloc-{kind}")


def remove_abandoned(*folders: Path) -> None:
    """Remove what processes that are gone, killed, were writing in these folders."""
    for path in (path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        found = re.fullmatch(r".+\.(\d{1,9})\.camloc-(new|old)", path.name)
        if found and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with the same lock file, which is empty.

    The system gives the lock back when its holder ends, however that comes about.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another process that does the same ({lock})", flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()
