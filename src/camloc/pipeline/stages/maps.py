"""03_cams: classify the evaluated splits and store the maps."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from camloc.core import processes
from camloc.core.errors import UserError
from camloc.core.files import replacing, write_text
from camloc.core.paths import EVALUATED, Study
from camloc.core.rows import IN_CELLS, OWN
from camloc.data import alterations, copies
from camloc.data.loading import (
    death_of_decoders_told,
    evaluation_batches,
    standardise,
    ten_crop_batches,
)
from camloc.data.manifest import Manifest
from camloc.maps import sanity, store
from camloc.maps.effects import effects_of_parts, shown
from camloc.maps.predict import write_predictions
from camloc.networks import files
from camloc.networks.cells import cells_of
from camloc.pipeline import launch, runs
from camloc.pipeline.parameters import MapsParameters
from camloc.training.precision import autocast, choose_device

_MADE_BY = "maps_made_by.json"  # what the maps of all methods follow from


def run(study: Study, given: MapsParameters) -> None:
    """Write the predictions and maps of each run of a network on each evaluated split, on as many
    devices as asked for."""
    runs.each(
        map_run,
        study,
        given,
        left=lambda one: one.predictions(given.network),
        goes_on_from=lambda one: _goes_on_from(one, given.network),
        reads=_reads(study),
    )


def _goes_on_from(study: Study, network: str) -> list[Path]:
    return [study.weights(network)]


def _reads(study: Study) -> list[Path]:
    return [study.manifest, study.pictures, study.copies]


def map_run(study: Study, given: MapsParameters) -> None:
    """One run, on as many devices as asked for."""
    launch.run(work, study, given)


def work(study: Study, given: MapsParameters) -> None:
    """What one process does in `map_run`: a part of each split; the first puts them together.

    Raises:
        UserError: a picture cannot be read, the disk is full, or the machines share no folder.
    """
    share, target = processes.share(), study.predictions(given.network)
    parts = target.with_name(target.name + ".parts")
    key = _key(study, given) if given.methods else ""  # which reads every picture
    kept = _kept(target, given, key) if given.methods else []
    missing = given.model_copy(update={"methods": [m for m in given.methods if m not in kept]})
    with replacing(parts / str(share.rank)) as folder, death_of_decoders_told():
        costs = _write(folder, study, missing)
    processes.gather(None)  # all are written
    if share.rank == 0:
        written = [parts / str(rank) for rank in range(share.size)]
        if missing := [part for part in written if not part.is_dir()]:
            raise UserError(
                f"{missing[0]} is not there; put the study into a folder that all machines share"
            )
        with replacing(target) as folder:
            store.join(written, folder)
            store.take_over(kept, target, folder)
            if given.methods:
                made = {"key": key, "cell": given.cell, "files": runs.files_of(folder)}
                (folder / _MADE_BY).write_text(json.dumps(made), encoding="utf-8")
            _test(folder, study, given)
        shutil.rmtree(parts)
        _note_costs(study.costs(given.network), costs, [OWN, *kept] if given.methods else [])


def _key(study: Study, given: MapsParameters) -> str:
    """A digest of all that the maps of a method are made from, whichever others are asked for."""
    others = {"methods": [], "cell": None, "effects": False, "sanity": False}
    alone = given.model_copy(update=others)
    return runs.key_of(work, alone, [*_goes_on_from(study, given.network), *_reads(study)])


def _kept(target: Path, given: MapsParameters, key: str) -> list[str]:
    """The methods whose maps an earlier run left, of the same and still whole: some take hours."""
    try:
        made = json.loads((target / _MADE_BY).read_text(encoding="utf-8"))
        there, whole = runs.files_of(target), made["files"]
        same = [m for m in given.methods if m not in IN_CELLS or made["cell"] == given.cell]
        own = {m: [name for name in whole if Path(name).stem == m] for m in same}
        kept = [m for m in same if own[m] and all(there.get(n) == whole[n] for n in own[m])]
        return kept if made["key"] == key else []
    except (OSError, ValueError, KeyError, TypeError):  # none, or no whole one
        return []


def _note_costs(path: Path, costs: dict[str, dict[str, float]], kept: Sequence[str]) -> None:
    """Write what methods cost now, beside what those cost that an earlier run left."""
    earlier = {}
    with suppress(OSError, ValueError):  # they are no result, so a copy of the study may lack them
        earlier = json.loads(path.read_text(encoding="utf-8"))
    costs = {method: earlier[method] for method in kept if method in earlier} | costs
    if costs:
        write_text(path, json.dumps(costs, indent=1))
    else:
        path.unlink(missing_ok=True)


def spread(names: Sequence[str], wanted: int | str) -> set[str]:
    """So many of the names, evenly spread; `all` are all."""
    count = len(names) if wanted == "all" else min(wanted, len(names))
    return {names[i * len(names) // count] for i in range(count)}


def _loaded(study: Study, given: MapsParameters) -> tuple:
    """The network, the same as one with CAMs or None, what its file says, the device that both are
    on, and where the maps' cells lie (see `camloc.networks.cells`)."""
    device = choose_device(given.machine.device)
    network, about = files.load(study.weights(given.network))
    cam_network = files.with_cams(network, about)  # before both move to the device
    cells = cam_network and cells_of(cam_network.features, given.loading.size)
    for module in filter(None, (network, cam_network)):
        module.to(device, memory_format=torch.channels_last)
    return network, cam_network, about, device, cells


