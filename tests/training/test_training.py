"""Training of one network: what it learns, records, repeats and refuses."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from camloc.core.errors import UserError
from camloc.core.params import Training
from camloc.data.loading import UNLABELLED
from camloc.training.loop import fit, measure
from camloc.training.precision import choose_device, choose_precision

CPU = torch.device("cpu")
RECIPE = {
    "epochs": 4,
    "batch": 8,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "lr": 0.05,
    "weight_decay": 0.01,
    "precision": "float32",
}


def pictures(count, seed=0):
    """Dark pictures of class 0 and bright ones of class 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 6, 6), generator=generator)
    return (noise + 150 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


class Steps(list):
    """Batches of one part each, the same in every epoch, in place of `TrainingBatches`."""

    def steps(self, epoch, first=0):
        return ([batch] for batch in self[first:])


def batches(count=32, batch=8, seed=0):
    x, labels = pictures(count, seed)
    return list(zip(x.split(batch), labels.split(batch), strict=True))


def small_network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
    )


def train(network=None, train=None, val=None, compile=False, **recipe):
    network = network or small_network()
    options = Training(**(RECIPE | recipe))
    train = Steps(train or batches())
    history = fit(network, train, val or batches(16, seed=1), options, CPU, compile=compile)
    return network, history


@pytest.mark.parametrize(
    "recipe", [{}, {"optimizer": "sgd", "schedule": "step", "lr": 0.01}], ids=["adamw", "sgd"]
)
def test_loss_and_errors_fall_on_a_separable_problem(recipe):
    network, history = train(**recipe)
    assert history["train_loss"].iloc[-1] < 0.1 < history["train_loss"].iloc[0]
    assert history["val_loss"].iloc[-1] < 0.2
    assert history[["train_err_top1", "val_err_top1"]].iloc[-1].tolist() == [0, 0]
    assert not network.training


def test_history_has_a_row_an_epoch():
    _, history = train(epochs=3)
    assert history.columns.tolist() == [
        "epoch",
        "lr",
        "train_loss",
        "train_err_top1",
        "val_loss",
        "val_err_top1",
    ]
    assert history["epoch"].tolist() == [1, 2, 3]


def test_no_epochs_leave_the_network_as_it_was():
    network, history = train(epochs=0)
    assert len(history) == 0 and not network.training
    assert torch.equal(network[0].weight, small_network()[0].weight)


def test_validation_without_labels_gives_nan():
    x, labels = pictures(8)
    _, history = train(val=[(x, torch.full_like(labels, UNLABELLED))], epochs=1)
    assert history[["val_loss", "val_err_top1"]].isna().all(axis=None)
    assert math.isfinite(history["train_loss"].iloc[0])


class Fixed(nn.Module):
    """The same logits for every picture."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def test_measure_counts_the_labelled_pictures_only():
    """Softmax of (ln 3, 0) is (3/4, 1/4): losses -ln 3/4, -ln 3/4 and -ln 1/4, one of 3 wrong."""
    labels = torch.tensor([0, UNLABELLED, 0]), torch.tensor([1, UNLABELLED])
    shown = [(torch.zeros(len(part), 3, 2, 2, dtype=torch.uint8), part) for part in labels]
    loss, error = measure(Fixed([math.log(3), 0.0]), shown, torch.float32, CPU)
    assert loss == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)
    assert error == pytest.approx(100 / 3)


def test_same_seed_gives_identical_weights():
    first, _ = train(small_network(3))
    again, _ = train(small_network(3))
    other, _ = train(small_network(4))
    states = [network.state_dict() for network in (first, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["0.weight"], states[2]["0.weight"])


def test_loss_that_is_not_finite_ends_the_training():
    network = small_network()
    network[4].weight.data[0, 0] = math.nan
    with pytest.raises(UserError, match=r"loss is nan in epoch 1; a smaller `lr`"):
        train(network)


def test_label_smoothing_is_in_the_training_loss_only():
    """Logits (ln 3, 0), label 0, smoothing 0.2: 0.9 ln 4/3 + 0.1 ln 4."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    network[1].weight.data.zero_()
    network[1].bias.data = torch.tensor([math.log(3), 0.0])
    shown = [(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))]
    recipe = {"lr": 1e-12, "weight_decay": 0.0, "epochs": 1}
    _, history = train(network, shown, shown, label_smoothing=0.2, **recipe)
    assert history["train_loss"][0] == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))
    assert history["val_loss"][0] == pytest.approx(math.log(4 / 3))


