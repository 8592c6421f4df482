"""Whether a whole study comes to the same files twice, bit by bit, under other surroundings.

Run with `python benchmarks/determinism.py`, or `--study smoke`; ends with 1 where a file differs.
The second run has another folder, umask, locale, time zone, hash seed and number of workers; the
number of processor threads is the study's in both. Takes two runs of the study.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from clone import ROOT, Clone

OTHERS = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}


def results(folder: Path, study: Path, workers: int, **variables: str) -> dict[str, object]:
    """Run a study in a new copy of the working tree; its metrics, and the hash of each output."""
    folder.mkdir()
    clone = Clone.of_working_tree(folder)
    shutil.copy(study, folder / "params.yaml")
    clone.edit("machine", "workers", value=workers)
    done = clone.run("dvc", "repro", **variables)
    if done.returncode:
        raise SystemExit(f"the run failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return clone.hashes() | {"reports/metrics.json": clone.metrics()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", help="a name in params/; that of params.yaml by default")
    options = parser.parse_args()
    named = Path("params") / f"{options.study}.yaml" if options.study else Path("params.yaml")
    with TemporaryDirectory() as folder:
        first = results(Path(folder) / "first", ROOT / named, workers=0)
        before = os.umask(0o077)
        second = results(Path(folder) / "its second run", ROOT / named, workers=2, **OTHERS)
        os.umask(before)
    other = [path for path in first if second.get(path) != first[path]]
    print(f"{len(first)} outputs, {len(first) - len(other)} of them the same bit by bit")
    for path in other:
        print(f"  differs: {path}")
    return 1 if other or first.keys() != second.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
