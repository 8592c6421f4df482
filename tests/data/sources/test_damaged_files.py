"""A few damaged files of every format that people bring; benchmarks/damaged.py reads many more."""

import mmap
import os
import time

import pytest

from battery import battery, damaged
from camloc.core.errors import UserError
from damage import FORMATS, GROUPS

FILES = 12  # of each format


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_file_is_read_or_refused_by_name(name):
    outcome = battery(FORMATS[name], range(FILES))
    assert [str(failure) for failure in outcome.failures] == []
    assert outcome.read + outcome.refused == FILES


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_file_follows_from_its_format_and_seed(name):
    form = FORMATS[name]
    first, again = form.make(), form.make()
    assert all(damaged(form, first, seed) == damaged(form, again, seed) for seed in range(4))


def test_each_format_is_in_one_group():
    assert sum(len(forms) for forms in GROUPS.values()) == len(FORMATS)


def raise_key_error(path):
    raise KeyError("head")


def name_no_file(path):
    raise UserError("that file is broken")


def leave_a_part(path):
    (path.parent / "out").mkdir()
    raise UserError(f"{path} is broken")


def take_memory(path):
    """Of the system, not of what this process has freed and kept."""
    with mmap.mmap(-1, 64 << 20) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


@pytest.mark.parametrize(
    ("reader", "seconds", "kind"),
    [
        (raise_key_error, 10, "KeyError at test_damaged_files.py:"),
        (name_no_file, 10, "refused without the file's name"),
        (leave_a_part, 10, "left files"),
        (lambda path: path.with_name("more").touch(), 10, "left files"),
        (lambda path: time.sleep(60), 0.2, "took more than 0.2 s"),
        (lambda path: os._exit(0), 10, "the process died"),
        (take_memory, 10, "took more than 32 MiB"),
    ],
)
def test_reader_that_fails_is_reported_with_its_seed(reader, seconds, kind):
    """It reads the whole files and fails at every damaged one."""

    def read(path):
        return None if path.read_bytes() in whole else reader(path)

    whole = FORMATS["bmp"].make().values()
    form = FORMATS["bmp"]._replace(read=read, memory=32 << 20)
    outcome = battery(form, [8, 9], seconds)
    assert [failure.seed for failure in outcome.failures] == [8, 9]
    assert all(failure.kind.startswith(kind) for failure in outcome.failures)
    assert (outcome.read, outcome.refused) == (0, 0)


def test_reads_and_refusals_are_counted():
    def read(path):
        if path.read_bytes() not in whole and path.name == "rgb.bmp":
            raise UserError(f"{path} is broken")

    whole = FORMATS["bmp"].make().values()
    outcome = battery(FORMATS["bmp"]._replace(read=read), range(20))
    assert outcome.read + outcome.refused == 20 and min(outcome.read, outcome.refused) > 4
    assert outcome.failures == []


def test_whole_files_that_are_not_read_end_the_battery(capfd):
    form = FORMATS["bmp"]._replace(read=raise_key_error)
    with pytest.raises(RuntimeError, match="a file that is whole was not read"):
        battery(form, range(2))
    assert "KeyError" in capfd.readouterr().err
