"""Files that are whole under their names, and text as people's programs write it."""

import codecs
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    new, old = (folder.with_name(folder.name + suffix) for suffix in (".new", ".old"))
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
    new = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield new
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
