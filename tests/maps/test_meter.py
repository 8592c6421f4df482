"""What the maps of a method cost."""

import platform

import pytest
import torch

from camloc.maps import cost
from camloc.maps.cost import Meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = [0.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    return now


def test_seconds_are_of_a_picture_and_the_first_batch_warms_up(clock):
    meter = Meter(torch.device("cpu"))
    for taken, pictures in ((100, 4), (2, 4), (3, 4), (1, 1)):
        with meter.of("cam", pictures):
            clock[0] += taken
    told = meter.told()["cam"]
    assert told["batches"] == 3
    assert told["seconds"] == pytest.approx((0.5 + 0.75 + 1) / 3)
    assert told["error"] == pytest.approx(0.25 / 3**0.5)


def test_a_single_batch_counts_and_has_no_error(clock):
    meter = Meter(torch.device("cpu"))
    with meter.of("cam", 2):
        clock[0] += 3
    told = meter.told()["cam"]
    assert (told["seconds"], told["batches"]) == (1.5, 1) and "error" not in told


def test_system_that_tells_no_memory_leaves_it_out(monkeypatch):
    def nothing(name):
        raise OSError

    monkeypatch.setattr(cost, "_bytes", nothing)
    meter = Meter(torch.device("cpu"))
    with meter.of("cam", 1):
        pass
    assert set(meter.told()["cam"]) == {"seconds", "batches"}


@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux tells a process's peak")
def test_memory_is_what_a_method_takes_beyond_what_was_held():
    meter = Meter(torch.device("cpu"))
    held = torch.ones(2**24)  # 64 MiB that no method takes
    for more in (64, 0):  # the first batch loads what it needs
        for method, mib in (("large", 96), ("small", 8)):
            with meter.of(method, 1):
                torch.ones((mib + more) * 2**18)
    told = meter.told()
    assert told["large"]["mib"] == pytest.approx(96, abs=4)
    assert told["small"]["mib"] == pytest.approx(8, abs=4)
    assert len(held) == 2**24
