"""Published archives: fetched once, checked before they take their names, and unpacked."""

import hashlib
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from camloc.core.download import download
from camloc.core.errors import UserError, refusing
from camloc.core.files import replacing, replacing_file


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
        UserError: one of them is damaged or holds what belongs in no data set, or there is no room.
    """
    with replacing(folder) as new:
        for path in archives:
            with refusing(f"{path} cannot be unpacked into {folder}", "make room or fetch it anew"):
                _extract(path, new)


def _extract(path: Path, folder: Path) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    else:
        with tarfile.open(path) as archive:
            # Python 3.11.3 and older have no such filter; the checksum was right all the same.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)


def _check(file: Path, md5: str, what: object, advice: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise UserError(f"{what} has the MD5 checksum {found}, not {md5}; {advice}")
