"""The whole pipeline on the smoke study: one model edited, and what is refused."""

from contextlib import suppress

import nbformat
import psutil

from clone import OF_GAP


def test_one_models_declaration_reruns_that_model_only(clone):
    clone.edit("models", "googlenet-gap", "convs", value=[512])
    assert set(clone.repro()) == OF_GAP


def test_method_that_is_added_to_one_network_reruns_its_maps_and_their_evaluation_only(clone):
    clone.edit("cams", "methods", value={"googlenet-gmp": ["layer-cam"]})
    assert set(clone.repro()) == {
        "prepare",
        "cams@googlenet-gmp",
        "evaluate@googlenet-gmp",
        "report",
        "render",
    }
    row = clone.metrics()["layer-cam-googlenet-gmp"]
    assert row.keys() == {"loc_err_top1", "loc_err_top5", "loc_err_gt_known"}


def test_wrong_parameter_stops_before_any_work_and_keeps_earlier_results(clone):
    before = clone.metrics()
    weights = clone.folder / "data/networks/googlenet-gap/run-1/weights.safetensors"
    kept = weights.read_bytes()
    clone.edit("models", "googlenet-gap", "cut", value="inceptoin4e")
    done = clone.run("dvc", "repro")
    assert done.returncode != 0
    assert "models.googlenet-gap.cut" in done.stderr
    assert "inception4e" in done.stderr
    assert "Traceback" not in done.stderr
    assert clone.metrics() == before
    assert weights.read_bytes() == kept


def test_refusal_inside_a_notebook_ends_with_code_2_and_one_message(clone):
    clone.run("camloc", "use", "smoke")
    (clone.folder / "data/networks/googlenet/run-1/weights.safetensors").unlink()
    done = clone.run("camloc", "run", "01_surgery", "--network", "googlenet-gap")
    assert done.returncode == 2
    assert "weights.safetensors is missing" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list((clone.folder / "reports/notebooks").glob("*.failed.ipynb"))


def is_kernel(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it may be over by now
        return "ipykernel_launcher" in process.cmdline()
    return False


def test_stage_and_its_kernel_end_with_the_dvc_that_began_them(clone, tmp_path):
    """Killed, it cannot tell them, and they would go on beside the next run."""
    before = clone.hashes()["data/manifest"]
    clone.edit("seed", value=7)  # of which other pictures are drawn, whether or not to the end
    dvc = clone.start("dvc", "repro", log=tmp_path / "log")
    kernel = []
    while dvc.poll() is None and not kernel:
        work = dvc.children(recursive=True)
        kernel = [one for one in work if is_kernel(one)]
    dvc.kill()
    dvc.wait()
    assert kernel and not psutil.wait_procs(work, timeout=30)[1]
    clone.edit("seed", value=1)
    clone.repro()
    assert clone.hashes()["data/manifest"] == before


def test_nothing_that_a_person_set_up_for_their_own_notebooks_changes_a_figure(clone, tmp_path):
    assert clone.run("camloc", "use", "smoke").returncode == 0
    assert clone.repro()
    figure = clone.folder / "reports" / "figures" / "maps.png"
    before = figure.read_bytes()
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\ntext.usetex: True\n")
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "own.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(
        "import matplotlib\nmatplotlib.rcParams['image.origin'] = 'lower'\nprint('own')"
    )
    figure.unlink()
    done = clone.run(
        *("camloc", "run", "05_report"),
        MPLCONFIGDIR=str(tmp_path),
        IPYTHONDIR=str(tmp_path / "ipython"),
        PYTHONSTARTUP=str(startup),
        OMP_NUM_THREADS="2",
        OPENBLAS_NUM_THREADS="2",
    )
    assert done.returncode == 0, done.stderr
    assert "own" not in done.stdout.split()
    assert figure.read_bytes() == before
    executed = nbformat.read(clone.folder / "reports/notebooks/05_report.ipynb", as_version=4)
    assert executed.metadata["camloc"]["threads"] == 1  # as the study says
