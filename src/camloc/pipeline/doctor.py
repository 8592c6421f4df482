"""What a study finds on this machine, and how long it will take: what `camloc doctor` prints."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from threading import Thread
from urllib.request import urlopen

import psutil
import torch
from torch import nn

from camloc.core import surroundings
from camloc.core.errors import UserError, reason, refusing
from camloc.core.params import Data, Params, load
from camloc.core.paths import FINGERPRINTS, FOLDER, Study
from camloc.data.sources import cub, ilsvrc, ilsvrc_official, tiny_imagenet
from camloc.networks import published, zoo
from camloc.pipeline import checks, cost, fingerprints, launch, restore, schedule
from camloc.pipeline.parameters import threads_of
from camloc.pipeline.provenance import commit, machine, versions
from camloc.training.precision import choose_device, choose_precision

GIB = 2**30
SPARE = GIB / 4  # that a run should find anywhere
ANSWER = 3.0  # seconds that servers may take
# Where data sets are downloaded from where no folder is given, and what a given folder holds first.
ARCHIVES = {"tiny-imagenet": [tiny_imagenet.URL], "cub": [*cub.ARCHIVES]}
FIRST = {"tiny-imagenet": "wnids.txt", "cub": "images.txt", "ilsvrc": ilsvrc.SOLUTION}


class Findings:
    """Lines of a label and a text, what is to be downloaded (an address, and where a person would
    put the file), and problems that would stop a run, each with its cure."""

    def __init__(self) -> None:
        self.lines, self.wanted, self.problems = dict[str, str](), dict[str, str](), list[str]()

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Note what is refused in the block; go on behind it."""
        try:
            yield
        except UserError as error:
            self.problems += str(error).split("\n")


def doctor(params: Params, root: Path) -> None:
    """Print what is found about a study.

    Raises:
        UserError: names all that would stop a run.
    """
    found = examine(params, root)
    for label, text in found.lines.items():
        print(f"{label:11}" + text.replace("\n", f"\n{'':11}"))
    if found.problems:
        raise UserError("\n".join(dict.fromkeys(found.problems)))


def examine(params: Params, root: Path) -> Findings:
    """All findings about a study; nothing is downloaded."""
    found, memory, threads = Findings(), psutil.virtual_memory(), threads_of(params)
    lines, cache, need = found.lines, root / ".dvc" / "cache", 0.0
    told = versions() | {name: version(name) for name in ("timm", "camloc")}
    networks, problems = checks.networks(params)
    found.problems += problems
    trained = f"{len(params.networks)} networks, {params.seeds} × each, threads: {threads}"
    lines["study"] = f"{params.study}: {trained}"
    lines["versions"] = ", ".join(f"{name} {number}" for name, number in told.items())
    lines["machine"] = machine()
    lines["memory"] = f"{memory.total / GIB:.1f} GiB, {memory.available / GIB:.1f} free"
    lines["devices"] = devices()
    with found.trouble():
        lines["devices"] += f"; {(device := choose_device(params.machine.device).type)} is taken"
        launch.devices_here(device, params.machine.devices)
    with found.trouble():
        cache = surroundings.check(root)
        lines["git, DVC"] = f"can run, at {commit(root)}"
    lines["weights"] = "\n".join(weights(params, root, found)) or "none needed"
    lines["data"] = of_data(params.data, root, found)
    lines["downloads"] = "\n".join(downloads(found)) or "none"
    try:
        lines["done"], lines["time"], need = plan(params, root, networks)
    except Exception as error:  # whatever a network raises that `checks` refuses
        lines["time"] = f"not known ({reason(error)})"
    lines["disk"] = "\n".join(disk(root, cache, need, found))
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    lines["chromium"] = browser or "none; `make pages` alone needs it"
    return found


def devices() -> str:
    """What can compute, and which of it multiplies bfloat16 in hardware."""
    found = {"cpu": "cpu"} | ({"mps": "mps"} if torch.backends.mps.is_available() else {})
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / GIB
        found[f"cuda:{i} {torch.cuda.get_device_name(i)}, {memory:.0f} GiB"] = "cuda"
    low = {k: choose_precision("auto", torch.device(k)) == torch.bfloat16 for k in found.values()}
    return "; ".join(f"{n} {'with' if low[k] else 'without'} bf16" for n, k in found.items())


