"""Files and folders that are whole under their names."""

import pytest

from camloc.core.files import replacing


def test_replacing_puts_the_new_folder_in_place_of_the_old(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "out") as new:
            assert list(new.iterdir()) == []
            (new / f"{text}.txt").write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second.txt"]


def test_replacing_leaves_the_old_folder_on_an_error(tmp_path):
    with replacing(tmp_path / "out") as new:
        (new / "kept.txt").write_text("kept")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "out") as new:
        (new / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/kept.txt").read_text() == "kept"
