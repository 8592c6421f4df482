"""02_finetune: train an original, what surgery left of one, or a control, run by run."""

import hashlib
import sys
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from camloc.core import processes
from camloc.core.errors import UserError
from camloc.core.files import replacing_file
from camloc.core.params import Original
from camloc.core.paths import Study, repository_root
from camloc.data import copies
from camloc.data.loading import evaluation_batches, training_batches
from camloc.data.manifest import Manifest
from camloc.networks import backbones, files, published
from camloc.networks.surgery import CamNetwork, head_of
from camloc.pipeline import launch, runs
from camloc.pipeline.parameters import TrainParameters
from camloc.training.checkpoint import Checkpoint, digest
from camloc.training.frozen import keep_maps, training_maps, val_maps
from camloc.training.loop import HISTORY_COLUMNS, fit
from camloc.training.precision import choose_device, choose_precision


def run(study: Study, given: TrainParameters) -> pd.DataFrame:
    """Train a network from each seed on as many devices as asked for, and write its weights and
    histories.

    Returns:
        The histories (see `camloc.training.loop.fit`), with the column `run` in front.
    """
    name = given.network
    made = runs.each(
        train_run,
        study,
        given,
        left=lambda one: one.weights(name).parent,
        goes_on_from=lambda one: _start(one, given),
        reads=[study.manifest, study.pictures, study.copies],
    )
    every = {one.run: pd.read_csv(one.history(name)) for one in made}
    histories = pd.concat(every, names=["run"]).reset_index("run")
    with replacing_file(study.histories(name)) as new:
        histories.to_csv(new, index=False)
    return histories


def _start(study: Study, given: TrainParameters) -> list[Path]:
    """The network file that a training goes on from, if any."""
    if given.after:
        return [study.weights(given.after)]
    return [] if given.original else [study.surgery(given.network)]


def train_run(study: Study, given: TrainParameters) -> None:
    """One run, on as many devices as asked for."""
    launch.run(work, study, given)
    study.checkpoint(given.network).unlink(missing_ok=True)


def work(study: Study, given: TrainParameters) -> None:
    """What one process does in `train_run`; leaves the checkpoint of the end, too."""
    name, recipe = given.network, given.training
    manifest = copies.seen(study, Manifest.load(study.manifest), given.loading)
    if given.pictures is not None:
        manifest = manifest.with_part("train", study.run - 1, given.pictures)
    torch.manual_seed(given.seed)
    if given.original is None:
        network, about = files.load(*_start(study, given))
    else:
        network, about = _original(given.original, manifest.wnids)
    history = pd.DataFrame(columns=HISTORY_COLUMNS)
    if recipe.epochs and manifest.split("train").empty:
        raise UserError(
            f"params.yaml: {name} has {recipe.epochs} epochs of training, and the data no train "
            "split; give it one, or let it have 0"
        )
    if recipe.epochs:
        history = _train(study, given, network, about, manifest)
    if processes.share().rank == 0:
        files.save(network.cpu(), study.weights(name), about)
        with replacing_file(study.history(name)) as new:
            history.to_csv(new, index=False)


def _train(
    study: Study, given: TrainParameters, network: nn.Module, about: dict, manifest: Manifest
) -> pd.DataFrame:
    machine, recipe, share = given.machine, given.training, processes.share()
    device, wanted = choose_device(machine.device), files.preprocessing(about)
    made_by = _made_by(network, about, manifest, given, device)
    checkpoint = Checkpoint(study.checkpoint(given.network), made_by, machine.checkpoint_minutes)
    options = {"share": share}
    if recipe.freeze == "body":
        if not isinstance(backbones.last_layer(network), nn.Linear):
            raise UserError(
                f"params.yaml: {given.network} has freeze: body, and no linear layer after its "
                "pooling that could be trained; train it whole"
            )
        seen = files.with_cams(network, about)
        parts = _body_maps(study, given, seen, about, manifest)
        batches = training_maps(parts, given.loading, recipe, given.seed, **options)
        val = val_maps(parts, recipe.batch, **options)
        learning, wanted = head_of(seen), None
    else:
        options |= {"machine": machine, "interpolation": wanted.interpolation}
        batches = training_batches(
            manifest, given.loading, recipe.batch, given.seed, **options, parts=recipe.accumulate
        )
        val = evaluation_batches(manifest, "val", given.loading, recipe.batch, **options, keep=True)
        learning = network
    torch.manual_seed(given.seed + share.rank)  # dropout differs between the processes
    history = fit(learning, batches, val, recipe, device, checkpoint, machine.compile, wanted)
    if learning is network:
        _list_unreadable(processes.gather(batches.pictures.unreadable))
    return history


