"""Quiet progress bars and one thread, so that the tests do not crowd the machine."""

import os

import torch

os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The longest first, so that workers that take a file each end together."""
    items.sort(key=lambda item: item.path.stem != "test_pipeline")  # stable
