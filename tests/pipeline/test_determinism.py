"""The same seed gives the same files, bit by bit, whatever else a machine or a person has set.

The number of processor threads is not among it: sums are taken in another order then.
"""

import os
import subprocess
import sys

import pytest

from clone import ROOT

STUDY = """
import hashlib, importlib, sys
from pathlib import Path
from camloc.core import params
from camloc.core.paths import Study
from camloc.pipeline.fingerprints import STAGES

study, smoke = Study(Path(sys.argv[1])), params.load(Path("params") / "smoke.yaml")
machine = {"workers": int(sys.argv[2]), "memory_gb": float(sys.argv[3])}
smoke = smoke.model_copy(update={"machine": smoke.machine.model_copy(update=machine)})
for name in ("data", "train", "maps", "evaluate"):
    module = importlib.import_module(f"camloc.{STAGES[name].module}")
    network = None if name == "data" else "googlenet"
    module.run(study, STAGES[name].given.of(smoke, network))
for path in sorted(study.folder.rglob("*")):
    if path.is_file() and not {"locks", "costs"} & {*path.parts}:  # costs are the machine's
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print("sha256", digest, path.relative_to(study.folder))
"""


def files(folder, workers=0, memory_gb=1.0, umask=0o022, **variables) -> list[str]:
    """The digest and the name of every file that a study leaves in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", STUDY, str(folder), str(workers), str(memory_gb)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        umask=umask,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("sha256")]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return files(tmp_path_factory.mktemp("study"))


def test_files_are_those_of_every_part_of_a_study(reference):
    names = "\n".join(reference)
    for part in ("weights.safetensors", "cam.npy", "manifest/images.parquet", "evaluation/"):
        assert part in names


@pytest.mark.parametrize(
    "conditions",
    [
        {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "umask": 0o077, "PYTHONHASHSEED": "7"},
        {"workers": 2, "memory_gb": 0.0},
    ],
    ids=["locale, time zone, umask, hash seed and folder", "workers that decode again and again"],
)
def test_same_seed_gives_the_same_files(reference, conditions, tmp_path):
    assert files(tmp_path / "another — folder", **conditions) == reference
