"""The whole pipeline on the smoke study: one model edited, and what is refused."""


def test_one_models_declaration_reruns_that_model_only(clone):
    clone.edit("models", "googlenet-gap", "convs", value=[512])
    assert set(clone.repro()) == {
        "prepare",
        "surgery@googlenet-gap",
        "finetune@googlenet-gap",
        "cams@googlenet-gap",
        "evaluate@googlenet-gap",
        "report",
        "render",
    }


def test_wrong_parameter_stops_before_any_work_and_keeps_earlier_results(clone):
    before = clone.metrics()
    weights = clone.folder / "data/networks/googlenet-gap/weights.safetensors"
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
    (clone.folder / "data/networks/googlenet/weights.safetensors").unlink()
    done = clone.run("camloc", "run", "01_surgery", "--network", "googlenet-gap")
    assert done.returncode == 2
    assert "weights.safetensors is missing" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list((clone.folder / "reports/notebooks").glob("*.failed.ipynb"))
