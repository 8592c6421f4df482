"""What stops DVC is said in one line with its cure, before it runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config
from dvc.repo import Repo

from camloc import cli
from camloc.core.errors import UserError
from camloc.core.surroundings import check
from clone import ROOT

DVC = (sys.executable, "-m", "dvc")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A study that DVC can run; `home/dvc/config` is the user's own configuration of DVC."""
    root = tmp_path / "study"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    Repo.init(str(root)).close()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    (root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(ROOT / "params" / "smoke.yaml", root / "params.yaml")
    (tmp_path / "home" / "dvc").mkdir(parents=True)
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "home" / "dvc"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.chdir(root)
    return root


def configure(repository: Path, text: str) -> Path:
    file = repository.parent / "home" / "dvc" / "config"
    file.write_text(text)
    return file


def keys_checked(capsys) -> tuple[int, str]:
    return cli.main(["check", "--keys"]), capsys.readouterr().err


def test_study_that_dvc_can_run_is_silent(repository, capsys):
    assert keys_checked(capsys) == (0, "")


@pytest.mark.parametrize("cut", ["", '{"read": {"/a": [{"pi'])
def test_list_of_files_in_use_that_a_kill_cut_is_removed(repository, capsys, cut):
    listed = repository / ".dvc" / "tmp" / "rwlock"
    listed.write_text(cut)
    assert keys_checked(capsys) == (0, "")
    assert not listed.exists()


def test_list_of_files_in_use_stays_where_it_is_whole(repository, capsys):
    listed = repository / ".dvc" / "tmp" / "rwlock"
    listed.write_text('{"read": {"/a": [{"pid": 1, "cmd": "dvc"}]}, "write": {}}')
    assert keys_checked(capsys) == (0, "")
    assert json.loads(listed.read_text())["read"]["/a"]


def test_folder_without_git_is_told_to_make_a_repository(repository, capsys):
    shutil.rmtree(repository / ".git")
    code, printed = keys_checked(capsys)
    assert code == 2 and printed == (
        f"camloc: DVC cannot work in {repository} ({repository} is not a git repository); run `git "
        "init` there; without git, `dvc config --local core.no_scm true` lets DVC run, but "
        "compares no revisions\n"
    )
    subprocess.run([*DVC, "config", "--local", "core.no_scm", "true"], check=True)
    assert keys_checked(capsys) == (0, "")
    (repository / ".dvc" / "config.local").unlink()
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert keys_checked(capsys) == (0, "")


def test_configuration_that_dvc_cannot_read_is_named(repository, capsys):
    users = configure(repository, "[core\n")
    code, printed = keys_checked(capsys)
    own = repository / ".dvc" / "config"
    assert code == 2 and printed.count("\n") == 1
    assert "config file error: Invalid line ('[core')" in printed
    assert printed.endswith(f"; mend it in {own} or {users}\n")


def test_cache_that_cannot_be_written_is_named(repository):
    blocked = repository / "file"
    blocked.touch()
    configure(repository, f"[cache]\ndir = {blocked}/cache\n")
    with pytest.raises(UserError) as error:
        check(repository)
    assert str(error.value).startswith(f"DVC cannot keep results in {blocked}/cache (")
    assert str(error.value).endswith("; name another folder: `dvc config --local cache.dir FOLDER`")


def test_what_does_not_hinder_a_run_is_let_be(repository, tmp_path):
    """A cache that the user shares is taken; a remote that is not there is not needed."""
    configure(
        repository,
        f"[core]\nremote = nowhere\nautostage = true\n[cache]\ndir = {tmp_path}/shared\n",
    )
    check(repository)
    assert (tmp_path / "shared").is_dir()
    assert not (repository / ".dvc" / "cache").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody else")
def test_run_in_somebody_elses_repository_may_start(repository, monkeypatch):
    monkeypatch.setenv("HOME", str(repository.parent / "home"))
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345)
    check(repository)


def test_repository_overrules_what_would_stop_or_change_a_run(repository):
    """`interactive` asks at each stage, `hydra` rewrites params.yaml."""
    configure(repository, "[core]\ninteractive = true\nanalytics = true\n[hydra]\nenabled = true\n")
    found = Config(str(repository / ".dvc"))
    assert not found["core"]["interactive"] and not found["core"]["analytics"]
    assert not found["hydra"]["enabled"]
