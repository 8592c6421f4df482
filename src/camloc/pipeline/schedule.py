"""How far a run of the pipeline is, told by each of its stages: which of how many, minutes left.

What each stage took is kept beside the study's files and tells how long the next run will take; in
the first run the published run of the same study does, at this machine's pace.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import psutil
from ruamel.yaml import YAML

from camloc.core.files import write_text
from camloc.core.params import Params
from camloc.core.paths import FOLDER

TIMES = "stage_seconds.json"  # of a published run
PUBLISHED = Path("reports") / "published"


def stages(pipeline: Path, params: Params) -> list[str]:
    """The stages that a dvc.yaml has for a study, in the order in which DVC runs them."""
    found: list[str] = []
    for name, stage in YAML(typ="safe").load(pipeline)["stages"].items():
        keys = stage.get("foreach")
        if isinstance(keys, str):  # the name of a section, "${models}"
            keys = getattr(params, keys.strip("${}"))
        found += [name] if keys is None else [f"{name}@{key}" for key in keys]
    return found


@contextmanager
def told(stage: str, root: Path, params: Params) -> Iterator[None]:
    """Print which stage of how many the block is, and what it took once it ended well."""
    order, times = stages(root / "dvc.yaml", params), times_of(root, params.study)
    if stage not in order:  # one of a person's own, as DVC names it
        yield
        return
    place, taken = order.index(stage), read_times(times)
    published = read_times(root / PUBLISHED / params.study / TIMES)
    left = seconds_left(order[place:], taken, published)
    name = f"stage {place + 1} of {len(order)}"
    print(f"{name}{'' if left is None else f', {minutes(left)} left at most'}", flush=True)
    yield
    seconds = time.time() - psutil.Process().create_time()
    write_text(times, json.dumps(taken | {stage: round(seconds, 1)}, indent=2))
    print(f"{name} took {seconds:.0f} s", flush=True)


def times_of(root: Path, study: str) -> Path:
    """The file of what a study's stages took here in their last run."""
    return root / FOLDER / "stage_seconds" / f"{study}.json"


def seconds_left(
    ahead: Sequence[str], taken: Mapping[str, float], published: Mapping[str, float]
) -> float | None:
    """How long the stages ahead take if all of them run; None where nothing tells.

    Args:
        taken: seconds of stages in their last run on this machine.
        published: those of the published run, which count at the pace of the stages in both.
    """
    both = taken.keys() & published.keys()
    pace = sum(taken[s] for s in both) / sum(published[s] for s in both) if both else 1.0
    known = {stage: pace * seconds for stage, seconds in published.items()} | dict(taken)
    estimates = [known.get(stage) or _alike(stage, known) for stage in ahead]
    return None if None in estimates else sum(estimates)


def _alike(stage: str, known: Mapping[str, float]) -> float | None:
    """The mean of the stages that do the same for other networks."""
    group = stage.partition("@")[0]
    alike = [seconds for name, seconds in known.items() if name.partition("@")[0] == group]
    return mean(alike) if alike else None


def read_times(path: Path) -> dict[str, float]:
    """What a file says that stages took, in seconds; nothing where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {stage: float(seconds) for stage, seconds in found.items() if seconds > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def minutes(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
