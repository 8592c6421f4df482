"""Progress bars for people at JupyterLab or a terminal."""

import os

from tqdm.auto import tqdm


def progress(*args, **options) -> tqdm:
    """tqdm's bar; none where TQDM_DISABLE is set, which its notebook bar does not heed, and one for
    all the processes that torchrun starts."""
    unwanted = bool(os.environ.get("TQDM_DISABLE")) or os.environ.get("RANK", "0") != "0"
    return tqdm(*args, disable=unwanted, **options)
