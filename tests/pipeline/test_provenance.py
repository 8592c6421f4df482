"""The commit that made a result, whatever git's configuration, owner and environment are."""

import os
import subprocess
from pathlib import Path

import pytest

from camloc.pipeline.provenance import commit, machine

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.c")


def git(root: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one commit, and a user without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    root = tmp_path / "study"
    (root / "reports").mkdir(parents=True)
    for name in ("dvc.yaml", "dvc.lock", "reports/metrics.json", "code.py"):
        (root / name).write_text("stages: {}\n")
    git(tmp_path, "init", "--quiet", str(root))
    record(root)
    return root


def record(root: Path) -> None:
    git(root, "add", "--all")
    git(root, *AUTHOR, "commit", "--quiet", "-m", "first")


def head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD")[:10]


def test_commit_is_marked_where_tracked_files_differ(repository):
    assert commit(repository) == head(repository)
    (repository / "new.py").touch()
    (repository / "reports" / "metrics.json").write_text("{}")
    (repository / "dvc.lock").write_text("{}")
    assert commit(repository) == head(repository)  # untracked, or written by the pipeline
    (repository / "code.py").write_text("stages: {1: 2}\n")
    assert commit(repository) == head(repository) + "+"


def test_commit_is_the_one_around_a_folder_in_a_larger_repository(repository):
    inner = repository / "inner"
    inner.mkdir()
    (inner / "dvc.yaml").touch()
    record(repository)
    (repository / "code.py").write_text("another's change")
    assert commit(inner) == head(repository)
    (inner / "dvc.yaml").write_text("changed")
    assert commit(inner) == head(repository) + "+"


def test_folder_without_a_commit_says_why(repository, tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "dvc.yaml").touch()
    assert commit(archive) == "no commit (not a git repository)"
    git(archive, "init", "--quiet")
    assert commit(archive) == "no commit (git finds none there)"


def test_archive_unpacked_in_another_repository_is_not_its_commit(repository):
    unpacked = repository / "downloads" / "study"
    unpacked.mkdir(parents=True)
    (unpacked / "dvc.yaml").touch()
    assert commit(unpacked) == "no commit (the git repository around holds other files)"


def test_commit_is_unknown_without_git(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "home"))
    assert commit(repository) == "unknown commit (git is not installed)"
    (repository / ".git").rename(tmp_path / "gone")
    assert commit(repository) == "no commit (not a git repository)"


def test_a_broken_index_does_not_pass_for_unchanged_files(repository):
    (repository / ".git" / "index").write_bytes(b"not an index")
    assert commit(repository) == head(repository) + "?"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody else")
def test_commit_of_somebody_elses_repository_is_known(repository):
    expected = head(repository)
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345)
    refused = subprocess.run(["git", "-C", str(repository), "log"], capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert commit(repository) == expected
    (repository / "code.py").write_text("changed")
    assert commit(repository) == expected + "+"


def test_users_configuration_of_git_does_not_change_the_answer(repository, tmp_path):
    hook = tmp_path / "home" / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    hook.chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(
        "[status]\nshowUntrackedFiles = all\nshort = true\nbranch = true\nshowStash = true\n"
        "relativePaths = true\n[color]\nui = always\n[column]\nui = always\n[core]\nabbrev = 40\n"
        f"quotePath = true\nfsmonitor = {hook}\nhooksPath = {tmp_path}/home\n"
    )
    (repository / "untracked.py").touch()
    (repository / "code.py").chmod(0o755)  # as some mounts show every file
    assert commit(repository) == head(repository)
    assert not (tmp_path / "ran").exists()
    (repository / "code.py").write_text("changed")
    assert commit(repository) == head(repository) + "+"


def test_environment_of_a_hook_does_not_change_the_answer(repository, tmp_path, monkeypatch):
    expected = head(repository)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert commit(repository) == expected


@pytest.mark.parametrize(
    ("script", "named"),
    [("echo H200; echo H200", ", H200, H200"), ("exit 9", ""), (None, "")],
    ids=["two", "driver that fails", "none"],
)
def test_machine_is_told_with_its_accelerators(tmp_path, monkeypatch, script, named):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    if script:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    told = machine()
    assert " cores, " in told and told.endswith(
        f"Linux{named}" if os.uname()[0] == "Linux" else named
    )
