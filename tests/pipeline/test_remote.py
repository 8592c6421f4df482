"""A finished study on another machine: pushed to a remote, pulled into a fresh clone."""

from clone import Clone


def done(clone, *command):
    """What a command prints that ends well."""
    ended = clone.run(*command)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_pulled_study_runs_no_stage_and_has_the_same_results(clone, tmp_path):
    """The new clone knows no more than what git keeps: the remote, dvc.lock and the metrics."""
    done(clone, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    clone.commit()
    done(clone, "dvc", "push")
    other = Clone(tmp_path / "elsewhere")
    done(clone, "git", "clone", "--quiet", str(clone.folder), str(other.folder))
    assert not (other.folder / "data" / "manifest").exists()
    done(other, "dvc", "pull")
    assert other.repro() == ["prepare"]
    assert done(other, "git", "status", "--porcelain") == ""
    assert other.metrics() == clone.metrics()
    for result in (
        "reports/html/explorer.html",
        "data/predictions/googlenet-gap/run-1/test/cam.npy",
    ):
        assert (other.folder / result).read_bytes() == (clone.folder / result).read_bytes()
