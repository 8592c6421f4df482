"""What stages take and keep, by hand from given paces of networks, and paces from calls."""

import pytest
import torch

from camloc.core import params
from camloc.core.errors import UserError
from camloc.pipeline import checks, cost
from camloc.pipeline.cost import Images, Line, Pace, bytes_of, images, kind_of, line, seconds_of
from clone import ROOT

CPU = torch.device("cpu")
SMOKE = params.load(ROOT / "params" / "smoke.yaml")
PICTURES = Images(classes=12, train=96, val=24, test=24)
# A step takes 0.5 s and 0.1 s a picture, classifying 0.01 s a picture, in bfloat16 0.02 s.
PACE = Pace(
    Line(0.5, 0.1), Line(0, 0.01), Line(0, 0.02), parameters=1000, body=50, maps=8, cells=16
)


def declared(name: str) -> params.Params:
    return params.load(ROOT / "params" / f"{name}.yaml")


def edited(study=SMOKE, **sections) -> params.Params:
    """A study with other values in sections, or other values of its own."""
    return study.model_copy(
        update={
            key: getattr(study, key).model_copy(update=value) if isinstance(value, dict) else value
            for key, value in sections.items()
        }
    )


def working(stage: str, study=SMOKE, pictures=PICTURES) -> float:
    return seconds_of(study, stage, pictures, PACE) - cost.START


