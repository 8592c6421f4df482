"""Work in threads, with a bar for people."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from camloc.core.progress import progress

THREADS = 16
BATCH = 500  # items a thread takes at once; a future for each of a million takes gigabytes


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable, items: Sequence, unit: str) -> list:
    """`function` of each item, in their order, with a progress bar; for small files in numbers.

    Threads, because what takes long is waiting for a disk or network, and a kernel that has
    loaded torch should not be forked.
    """
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    results = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        progress(total=len(items), unit=unit) as bar,
    ):
        for done in pool.map(lambda batch: [function(item) for item in batch], batches):
            results += done
            bar.update(len(done))
    return results
