"""Damaged files of every format that people bring: read, refused by name, or a failure.

Run with `python benchmarks/damaged.py`, which ends with 1 where there was a failure, and with
`--format png --seed 123` to see one file read, with its traceback. What a failure is stands in
tests/battery.py. Takes several minutes on 2 CPU cores; `--of-group 10000` reads so many files of
each group of formats, which takes an hour or more.
"""

import argparse
import os
import sys
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["TQDM_DISABLE"] = "1"
sys.path.append(str(Path(__file__).parents[1] / "tests"))

from battery import Outcome, battery, damaged, whole_files
from damage import FORMATS, GROUPS

FILES = 300  # of each format
HEADER = "group, formats            files   read  refused  failures  slowest, s  more MiB"


def row(name: str, outcome: Outcome) -> str:
    files = outcome.read + outcome.refused + len(outcome.failures)
    counts = f"{files:6} {outcome.read:6} {outcome.refused:8} {len(outcome.failures):9}"
    return f"{name:24} {counts} {outcome.slowest:11.2f} {outcome.memory / 2**20:9.0f}"


def together(outcomes: list[Outcome]) -> Outcome:
    read, refused, failures, slowest, memory = zip(*outcomes, strict=True)
    return Outcome(sum(read), sum(refused), [*chain(*failures)], max(slowest), max(memory))


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


def read_many(names: list[str], files: int) -> Outcome:
    """Read so many files of each format, and print what came of each."""
    outcomes = []
    for name in names:
        outcomes.append(battery(FORMATS[name], range(files)))
        print(row(f"  {name}", outcomes[-1]), flush=True)
        for failure in outcomes[-1].failures:
            print(f"    {name}, {failure}", flush=True)
    return together(outcomes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=FORMATS, help="this format alone")
    parser.add_argument("--group", choices=GROUPS, help="the formats of this group alone")
    parser.add_argument("--seed", type=int, help="this file of the format alone")
    parser.add_argument("--files", type=int, default=FILES, help="so many of each format")
    parser.add_argument("--of-group", type=int, help="so many of each group instead")
    options = parser.parse_args()
    if options.format and options.seed is not None:
        read_one(options.format, options.seed)
        return 0
    groups = {name: [*forms] for name, forms in GROUPS.items() if options.group in (None, name)}
    if options.format:
        groups = {options.format: [options.format]}
    print(HEADER, flush=True)
    failures = 0
    for group, names in groups.items():
        share = -(-options.of_group // len(names)) if options.of_group else options.files
        outcome = read_many(names, share)
        failures += len(outcome.failures)
        print(row(group, outcome), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
