"""02_finetune: train an original, or what surgery left of one."""

import pandas as pd
import torch

from camloc import networks, surgery
from camloc.loading import evaluation_batches, training_batches
from camloc.manifest import Manifest
from camloc.params import Loading, Original, Training
from camloc.study import Study, repository_root
from camloc.training import choose_device, fit


def run(
    study: Study,
    name: str,
    declaration: dict,
    training: dict,
    loading: dict,
    device: str,
    seed: int,
) -> pd.DataFrame:
    """Train the network `name` and write its weights and history.

    Returns:
        The history (see `camloc.training.fit`).
    """
    manifest = Manifest.load(study.manifest)
    own_seed = declaration.get("seed")
    seed = seed if own_seed is None else own_seed
    torch.manual_seed(seed)
    if "backbone" in declaration:
        network, about = surgery.load(study.surgery(name))
    else:
        network, about = _original(name, declaration, manifest.wnids)
    options, recipe = Loading(**loading), Training(**training)
    history = fit(
        network,
        training_batches(manifest, options, recipe.batch, seed),
        evaluation_batches(manifest, "val", options, recipe.batch, options.memory_gb),
        recipe,
        choose_device(device),
    )
    surgery.save(network.cpu(), study.weights(name), about)
    history.to_csv(study.history(name), index=False)
    return history


def _original(name: str, declaration: dict, wnids: list[str]) -> tuple[torch.nn.Module, dict]:
    original, root = Original(**declaration), repository_root()
    source, path, folder = original.weights.source, original.weights.path, original.weights.folder
    network = networks.whole(
        name,
        len(wnids),
        width=original.width,
        dropout=original.dropout,
        weights=source if path is None else root / path,
        folder=None if folder is None else root / folder,
    )
    kept = original.model_dump(include={"width", "dropout", "gap"})
    return network, {"original": {"backbone": name} | kept, "surgery": None, "wnids": wnids}
