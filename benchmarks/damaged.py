"""Damaged files of every format that people bring: read, refused by name, or a failure.

Run with `python benchmarks/damaged.py`, which ends with 1 where there was a failure, and with
`--format png --seed 123` to see one file read, with its traceback. What a failure is stands in
tests/battery.py. Takes about three minutes on 2 CPU cores.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["TQDM_DISABLE"] = "1"
sys.path.append(str(Path(__file__).parents[1] / "tests"))

from battery import Outcome, battery, damaged, whole_files
from damage import FORMATS

FILES = 600  # of each format


def row(name: str, outcome: Outcome) -> str:
    counts = f"{outcome.read:6} {outcome.refused:8} {len(outcome.failures):9}"
    return f"{name:17} {FILES:6} {counts} {outcome.slowest:10.2f} {outcome.memory / 2**20:8.0f}"


def read_one(name: str, seed: int) -> None:
    """Read one damaged file and let whatever it raises show."""
    form = FORMATS[name]
    with TemporaryDirectory() as folder:
        files = whole_files(form, Path(folder) / "files")
        damage, file, content = damaged(form, files, seed)
        print(f"{damage} {file}, {len(content):,} bytes", flush=True)
        path = Path(folder) / "files" / file
        path.write_bytes(content)
        print(form.read(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=FORMATS, help="this format alone")
    parser.add_argument("--seed", type=int, help="this file of the format alone")
    options = parser.parse_args()
    if options.format and options.seed is not None:
        read_one(options.format, options.seed)
        return 0
    names = [options.format] if options.format else list(FORMATS)
    print("format             files   read  refused  failures  slowest, s  more MiB", flush=True)
    failures = 0
    for name in names:
        outcome = battery(FORMATS[name], range(FILES))
        print(row(name, outcome), flush=True)
        for failure in outcome.failures:
            print(f"  {name} {failure}", flush=True)
        failures += len(outcome.failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
