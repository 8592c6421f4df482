"""What params.yaml names must exist and fit: checked before any work starts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from camloc import networks, surgery
from camloc.errors import UserError
from camloc.params import Model, Original, Params
from camloc.study import repository_root


def check(params: Params) -> None:
    """Refuse networks that cannot be built, and folders and files that are missing.

    Raises:
        UserError: names every key that is wrong, and what would be right.
    """
    problems = []
    for key, verify in _claims(params):
        try:
            verify()
        except UserError as error:
            problems.append(f"params.yaml: {key}: {error}")
    if problems:
        raise UserError("\n".join(problems))


def _claims(params: Params) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each key that claims something about the world, with the check of it."""
    folder = getattr(params.data, "folder", None)
    if folder is not None:
        yield "data.folder", lambda: _exists(folder, "folder")
    for name, original in params.originals.items():
        yield f"originals.{name}", lambda n=name, o=original: _original_can_be_built(n, o)
        if original.gap and name in networks.names():
            yield f"originals.{name}.gap", lambda n=name, o=original: _ends_in_gap(n, o)
        for key, kind in (("path", "file"), ("folder", "folder")):
            if (path := getattr(original.weights, key)) is not None:
                yield f"originals.{name}.weights.{key}", lambda p=path, k=kind: _exists(p, k)
    for name, model in params.models.items():
        if model.backbone in networks.names():
            width = params.originals[model.backbone].width
            yield f"models.{name}.cut", lambda m=model, w=width: _model_can_be_built(m, w)


def _original_can_be_built(backbone: str, original: Original) -> None:
    networks.check_name(backbone)
    if original.weights.source == "torchvision":
        networks.check_pretrained(backbone, original.width)
    with torch.device("meta"):  # shapes without values: quick, and no memory
        networks.whole(backbone, 2, width=original.width)


def _ends_in_gap(backbone: str, original: Original) -> None:
    networks.check_cut(backbone, original.gap)
    with torch.device("meta"):
        surgery.uncut(networks.whole(backbone, 2, width=original.width), original.gap)


def _model_can_be_built(model: Model, width: float) -> None:
    with torch.device("meta"):
        surgery.build(**model.model_dump(exclude={"training", "seed"}), num_classes=2, width=width)


def _exists(path: Path, kind: str) -> None:
    found = repository_root() / path
    if not (found.is_dir() if kind == "folder" else found.is_file()):
        raise UserError(f"there is no {kind} {path}; give the path of one that exists")