def decayed(**recipe):
    """Weight and bias of one class after training: no gradient, so only the decay acts."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    nn.init.ones_(network[1].weight)
    nn.init.ones_(network[1].bias)
    shown = [(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))] * 2
    train(network, shown, shown, **recipe)
    assert network[1].bias.item() == 1.0
    assert network[1].weight.unique().numel() == 1
    return network[1].weight[0, 0].item()


def test_step_schedule_divides_the_rate_by_ten():
    """Two batches an epoch: four steps at 0.5 and four at 0.05, each (1 - lr · decay) w."""
    weight = decayed(
        optimizer="sgd",
        schedule="step",
        lr=0.5,
        momentum=0.0,
        weight_decay=0.1,
        step_epochs=2,
        epochs=4,
    )
    assert weight == pytest.approx(0.95**4 * 0.995**4, rel=1e-5)


def test_one_cycle_schedule_rises_for_three_tenths_and_falls_to_nothing():
    """Ten steps: up from lr/25 to lr at the third, down along a cosine to lr/250,000."""
    weight = decayed(schedule="one-cycle", lr=0.5, weight_decay=0.1, epochs=5)

    def cosine(start, end, share):
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    rates = [cosine(0.02, 0.5, step / 2) for step in range(3)]
    rates += [cosine(0.5, 0.02 / 10_000, step / 7) for step in range(1, 8)]
    assert weight == pytest.approx(math.prod(1 - 0.1 * rate for rate in rates), rel=1e-5)


def test_weight_decay_spares_biases_and_batch_norms():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 1))
    nn.init.ones_(network[2].bias)
    shown = [(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))]
    before = network[2].weight.detach().clone()
    train(network, shown, shown, weight_decay=0.5)
    assert network[0].weight.tolist() == [1.0, 1.0, 1.0]
    assert network[2].bias.item() == 1.0
    assert (network[2].weight.abs() < before.abs()).all()


def test_named_device_that_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: no cuda on this machine; use auto or cpu"):
        choose_device("cuda")
    with pytest.raises(UserError, match="no mps"):
        choose_device("mps")
    assert choose_device("auto") == choose_device("cpu") == CPU


def test_auto_takes_cuda_before_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def assert_same_weights(network, other):
    for name, values in other.state_dict().items():
        assert torch.allclose(network.state_dict()[name], values, atol=1e-6), name


def test_compiled_network_trains_as_it_does_without(monkeypatch):
    """By torch's compiler up to the code that a backend would make faster."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    network, history = train(compile=True)
    expected, other = train()
    assert_same_weights(network, expected)
    assert history["train_loss"].to_numpy() == pytest.approx(other["train_loss"].to_numpy())


def test_compiler_that_fails_is_told_and_done_without(monkeypatch, capsys):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    network, _ = train(compile=True)
    told = capsys.readouterr().out.splitlines()[0]
    assert "torch.compile failed (" in told and told.endswith("training goes on without it")
    assert_same_weights(network, train()[0])


def test_half_precision_scales_its_loss_and_learns():
    network, history = train(precision="fp16")
    assert history["val_err_top1"].iloc[-1] == 0
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision_is_bf16_where_the_processor_has_it(monkeypatch, fast):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    expected = torch.bfloat16 if fast else torch.float32
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("auto", torch.device("mps")) == torch.float32
    assert choose_precision("bf16", CPU) == torch.bfloat16
    assert choose_precision("fp16", CPU) == torch.float16
    assert choose_precision("float32", CPU) == torch.float32
