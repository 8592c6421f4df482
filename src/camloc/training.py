"""Training of one network on one device."""

import math
from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torch.utils.data import DataLoader

from camloc.errors import UserError
from camloc.loading import UNLABELLED, normalise
from camloc.params import Training
from camloc.progress import progress

HISTORY_COLUMNS = ["epoch", "lr", "train_loss", "train_err_top1", "val_loss", "val_err_top1"]


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; CUDA is held to cuDNN's repeatable algorithms.

    Raises:
        UserError: the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((device for device, found in there.items() if found), "cpu")
    if not there.get(name, True):
        raise UserError(f"params.yaml: device: no {name} on this machine; use auto or cpu")
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the processor multiplies it in hardware, else float32."""
    if name == "auto":
        fast = {
            "cuda": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
            "cpu": torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported(),
        }
        name = "bf16" if fast.get(device.type, False) else "float32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def fit(
    network: nn.Module,
    batches: DataLoader,
    val: DataLoader,
    training: Training,
    device: torch.device,
) -> pd.DataFrame:
    """Train a network in place on the cross-entropy of its logits.

    Args:
        batches: uint8 pictures (B, 3, h, w) and class indices (B,), shuffled.
        val: the same for the val split, in order; only measured, nothing is chosen by it.

    Returns:
        The history, one row an epoch: the learning rate at its start, losses, errors in percent.

    Raises:
        UserError: the loss is no longer finite.
    """
    network.to(device, memory_format=torch.channels_last)
    optimizer, schedule = _optimizer(network, training, steps_per_epoch=len(batches))
    precision = choose_precision(training.precision, device)
    history = []
    for epoch in range(1, training.epochs + 1):
        lr = schedule.get_last_lr()[0]
        shown = progress(
            batches, desc=f"epoch {epoch}/{training.epochs}", unit="batch", leave=False
        )
        loss, error = _train_epoch(
            network, shown, optimizer, schedule, training.label_smoothing, precision, device
        )
        if not math.isfinite(loss):
            raise UserError(
                f"the training loss is {loss} in epoch {epoch}; a smaller `lr` or "
                "`precision: float32` in params.yaml usually helps"
            )
        val_loss, val_error = measure(network, val, precision, device)
        history.append([epoch, lr, loss, error, val_loss, val_error])
        print(
            f"epoch {epoch}/{training.epochs}: train loss {loss:.3f} error {error:.1f} %, "
            f"val loss {val_loss:.3f} error {val_error:.1f} %",
            flush=True,
        )
    network.eval()
    return pd.DataFrame(history, columns=HISTORY_COLUMNS)


def measure(
    network: nn.Module, batches: Iterable, precision: torch.dtype, device: torch.device
) -> tuple[float, float]:
    """Mean cross-entropy and top-1 error in percent over the labelled pictures of the batches."""
    network.eval()
    loss = torch.zeros((), device=device)
    wrong = torch.zeros((), device=device)
    count = 0
    with torch.inference_mode():
        for pictures, labels in batches:
            labels = labels.to(device)
            with autocast(device, precision):
                logits = network(normalise(pictures, device)).float()
            loss += functional.cross_entropy(
                logits, labels, reduction="sum", ignore_index=UNLABELLED
            )
            labelled = labels != UNLABELLED
            wrong += ((logits.argmax(1) != labels) & labelled).sum()
            count += int(labelled.sum())
    if not count:
        return math.nan, math.nan
    return float(loss) / count, 100 * float(wrong) / count


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Mixed precision where `precision` is bf16, a no-op where it is float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def _train_epoch(
    network: nn.Module,
    batches: Iterable,
    optimizer: Optimizer,
    schedule: LRScheduler,
    smoothing: float,
    precision: torch.dtype,
    device: torch.device,
) -> tuple[float, float]:
    network.train()
    losses, wrong = [], []
    for pictures, labels in batches:
        labels = labels.to(device, non_blocking=True)
        with autocast(device, precision):
            logits = network(normalise(pictures, device))  # (B, K)
            loss = functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        wrong.append((logits.argmax(1) != labels).float().mean())
    return float(torch.stack(losses).mean()), 100 * float(torch.stack(wrong).mean())


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