def weights(params: Params, root: Path, found: Findings) -> Iterator[str]:
    """Where networks' weights are."""
    for name, original in params.originals.items():
        given, backbone = original.weights, original.backbone or name
        if given.path is not None:
            yield f"{name}: {given.path}"
        elif given.source != "scratch":
            with suppress(UserError):  # `checks` tells of them
                published.check(backbone, given.source, original.width)
                place = published.find(backbone, given.source, given.folder and root / given.folder)
                yield f"{name}: {place or 'to be downloaded'}"
                found.wanted |= {} if place else dict([_address(backbone, given.source)])


def _address(backbone: str, source: str) -> tuple[str, str]:
    """Where published weights come from, and where a person would put them."""
    if source == "torchvision":
        url = zoo.models.get_model_weights(backbone)[published.TORCHVISION].url
        return url, str(Path(torch.hub.get_dir()) / "checkpoints")
    hub = zoo.timm_models().get_pretrained_cfg(backbone).hf_hub_id
    url = f"https://huggingface.co/{hub}/resolve/main/model.safetensors"
    return url, f"a folder that `weights.folder` names, as {backbone}.safetensors"


def of_data(data: Data, root: Path, found: Findings) -> str:
    """Whether a study's pictures are there, and which archives are missing."""
    if data.source == "shapes":
        return "drawn on the spot"
    if data.folder is None:
        place = Study(root / FOLDER).downloads
        if (place / data.source).is_dir():
            return f"in {place / data.source}"
        missing = [u for u in ARCHIVES[data.source] if not (place / PurePosixPath(u).name).exists()]
        found.wanted |= dict.fromkeys(missing, str(place))
        return f"to be downloaded into {place}" if missing else f"archives in {place}"
    place = root / data.folder
    if not place.is_dir():  # which `checks` refuses
        return f"no folder {place}"
    if data.source == "ilsvrc" and ilsvrc_official.found(place):
        target = root / (data.unpack_to or place / "unpacked")
        if ilsvrc_official.is_whole(target, data.train):
            return f"unpacked in {target}"
        with found.trouble():
            ilsvrc_official.require(place, data.train)
        return f"official files in {place}, to be unpacked into {target}"
    first = FIRST.get(data.source, "")
    if not any((folder / first).exists() for folder in (place, place / cub.TREE)):
        found.problems.append(f"{place} lacks {first}; docs/data.md says what such a folder holds")
    return f"in {place}"


def downloads(found: Findings) -> Iterator[str]:
    """Each file that is to be downloaded; a problem where no server answers."""
    sizes: dict[str, int] = {}

    def ask(url: str) -> None:
        with suppress(OSError, HTTPException), urlopen(url, timeout=ANSWER) as told:  # not read
            sizes[url] = int(told.headers.get("Content-Length") or 0)

    asking = [Thread(target=ask, args=(url,), daemon=True) for url in found.wanted]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(ANSWER)
    for url, place in found.wanted.items():
        yield f"{url}, {sizes[url] / 1e6:.0f} MB" if url in sizes else f"{url}, no answer"
        if url not in sizes:
            found.problems.append(
                f"{url} does not answer; fetch it where there is a network connection (`curl -fLO "
                f"{url}`) and put it into {place}"
            )


def disk(root: Path, cache: Path, need: float, found: Findings) -> Iterator[str]:
    """What is free where a run writes; a problem where that is too little."""
    wanted = {root / FOLDER: need + SPARE, cache: need + SPARE, root / "reports": SPARE}
    for place, size in wanted.items():
        there = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(there).free
        room = f"{free / GIB:.1f} GiB free, about {size / GIB:.1f} needed"
        yield f"{room} in {place}"
        if free < size:
            found.problems.append(
                f"{place} has {room}; make room or, for DVC's cache, name another folder: `dvc "
                "config --local cache.dir FOLDER`"
            )


def plan(params: Params, root: Path, networks: dict[str, nn.Module]) -> tuple[str, str, float]:
    """What is done of a study, how long the rest takes, and the bytes that it keeps."""
    order = schedule.stages(root / "dvc.yaml", params)[1:]  # the first runs always
    ahead = stages_ahead(order, params, root)
    done = f"{len(order) - len(ahead)} of {len(order)} stages"
    if not ahead:
        return done, "nothing is left to do", 0.0
    images, (taken, elsewhere) = cost.images(params), times(params, root, ahead)
    unknown = [stage for stage in ahead if stage not in taken]
    network = {s: s.partition("@")[2] for s in unknown if cost.kind_of(s) in cost.COMPUTE}
    paces = cost.probe(params, {name: networks[name] for name in network.values()})
    own = {stage: (params, stage, images, paces.get(network.get(stage))) for stage in unknown}
    modelled = {stage: cost.seconds_of(*one) for stage, one in own.items()}
    seconds, basis = estimate(ahead, taken, elsewhere, modelled)
    need = sum(cost.bytes_of(*own[stage]) for stage in network)
    return done, f"about {schedule.minutes(seconds)}: {len(ahead)} stages, {basis}", need