@pytest.fixture
def clock(monkeypatch):
    """A processor's time that passes by hand, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(cost.time, "process_time", lambda: now[0])
    return now


def test_line_goes_through_a_call_on_two_pictures_and_one_on_eight(clock):
    def call(count):
        clock[0] += 0.01 + 0.002 * count

    found = line(call, 32, CPU)
    assert found == pytest.approx(Line(0.01, 0.002))
    assert found.of(64, 32) == pytest.approx(64 * 0.002 + 2 * 0.01)
    assert found.of(65, 32) == pytest.approx(65 * 0.002 + 3 * 0.01)  # a third batch of one


def test_first_call_does_not_count_where_it_is_quick(clock):
    calls = []

    def call(count):
        calls.append(count)
        clock[0] += 0.01 * count + 0.1 * (calls.count(count) == 1)

    assert line(call, 32, CPU) == pytest.approx(Line(0.0, 0.01))
    assert calls == [2, 2, 8, 8]


def test_call_that_takes_long_is_made_once(clock):
    calls = []

    def call(count):
        calls.append(count)
        clock[0] += 3.0 * count

    assert line(call, 32, CPU) == Line(0.0, 3.0) and calls == [2]


def test_training_takes_its_steps_and_a_look_at_val_each_epoch():
    """96 pictures in 6 batches: 9.6 + 6 · 0.5 s; 24 of val: 0.24 s."""
    assert working("originals@googlenet") == pytest.approx(12.84)
    longer = edited(finetune={"epochs": 3})
    assert working("finetune@googlenet-gap", longer) == pytest.approx(3 * 12.84)
    assert working("controls@googlenet-control", longer) == pytest.approx(3 * 12.84)
    assert working("originals@googlenet", edited(training={"epochs": 0})) == 0.0


def test_trainings_take_turns_on_the_threads_that_there_are():
    """Five, two at once: three turns, each on two threads, which count as 2 to the 0.8."""
    study = edited(seeds=5, threads=2, machine={"at_once": 2})
    assert working("originals@googlenet", study) == pytest.approx(3 * 12.84 / 2**0.8)


def test_body_that_stays_as_it_is_sees_pictures_and_their_mirror_images_once():
    """2 · 96 + 24 pictures at 0.01 s; then 4 trainings of 2 epochs, in which classifying 24
    pictures in 2 batches takes a third of a step: (2.4 + 1.0) / 3 s."""
    study = edited(seeds=4, machine={"at_once": 1}, finetune={"freeze": "body", "epochs": 2})
    by_hand = 2.16 + 4 * 2 * (12.6 + 3.4 / 3)
    assert working("finetune@googlenet-gap", study) == pytest.approx(by_hand)


def test_maps_take_a_pass_and_what_else_is_asked_of_the_network():
    """48 pictures at 0.01 s. Saliency is a pass forward and one back for each of 12 classes, ten
    crops are ten passes, and bfloat16 one at 0.02 s."""
    assert working("cams@googlenet-gmp") == pytest.approx(0.48)
    assert working("originals-cams@googlenet") == pytest.approx(0.48 * (1 + 13))
    assert working("cams@googlenet-gap") == pytest.approx(0.48 * 11 + 0.96)
    five = edited(cams={"top": 5})  # and the true class
    assert working("originals-cams@googlenet", five) == pytest.approx(0.48 * (1 + 7))


def test_other_stages_go_by_the_number_of_pictures():
    assert working("data") == pytest.approx(144 * cost.DRAWN)
    assert working("evaluate@googlenet-gap") == pytest.approx(48 * cost.EVALUATED)
    assert working("originals-evaluate@googlenet") == pytest.approx(2 * 48 * cost.EVALUATED)
    assert working("surgery@googlenet-gap") == working("report") == 0.0


def test_stages_of_all_networks_are_called_by_what_they_do():
    assert [kind_of(s) for s in ("originals@a", "finetune@a", "controls@a")] == ["train"] * 3
    assert [kind_of(s) for s in ("cams@a", "originals-cams@a")] == ["maps"] * 2
    assert [kind_of(s) for s in ("controls-evaluate@a", "render")] == ["evaluate", "render"]


def test_stages_keep_weights_and_maps_of_each_training():
    """4 bytes a parameter, of the trained network and of what surgery left; maps of 2 bytes a cell
    of 48 pictures and 12 classes, ten crops of them and bfloat16; saliency has 16 × 16 cells."""
    study = edited(seeds=3)
    assert bytes_of(study, "finetune@googlenet-gap", PICTURES, PACE) == 3 * 8 * 1000
    maps = 3 * 2 * 48 * 12
    assert bytes_of(study, "cams@googlenet-gmp", PICTURES, PACE) == maps * 16
    assert bytes_of(study, "cams@googlenet-gap", PICTURES, PACE) == maps * 16 * 12
    assert bytes_of(study, "originals-cams@googlenet", PICTURES, PACE) == maps * (16 + 256)
    frozen = edited(finetune={"freeze": "body"})
    kept = 2 * (2 * 96 + 24) * 50
    assert bytes_of(frozen, "finetune@googlenet-gap", PICTURES, PACE) == 8 * 1000 + kept


def test_pictures_of_published_data_sets_are_counted_by_their_pages():
    assert images(SMOKE) == PICTURES
    assert images(declared("tiny-imagenet-20")) == Images(20, 9_000, 1_000, 1_000)
    assert images(declared("cub")) == Images(200, 4_994, 1_000, 5_794)
    assert images(declared("ilsvrc")) == Images(1000, 1_281_167, 50_000, 0)
    assert images(declared("ilsvrc-val")) == Images(1000, 0, 50_000, 0)


def test_pictures_in_a_folder_of_ones_own_are_counted(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    study = declared("pretrained")
    with pytest.raises(UserError, match=f"{tmp_path}/data/images holds no images"):
        images(study)
    (tmp_path / "data" / "images" / "cat").mkdir(parents=True)
    for name in ("cat/a.JPEG", "cat/b.png", "c.jpg", "wnids.txt"):
        (tmp_path / "data" / "images" / name).touch()
    assert images(study) == Images(1000, 0, 3, 0)
    assert images(edited(study, data={"splits": {"test": "cat"}})) == Images(1000, 0, 0, 2)


def test_networks_of_a_study_are_measured_as_they_are():
    """Of googlenet-gmp the head is trained alone."""
    networks, problems = checks.networks(SMOKE)
    frozen = SMOKE.models["googlenet-gmp"].model_copy(
        update={"training": params.Overrides(freeze="body")}
    )
    study = SMOKE.model_copy(update={"models": SMOKE.models | {"googlenet-gmp": frozen}})
    found = cost.probe(study, networks)
    assert not problems and found.keys() == SMOKE.networks.keys()
    assert [found[name].cells for name in ("googlenet", "googlenet-gap")] == [2 * 2, 4 * 4]
    assert found["googlenet-gap"].body == networks["googlenet-gap"].convs[0].in_channels * 4 * 4
    assert found["googlenet-control"].classify == found["googlenet"].classify
    for name, pace in found.items():
        assert pace.classify.of(96, 16) > 0 and (pace.bf16 is None) == (name != "googlenet-gap")
    steps = [found[name].step.of(96, 16) for name in SMOKE.models]
    assert 0 < steps[1] < steps[0]
