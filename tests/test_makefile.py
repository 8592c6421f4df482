"""What a person hands to `make` arrives as it is, and nothing in it is run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "demo; touch z",
    "$(touch z)",
    "$(shell touch z)",
    "${shell touch z}",
    "`touch z`",
    '"; touch z; "',
    "'; touch z; '",
    "a b  c ",
    "a\ntouch z",
    "a\\\n\ttouch z",
    "$HOME $$ $( ${ % # \\",
    "--help",
    "*",
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The Makefile, and a `uv` that notes its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    stub = tmp_path / "uv"
    note = "import json, sys; print(json.dumps(sys.argv[1:]), file=open('log', 'a'))"
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -S -c "{note}" "$@"\n')
    stub.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    own = {"PATH": os.environ["PATH"], "HOME": str(folder)} | environment
    command = ["make", *arguments, f"UV={folder}/uv"]
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)


def run(folder: Path, *arguments: str, **environment: str) -> list[list[str]]:
    """What `make` had `uv` run, without `sync`; nothing else was made in the folder."""
    before = {path.name for path in folder.iterdir()} | {"log"}
    (folder / "log").unlink(missing_ok=True)
    done = make(folder, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == before
    calls = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return [call[2:] for call in calls if call[:2] == ["run", "--frozen"]]


@pytest.mark.parametrize("given", HOSTILE)
def test_values_arrive_as_they_are(folder, given):
    use = ["camloc", "use", f"--folder={given}", "--", given]
    photos = ["python", "benchmarks/input.py", f"--photos={given}"]
    compare = ["camloc", "compare", "--", given, f"{given}!"]
    assert run(folder, "repro", f"STUDY={given}", f"FOLDER={given}")[0] == use
    assert run(folder, "repro", STUDY=given)[0] == ["camloc", "use", "--", given]
    assert run(folder, "doctor", f"STUDY={given}") == [["camloc", "doctor", "--", given]]
    assert run(folder, "compare", f"A={given}", f"B={given}!") == [compare]
    assert photos in run(folder, "bench", f"PHOTOS={given}")


def test_nothing_given_is_no_argument(folder):
    assert run(folder, "repro", "STUDY=", "FOLDER=")[0] == ["camloc", "check", "--keys"]
    assert run(folder, "doctor", "STUDY=") == [["camloc", "doctor"]]
    assert ["python", "benchmarks/input.py"] in run(folder, "bench")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("repro", "FOLDER=a"), "FOLDER needs STUDY=name"),
        (("compare", "A=a"), "compare needs A=… and B=…"),
    ],
)
def test_argument_that_is_missing_is_named(folder, arguments, message):
    done = make(folder, *arguments)
    assert done.returncode == 2 and message in done.stderr
