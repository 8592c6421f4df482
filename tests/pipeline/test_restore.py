"""What is gone comes back from DVC's cache, if it is whole there."""

import json
import shutil
import subprocess
import sys

import pytest
from dvc.repo import Repo

from camloc.pipeline.restore import forget_damaged, outputs, restore

STAGES = """
stages:
  make:
    cmd: mkdir made && echo 1 > made/a && echo 2 > made/b && echo 3 > single
    outs: [made: {persist: true}, single: {persist: true}]
"""


@pytest.fixture
def root(tmp_path):
    """A repository whose one stage has run."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    Repo.init(str(tmp_path)).close()
    (tmp_path / "dvc.yaml").write_text(STAGES)
    dvc(tmp_path, "repro")
    return tmp_path


def dvc(root, *command):
    subprocess.run(
        [sys.executable, "-m", "dvc", *command], cwd=root, check=True, capture_output=True
    )


def cached(root, path):
    digest = outputs(root)[path]
    return root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]


def test_what_is_there_stays_as_it_is(root):
    (root / "single").write_text("edited")
    assert restore(root) == []
    assert (root / "single").read_text() == "edited"


def test_deleted_outputs_come_back(root):
    shutil.rmtree(root / "made")
    (root / "single").unlink()
    assert restore(root) == ["made", "single"]
    assert (root / "made" / "b").read_text() == "2\n" and (root / "single").read_text() == "3\n"


def test_output_of_which_the_cache_lacks_a_part_stays_away(root):
    [listed] = [e for e in json.loads(cached(root, "made").read_text()) if e["relpath"] == "b"]
    folder = root / ".dvc" / "cache" / "files" / "md5" / listed["md5"][:2]
    (folder / listed["md5"][2:]).unlink()
    shutil.rmtree(root / "made")
    (root / "single").unlink()
    assert restore(root) == ["single"]
    assert not (root / "made").exists()


def test_output_of_a_stage_that_is_no_longer_declared_stays_away(root):
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "single").unlink()
    assert restore(root) == []


def test_repository_that_has_run_nothing_has_nothing_to_restore(tmp_path):
    assert restore(tmp_path) == []


def test_damaged_list_of_a_folder_is_removed_and_a_whole_one_stays(root):
    listed, whole = cached(root, "made"), cached(root, "made").read_text()
    cache = root / ".dvc" / "cache"
    forget_damaged(root, cache)
    assert listed.read_text() == whole
    listed.chmod(0o644)
    listed.write_text(whole.replace("relpath", "relqath"))
    forget_damaged(root, cache)
    assert not listed.exists()
    shutil.rmtree(root / "made")
    dvc(root, "repro")
    assert listed.read_text() == whole
