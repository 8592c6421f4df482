"""Quiet progress bars and one thread, so that the tests do not crowd the machine."""

import os

import torch

os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(1)
