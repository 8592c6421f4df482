"""Several processes against one: the same samples, weights and maps."""

import copy
import filecmp
import os
import signal
import traceback

import pandas as pd
import pytest
import torch
from torch import distributed as dist
from torch import nn

from camloc.core import params, processes
from camloc.core.errors import Stopped
from camloc.core.paths import Study, repository_root
from camloc.core.processes import Share
from camloc.networks.files import load
from camloc.pipeline import launch
from camloc.pipeline.parameters import DataParameters, MapsParameters, TrainParameters
from camloc.pipeline.stages import data, maps, train
from camloc.training import loop, precision
from camloc.training.batch_norm import WholeBatchNorm
from camloc.training.loop import fit

SMOKE = params.load(repository_root() / "params" / "smoke.yaml")
# Slow, because what rounding makes of a step is magnified in those after it.
RECIPE = SMOKE.finetune.model_copy(update={"lr": 0.0001, "epochs": 2, "batch": 8})
GIVEN = TrainParameters.of(SMOKE, "googlenet").model_copy(
    update={
        "original": SMOKE.originals["googlenet"].model_copy(
            update={"dropout": 0.0, "backbone": "googlenet"}
        ),
        "training": RECIPE,
    }
)


def in_two_processes(folder, work, *arguments) -> list[int]:
    """Exit codes of two processes that meet by gloo and each do their share of some work."""
    children = []
    for rank in (0, 1):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                meeting = f"file://{folder}/meeting"
                dist.init_process_group("gloo", meeting, rank=rank, world_size=2)
                work(*arguments)
                code = 0
            except Stopped:
                code = Stopped.exit_code
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A GoogLeNet, which has batch norms, trained by one process."""
    study = Study(tmp_path_factory.mktemp("study"))
    source = {"source": "shapes", "train": 32, "val": 7, "test": 7}
    data.run(study, DataParameters(data=source, seed=1))
    train.work(study, GIVEN)
    return study


@pytest.fixture
def other(study, tmp_path):
    """The same data, and no network."""
    for name in ("manifest", "pictures", "truth"):
        (tmp_path / name).symlink_to(study.folder / name)
    return Study(tmp_path)


def assert_same_training(study, other):
    """To float tolerance: sums over half batches round otherwise."""
    one, two = (load(s.weights("googlenet"))[0].state_dict() for s in (study, other))
    for name, values in one.items():
        assert torch.allclose(values, two[name], rtol=1e-3, atol=1e-4), name
    histories = [pd.read_csv(s.history("googlenet")) for s in (study, other)]
    assert histories[0].to_numpy() == pytest.approx(histories[1].to_numpy(), rel=1e-4)


def test_two_processes_train_as_one_does(study, other, tmp_path):
    assert in_two_processes(tmp_path, lambda: train.work(other, GIVEN)) == [0, 0]
    assert_same_training(study, other)


class Double(nn.Module):
    """A small network with a batch norm, in double precision, so that rounding plays no part."""

    def __init__(self, norm=True):
        super().__init__()
        torch.manual_seed(0)
        middle = nn.BatchNorm2d(4) if norm else nn.Identity()
        layers = nn.Conv2d(3, 4, 3), middle, nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
        self.layers = nn.Sequential(*layers).double()

    def forward(self, x):
        return self.layers(x.double())


class Dealt:
    """Five batches of 16 noisy pictures, of which this process takes its share in parts."""

    def __init__(self, parts):
        self.parts = parts

    def __len__(self):
        return 5

    def steps(self, epoch, first=0):
        share = processes.share()
        for step in range(first, 5):
            x = torch.randint(256, (16, 3, 6, 6), generator=torch.Generator().manual_seed(step))
            x = x.to(torch.uint8).chunk(share.size * self.parts)
            pieces = zip(x, self.labels, strict=True)
            yield list(pieces)[share.rank :: share.size]

    @property
    def labels(self):
        return (torch.arange(16) % 2).chunk(processes.share().size * self.parts)


def trained_doubles(folder, parts, norm):
    network = Double(norm)
    options = {"optimizer": "sgd", "schedule": "step", "precision": "float32", "weight_decay": 0}
    loop = params.Training(epochs=3, batch=16, lr=0.1, accumulate=parts, **options)
    history = fit(network, Dealt(parts), next(Dealt(1).steps(1)), loop, torch.device("cpu"))
    if processes.share().rank == 0:
        torch.save((network.state_dict(), history.to_dict()), folder / "trained")
    return network.state_dict(), history


@pytest.mark.parametrize("parts", [1, 2])
def test_shares_and_parts_of_a_batch_train_as_the_whole_does(tmp_path, parts):
    """Exactly so but for double rounding; batch norms see one part of the batch at a time."""
    expected, history = trained_doubles(tmp_path, 1, norm=parts == 1)
    assert in_two_processes(tmp_path, trained_doubles, tmp_path, parts, parts == 1) == [0, 0]
    found, found_history = torch.load(tmp_path / "trained")
    for name, values in expected.items():
        assert torch.allclose(found[name], values, rtol=1e-6, atol=1e-7), name
    for column, values in history[["train_loss", "train_err_top1"]].items():
        assert list(found_history[column].values()) == pytest.approx(values.tolist(), rel=1e-5)


def test_two_processes_stop_together_and_go_on_as_one(study, other, tmp_path, monkeypatch):
    """SIGTERM in the second process alone; a single process finishes what the two began."""

    def stopped_early():
        if processes.share().rank == 1:
            monkeypatch.setattr(loop, "autocast", terminating)
        train.work(other, GIVEN)

    def terminating(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return autocast(*arguments)

    autocast = precision.autocast
    code = Stopped.exit_code
    assert in_two_processes(tmp_path, stopped_early) == [code, code]
    assert other.checkpoint("googlenet").is_file()
    assert not other.weights("googlenet").exists()
    train.work(other, GIVEN)
    assert_same_training(study, other)


SRUN = """#!/bin/sh
shift 3  # --nodes=2 --ntasks-per-node=1 --kill-on-bad-exit=1
"$@" & first=$!
"$@"
second=$?
wait $first && exit $second
"""


def test_maps_of_two_machines_are_those_of_one_process(study, other, tmp_path, monkeypatch):
    """A Slurm job, with an srun that starts both machines' torchrun on this one."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", str(os.getpid()))
    monkeypatch.setenv(launch.RENDEZVOUS, f"127.0.0.1:{20_000 + os.getpid() % 10_000}")
    other.weights("googlenet").parent.mkdir(parents=True)
    other.weights("googlenet").symlink_to(study.weights("googlenet"))
    given = MapsParameters.of(SMOKE, "googlenet").model_copy(update={"batch": 2, "ten_crop": True})
    maps.run(study, given)
    machines = given.machine.model_copy(update={"nodes": 2})
    maps.run(other, given.model_copy(update={"machine": machines}))
    written = [p for p in study.predictions("googlenet").glob("*/*") if p.is_file()]
    assert len(written) == 2 * (4 + 3)  # without saliency of ten crops
    for path in written:
        twin = other.folder / path.relative_to(study.folder)
        assert filecmp.cmp(path, twin, shallow=False), path.name
    assert [p.name for p in other.predictions("googlenet").parent.iterdir()] == ["run-1"]


def test_batch_norm_over_one_process_is_torchs(tmp_path):
    whole, usual = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    whole.__class__ = WholeBatchNorm
    x = torch.randn(4, 3, 5, 6, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    dist.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        out, expected = whole(x), usual(y)
        (out**3).sum().backward()
    finally:
        dist.destroy_process_group()
    (expected**3).sum().backward()
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(x.grad, y.grad, atol=1e-3)
    for name, value in usual.state_dict().items():
        assert torch.allclose(whole.state_dict()[name], value, atol=1e-6), name
    assert torch.equal(whole.eval()(x), copy.deepcopy(whole).eval()(x))


@pytest.mark.parametrize(
    ("size", "parts"), [(1, [7]), (2, [4, 3]), (3, [2, 2, 3]), (5, [0, 2, 2, 2, 1])]
)
def test_shares_are_whole_batches_and_hold_every_row_once(size, parts):
    """Seven rows in batches of two are four batches."""
    shares = [Share(rank, size).of(list(range(7)), batch=2) for rank in range(size)]
    assert [len(rows) for rows in shares] == parts
    assert [row for rows in shares for row in rows] == list(range(7))
