"""Small copies of the pictures, made once, for data whose files are far larger than what is seen.

A picture is decoded and warped to the square of `loading.resize` anyway; a copy of that square as
JPEG decodes several times faster, and training reads each picture as often as it has epochs.
"""

import dataclasses
from functools import partial
from pathlib import Path

from PIL import Image

from camloc.core.errors import UserError, reason
from camloc.core.files import replacing_file
from camloc.core.params import Loading
from camloc.core.paths import Study
from camloc.core.threads import in_threads
from camloc.data.loading import decode
from camloc.data.manifest import Manifest, saved_digest

QUALITY = 95  # of JPEG


def make(study: Study, loading: Loading) -> int:
    """Copy every picture of the manifest that has no copy yet.

    A stop in between loses nothing: a copy takes its name when it is whole.

    Returns:
        How many pictures have copies now.

    Raises:
        UserError: a picture cannot be read, unless such are skipped; a copy cannot be written.
    """
    manifest, folder = Manifest.load(study.manifest), _folder(study, loading)
    paths = manifest.images["path"].tolist()
    skip = loading.unreadable == "skip"
    copy = partial(_copy, manifest, folder, side=loading.resize, skip=skip)
    return sum(in_threads(copy, paths, unit="copy"))


def seen(study: Study, manifest: Manifest, loading: Loading) -> Manifest:
    """The manifest with the pictures that networks see: the copies, where params.yaml has them.

    Raises:
        UserError: they are not there.
    """
    if not loading.copies:
        return manifest
    folder = _folder(study, loading)
    if not folder.is_dir():
        raise UserError(
            f"{folder} has no copies of the pictures, which are not kept by DVC; make them again "
            "by `dvc repro --force --single-item copies`"
        )
    return dataclasses.replace(manifest, root=folder)


def _folder(study: Study, loading: Loading) -> Path:
    """Named by what the copies are of, so that those of other pictures are never taken."""
    return study.folder / "copies" / f"{saved_digest(study.manifest)[:12]}-{loading.resize}"


def _copy(manifest: Manifest, folder: Path, path: str, *, side: int, skip: bool) -> bool:
    target = folder / path
    if target.is_file():
        return True
    try:
        square = decode(manifest.root / path, side, read=manifest.read)
        picture = Image.fromarray(square.movedim(0, -1).numpy())
    except UserError:
        if skip:
            return False
        raise
    try:
        with replacing_file(target) as new:
            picture.save(new, "JPEG", quality=QUALITY)
    except OSError as error:
        raise UserError(
            f"{target} could not be written ({reason(error)}); the copies so far are kept: run "
            "again when there is room"
        ) from None
    return True
