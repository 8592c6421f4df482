"""Quiet progress bars and one thread, so that the tests do not crowd the machine."""

import os

import pytest
import torch

os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """A worker a file (`--dist loadgroup`), the longest first; one for the notebooks, which share
    a folder."""
    for item in items:
        name = "notebooks" if item.path.suffix == ".ipynb" else item.path.stem
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.path.stem != "test_pipeline")  # stable
