"""The files that people bring and the command that scores them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from camloc import cli, submissions
from camloc.errors import UserError
from camloc.metrics import CORNERS, iou

TRUTH = """image,label,xmin,ymin,xmax,ymax
a,cat,0,0,9,9
a,cat,50,50,59,59
b,dog,10,10,29,29
c,cat,0,0,4,4
"""
# a: right class second, on its second box. b: right at once. c: class right, box elsewhere.
PREDICTIONS = """image,rank,label,xmin,ymin,xmax,ymax
a,1,dog,0,0,9,9
a,2,cat,50,50,59,59
b,1,dog,10,10,29,29
c,1,cat,60,60,64,64
"""
LINES = "dog 0 0 9 9 cat 50 50 59 59\ndog 10 10 29 29\ncat 60 60 64 64\n"


@pytest.fixture
def files(tmp_path):
    """Writes the texts, by name, over those above; gives the folder."""

    def write(**texts: str) -> Path:
        standard = {"truth.csv": TRUTH, "predictions.csv": PREDICTIONS, "images.txt": "a\nb\nc\n"}
        for name, text in (standard | {k.replace("_", "."): v for k, v in texts.items()}).items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def score(folder: Path, *more: str, predictions: str = "predictions.csv") -> dict:
    target = folder / "out.json"
    options = ["--truth", folder / "truth.csv", "--predictions", folder / predictions]
    code = cli.main(["score", *map(str, options), "--json", str(target), *more])
    return json.loads(target.read_text()) if code == 0 else {"code": code}


def test_score_counts_as_worked_out_by_hand(files, capsys):
    scores = score(files())
    assert scores["images"] == 3
    assert [scores[f"cls_err_top{k}"] for k in range(1, 6)] == pytest.approx([100 / 3] + [0] * 4)
    assert [scores[f"loc_err_top{k}"] for k in range(1, 6)] == pytest.approx(
        [200 / 3] + [100 / 3] * 4
    )
    low, high = scores["intervals"]["loc_err_top1"]
    assert 0 <= low < 200 / 3 < high <= 100
    assert "loc_err_top1" in capsys.readouterr().out


def test_devkits_text_and_kaggles_csv_score_as_the_csv_does(files):
    kaggle = "ImageId,PredictionString\n" + "".join(
        f"{name},{line}\n"
        for name, line in zip("cab", np.roll(LINES.split("\n")[:3], 1), strict=True)
    )
    rows = ["a,cat 0 0 9 9 cat 50 50 59 59 ", "b,dog 10 10 29 29", "c,cat 0 0 4 4"]
    true = "\n".join(["ImageId,PredictionString", *rows])
    folder = files(text_txt=LINES, kaggle_csv=kaggle)
    expected = score(folder)
    order = ["--images", str(folder / "images.txt")]
    assert score(folder, *order, predictions="text.txt") == expected
    assert score(folder, predictions="kaggle.csv") == expected
    (folder / "truth.csv").write_text(true)
    assert score(folder) == expected


def test_blacklisted_image_counts_for_its_class_alone(files):
    folder = files(black_txt="c\n")
    scores = score(folder, "--blacklist", str(folder / "black.txt"))
    assert (scores["images"], scores["located_images"]) == (3, 2)
    assert scores["loc_err_top1"] == 50
    assert scores["cls_err_top1"] == pytest.approx(100 / 3)


def test_label_without_a_box_counts_for_its_class_alone(files):
    scores = score(files(truth_csv=TRUTH.replace("c,cat,0,0,4,4", "c,cat,,,,")))
    assert (scores["images"], scores["located_images"]) == (3, 2)


def test_blank_line_is_an_image_without_a_guess(files):
    folder = files(text_txt=LINES.replace("dog 10 10 29 29", ""))
    scores = score(folder, "--images", str(folder / "images.txt"), predictions="text.txt")
    assert scores["cls_err_top5"] == pytest.approx(100 / 3)


def edited(old: str, new: str) -> dict:
    return {"predictions_csv": PREDICTIONS.replace(old, new)}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (edited("b,1,dog,10,10,29,29\n", ""), "lacks images of {truth}: b"),
        (edited("b,1", "z,1"), "holds images that {truth} does not know z"),
        (edited("a,2", "a,1"), "ranks that are given twice, for a"),
        (edited("a,2", "a,6"), "ranks that are not 1 to 5, for a"),
        (edited("a,2", "a,1.5"), "ranks that are not 1 to 5, for a"),
        (
            edited("10,10,29,29", "29,10,10,29"),
            "inverted boxes (xmin > xmax or ymin > ymax), for b",
        ),
        (edited("10,10,29,29", "-1,10,29,29"), "boxes that leave their image (a corner below 0)"),
        (edited("10,10,29,29", "10,10,inf,29"), "corners that are no finite numbers, for b"),
        (edited("10,10,29,29", "10,10,,29"), "corners that are no finite numbers, for b"),
        (edited("10,10,29,29", "10,ten,29,29"), "an ymin that is not a number, in b"),
        (edited("b,1,dog", "b,1,dgo"), "labels that {truth} does not know dgo"),
        (edited("rank", "place"), "lacks the column rank; its header must be image,rank,label"),
        ({"predictions_csv": LINES}, "name the images in their order with --images"),
        ({"truth_csv": TRUTH.replace("29,29", "5,29")}, "inverted boxes"),
        ({"truth_csv": "image,label,xmin,ymin,xmax,ymax\n"}, "holds no ground truth"),
    ],
)
def test_bad_input_is_refused_with_its_first_offenders(files, capsys, texts, message):
    folder = files(**texts)
    assert score(folder) == {"code": 2}
    error = capsys.readouterr().err
    assert message.format(truth=folder / "truth.csv") in error
    assert "Traceback" not in error and not (folder / "out.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINES + "cat 1 1 2 2\n", "has 4 lines for 3 images"),
        (LINES.replace("29 29", "29"), "groups that are not `label xmin ymin xmax ymax`, for b"),
        (LINES.replace("dog 10 10 29 29", "dog 1 1 2 2 " * 6), "ranks that are not 1 to 5, for b"),
    ],
)
def test_bad_devkit_text_is_refused(files, capsys, text, message):
    folder = files(text_txt=text)
    order = ["--images", str(folder / "images.txt")]
    assert score(folder, *order, predictions="text.txt") == {"code": 2}
    assert message in capsys.readouterr().err


def test_missing_file_and_unknown_blacklisted_image_are_refused(files, capsys):
    folder = files(black_txt="zebra\n")
    assert score(folder, predictions="none.csv") == {"code": 2}
    assert "none.csv cannot be read" in capsys.readouterr().err
    assert score(folder, "--blacklist", str(folder / "black.txt")) == {"code": 2}
    assert "zebra" in capsys.readouterr().err


def test_offenders_after_the_third_are_counted(tmp_path):
    with pytest.raises(UserError, match=r"^file holds things a, b, c \(and 2 more\)$"):
        submissions.refuse("file", list("abcde"), "things")


def slow_scores(truth, predictions):
    """The devkit's rule by loops."""
    wrong = {f"{kind}_err_top{k}": [] for kind in ("cls", "loc") for k in range(1, 6)}
    for image, own in truth.groupby("image"):
        labels = own["label"].unique()
        guesses = predictions[predictions["image"] == image]
        for k in range(1, 6):
            top = guesses[guesses["rank"] <= k]
            classified = located = 0.0
            for label in labels:
                same = top[top["label"] == label]
                classified += same.empty
                true = own.loc[own["label"] == label, CORNERS].to_numpy()
                hit = any(
                    iou(guess[None], box[None])[0] >= 0.5
                    for guess in same[CORNERS].to_numpy()
                    for box in true
                )
                located += not hit
            wrong[f"cls_err_top{k}"].append(classified / len(labels))
            wrong[f"loc_err_top{k}"].append(located / len(labels))
    return {name: 100 * float(np.mean(values)) for name, values in wrong.items()}