def _test(folder: Path, study: Study, given: MapsParameters) -> None:
    """Write what tells how far the maps can be trusted, where that is asked for."""
    if not (given.effects or given.sanity):
        return
    network, cam_network, about, device, _ = _loaded(study, given)
    manifest, wanted = Manifest.load(study.manifest), files.preprocessing(about)
    read = partial(
        evaluation_batches,
        loading=given.loading,
        machine=given.machine,
        interpolation=wanted.interpolation,
    )
    for split in (split for split in EVALUATED if len(manifest.split(split))):
        if given.effects:
            # Of the originals, too: altered pictures have no small copies.
            seen, pictures = shown(manifest, split, alterations.load(manifest.root))
            batches = read(seen, split, batch=given.batch)
            if len(pictures):
                found = effects_of_parts(network, pictures, batches, device, wanted)
                store.write_effects(folder / split, found)
        if given.sanity:
            chosen = spread(manifest.split(split)["image"], sanity.PICTURES)
            few = manifest.images[manifest.images["image"].isin(chosen)]
            pictures, _ = next(iter(read(replace(manifest, images=few), split, batch=len(few))))
            x = standardise(pictures, device, wanted)
            checked = sanity.sanity_check(
                network, cam_network, x, sorted(chosen), given.methods, given.cell or 1
            )
            store.write_sanity(folder / split, checked)


def _write(folder: Path, study: Study, given: MapsParameters) -> dict[str, dict[str, float]]:
    """Write this process's part; what each method cost on the split of more batches."""
    loading, share = given.loading, processes.share()
    manifest = copies.seen(study, Manifest.load(study.manifest), loading)
    network, cam_network, about, device, cells = _loaded(study, given)
    wanted = files.preprocessing(about)
    write = partial(
        write_predictions,
        network=network,
        cam_network=cam_network,
        wnids=about["wnids"],
        top=len(about["wnids"]) if given.top == "all" else given.top,
        device=device,
        wanted=wanted,
    )
    # What is stored of a split: the batches, the side of what they are taken from, the precision.
    kinds = {
        "": (evaluation_batches, loading.size, torch.float32),
        store.TEN_CROP: (ten_crop_batches, loading.resize, torch.float32),
        store.BF16: (evaluation_batches, loading.size, torch.bfloat16),
    }
    told: list[dict] = []
    asked = {"": True, store.TEN_CROP: given.ten_crop, store.BF16: given.bf16}
    for split in EVALUATED:
        names = manifest.split(split)["image"]
        images = share.of(names, given.batch)
        for kind in (kind for kind in kinds if asked[kind] and len(images)):
            batches, side, precision = kinds[kind]
            options = {
                "machine": given.machine,
                "share": share,
                "interpolation": wanted.interpolation,
            }
            with autocast(device, precision):
                costs = write(
                    store.folder_of(folder / split, kind),
                    store.Geometry(side, loading.size, cells),
                    batches=batches(manifest, split, loading, given.batch, **options),
                    images=images,
                    methods=[] if kind else given.methods,
                    cell=given.cell or 1,
                    faithful=() if kind else spread(names, given.faithfulness),
                )
                told += [costs] if costs else []
    return max(told, key=lambda costs: costs[OWN]["batches"], default={})
