"""What params.yaml names must exist: checked before any work starts."""

from pathlib import Path

from camloc import networks
from camloc.errors import UserError
from camloc.params import Params
from camloc.study import repository_root


def check(params: Params) -> None:
    """Refuse unknown backbones and cuts, and folders and files that are missing.

    Raises:
        UserError: names every key that is wrong, and what would be right.
    """
    problems = []
    for where, verify in _claims(params):
        try:
            verify()
        except UserError as error:
            problems.append(f"params.yaml: {where}: {error}")
    if problems:
        raise UserError("\n".join(problems))


def _claims(params: Params):
    """Each key that names something outside params.yaml, with the check of it."""
    folder = getattr(params.data, "folder", None)
    if folder is not None:
        yield "data.folder", lambda: _exists(folder, "folder")
    for name, original in params.originals.items():
        yield f"originals.{name}", lambda name=name: networks.check_name(name)
        if original.gap and name in networks.names():
            yield f"originals.{name}.gap", lambda n=name, o=original: networks.check_cut(n, o.gap)
        if original.weights not in ("scratch", "torchvision"):
            yield f"originals.{name}.weights", lambda o=original: _exists(Path(o.weights), "file")
    for name, model in params.models.items():
        if model.backbone in networks.names():
            yield f"models.{name}.cut", lambda m=model: networks.check_cut(m.backbone, m.cut)


def _exists(path: Path, kind: str) -> None:
    found = repository_root() / path
    if not (found.is_dir() if kind == "folder" else found.is_file()):
        raise UserError(f"there is no {kind} {path}; give the path of one that exists")
