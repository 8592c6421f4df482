"""The ready-made studies of `params/`."""

import io
import itertools
from pathlib import Path

from ruamel.yaml import YAML

from camloc.core.errors import UserError, near_matches, reason
from camloc.core.files import replacing_file
from camloc.core.params import _in_full
from camloc.core.trees import shown


def use(study: str, root: Path, folder: str | None = None) -> str:
    """Take `params/<study>.yaml` as params.yaml, with the images' folder where one is given.

    A params.yaml that is none of the ready-made studies is kept beside it as params.yaml.old.

    Returns:
        What was done, for people.

    Raises:
        UserError: no such study, a folder for one whose images are made on the spot, or files
            that cannot be read or written.
    """
    ready = ready_made(study, root)
    target = root / "params.yaml"
    try:
        contents = {name: path.read_bytes() for name, path in ready.items()}
        content = contents[study]
        if folder is not None:
            content = _with_folder(content.decode(), study, folder).encode()
        current = target.read_bytes() if target.exists() else None
        if current == content:
            return f"params.yaml is the study {study} already"
        done = f"params.yaml is now the study {study} (params/{study}.yaml)"
        if current is not None and current not in contents.values():
            kept = _free_name(target.with_suffix(".yaml.old"))
            target.replace(kept)
            done += f"; the one before is kept as {kept.name}"
        with replacing_file(target) as new:
            new.write_bytes(content)
    except OSError as error:
        raise UserError(f"{target} cannot take the study {study} ({reason(error)})") from None
    return done


def ready_made(study: str, root: Path) -> dict[str, Path]:
    """The files of the ready-made studies by name, if `study` is one of them.

    Raises:
        UserError: it is none.
    """
    ready = {path.stem: path for path in (root / "params").glob("*.yaml")}
    if study not in ready:
        raise UserError(f"no study {shown(study)} in params/{near_matches(study, ready)}")
    return ready


def _free_name(path: Path) -> Path:
    """The path, or the first of path.1, path.2, … that does not exist."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in itertools.count(1))
    return next(name for name in itertools.chain([path], numbered) if not name.exists())


def _with_folder(text: str, study: str, folder: str) -> str:
    yaml = YAML()
    yaml.width = 4096  # keeps the lines as they are
    tree = yaml.load(text)
    if tree["data"]["source"] == "shapes":
        raise UserError(f"study {study} makes its own images; leave out the folder")
    try:
        tree["data"]["folder"] = str(_in_full(folder))
    except ValueError as error:
        raise UserError(f"folder {shown(folder)} {error}") from None
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()
