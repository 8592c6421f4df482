"""03_cams: classify the evaluated splits and store the maps."""

import shutil
from functools import partial
from pathlib import Path

import torch

from camloc.core import processes
from camloc.core.errors import UserError
from camloc.core.files import replacing
from camloc.core.params import Cams, Loading
from camloc.core.paths import EVALUATED, Study
from camloc.data import copies
from camloc.data.loading import (
    check_decoder,
    death_of_decoders_told,
    evaluation_batches,
    ten_crop_batches,
)
from camloc.data.manifest import Manifest
from camloc.maps import store
from camloc.maps.predict import write_predictions
from camloc.networks import files
from camloc.pipeline import launch
from camloc.training.precision import choose_device


def run(
    study: Study,
    network: str,
    cams: dict,
    loading: dict,
    device: str,
    devices: int | str,
    nodes: int,
) -> None:
    """Write the predictions and maps of a network on each evaluated split, on as many devices as
    asked for."""
    task = {"network": network, "cams": cams, "loading": loading, "device": device}
    launch.run(work, study, task, devices, nodes)


def work(study: Study, network: str, cams: dict, loading: dict, device: str) -> None:
    """The share of one process in `run`: a part of each split; the first puts them together.

    Raises:
        UserError: a picture cannot be read, the disk is full, or the machines share no folder.
    """
    share, parts = processes.share(), _parts(study, network)
    with replacing(parts / str(share.rank)) as folder, death_of_decoders_told():
        _write(folder, study, network, Cams(**cams), Loading(**loading), device)
    processes.gather(None)  # all are written
    if share.rank == 0:
        written = [parts / str(rank) for rank in range(share.size)]
        if missing := [part for part in written if not part.is_dir()]:
            raise UserError(
                f"{missing[0]} is not there; put the study into a folder that all machines share"
            )
        with replacing(study.predictions(network)) as folder:
            store.join(written, folder)
        shutil.rmtree(parts)


def _parts(study: Study, network: str) -> Path:
    folder = study.predictions(network)
    return folder.with_name(folder.name + ".parts")


def _write(
    folder: Path, study: Study, name: str, options: Cams, loading: Loading, device: str
) -> None:
    manifest = copies.seen(study, Manifest.load(study.manifest), loading)
    where, share = choose_device(device), processes.share()
    check_decoder(loading, where)
    network, about = files.load(study.weights(name))
    cam_network = files.with_cams(network, about)  # before both move to the device
    for module in filter(None, (network, cam_network)):
        module.to(where, memory_format=torch.channels_last)
    write = partial(
        write_predictions,
        network=network,
        cam_network=cam_network,
        wnids=about["wnids"],
        top=len(about["wnids"]) if options.top == "all" else options.top,
        device=where,
    )
    cell = options.saliency_cell if name in options.saliency else None
    for split in EVALUATED:
        images = share.of(manifest.split(split)["image"], options.batch)
        if images.empty:
            continue
        batches = evaluation_batches(
            manifest, split, loading, options.batch, device=where, share=share
        )
        write(folder / split, batches=batches, images=images, saliency_cell=cell)
        if name in options.ten_crop:
            crops = ten_crop_batches(manifest, split, loading, options.batch, share=share)
            ten = folder / f"{split}-ten-crop"
            write(ten, batches=crops, images=images, saliency_cell=None)
            store.write_crops(ten, loading.resize, loading.size)
