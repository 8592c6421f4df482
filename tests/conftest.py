"""Quiet progress bars and one thread, so that the tests do not crowd the machine."""

import os
import runpy

import pytest
import torch

from clone import OFFLINE, finished_clone

runpy.run_path(str(OFFLINE / "sitecustomize.py"))
os.environ["TQDM_DISABLE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
torch.set_num_threads(1)


# The longest first, so that workers that take a file each end together; the second of the files
# that share a finished study when the first will have made it.
FIRST = ["pipeline", "protocols", "poor_studies", "notebooks", "pages", "pipeline_of_one_model"]
FIRST += ["experiments", "stages", "distributed", "remote"]


def pytest_collection_modifyitems(items):
    ranks = {f"test_{name}": rank for rank, name in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(FIRST)))  # stable


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in which the smoke study has run, for the tests of one file to edit."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return finished_clone(shared, tmp_path_factory.mktemp("clone") / "study")
