"""Progress bars for people at JupyterLab or a terminal."""

import os

from tqdm.auto import tqdm


def progress(*args, **options) -> tqdm:
    """tqdm's bar; none where TQDM_DISABLE is set, which its notebook bar does not heed."""
    return tqdm(*args, disable=bool(os.environ.get("TQDM_DISABLE")), **options)
