"""Files and folders that are whole under their names."""

import os
import subprocess
import sys
import threading

import pytest

from camloc.core.files import locked, remove_abandoned, replacing, replacing_file


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


def test_writers_of_one_name_do_not_share_their_unfinished_file(tmp_path):
    with replacing_file(tmp_path / "a.txt") as new:
        other = "from camloc.core.files import write_text as w; from pathlib import Path; "
        other += f"w(Path({str(tmp_path / 'a.txt')!r}), 'theirs')"
        subprocess.run([sys.executable, "-c", other], check=True)
        new.write_text("ours")
        assert (tmp_path / "a.txt").read_text() == "theirs"
    assert (tmp_path / "a.txt").read_text() == "ours"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_was_writing_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (tmp_path / f"a.txt.{pid}.camloc-new").touch()
        (tmp_path / f"folder.{pid}.camloc-old").mkdir()
    (tmp_path / f"a.txt.{gone.pid}.old").touch()  # a person's own
    remove_abandoned(tmp_path, tmp_path / "not there")
    left = {f"a.txt.{os.getpid()}.camloc-new", f"folder.{os.getpid()}.camloc-old"}
    left |= {f"a.txt.{gone.pid}.old"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_second_holder_of_a_lock_waits_for_the_first(tmp_path, capsys):
    order, lock = [], tmp_path / "locks" / "train-vgg"

    def second():
        with locked(lock):
            order.append("second")

    other = threading.Thread(target=second)
    with locked(lock):
        other.start()
        other.join(0.3)
        assert other.is_alive()
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert f"waiting for another process that does the same ({lock})" in capsys.readouterr().out


def test_lock_of_a_killed_process_is_free(tmp_path):
    hold = "import os, signal; from pathlib import Path; from camloc.core.files import locked\n"
    hold += f"with locked(Path({str(tmp_path / 'lock')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", hold]).returncode == -9
    with locked(tmp_path / "lock"):
        pass
