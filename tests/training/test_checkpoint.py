"""Trainings that are stopped, killed or resumed by something else than what made them."""

import errno
import multiprocessing
import os
import random
import signal
import time
from multiprocessing import forkserver

import pytest
import torch
from torch import nn

from camloc.core.errors import Stopped, UserError
from camloc.core.params import Training
from camloc.training import checkpoint as module
from camloc.training.checkpoint import Checkpoint, digest
from camloc.training.loop import fit

CPU = torch.device("cpu")
EPOCHS, STEPS = 3, 6


class Random:
    """Six batches an epoch, other ones in each, of 8 noisy pictures in two classes."""

    def __init__(self, before=None):
        self.before = before or (lambda epoch, step: None)

    def __len__(self):
        return STEPS

    def steps(self, epoch, first=0):
        for step in range(first, STEPS):
            self.before(epoch, step)
            generator = torch.Generator().manual_seed(100 * epoch + step)
            labels = torch.arange(8) % 2
            noise = torch.randint(0, 100, (8, 3, 6, 6), generator=generator)
            yield [((noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)]


def network():
    """With dropout and batch norms: random states and buffers must come back, too."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, 2))


def never(epoch, step):
    """There is nothing left to train."""
    raise AssertionError


RECIPES = {
    "adamw": {"optimizer": "adamw", "schedule": "one-cycle", "precision": "float32"},
    "sgd": {"optimizer": "sgd", "schedule": "step", "step_epochs": 1, "precision": "float32"},
    "fp16": {"optimizer": "adamw", "schedule": "one-cycle", "precision": "fp16"},
}


def train(checkpoint=None, before=None, recipe="adamw"):
    trained = network()
    training = Training(epochs=EPOCHS, batch=8, lr=0.01, weight_decay=0.01, **RECIPES[recipe])
    [val] = next(Random().steps(99))
    history = fit(trained, Random(before), [val], training, CPU, checkpoint)
    return trained, history


def assert_same(made, expected):
    (trained, history), (other, other_history) = made, expected
    states = trained.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    assert history.equals(other_history)  # to the last bit


def stop_at(epoch, step):
    """SIGTERM while a batch is fetched: the step that uses it is the last."""

    def before(*place):
        if place == (epoch, step):
            os.kill(os.getpid(), signal.SIGTERM)

    return before


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("place", [(1, 0), (1, 3), (2, 5), (3, 2)])
def test_training_stopped_by_sigterm_goes_on_to_the_same_weights(tmp_path, recipe, place):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {})
    epoch, step = place
    with pytest.raises(Stopped, match=rf"epoch {epoch}, step {step + 1}; .*checkpoint\.pt keeps"):
        train(checkpoint, stop_at(epoch, step), recipe)
    assert_same(train(checkpoint, recipe=recipe), train(recipe=recipe))


def test_sigterm_has_its_usual_meaning_again_after_the_training(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(Checkpoint(tmp_path / "checkpoint.pt", {}))
    assert signal.getsignal(signal.SIGTERM) == before


def train_to(path, begun):
    train()  # what torch loads for its first training takes longer than all of this one
    begun.set()
    train(Checkpoint(path, {}, minutes=0))  # saves at each step


@pytest.fixture
def processes():
    """Processes not forked from this one, where what other tests left running would not be copied,
    but from a server that has torch already; one that another test started may not."""
    forkserver._forkserver._stop()
    context = multiprocessing.get_context("forkserver")
    # What torch loads for its first training takes longer than all of a training here.
    context.set_forkserver_preload(["camloc.training.loop", "torch._dynamo"])
    yield context
    forkserver._forkserver._stop()
    context.set_forkserver_preload(["__main__"])


def test_training_killed_at_random_moments_goes_on_to_the_same_weights(tmp_path, processes):
    """At least 8 kills: while a step runs, a checkpoint is written or an epoch ends."""
    assert train_in_child(processes, tmp_path / "first.pt", None)[0] == 0
    _, whole = train_in_child(processes, tmp_path / "whole.pt", None)  # on this machine as it is
    rng, kills, expected = random.Random(0), 0, train()
    while kills < 8:
        path = tmp_path / "checkpoint.pt"
        path.unlink(missing_ok=True)
        while train_in_child(processes, path, rng.uniform(0.1, 0.9) * whole)[0] != 0:
            kills += 1
            assert kills < 100, "no kill leaves more of the training behind than the one before"
        assert_same(train(Checkpoint(path, {}), never), expected)


def train_in_child(processes, path, seconds):
    """Train in another process, killed so many seconds after it began; its exit code, and how many
    seconds it trained."""
    begun = processes.Event()
    child = processes.Process(target=train_to, args=(path, begun))
    child.start()
    assert begun.wait(120)  # how long it takes to load torch decides nothing
    start = time.monotonic()
    child.join(seconds)
    child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode, time.monotonic() - start


def test_finished_training_is_not_done_again(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {})
    expected = train(checkpoint)

    assert_same(train(checkpoint, never), expected)


def test_checkpoint_of_something_else_is_refused_with_the_difference(tmp_path):
    path = tmp_path / "checkpoint.pt"
    train(Checkpoint(path, {"training": {"lr": 0.1, "epochs": 3}, "seed": 1}))
    other = Checkpoint(path, {"training": {"lr": 0.2, "epochs": 3}, "data": "new"})
    with pytest.raises(UserError) as refused:
        train(other)
    lines = str(refused.value).splitlines()
    assert "checkpoint.pt belongs to a training of something else" in lines[0]
    assert lines[1:4] == [
        "  data: nothing there, new now",
        "  seed: 1 there, nothing now",
        "  training.lr: 0.1 there, 0.2 now",
    ]
    assert "delete the file" in lines[4]


def test_machines_that_see_different_checkpoints_are_told(tmp_path, monkeypatch):
    """Another one of them finds none where this one does."""
    path = tmp_path / "checkpoint.pt"
    train(Checkpoint(path, {}))
    monkeypatch.setattr(module, "gather", lambda where: [where, None])
    with pytest.raises(
        UserError, match=r"different checkpoints at .*; put the study into a folder"
    ):
        train(Checkpoint(path, {}))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None], ids=["empty", "text", "cut"])
def test_broken_checkpoint_is_refused_by_name(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    train(Checkpoint(path, {}))
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read .*delete it"):
        train(Checkpoint(path, {}))


def test_flipped_bit_of_a_checkpoint_is_noticed_or_changes_nothing(tmp_path):
    path, rng, refused = tmp_path / "checkpoint.pt", random.Random(0), 0
    made = train(Checkpoint(path, {}))
    content = path.read_bytes()
    for _ in range(60):
        place = rng.randrange(len(content))
        changed = bytes([content[place] ^ 1 << rng.randrange(8)])
        path.write_bytes(content[:place] + changed + content[place + 1 :])
        try:
            assert_same(train(Checkpoint(path, {}), never), made)
        except UserError as error:
            assert f"checkpoint {path} cannot be read" in str(error)
            refused += 1
    assert refused > 40


FULL = [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left: iostream")]


@pytest.mark.parametrize("error", FULL, ids=["file", "torch"])
def test_full_disk_keeps_the_earlier_checkpoint_and_the_training(
    tmp_path, monkeypatch, capsys, error
):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(Checkpoint(path, {}), stop_at(2, 2))
    earlier = path.read_bytes()

    def full(content, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(module.torch, "save", full)
    made = train(Checkpoint(path, {}))
    assert path.read_bytes() == earlier
    assert not list(tmp_path.glob("*-new"))
    told = capsys.readouterr().out
    assert "epoch 3, step 0 could not be written" in told and "No space left" in told
    assert_same(made, train())


def test_checkpoints_are_saved_when_their_time_has_come(tmp_path, monkeypatch):
    """Every two minutes by a clock that a step takes a minute of, and at the end of each epoch."""
    now, saved = [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    save = Checkpoint.save

    def saving(self, state):
        saved.append((state.epoch, state.step))
        save(self, state)

    monkeypatch.setattr(Checkpoint, "save", saving)

    def minute(epoch, step):
        now[0] += 60.0

    train(Checkpoint(tmp_path / "checkpoint.pt", {}, minutes=2.5), minute)
    assert saved[:4] == [(1, 3), (1, 6), (2, 0), (2, 3)]
    assert saved[-1] == (EPOCHS + 1, 0)


def test_digest_tells_networks_apart_by_their_values():
    one, same = network(), network()
    assert digest(one) == digest(same)
    same[1].running_mean[0] += 1e-6
    assert digest(one) != digest(same)