def estimate(ahead: list[str], taken: dict, elsewhere: dict, modelled: dict) -> tuple[float, str]:
    """Seconds that stages take, and what tells so.

    Args:
        taken: seconds of stages in their last run here.
        elsewhere: in the published run, which count at the pace of the networks here.
        modelled: by a probe of the networks, of all stages ahead that are not in `taken`.
    """
    both = [s for s in modelled if s in elsewhere and cost.kind_of(s) in cost.COMPUTE]
    pace = sum(modelled[s] for s in both) / sum(elsewhere[s] for s in both) if both else 1.0
    bases = {
        "their last run here": taken,
        f"the published run, {pace:.1f} times as long here": {
            stage: pace * seconds for stage, seconds in elsewhere.items()
        },
        "a probe of the networks": modelled,
    }
    chosen = [next((w, of[s]) for w, of in bases.items() if s in of) for s in ahead]
    words = dict.fromkeys(words for words, _ in chosen)
    return sum(seconds for _, seconds in chosen), f"from {' and '.join(words)}"


def times(params: Params, root: Path, ahead: list[str]) -> tuple[dict, dict]:
    """Seconds of the stages ahead in their last run here, and in the published run; of those alone
    that were given what they are given now, and the same data."""
    now, here = fingerprints.given_of(params), {}
    for path in (root / FINGERPRINTS).rglob("*.json"):
        name = path.relative_to(root / FINGERPRINTS).with_suffix("").as_posix()
        with suppress(OSError, ValueError, KeyError):
            here[name] = json.loads(path.read_text(encoding="utf-8"))["given"]
    folder, there = root / schedule.PUBLISHED / params.study, {}
    with suppress(UserError):
        there = fingerprints.given_of(load(folder / "params.yaml"))

    def read(file: Path, given: dict) -> dict[str, float]:
        seconds = schedule.read_times(file) if _pictures(given) == _pictures(now) else {}
        names = {stage: _fingerprint(stage) for stage in seconds.keys() & set(ahead)}
        return {s: seconds[s] for s, name in names.items() if given.get(name) == now.get(name)}

    own = schedule.times_of(root, params.study)
    return read(own, here), read(folder / schedule.TIMES, there)


def _pictures(given: dict) -> dict:
    """Which pictures a study has, wherever they lie."""
    return {key: v for key, v in given.get("data", {}).get("data", {}).items() if key != "folder"}


def _fingerprint(stage: str) -> str:
    """The name of a stage's fingerprint: `train/nin` of `originals@nin`."""
    network = stage.partition("@")[2]
    return f"{cost.kind_of(stage)}/{network}" if network else stage


def stages_ahead(order: list[str], params: Params, root: Path) -> list[str]:
    """The stages that DVC would run, by dvc.lock; files that they left are not read."""
    with refusing("dvc.lock cannot be read", "delete it, and all stages run again"):
        lock = restore.finished(root)
    if not lock:
        return order
    now, ahead, stale = dict(fingerprints.fingerprints(root, params)), [], set[Path]()
    for stage in order:
        deps, outs = (
            {Path(one["path"]): one.get("md5") for one in lock.get(stage, {}).get(key, [])}
            for key in ("deps", "outs")
        )
        name = _fingerprint(stage)
        wanted = hashlib.md5(
            fingerprints.as_text(now.get(name, {})).encode(), usedforsecurity=False
        )
        same = deps.get(FINGERPRINTS / f"{name}.json") == wanted.hexdigest()
        there = all((root / out).exists() for out in outs)
        fresh = not any(a.is_relative_to(b) or b.is_relative_to(a) for a in deps for b in stale)
        last = stage in ("report", "render") and ahead  # what they show changes with any other
        if last or not (same and there and fresh):
            ahead.append(stage)
            stale |= outs.keys()
    return ahead
