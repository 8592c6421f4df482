"""Stand-ins for the work of the stage `maps`, which they are called after: of a module, so that
other processes can import them."""

import os

import torch

from camloc.core.errors import Stopped, UserError


def noting(study, given):
    """In the place of a stage: notes that it ran, with how many threads and in which process."""
    folder = study.predictions(given.network)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"top {given.top}")
    (folder / "made").write_text(f"{torch.get_num_threads()} {os.getpid()}")


def failing_second(study, given):
    if study.run == 2:
        raise UserError("the loss is nan")
    noting(study, given)


def failing(study, given):
    raise UserError(f"run {study.run} has no weights")


def stopped(study, given):
    raise Stopped("training stopped by SIGTERM; it is kept")


def broken(study, given):
    raise ZeroDivisionError("a mistake of ours")


def dying(study, given):
    os._exit(9)
