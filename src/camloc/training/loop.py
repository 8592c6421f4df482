"""Training of one network, on one device or a share of it on each of several."""

import math
import threading
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from camloc.core.errors import Stopped, UserError
from camloc.core.params import Preprocessing, Training
from camloc.core.processes import agree, say, share, sum_over_processes
from camloc.core.progress import progress
from camloc.core.signals import on_signals
from camloc.data.loading import (
    IMAGENET,
    UNLABELLED,
    TrainingBatches,
    death_of_decoders_told,
    standardise,
)
from camloc.training.batch_norm import synchronise_batch_norms
from camloc.training.checkpoint import Checkpoint, State
from camloc.training.precision import autocast, choose_precision, compiled

HISTORY_COLUMNS = ["epoch", "lr", "train_loss", "train_err_top1", "val_loss", "val_err_top1"]
ASK_EVERY, READ_EVERY = 5, 50  # steps


def fit(
    network: nn.Module,
    batches: TrainingBatches,
    val: Iterable,
    training: Training,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    compile: bool = False,
    wanted: Preprocessing | None = IMAGENET,
) -> pd.DataFrame:
    """Train a network in place on the cross-entropy of its logits.

    Where torchrun started several processes all call this, each with its share of the same
    batches; gradients, batch statistics and losses are those of the whole batch.

    Args:
        batches: uint8 pictures (b, 3, h, w) and class indices (b,), shuffled.
        val: the same for the val split, in order; only measured, nothing is chosen by it.
        checkpoint: the file that the training goes on from where it is there, and is kept in.
        wanted: what the network wants of pictures; None where the batches hold maps for it instead,
            which it takes as they are.

    Returns:
        The history, one row per epoch: the learning rate at its start, losses, errors in percent.

    Raises:
        UserError: the loss is no longer finite, or the checkpoint is of another training.
        Stopped: SIGTERM came.
    """
    step = Step.of(network, training, device, len(batches), compile, wanted)
    state = step.state
    if checkpoint and checkpoint.resume(state):
        say(f"going on from the checkpoint of {state.position}")
    stop = threading.Event()
    with on_signals(stop.set), death_of_decoders_told():
        while state.epoch <= training.epochs:
            _train_epoch(step, batches, checkpoint, stop)
            measured = measure(network, val, step.precision, device, wanted)
            _end_epoch(state, training, *measured)
            if checkpoint:
                checkpoint.save(state)
    network.eval()
    return pd.DataFrame(state.history, columns=HISTORY_COLUMNS)


