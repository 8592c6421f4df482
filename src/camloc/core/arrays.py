"""Arrays that lie on disk."""

import os
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from camloc.core.errors import UserError, reason


def new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A float16 array on disk, with its room taken at once: a full disk would end a process that
    writes into a mapped file without a word.

    Raises:
        UserError: there is no room.
    """
    try:
        array = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        if hasattr(os, "posix_fallocate"):  # not on every system
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        size = 2 * np.prod(shape) / 2**20
        raise UserError(
            f"{path} of {size:.0f} MiB cannot be written ({reason(error)}); make room and run again"
        ) from None
    return array
