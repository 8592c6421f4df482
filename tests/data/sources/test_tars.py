"""Tars whose headers say what cannot be."""

import tarfile

import pytest

from camloc.core.errors import UserError
from camloc.data.sources import tars


def test_member_of_a_negative_size_is_refused_before_the_reader_goes_back(tmp_path):
    """It would be read again and again: the next header is sought before this one."""
    info = tarfile.TarInfo("a.JPEG")
    info.size = -1024
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(tarfile.RECORDSIZE))
    with pytest.raises(UserError, match=r"a\.tar is damaged or truncated"):
        list(tars.members(path))
