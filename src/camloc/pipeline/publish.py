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

from camloc.core.errors import UserError
from camloc.core.files import read_text, replacing, replacing_file
from camloc.core.params import Params
from camloc.core.paths import EXECUTED, FOLDER, Study
from camloc.pipeline.notebooks import arguments
from camloc.pipeline.schedule import PUBLISHED, TIMES, times_of
from camloc.report.pages import Chapter, contents, read_chapters

# Quoted in a text: everything from the heading's line that starts with these words to the next.
_QUOTE = re.compile(r"(<!-- from (\S+): (.+?) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def publish(root: Path, params: Params) -> Path:
    """Put the report's figures where texts quote them, and into the README's tables.

    Returns:
        The folder: `summary.md`, `metrics.json`, `params.yaml`, `stage_seconds.json`,
        `outcomes.parquet` (a row for each row of the tables and image of the reported split),
        `about.json` (seeds, threads, machines, versions and commits) and, of pictures that the
        study drew itself and so may give away, `maps.jpg`.

    Raises:
        UserError: the study has not run to its end.
    """
    reports = root / "reports"
    times, maps = times_of(root, params.study), reports / "figures" / "maps.png"
    files = [reports / "summary.md", reports / "metrics.json", root / "params.yaml"]
    if missing := [path for path in (*files, times, maps) if not path.is_file()]:
        raise UserError(f"{missing[0]} is missing; `make repro` makes it")
    chapters = list(read_chapters(params, root / EXECUTED))
    _refuse_another_run(chapters, params)
    folder = root / PUBLISHED / params.study
    with replacing(folder) as new:
        for path in files:
            shutil.copy(path, new)
        shutil.copy(times, new / TIMES)
        if params.data.source == "shapes":
            Image.open(maps).convert("RGB").save(new / "maps.jpg", quality=85)
        outcomes(Study(root / FOLDER), params).to_parquet(new / "outcomes.parquet", index=False)
        about = provenance(chapters, params)
        (new / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    readme = root / "README.md"
    text = with_quotes(readme.read_text(encoding="utf-8"), root)
    with replacing_file(readme) as written:
        written.write_text(text, encoding="utf-8")
    return folder


def _refuse_another_run(chapters: list[Chapter], params: Params) -> None:
    """Refuse notebooks that are missing, or ran with other parameters than params.yaml has now.

    Raises:
        UserError: names the first.
    """
    found = {chapter.stem: chapter.notebook.metadata for chapter in chapters}
    for _, title, stem in contents(params):
        ran = dict(found.get(stem, {}).get("papermill", {}).get("parameters", {}))
        for name in ("devices", "nodes"):  # an edit of these runs nothing again
            ran.pop(name, None)
        if not ran or ran != arguments(set(ran), params, stem.partition("-")[2] or None):
            raise UserError(
                f"{title} ({stem}) has not run with params.yaml as it is; `make repro` first"
            )


def outcomes(study: Study, params: Params) -> pd.DataFrame:
    """What became of each image of the reported split in each row: `row`, `image`, and the columns
    of `camloc.pipeline.stages.evaluate`."""
    split = params.evaluate.split
    found = {
        path.stem.removeprefix(f"{split}-"): pd.read_parquet(path)
        for name in (*params.originals, *params.models)
        for path in sorted(study.evaluation(name).glob(f"{split}-*.parquet"))
        if not path.stem.endswith("-deviations")
    }
    return pd.concat([table.assign(row=row) for row, table in found.items()], ignore_index=True)


def provenance(chapters: list[Chapter], params: Params) -> dict:
    """Seeds of the networks, and the machines, versions and commits that made the chapters."""
    made_by = [chapter.notebook.metadata["camloc"] for chapter in chapters]
    networks = params.originals | params.models
    own = {name: declared.seed for name, declared in networks.items()}
    return {
        "study": params.study,
        "seeds": {name: params.seed if seed is None else seed for name, seed in own.items()},
        "threads": sorted({about["threads"] for about in made_by}),
        "machines": sorted({about["machine"] for about in made_by}),
        "commits": sorted({about["commit"] for about in made_by}),
        "versions": {
            name: sorted({about["versions"][name] for about in made_by})
            for name in made_by[0]["versions"]
        },
    }


def with_quotes(text: str, root: Path) -> str:
    """A text with every quotation in it as its source has it now.

    A quotation stands between `<!-- from reports/published/demo/summary.md: Table 2 -->` and
    `<!-- end -->`, and is the section under the heading that starts with these words.
    """
    return _QUOTE.sub(lambda found: found[1] + _section(root / found[2], found[3]) + found[4], text)


def _section(path: Path, title: str) -> str:
    _, _, rest = read_text(path).partition(f"\n## {title}")
    section = rest.partition("\n")[2].partition("\n## ")[0].strip()
    if not section:
        raise UserError(f"{path} has no section {title!r}, which is quoted; correct the quotation")
    return section