def _body_maps(
    study: Study, given: TrainParameters, network: CamNetwork, about: dict, manifest: Manifest
) -> list[Path]:
    """The folders of the maps that a network's body gives, kept from an earlier training or made
    now, one of each process."""
    share, device = processes.share(), choose_device(given.machine.device)
    wanted = files.preprocessing(about)
    told = {
        "body": digest(network.body),
        "original": about["original"],
        "cut": about["surgery"] and about["surgery"]["cut"],
        "preprocessing": wanted.model_dump(),
        "size": given.loading.size,
        "resize": given.loading.resize if given.loading.copies else None,
        "precision": str(choose_precision(given.training.precision, device)),
        "part": given.pictures and study.run,
    }
    key = runs.digest(told, [study.manifest, study.pictures, study.copies])
    folder = study.body_maps(key[:16])
    parts = [folder / f"{rank}-of-{share.size}" for rank in range(share.size)]
    unreadable = []
    if not parts[share.rank].is_dir():
        unreadable = keep_maps(
            parts[share.rank],
            network,
            manifest,
            given.loading,
            given.training,
            device,
            machine=given.machine,
            wanted=wanted,
            share=share,
        )
    _list_unreadable(processes.gather(unreadable))  # all are written
    return parts


def _made_by(
    network: nn.Module,
    about: dict,
    manifest: Manifest,
    given: TrainParameters,
    device: torch.device,
) -> dict:
    """All that decides what a training comes to but for rounding, which devices and threads
    change."""
    wnids = hashlib.sha256(" ".join(about["wnids"]).encode()).hexdigest()[:16]
    images = pd.util.hash_pandas_object(manifest.split("train")[["path", "wnid"]]).sum()
    precision = choose_precision(given.training.precision, device)
    return {
        "network": about | {"wnids": wnids, "starts from": digest(network)},
        "training": given.training.model_dump()
        | {"precision": str(precision).removeprefix("torch.")},
        "loading": given.loading.model_dump(),
        "train images": f"{images:016x}",
        "seed": given.seed,
    }


def _list_unreadable(of_processes: list[list]) -> None:
    files = sorted({str(path) for unreadable in of_processes for path in unreadable})
    if files and processes.share().rank == 0:
        print(f"{len(files)} training images cannot be read and were skipped:", *files, sep="\n  ")
        sys.stdout.flush()


def _original(original: Original, wnids: list[str]) -> tuple[nn.Module, dict]:
    weights, root, path = original.weights, repository_root(), None
    if weights.path is not None:
        path = root / weights.path
    elif weights.source != "scratch":
        published.check(original.backbone, weights.source, original.width)
        folder = None if weights.folder is None else root / weights.folder
        path = published.file(original.backbone, weights.source, folder)
    network = backbones.whole(
        original.backbone,
        len(wnids),
        width=original.width,
        dropout=original.dropout,
        weights=path,
        new_head=weights.head == "new",
    )
    kept = original.model_dump(include={"backbone", "width", "dropout", "gap"})
    known = published.preprocessing(original.backbone, weights.source).model_dump(mode="json")
    wanted = known | weights.preprocessing.model_dump(mode="json")
    return network, {"original": kept, "surgery": None, "wnids": wnids, "preprocessing": wanted}
