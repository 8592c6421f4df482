"""The report's pages in a real browser: offline, whole, accessible, and an explorer that is right.

They are rendered here from the committed notebooks; with `CAMLOC_REPORT=reports` in the
environment the finished report in that folder is looked at instead.
"""

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo

from camloc.boxes.geometry import iou
from camloc.boxes.paper import boxes_from_maps
from camloc.core import params
from camloc.core.paths import Study, repository_root
from camloc.data.manifest import Manifest
from camloc.pipeline.parameters import DataParameters
from camloc.pipeline.stages import data
from camloc.report import explorer, leaderboard
from camloc.report.compare import compare
from camloc.report.pages import contents, render
from camloc.report.sweep import FINISHED, Experiment
from camloc.report.sweep import page as sweep_page
from made import store_random_maps

ROOT = repository_root()
SMOKE = params.load(ROOT / "params" / "smoke.yaml")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
EVIL = "<script>document.title = 'evil'</script> $x$ & co"


def made_study(root: Path) -> None:
    """What the explorer needs of a study: pictures, one class with a nasty name, random maps."""
    study = Study(root / "data")
    shapes = {"source": "shapes", "train": 24, "val": 6, "test": 12}
    data.run(study, DataParameters(seed=1, data=shapes, draws=1))
    dataset = study.manifest / "dataset.json"
    first = next(iter(Manifest.load(study.manifest).classes.values()))
    escaped = EVIL.replace('"', '\\"')
    dataset.write_text(dataset.read_text().replace(f'"{first}"', f'"{escaped}"'))
    for name, side in (
        ("googlenet", 3),
        ("googlenet-gap", 5),
        ("googlenet-gmp", 5),
        ("googlenet-control", 3),
    ):
        store_random_maps(study, name, side)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The folder of index.html."""
    if given := os.environ.get("CAMLOC_REPORT"):
        return Path(given).resolve()
    root = tmp_path_factory.mktemp("study")
    for name in ("dvc.yaml", "params/smoke.yaml"):
        shutil.copy(ROOT / name, root / ("params.yaml" if "smoke" in name else name))
    made_study(root)
    executed = root / "reports" / "notebooks"
    executed.mkdir(parents=True)
    for _, _, stem in contents(SMOKE):
        notebook = re.match(r"\d\d_[a-z]+", stem).group()
        shutil.copy(ROOT / "notebooks" / f"{notebook}.ipynb", executed / f"{stem}.ipynb")
    board().to_csv(root / "reports" / leaderboard.FILE, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        render(SMOKE.model_copy(update={"study": EVIL}))
        compared(root)
    swept(root)
    return root / "reports"


def board() -> pd.DataFrame:
    """A leaderboard of three rows, one of them of a network with a nasty name."""
    errors = {"localization error, top-1": [70.0, 9.5, np.nan], "PxAP": [50.0, 60.0, 40.0]}
    ends = {f"{name} {end}": values for name, values in errors.items() for end in ("low", "high")}
    return pd.DataFrame(
        {
            "row": ["net", "grad-cam-net", "other"],
            "network": ["net", "net", EVIL],
            "method": ["cam", "grad-cam", "cam"],
            "map side": [7.0, 7.0, np.nan],
        }
        | errors
        | ends
    )


def compared(root: Path) -> None:
    """A page of two revisions: one committed, one in the working tree."""
    metrics = root / "reports" / "metrics.json"
    metrics.write_text('{"googlenet-gap": {"loc_err_top1": 50.0}}')
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init(str(root)).close()
    subprocess.run(["git", "add", "--force", str(metrics), "params.yaml"], check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "first"], check=True)
    metrics.write_text('{"googlenet-gap": {"loc_err_top1": 40.0}}')
    compare(root, "HEAD", "workspace")


def swept(root: Path) -> None:
    """A page of a commit and a finished and a failed experiment, with nasty names."""
    tried = (("main", FINISHED, 0.2), (EVIL, FINISHED, 0.3), (f"{EVIL}!", "failed", 0.4))
    found = [
        Experiment(
            name,
            state,
            {"study": EVIL, f"models.{EVIL}.size": value},
            {EVIL: {"loc_err_top1": 100 * value}} if state == FINISHED else {},
        )
        for name, state, value in tried
    ]
    (root / "reports" / "sweep.html").write_text(sweep_page(found))


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium is installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as started:
        # A sandbox cannot be set up by root, as whom containers run.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport=DESKTOP)
    yield context.new_page()
    context.close()


def pages_of(report: Path) -> list[Path]:
    """The index first."""
    return [*sorted(report.glob("*.html"), reverse=True), *sorted((report / "html").glob("*.html"))]


def test_index_leads_to_every_page(report):
    index = (report / "index.html").read_text()
    assert all(f'href="html/{path.name}"' in index for path in (report / "html").glob("*.html"))


@pytest.mark.parametrize("width", [1280, 390])
def test_picture_headline_and_verdicts_are_seen_without_scrolling(report, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((report / "index.html").as_uri())
    for part in (".answer img", ".headline", ".strip"):
        seen = page.locator(part).bounding_box()
        assert seen["width"] > 150 and seen["y"] + seen["height"] <= 800, part
    assert page.locator(".strip li").count() == 11


def test_a_click_enlarges_a_figure_and_the_next_puts_it_back(report, page):
    page.goto((report / "html" / "05_report.html").as_uri())
    figure = page.locator("figure").first
    before = figure.locator("img").bounding_box()
    figure.locator("img").click()
    assert figure.locator("img").bounding_box()["width"] == DESKTOP["width"] > before["width"]
    page.mouse.click(2, 2)
    assert figure.locator("img").bounding_box()["width"] == before["width"]


def test_pages_load_from_disk_without_errors_or_outside_requests(report, page):
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for path in pages_of(report):
        page.goto(path.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_image_loads_and_has_alt_text_of_its_own(report, page):
    for path in pages_of(report):
        page.goto(path.as_uri())
        images = page.eval_on_selector_all("img", "all => all.map(i => [i.alt, i.naturalWidth])")
        alts = [alt for alt, _ in images]
        assert all(alts) and all(width > 0 for _, width in images), path.name
        if path.name != "index.html":  # whose thumbnails repeat the notebooks' figures
            assert len(set(alts)) == len(alts), path.name


def test_links_lead_somewhere(report, page):
    found, ids = {}, {}
    for path in pages_of(report):
        page.goto(path.as_uri())
        links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        found[path.name] = [urlsplit(link) for link in links]
        names = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
        assert len(names) == len(set(names)), path.name
        ids[str(path)] = set(names)
    for name, links in found.items():
        for link in (link for link in links if link.scheme != "data"):
            target = unquote(link.path)
            assert target in ids, f"{name}: {link.geturl()}"
            assert not link.fragment or unquote(link.fragment) in ids[target], link.geturl()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_pages_hold_without_scrolling_sideways(report, page, size):
    page.set_viewport_size(size)
    for path in pages_of(report):
        page.goto(path.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], path.name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(report, page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    for path in one_of_each_kind(report):
        page.goto(path.as_uri())
        page.eval_on_selector_all("details", "all => all.forEach(d => { d.open = true; })")
        faults = [
            f"{path.name}: {fault['id']}: {fault['nodes'][0]['html'][:200]}"
            for fault in axe.run(page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert faults == []


def one_of_each_kind(report: Path) -> list[Path]:
    """The index, the explorer and one page of each notebook."""
    kinds = {re.match(r"(\d\d_)?[a-z]+", path.name).group(): path for path in pages_of(report)}
    return list(kinds.values())


def test_code_is_folded_and_one_click_away(report, page):
    page.goto((report / "html" / "00_data.html").as_uri())
    code = page.locator("details.code pre").last
    assert not code.is_visible()
    page.locator("details.code summary").last.click()
    assert code.is_visible()


def test_chapters_lead_to_their_neighbours(report, page):
    page.goto((report / "html" / "05_report.html").as_uri())
    page.get_by_role("link", name="Data →").first.click()
    assert page.url.endswith("00_data.html")
    page.get_by_role("link", name="← Report").first.click()
    assert page.url.endswith("05_report.html")


def test_names_are_shown_as_they_are_and_never_run(report, page):
    if "CAMLOC_REPORT" in os.environ:
        pytest.skip("the given report has no nasty names")
    page.goto((report / "html" / "explorer.html").as_uri())
    assert EVIL in page.evaluate("data.classes")
    shown = page.evaluate("[...document.querySelectorAll('option')].map(o => o.textContent)")
    assert any(EVIL in text for text in shown)
    for path in pages_of(report):
        page.goto(path.as_uri())
        assert EVIL in page.title() or path.name == "compare.html"


def test_explorer_shows_the_box_and_iou_that_camloc_computes(report, page):
    page.goto((report / "html" / "explorer.html").as_uri())
    shown = page.evaluate("data")
    rng = np.random.default_rng(0)
    for _ in range(40):
        i, r = rng.integers(len(shown["images"])), rng.integers(len(shown["rows"]))
        image, row = shown["images"][i], shown["rows"][r]
        k = rng.integers(len(row["stored"][i]))
        percent = int(rng.integers(0, 101))
        page.select_option("#image", str(i))
        page.wait_for_function("picture.complete && full !== null")
        page.select_option("#row", str(r))
        page.select_option("#class", str(k))
        page.locator("#threshold").fill(str(percent))
        start = sum(len(stored) for stored in row["stored"][:i]) + k
        maps = np.frombuffer(base64.b64decode(row["maps"]), "<f2")
        low = maps.reshape(-1, row["height"], row["width"])[start : start + 1]
        box = boxes_from_maps(low, np.array([[image["width"], image["height"]]]), percent / 100)
        assert page.inner_text("#box") == ", ".join(map(str, box[0]))
        own = np.array([b[1:] for b in image["boxes"] if b[0] == row["stored"][i][k][0]])
        if len(own):
            best = iou(np.repeat(box, len(own), axis=0), own).max()
            assert abs(float(page.inner_text("#iou")) - best) <= 0.0005 + 1e-9
        else:
            assert page.inner_text("#iou").startswith("none")


def test_explorer_answers_to_keyboard_and_mouse(report, page):
    page.goto((report / "html" / "explorer.html").as_uri())
    chosen = page.evaluate("Math.round(100 * data.threshold)")
    assert page.inner_text("#percent") == f"{chosen} %"
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#percent") == f"{chosen + 1} %"
    first = page.input_value("#image")
    page.focus("#after")
    page.keyboard.press("Enter")
    second = page.input_value("#image")
    assert second != first
    page.click("#before")
    assert page.input_value("#image") == first
    box = page.locator("#threshold").bounding_box()
    before = page.inner_text("#box")
    page.mouse.click(box["x"] + 0.97 * box["width"], box["y"] + box["height"] / 2)
    assert page.inner_text("#box") != before


def test_leaderboard_is_sorted_and_filtered_by_keyboard_and_given_as_csv(report, page):
    if "CAMLOC_REPORT" in os.environ:
        pytest.skip("the given report has other rows")
    page.goto((report / "html" / "leaderboard.html").as_uri())

    def rows():
        shown = page.locator(".board tbody tr:visible")
        return [shown.nth(i).locator("th, td").nth(1).inner_text() for i in range(shown.count())]

    names = page.locator(".board tbody th").all_inner_texts()
    assert names == ["net", "net", EVIL]
    heading = page.get_by_role("button", name="localization error, top-1")
    heading.focus()
    page.keyboard.press("Enter")
    figures = page.locator(".board tbody tr td:nth-child(4)")
    assert [text.split()[0] for text in figures.all_inner_texts()] == ["9.5", "70.0", "–"]
    page.keyboard.press("Enter")
    assert [text.split()[0] for text in figures.all_inner_texts()] == ["70.0", "9.5", "–"]
    assert page.locator(".board th[aria-sort=descending]").inner_text().startswith("localization")
    page.focus("#method")
    page.keyboard.type("grad")
    assert rows() == ["grad-cam"] and page.inner_text("#count") == "1 of 3 rows"
    page.fill("#method", "")
    page.fill("#network", "net")
    assert rows() == ["cam", "grad-cam"]
    given = unquote(page.locator("#csv").get_attribute("href").partition(",")[2])
    assert given == (report / leaderboard.FILE).read_text()


def test_pages_are_small_enough_to_be_read_anywhere(report):
    limits = {"index.html": 2, "explorer.html": 5}  # MB; a chapter has 6
    for path in pages_of(report):
        assert path.stat().st_size < limits.get(path.name, 6) * 1e6, path.name


def test_explorer_takes_no_more_pictures_than_its_page_can_hold(tmp_path):
    """Photographs as noisy as can be, and maps of 56×56 of three rows: ILSVRC's worst case."""
    noise = np.random.default_rng(0).integers(0, 255, (375, 500, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    drawn = pd.DataFrame({"image": map(str, range(400)), "path": "noise.png"})
    manifest = Manifest("made", tmp_path, {}, drawn, drawn)
    pictures = explorer.affordable_pictures(manifest, drawn, [(56, 56)] * 3)
    maps = len(pictures) * 3 * 6 * 56 * 56 * 2 * 4 / 3
    assert 10 < len(pictures) < 300
    assert 0.9 * explorer.BUDGET < maps + sum(map(len, pictures.values())) <= explorer.BUDGET