@dataclass
class Step:
    """One step of the optimizer; nothing in it waits for a GPU, but torch's SyncBatchNorm where
    several train."""

    forward: nn.Module
    state: State
    training: Training
    precision: torch.dtype
    device: torch.device
    wanted: Preprocessing | None

    @classmethod
    def of(
        cls,
        network: nn.Module,
        training: Training,
        device: torch.device,
        steps_per_epoch: int,
        compile: bool = False,
        wanted: Preprocessing | None = IMAGENET,
    ) -> "Step":
        """The first step of a training; the network moves to the device."""
        network.to(device, memory_format=torch.channels_last)
        synchronise_batch_norms(network, device)
        precision = choose_precision(training.precision, device)
        scaler = GradScaler(device.type, enabled=precision == torch.float16)
        state = State(network, *_optimizer(network, training, steps_per_epoch), scaler)
        forward = network
        if share().size > 1:
            with warnings.catch_warnings():  # older versions do not have the argument's successor
                warnings.simplefilter("ignore", FutureWarning)
                # Batch norms agree already.
                forward = DistributedDataParallel(network, broadcast_buffers=False)
        forward = compiled(forward) if compile else forward
        return cls(forward, state, training, precision, device, wanted)

    def __call__(self, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Learn from one batch, given in parts whose gradients add up.

        Returns:
            The mean loss and the share of wrong pictures, (2,), on the device.
        """
        state, done = self.state, []
        for i, part in enumerate(parts, start=1):
            apart = i < len(parts) and share().size > 1
            with self.forward.no_sync() if apart else nullcontext():
                done.append(self._backward(*part, parts=len(parts)))
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.schedule.step()
        return torch.stack(done).mean(0)

    def _backward(self, pictures: Tensor, labels: Tensor, parts: int) -> Tensor:
        labels = labels.to(self.device, non_blocking=True)
        with autocast(self.device, self.precision):
            logits = self.forward(_input(pictures, self.device, self.wanted))  # (b, K)
            loss = functional.cross_entropy(
                logits.float(), labels, label_smoothing=self.training.label_smoothing
            )
        self.state.scaler.scale(loss / parts).backward()
        wrong = (logits.argmax(1) != labels).float().mean()
        return torch.stack([loss.detach(), wrong])


def measure(
    network: nn.Module,
    batches: Iterable,
    precision: torch.dtype,
    device: torch.device,
    wanted: Preprocessing | None = IMAGENET,
) -> tuple[float, float]:
    """Mean cross-entropy and top-1 error in percent over the labelled pictures of the batches, of
    all processes together."""
    network.eval()
    loss = torch.zeros((), device=device)
    wrong = torch.zeros((), device=device)
    count = 0
    with torch.inference_mode():
        for pictures, labels in batches:
            count += int((labels != UNLABELLED).sum())  # on the CPU: a GPU is not waited for
            labels = labels.to(device, non_blocking=True)
            with autocast(device, precision):
                logits = network(_input(pictures, device, wanted)).float()
            loss += functional.cross_entropy(
                logits, labels, reduction="sum", ignore_index=UNLABELLED
            )
            wrong += ((logits.argmax(1) != labels) & (labels != UNLABELLED)).sum()
    totals = torch.tensor([float(loss), float(wrong), count], dtype=torch.float64)
    loss, wrong, count = sum_over_processes(totals).tolist()
    return (loss / count, 100 * wrong / count) if count else (math.nan, math.nan)


def _input(given: Tensor, device: torch.device, wanted: Preprocessing | None) -> Tensor:
    if wanted is None:
        return given.to(device, non_blocking=True).float()
    return standardise(given, device, wanted)


def _train_epoch(
    step: Step,
    batches: TrainingBatches,
    checkpoint: Checkpoint | None,
    stop: threading.Event,
) -> None:
    """The steps of an epoch that are left; saves when it is time to, and when it has to stop."""
    state = step.state
    step.forward.train()
    if state.step == 0:
        state.lr = state.schedule.get_last_lr()[0]
    unread: list[Tensor] = []
    shown = progress(
        batches.steps(state.epoch, state.step),
        desc=f"epoch {state.epoch}/{step.training.epochs}",
        initial=state.step,
        total=len(batches),
        unit="batch",
        leave=False,
    )
    for parts in shown:
        unread.append(step(parts))
        state.step += 1
        # Asking waits for the other processes, and reading for the device: both are done seldom.
        if share().size > 1 and state.step % ASK_EVERY and state.step < len(batches):
            continue
        due = checkpoint is not None and checkpoint.due
        stopping, saving = agree(stop.is_set(), due)
        if stopping or saving or len(unread) >= READ_EVERY:
            _read(unread, state)
        if stopping or saving:
            kept = checkpoint is not None and checkpoint.save(state)
            if stopping:
                where = f"{checkpoint.path} keeps it" if kept else "it is not kept"
                raise Stopped(f"training stopped by SIGTERM in {state.position}; {where}")
    _read(unread, state)


def _read(unread: list[Tensor], state: State) -> None:
    """Add the results of steps to the state's sums, over all processes."""
    if unread:
        results = sum_over_processes(torch.stack(unread).cpu()) / share().size  # (steps, 2)
        for loss, wrong in results.tolist():
            state.loss += loss
            state.wrong += wrong
        unread.clear()
    if not math.isfinite(state.loss):
        raise UserError(
            f"the training loss is {state.loss} in epoch {state.epoch}; a smaller `lr` or "
            "`precision: float32` in params.yaml usually helps"
        )


def _end_epoch(state: State, training: Training, val_loss: float, val_error: float) -> None:
    loss, error = state.loss / state.step, 100 * state.wrong / state.step
    state.history.append([state.epoch, state.lr, loss, error, val_loss, val_error])
    say(
        f"epoch {state.epoch}/{training.epochs}: train loss {loss:.3f} error {error:.1f} %, "
        f"val loss {val_loss:.3f} error {val_error:.1f} %"
    )
    state.epoch, state.step, state.loss, state.wrong = state.epoch + 1, 0, 0.0, 0.0


def _optimizer(
    network: nn.Module, training: Training, steps_per_epoch: int
) -> tuple[Optimizer, LRScheduler]:
    groups = _decay_groups(network, training.weight_decay)
    if training.optimizer == "sgd":
        optimizer: Optimizer = SGD(groups, lr=training.lr, momentum=training.momentum, fused=True)
    else:
        optimizer = AdamW(groups, lr=training.lr, fused=True)
    steps = training.epochs * steps_per_epoch
    if training.schedule == "one-cycle":
        # Without its cycle of momentum, which would overrule the parameter.
        return optimizer, OneCycleLR(
            optimizer, training.lr, total_steps=max(1, steps), cycle_momentum=False
        )
    return optimizer, StepLR(optimizer, training.step_epochs * steps_per_epoch, gamma=0.1)


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Weights decay, biases and batch norms do not."""
    decayed: list[Tensor] = [p for p in network.parameters() if p.ndim > 1]
    others: list[Tensor] = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
