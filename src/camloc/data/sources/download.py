"""Published archives: fetched once, checked before they take their names, and unpacked."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from camloc.core.download import download
from camloc.core.errors import UserError, refusing
from camloc.core.files import replacing, replacing_file
from camloc.data.sources.archives import files


def fetch(url: str, path: Path, md5: str) -> None:
    """Download `url` to `path`, unless the file is there already.

    Raises:
        UserError: it could not be downloaded, or it has another checksum. What was downloaded is
            removed then, and a file that was there already is left alone.
    """
    if path.exists():
        _check(path, md5, path, "delete it to have it downloaded, or put the right file in place")
        return
    with replacing_file(path) as new:
        download(url, new, advice=str(path))
        advice = "run again; if it stays, the file there or something on the way (a proxy) changed"
        _check(new, md5, f"what {url} sent for {path}", advice)


def unpack(archives: Sequence[Path], folder: Path) -> None:
    """Unpack zip or tar files side by side as `folder`, which appears when it is whole.

    Nothing is written outside of it, whatever the archives hold.

    Raises:
        UserError: one of them is damaged or holds what belongs in no data set (see
            `camloc.data.sources.archives.files`), or no file at all, or there is no room.
    """
    with replacing(folder) as new:
        for path in archives:
            with refusing(f"{path} cannot be unpacked into {folder}", "make room or fetch it anew"):
                _extract(path, new)


def _extract(path: Path, folder: Path) -> None:
    made: set[Path] = set()  # most files lie in a folder with many others
    for _, member in files(path):
        target = folder / member.path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.unlink(missing_ok=True)  # of several files of one name the last counts, as in tar
        member.copy(target)
    if not made:
        raise UserError(f"{path} holds no files; fetch it again")


def _check(file: Path, md5: str, what: object, advice: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise UserError(f"{what} has the MD5 checksum {found}, not {md5}; {advice}")
