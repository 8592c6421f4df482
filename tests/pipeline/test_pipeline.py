"""The whole pipeline on the smoke study: what it leaves, and what an edit of params.yaml reruns."""

import json
import re
import shutil

from clone import CONNECTIONS, OF_BOXES

NETWORKS = {"googlenet", "googlenet-gap", "googlenet-gmp", "googlenet-control"}
ROWS = NETWORKS | {"backprop-googlenet"}


def test_study_fills_every_row_and_renders_every_notebook(clone):
    metrics = clone.metrics()
    assert set(metrics) == ROWS
    localization = {"loc_err_top1", "loc_err_top5", "loc_err_gt_known"}
    classification = {"cls_err_top1", "cls_err_top5"}
    assert set(metrics["googlenet-gap"]) == classification | localization
    assert set(metrics["backprop-googlenet"]) == localization
    assert all(0 <= error <= 100 for row in metrics.values() for error in row.values())
    pages = {page.stem for page in (clone.folder / "reports" / "html").glob("*.html")}
    executed = {path.stem for path in (clone.folder / "reports" / "notebooks").glob("*.ipynb")}
    assert pages == executed | {"explorer", "leaderboard"}
    index = (clone.folder / "reports" / "index.html").read_text()
    assert all(f'href="html/{page}.html"' in index for page in pages)
    assert "not recorded" not in index  # the machine of every notebook


def test_whole_run_reaches_no_other_machine(clone):
    assert not (clone.folder / CONNECTIONS).exists()
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    assert "must not reach" in clone.run("python", "-c", reach).stderr  # the guard was there
    (clone.folder / CONNECTIONS).unlink()


def test_finished_study_runs_nothing_again(clone):
    assert clone.repro() == ["prepare"]  # which looks for changes
    said = clone.run("camloc", "doctor").stdout
    assert "18 of 18 stages\n" in said and "nothing is left to do\n" in said


def test_outputs_that_were_deleted_come_back_from_the_cache(clone):
    before, gone = clone.metrics(), ("data/networks/googlenet-gap", "data/manifest", "reports/html")
    for folder in gone:
        shutil.rmtree(clone.folder / folder)
    assert clone.repro() == ["prepare"]
    assert "brought back from the cache: data/manifest" in clone.said
    assert all((clone.folder / folder).is_dir() for folder in gone)
    assert clone.run("dvc", "status").stdout.count("changed outs") == 0
    assert clone.metrics() == before


def test_saving_a_notebook_with_other_outputs_runs_no_study_again(clone):
    path = clone.folder / "notebooks" / "02_finetune.ipynb"
    notebook = json.loads(path.read_text())
    notebook["metadata"]["language_info"]["version"] = "3.99"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], 99
    path.write_text(json.dumps(notebook))
    assert clone.repro() == ["prepare"]


def test_edit_of_prose_is_in_the_pages_and_runs_no_study_again(clone):
    path = clone.folder / "notebooks" / "02_finetune.ipynb"
    path.write_text(path.read_text().replace("and nothing but classes", "and, of all, classes"))
    assert clone.repro() == ["prepare", "render"]
    page = clone.folder / "reports" / "html" / "02_finetune-googlenet-gap.html"
    assert "and, of all, classes" in page.read_text()


def test_box_threshold_reruns_evaluation_and_report_only(clone):
    clone.commit()
    clone.edit("boxes", "threshold", value=0.3)
    said = clone.run("camloc", "doctor").stdout
    assert "12 of 18 stages\n" in said and ": 6 stages, from a probe" in said
    assert set(clone.repro()) == OF_BOXES


def test_run_tells_how_far_it_is_and_what_it_gave(clone):
    """The run of the test above; the smoke study has 5 stages, and 14 of its four networks."""
    told = re.findall(r"^stage (\d+) of 19, (\S+) \w+ left at most$", clone.said, re.MULTILINE)
    assert [place for place, _ in told] == ["1", "14", "15", "16", "17", "18", "19"]
    assert re.search(r"^stage 18 of 19 took \d+ s$", clone.said, re.MULTILINE)
    assert "localizes best of" in clone.said and "index.html" in clone.said
    assert not re.search("WARNING|ERROR|Interrupt", clone.said)


def test_two_runs_are_compared_as_a_page_and_by_dvc(clone):
    """The run before the threshold was changed is committed."""

    def page() -> str:
        done = clone.run("camloc", "compare", "HEAD", "workspace")
        assert done.returncode == 0, done.stderr
        return (clone.folder / "reports" / "compare.html").read_text()

    assert "boxes.threshold" in page() and ", paired" in page()
    metrics = clone.run("dvc", "metrics", "diff", "--all", "--json")
    assert "loc_err_gt_known" in metrics.stdout
    plots = clone.run("dvc", "plots", "diff", "HEAD", "--json")
    assert "reports/plots/thresholds/googlenet-gap.csv" in plots.stdout
    cache = clone.folder / ".dvc" / "cache"
    cache.rename(cache.with_name("elsewhere"))
    try:
        assert ", paired" not in page()  # of the commit only metrics.json is left
    finally:
        cache.with_name("elsewhere").rename(cache)
