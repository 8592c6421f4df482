"""02_finetune: train an original, or what surgery left of one."""

import hashlib
import sys

import pandas as pd
import torch

from camloc.core import processes
from camloc.core.files import replacing_file
from camloc.core.params import Loading, Original, Training
from camloc.core.paths import Study, repository_root
from camloc.data import copies
from camloc.data.loading import check_decoder, evaluation_batches, training_batches
from camloc.data.manifest import Manifest
from camloc.networks import backbones, files
from camloc.pipeline import launch
from camloc.training.checkpoint import Checkpoint, digest, flat
from camloc.training.loop import fit
from camloc.training.precision import choose_device, choose_precision


def run(
    study: Study,
    network: str,
    declaration: dict,
    training: dict,
    loading: dict,
    device: str,
    devices: int | str,
    nodes: int,
    seed: int,
) -> pd.DataFrame:
    """Train a network on as many devices as asked for, and write its weights and history.

    Returns:
        The history (see `camloc.training.loop.fit`).
    """
    task = {
        "network": network,
        "declaration": declaration,
        "training": training,
        "loading": loading,
        "device": device,
        "seed": seed,
    }
    launch.run(work, study, task, devices, nodes)
    study.checkpoint(network).unlink(missing_ok=True)
    return pd.read_csv(study.history(network))


def work(
    study: Study,
    network: str,
    declaration: dict,
    training: dict,
    loading: dict,
    device: str,
    seed: int,
) -> None:
    """The share of one process in `run`; leaves the checkpoint of the end, too."""
    where, share = choose_device(device), processes.share()
    options, recipe = Loading(**loading), Training(**training)
    manifest = copies.seen(study, Manifest.load(study.manifest), options)
    own_seed = declaration.get("seed")
    seed = seed if own_seed is None else own_seed
    torch.manual_seed(seed)
    if "backbone" in declaration:
        trained, about = files.load(study.surgery(network))
    else:
        trained, about = _original(network, declaration, manifest.wnids)
    check_decoder(options, where)
    made_by = _made_by(trained, about, manifest, options, recipe, where, seed)
    torch.manual_seed(seed + share.rank)  # dropout differs between the processes
    batches = training_batches(
        manifest,
        options,
        recipe.batch,
        seed,
        device=where,
        share=share,
        parts=recipe.accumulate,
    )
    history = fit(
        trained,
        batches,
        evaluation_batches(
            manifest,
            "val",
            options,
            recipe.batch,
            memory_gb=options.memory_gb,
            device=where,
            share=share,
        ),
        recipe,
        where,
        Checkpoint(study.checkpoint(network), made_by, recipe.checkpoint_minutes),
    )
    _list_unreadable(processes.gather(batches.pictures.unreadable))
    if share.rank == 0:
        files.save(trained.cpu(), study.weights(network), about)
        with replacing_file(study.history(network)) as new:
            history.to_csv(new, index=False)


def _made_by(
    network: torch.nn.Module,
    about: dict,
    manifest: Manifest,
    loading: Loading,
    training: Training,
    device: torch.device,
    seed: int,
) -> dict:
    """All that decides what a training comes to but for rounding, which devices and threads change;
    what only changes its pace is left out."""
    wnids = hashlib.sha256(" ".join(about["wnids"]).encode()).hexdigest()[:16]
    images = pd.util.hash_pandas_object(manifest.split("train")[["path", "wnid"]]).sum()
    precision = choose_precision(training.precision, device)
    return flat(
        {
            "network": about | {"wnids": wnids, "starts from": digest(network)},
            "training": training.model_dump(exclude={"checkpoint_minutes", "compile"})
            | {"precision": str(precision).removeprefix("torch.")},
            "loading": loading.model_dump(exclude={"workers", "memory_gb"}),
            "train images": f"{images:016x}",
            "seed": seed,
        }
    )


def _list_unreadable(of_processes: list[list]) -> None:
    files = sorted({str(path) for unreadable in of_processes for path in unreadable})
    if files and processes.share().rank == 0:
        print(f"{len(files)} training images cannot be read and were skipped:", *files, sep="\n  ")
        sys.stdout.flush()


def _original(name: str, declaration: dict, wnids: list[str]) -> tuple[torch.nn.Module, dict]:
    original, root = Original(**declaration), repository_root()
    source, path, folder = original.weights.source, original.weights.path, original.weights.folder
    network = backbones.whole(
        name,
        len(wnids),
        width=original.width,
        dropout=original.dropout,
        weights=source if path is None else root / path,
        folder=None if folder is None else root / folder,
    )
    kept = original.model_dump(include={"width", "dropout", "gap"})
    return network, {"original": {"backbone": name} | kept, "surgery": None, "wnids": wnids}
