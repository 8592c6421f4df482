"""What the README and the docs quote: the results of a finished run, and what made them.

They lie in `reports/published/<study>` and are written by `camloc publish` alone, never by a run,
so that a run on another machine contradicts nothing that is committed.
"""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
from PIL import Image

from camloc.core.errors import UserError, refusing
from camloc.core.files import read_text, replacing, write_text
from camloc.core.params import Params
from camloc.core.paths import ABOUT, FOLDER, Study
from camloc.core.rows import Row
from camloc.evaluation.store import Evaluation
from camloc.pipeline.fingerprints import of_notebook
from camloc.pipeline.parameters import seed_of_run
from camloc.pipeline.schedule import PUBLISHED, TIMES, times_of
from camloc.report import leaderboard
from camloc.report.pages import LEADERBOARD, Chapter, contents, read_chapters, write_leaderboard

# Quoted in a text: what stands between the two marks is replaced.
_QUOTE = re.compile(r"(<!-- from (\S+): (.+?) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def publish(root: Path, params: Params) -> Path:
    """Put the report's figures where texts quote them, and into README.md and docs/.

    Returns:
        The folder: `summary.md`, `metrics.json`, `params.yaml`, `leaderboard.csv` and the page of
        that name with what the maps cost, `stage_seconds.json`, `outcomes.parquet` (of each row of
        the tables one row per image of the reported split),
        `about.json` (seeds, threads, machines, versions and commits) and, of pictures that the
        study drew itself and so may give away, `maps.jpg`.

    Raises:
        UserError: the study has not run to its end.
    """
    reports = root / "reports"
    times, maps = times_of(root, params.study), reports / "figures" / "maps.png"
    files = [reports / name for name in ("summary.md", "metrics.json", leaderboard.FILE)]
    files.append(root / "params.yaml")
    made_by = reports / ABOUT
    if missing := [path for path in (*files, times, maps, made_by) if not path.is_file()]:
        raise UserError(f"{missing[0]} is missing; `make repro` makes it")
    chapters = list(read_chapters(params, root))
    _refuse_another_run(chapters, params)
    folder = root / PUBLISHED / params.study
    with replacing(folder) as new:
        for path in files:
            shutil.copy(path, new)
        write_leaderboard(new / f"{LEADERBOARD}.html", params.study, root, chapters, alone=True)
        shutil.copy(times, new / TIMES)
        about = {"study": params.study, "seeds": _seeds(params)} | json.loads(read_text(made_by))
        (new / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if params.data.source == "shapes":
            Image.open(maps).convert("RGB").save(new / "maps.jpg", quality=85)
        table = outcomes(Study(root / FOLDER), params)
        table.to_parquet(new / "outcomes.parquet", index=False, compression="zstd")
    for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        write_text(page, with_quotes(page.read_text(encoding="utf-8"), root))
    return folder


def _refuse_another_run(chapters: list[Chapter], params: Params) -> None:
    """Refuse notebooks that are missing, or ran with other parameters than params.yaml has now.

    Raises:
        UserError: names the first.
    """
    found = {chapter.stem: chapter.notebook.metadata for chapter in chapters}
    for _, title, stem in contents(params):
        notebook, _, network = stem.partition("-")
        stage = of_notebook(notebook).given
        injected = found.get(stem, {}).get("papermill", {}).get("parameters", {})
        try:
            ran = stage.model_validate(injected.get("given")).deciding()
        except ValueError:  # missing, or of a version with other parameters
            ran = None
        if ran != stage.of(params, network or None).deciding():
            raise UserError(
                f"{title} ({stem}) has not run with params.yaml as it is; `make repro` first"
            )


def outcomes(study: Study, params: Params) -> pd.DataFrame:
    """What became of each image of the reported split in each row: `row`, and the columns of
    `camloc.evaluation.store`."""
    split = params.evaluate.split
    images = pd.concat(
        [
            Evaluation.load(one.evaluation(name)).images.assign(run=one.run)
            for name in params.networks
            for one in study.evaluated(name)
        ],
        ignore_index=True,
    )
    own = images[images["split"] == split].drop(columns="split")
    rows = [Row(*key).name for key in zip(own.pop("network"), own.pop("method"), strict=True)]
    own.insert(0, "row", rows)
    floats = own.select_dtypes("float64").columns  # six digits of what is mostly 0 or 1
    return own.astype(dict.fromkeys(floats, "float32"))


def _seeds(params: Params) -> dict[str, list[int]]:
    """Of each network the seed of each run."""
    return {
        name: [seed_of_run(params.seed_of(name), run) for run in range(1, params.seeds + 1)]
        for name in params.networks
    }


def with_quotes(text: str, root: Path) -> str:
    """A text with every quotation in it as its source has it now.

    A quotation stands between `<!-- from reports/published/demo/summary.md: Table 2 -->` and
    `<!-- end -->`, and is the section under the heading that starts with these words. Behind `; `
    may stand which part of it: `list`, the numbered list, or the names of some columns of the
    table. Of a JSON file the values of some keys are quoted.
    """
    return _QUOTE.sub(
        lambda found: f"{found[1]}{_quoted(root / found[2], found[3])}\n{found[4]}", text
    )


def _quoted(path: Path, what: str) -> str:
    if path.suffix == ".json":
        with refusing(f"{path} has no values {what!r}, which are quoted", "correct the quotation"):
            found = json.loads(read_text(path))
            return "; ".join(", ".join(found[key]) for key in what.split(", "))
    title, _, part = what.partition("; ")
    _, _, rest = read_text(path).partition(f"\n## {title}")
    section = rest.partition("\n")[2].partition("\n## ")[0].strip()
    if not section:
        raise UserError(f"{path} has no section {title!r}, which is quoted; correct the quotation")
    if part == "list":
        return "\n".join(re.findall(r"^\d+\. .*$", section, re.MULTILINE))
    return _columns(section, part.split(", "), path) if part else section


def _columns(section: str, names: list[str], path: Path) -> str:
    """Some columns of the table in a section, as Markdown."""
    rows = [line.strip("|").split("|") for line in section.splitlines() if line[:1] == "|"]
    places = {cell.strip(): place for place, cell in enumerate(rows[0] if rows else [])}
    if missing := [name for name in names if name not in places]:
        known = ", ".join(places)
        raise UserError(f"{path} has no column {missing[0]!r} where it is quoted; it has {known}")
    return "\n".join(f"|{'|'.join(row[places[name]] for name in names)}|" for row in rows)
