"""What the maps of each method cost, measured as they are made."""

import ctypes
import math
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_SELF = Path("/proc/self")


class Meter:
    """Seconds for a picture and the peak of the memory, by method, batch by batch."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: dict[str, list[float]] = {}
        self._memory: dict[str, list[float]] = {}

    @contextmanager
    def of(self, method: str, pictures: int) -> Iterator[None]:
        """Measure what a batch of pictures takes."""
        held, began = self._reset(), time.perf_counter()
        yield
        self._wait()
        taken = time.perf_counter() - began
        self._seconds.setdefault(method, []).append(taken / pictures)
        self._memory.setdefault(method, []).append((self._peak() - held) / 2**20)

    def told(self) -> dict[str, dict[str, float]]:
        """Of each method the mean of the batches' `seconds` for a picture, its standard `error` of
        several, the number of `batches`, and the `mib` by which its memory rose at most, where the
        system tells. The first of several batches does not count: it loads what the method needs.
        """
        told = {}
        for method, taken in self._seconds.items():
            counted = taken[1:] or taken
            error = statistics.stdev(counted) / math.sqrt(len(counted)) if counted[1:] else math.nan
            figures = {
                "seconds": statistics.fmean(counted),
                "error": error,
                "batches": len(counted),
                "mib": max(self._memory[method][-len(counted) :]),
            }
            told[method] = {name: own for name, own in figures.items() if not math.isnan(own)}
        return told

    def _wait(self) -> None:
        """Until the device has done what it was asked for."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()

    def _reset(self) -> float:
        """Forget the peak; the bytes that are held now."""
        self._wait()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        with suppress(OSError):  # Linux alone has it
            if platform.libc_ver()[0] == "glibc":  # which keeps what an earlier method gave back
                ctypes.CDLL(None).malloc_trim(0)
            (_SELF / "clear_refs").write_text("5", encoding="ascii")
            return _bytes("VmRSS")
        return math.nan

    def _peak(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with suppress(OSError):
            return _bytes("VmHWM")
        return math.nan


def _bytes(name: str) -> float:
    """A line of Linux's account of this process."""
    lines = (_SELF / "status").read_text(encoding="ascii").splitlines()
    return next(2**10 * float(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