def test_score_agrees_with_a_slow_implementation(tmp_path):
    rng = np.random.default_rng(0)
    for case in range(40):
        images = [f"i{i}" for i in range(rng.integers(1, 9))]

        def box(rng=rng):
            xmin, ymin = rng.integers(0, 5, 2)
            return [xmin, ymin, xmin + rng.integers(0, 4), ymin + rng.integers(0, 4)]

        true = [
            [i, f"l{rng.integers(3)}", *box()] for i in images for _ in range(rng.integers(1, 4))
        ]
        true += [["pad", f"l{k}", 0, 0, 1, 1] for k in range(3)]
        guesses = [
            [i, r, f"l{rng.integers(3)}", *box()]
            for i in [*images, "pad"]
            for r in range(1, 2 + rng.integers(5))
        ]
        truth = pd.DataFrame(true, columns=["image", "label", *CORNERS])
        predictions = pd.DataFrame(guesses, columns=["image", "rank", "label", *CORNERS])
        folder = tmp_path / str(case)
        folder.mkdir()
        truth.to_csv(folder / "truth.csv", index=False)
        predictions.sample(frac=1, random_state=case).to_csv(
            folder / "predictions.csv", index=False
        )
        scores = score(folder)
        expected = slow_scores(truth, predictions)
        assert {name: scores[name] for name in expected} == pytest.approx(expected)


GUESSES = pd.DataFrame(
    [["b", 1, "n2", 1, 2, 3, 4], ["a", 2, "n1", 0, 0, 5, 5], ["a", 1, "n3", 2, 2, 6, 6]],
    columns=["image", "rank", "wnid", *CORNERS],
)
IMAGES = pd.DataFrame({"image": ["a", "b"], "width": [10, 8], "height": [9, 7]})


def test_submission_has_a_line_an_image_best_guess_first(tmp_path):
    submissions.write_devkit(tmp_path / "s.txt", GUESSES, ["a", "b"], {"n1": 1, "n2": 2, "n3": 3})
    assert (tmp_path / "s.txt").read_text() == "3 2 2 6 6 1 0 0 5 5\n2 1 2 3 4\n"
    submissions.write_kaggle(tmp_path / "s.csv", GUESSES, ["b", "a"])
    expected = "ImageId,PredictionString\nb,n2 1 2 3 4\na,n3 2 2 6 6 n1 0 0 5 5\n"
    assert (tmp_path / "s.csv").read_text() == expected


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (0, "image", "z", "unknown images z"),
        (0, "wnid", "n9", "unknown classes n9"),
        (0, "xmax", 8, "boxes that leave their image, in b"),
        (0, "ymax", 7, "boxes that leave their image, in b"),
        (1, "rank", 1, "ranks that are given twice, for a"),
        (1, "xmin", 6, "inverted boxes"),
    ],
)
def test_submission_that_a_server_would_refuse_is_refused_before(row, column, value, message):
    submissions.check_submission(GUESSES, IMAGES, ["n1", "n2", "n3"])
    wrong = GUESSES.copy()
    wrong.loc[row, column] = value
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        submissions.check_submission(wrong, IMAGES, ["n1", "n2", "n3"])


def test_image_without_a_guess_is_refused_in_a_submission():
    with pytest.raises(UserError, match="the submission has images without a guess b"):
        submissions.check_submission(GUESSES[1:], IMAGES, ["n1", "n3"])
