"""Published files, fetched by torch.hub."""

import os
from http.client import HTTPException
from pathlib import Path

from camloc.core.errors import UserError


def download(url: str, path: Path, sha256: str | None = None, advice: str = "") -> None:
    """Fetch a file, which takes its name when it is whole.

    Args:
        sha256: the digits that its SHA-256 starts with, where they are known.
        advice: where to put the file by hand; `path` where it is left out.

    Raises:
        UserError: no network connection, a refusal by the server, another hash or a full disk.
    """
    from torch import hub  # which takes seconds to load, and is seldom needed

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = not os.environ.get("TQDM_DISABLE")
        hub.download_url_to_file(url, str(path), sha256, progress=shown)
    except (OSError, HTTPException, RuntimeError) as error:  # the last: another hash
        raise UserError(
            f"{url} could not be downloaded ({error}); run again, or fetch it where there is a "
            f"network connection (`curl -fLO {url}`) and put it at {advice or path}"
        ) from None
