"""What params.yaml names must exist and fit: checked before any work starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from camloc.core.errors import UserError, refusing
from camloc.core.params import Model, Original, Params, Surgery
from camloc.core.paths import repository_root
from camloc.maps import methods
from camloc.networks import backbones, published, surgery
from camloc.networks.pooling import Pool


def check(params: Params) -> None:
    """Refuse networks that cannot be built or take no pictures of their size, weights files
    that do not fit, and folders and files that are missing. Nothing is downloaded.

    Raises:
        UserError: names every key that is wrong, and what would be right.
    """
    _, problems = networks(params)
    if problems:
        raise UserError("\n".join(problems))


def networks(params: Params) -> tuple[dict[str, nn.Module], list[str]]:
    """The networks of a study that can be built, of two classes and without values, those with CAMs
    as `CamNetwork`; and what `check` refuses."""
    checks = _Checks(params)
    folder = getattr(params.data, "folder", None)
    if folder is not None:
        with checks.of("data.folder"):
            _existing(folder, "folder")
    with torch.device("meta"):  # shapes without values: quick, and no memory
        originals = {name: checks.original(name, one) for name, one in params.originals.items()}
        for name, model in params.models.items():
            if (original := originals[model.backbone]) is not None:
                checks.model(name, model, original, params.originals[model.backbone])
    for name, control in params.controls.items():
        if control.original in checks.built:
            checks.built[name] = checks.built[control.original]
            with torch.device("meta"):
                checks.methods(name, originals[control.original])
    return checks.built, checks.problems


class _Checks:
    """What was found to be wrong so far with the networks of a study."""

    def __init__(self, params: Params) -> None:
        self.params, self.problems = params, list[str]()
        self.built = dict[str, nn.Module]()

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Note what is refused in the block, as a problem of this key; go on behind the block."""
        try:
            yield
        except UserError as error:
            self.problems.append(f"params.yaml: {key}: {error}")

    def original(self, name: str, original: Original) -> nn.Module | None:
        """The network without values; None where it cannot be built."""
        network = None
        with self.of(f"originals.{name}"):
            backbone = original.backbone or name
            backbones.check_name(backbone)
            if original.weights.source not in ("path", "scratch"):
                published.check(backbone, original.weights.source, original.width)
            with refusing(f"{name} cannot be built", "name another network or width"):
                network = backbones.whole(backbone, 2, width=original.width)
            self.weights(name, original, backbone)
            self.built[name] = network
            self.takes_pictures(name, network)
            self.methods(name, network)
        if network is not None and original.gap:
            with self.of(f"originals.{name}.gap"):
                backbones.check_cut(backbone, original.gap)
                self.built[name] = surgery.uncut(network, original.gap)
                self.takes_pictures(name, self.built[name])
        return network

    def weights(self, name: str, original: Original, backbone: str) -> None:
        """The file that is named, or the published one where it is there already."""
        weights, key = original.weights, f"originals.{name}.weights"
        if weights.path is not None:
            with self.of(f"{key}.path"):
                file = _existing(weights.path, "file")
                backbones.whole(backbone, 2, width=original.width, weights=file, new_head=True)
        elif weights.source != "scratch":
            with self.of(key if weights.folder is None else f"{key}.folder"):
                folder = weights.folder and _existing(weights.folder, "folder")
                published.find(backbone, weights.source, folder)

    def model(self, name: str, model: Model, network: nn.Module, original: Original) -> None:
        """Its surgery on the original, and that its maps fit on the pictures."""
        fields = model.model_dump(include=Surgery.model_fields.keys() - {"backbone"})
        fields |= {"backbone": original.backbone or model.backbone, "width": original.width}
        if model.weights is not None:
            with self.of(f"models.{name}.weights"):
                _existing(model.weights, "file")
        with self.of(f"models.{name}.pool"):
            Pool(model.pool, model.sharpness, model.top_k)
            with self.of(f"models.{name}.cut"):
                with refusing(f"{name} cannot be built", "give convolutions that fit"):
                    network = surgery.build(**fields, num_classes=2, weights=network)
                self.built[name] = network
                self.takes_pictures(name, network)
                self.methods(name, network)

    def methods(self, name: str, network: nn.Module) -> None:
        """The layers of its map methods are there, and give maps."""
        for method in self.params.cams.methods_of(name):
            with self.of(f"cams.methods.{name}"):
                methods.check(method, network, self.params.loading_of(name).size)

    def takes_pictures(self, name: str, network: nn.Module) -> None:
        """One picture of its size goes through, and its maps have several places."""
        size, network = self.params.loading_of(name).size, network.eval()
        own = self.params.original_of(name).size is not None
        key = f"originals.{self.params.origin_of(name)}.size" if own else "loading.size"
        pixels = f"{size}×{size} pixels"
        with (
            self.of(key),
            torch.no_grad(),
            refusing(f"{name} takes no pictures of {pixels}", "give a size that fits its layers"),
        ):
            network(torch.zeros(1, 3, size, size))
            has_maps = isinstance(network, surgery.CamNetwork)
            if has_maps and surgery.map_resolution(network, size) == (1, 1):
                raise UserError(
                    f"of pictures of {pixels} {name} has maps of one place, which say nothing of "
                    "where; give a larger size, or cut earlier"
                )


def _existing(path: Path, kind: str) -> Path:
    found = repository_root() / path
    # `Path`'s own raise for a name that is too long for any file.
    is_there = {"folder": os.path.isdir, "file": os.path.isfile}[kind]
    if not is_there(found):
        raise UserError(f"there is no {kind} {path}; give the path of one that exists")
    return found
