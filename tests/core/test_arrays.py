"""Arrays on disk have their room before anything is written."""

import errno
import os

import numpy as np
import pytest

from camloc.core.arrays import new_array
from camloc.core.errors import UserError


def test_array_has_its_room_at_once(tmp_path):
    array = new_array(tmp_path / "maps.npy", (2, 3))
    array[:] = 1.5
    array.flush()
    assert np.load(tmp_path / "maps.npy").tolist() == [[1.5] * 3] * 2
    assert array.dtype == np.float16


def test_full_disk_is_told_with_the_size_that_is_wanted(tmp_path, monkeypatch):
    """1024 · 512 values of 2 bytes are a MiB."""

    def full(*asked):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=r"maps\.npy of 1 MiB cannot be written .*No space left"):
        new_array(tmp_path / "maps.npy", (1024, 512))


def test_room_is_not_asked_for_where_the_system_cannot(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    assert new_array(tmp_path / "maps.npy", (2, 3)).shape == (2, 3)
