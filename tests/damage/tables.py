"""Ground truth, predictions, sizes and lists of names."""

import json
from pathlib import Path

from battery import Format
from camloc.exchange.score import as_text, score, score_maps
from damage.anyhow import ANY
from damage.maps import SIZES, TRUTH, arrays
from damage.texts import TEXT, hostile

ANSWERS = "first,1,n1,0,0,5,5\nfirst,2,n2,1,1,5,5\nsecond,1,n2,1,1,9,9\n"
KAGGLE = "ImageId,PredictionString\n"
KIT = {
    "truth.csv": TRUTH.replace(",n", ",").encode(),
    "predictions.txt": b"1 0 0 5 5 2 1 1 5 5\n2 1 1 9 9\n",
    "images.txt": b"first\nsecond\n",
    "blacklist.txt": b"second\n",
    "classes.txt": b"1\n2\n3\n",
}


def tables() -> dict[str, bytes]:
    texts = {
        "truth.csv": TRUTH,
        "predictions.csv": f"image,rank,label,xmin,ymin,xmax,ymax\n{ANSWERS}",
        "kaggle-truth.csv": f"{KAGGLE}first,n1 0 0 5 5\nsecond,n2 1 1 9 9 n2 2 3 4 5 \n",
        "kaggle-predictions.csv": f"{KAGGLE}first,n1 0 0 5 5 n2 1 1 5 5\nsecond,n2 1 1 9 9\n",
        "sizes.csv": SIZES,
    }
    return {name: text.encode() for name, text in texts.items()}


def read_table(path: Path) -> None:
    folder = path.parent
    if path.name in ("sizes.csv", "truth.csv"):
        checked(score_maps(folder / "truth.csv", folder / "sizes.csv", folder / "maps.npy"), path)
    if path.name != "sizes.csv":
        form = "kaggle-" if path.name.startswith("kaggle") else ""
        checked(score(folder / f"{form}truth.csv", folder / f"{form}predictions.csv"), path)


def read_kit_texts(path: Path) -> None:
    names = ("truth.csv", "predictions.txt", "images.txt", "blacklist.txt", "classes.txt")
    checked(score(*(path.parent / name for name in names)), path)


def checked(scores: dict, path: Path) -> None:
    """Scores are percent, and can be told and written."""
    numbers = [value for value in scores.values() if isinstance(value, float)]
    assert numbers and all(0 <= value <= 100 for value in numbers), "not percent"
    ends = scores["intervals"].items()
    assert all(0 <= low <= scores[name] <= high <= 100 for name, (low, high) in ends), "an interval"
    json.dumps(scores, allow_nan=False)
    as_text(scores, path)


MAPS = {"maps.npy": arrays()["maps.npy"]}
FORMATS = {
    "csv": Format(tables, read_table, (*ANY, *TEXT), MAPS),
    "csv values": Format(tables, read_table, (hostile,), MAPS),
    "devkit": Format(KIT.copy, read_kit_texts, (*ANY, *TEXT)),
    "devkit values": Format(KIT.copy, read_kit_texts, (hostile,)),
}
