"""Checkpoints: all that a training needs to go on as if it had never stopped."""

import math
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from camloc.core.errors import UserError, reason, refusing
from camloc.core.files import replacing_file
from camloc.core.processes import gather, share
from camloc.core.trees import flat
from camloc.networks import pretrained


@dataclass
class State:
    """A training at one moment.

    `step` counts the optimizer steps done in `epoch`, which began at the rate `lr`; `loss` and
    `wrong` are the sums so far of their mean losses and shares of wrong pictures; `history` has a
    row for each epoch that is over.
    """

    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: GradScaler
    epoch: int = 1
    step: int = 0
    lr: float = 0.0
    loss: float = 0.0
    wrong: float = 0.0
    history: list[list[float]] = field(default_factory=list)

    _MODULES = ("network", "optimizer", "schedule", "scaler")
    _NUMBERS = ("epoch", "step", "lr", "loss", "wrong", "history")

    def to_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in self._MODULES}
        return parts | {name: getattr(self, name) for name in self._NUMBERS}

    def take(self, saved: Mapping[str, Any]) -> None:
        """Become what `to_dict` gave."""
        for name in self._MODULES:
            getattr(self, name).load_state_dict(saved[name])
        for name in self._NUMBERS:
            setattr(self, name, saved[name])

    @property
    def position(self) -> str:
        """Where the training is, for people."""
        return f"epoch {self.epoch}, step {self.step}"


class Checkpoint:
    """The checkpoint file of one training; it always holds a whole state.

    Args:
        made_by: what the state depends on; a file made by something else is refused.
        minutes: the longest time between two savings.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any], minutes: float = math.inf) -> None:
        self.path, self.made_by, self.minutes = path, flat(made_by), minutes
        self.saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.saved_at > 60 * self.minutes

    def save(self, state: State) -> bool:
        """Replace the file by the state; where that fails the earlier one stays, and this says so.

        All processes of a distributed training call this together; the first one writes.

        Returns:
            Whether the state is kept now, as far as this process knows.
        """
        random = gather(_random_states())
        self.saved_at = time.monotonic()
        if share().rank > 0:
            return True
        content = {"made_by": self.made_by, "random": random, "state": state.to_dict()}
        try:
            with replacing_file(self.path) as new, new.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
            print(
                f"the checkpoint of {state.position} could not be written to {self.path} "
                f"({reason(error)}); an earlier checkpoint is kept",
                flush=True,
            )
            return False
        return True

    def resume(self, state: State) -> bool:
        """Give `state` and the random generators what the file holds; False where there is none.

        Raises:
            UserError: the file is broken, it was made by other parameters or data, or the machines
                of a distributed training see different files.
        """
        with self._refusing():
            saved = self._read()
            where = saved and [saved["state"]["epoch"], saved["state"]["step"]]
        if len({str(found) for found in gather(where)}) > 1:
            raise UserError(
                f"the machines see different checkpoints at {self.path}; put the study into a "
                "folder that they share"
            )
        if saved is None:
            return False
        with self._refusing():  # it is whole, but perhaps no training wrote it
            self._refuse_others(saved["made_by"])
            state.take(saved["state"])
            if len(saved["random"]) == share().size:
                _restore_random(saved["random"][share().rank])
        return True

    def _refusing(self) -> AbstractContextManager:
        return refusing(
            f"checkpoint {self.path} cannot be read", "delete it to train from the start"
        )

    def _read(self) -> dict | None:
        if not self.path.exists():
            return None
        pretrained.check_records(self.path)
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def _refuse_others(self, made_by: Mapping[str, Any]) -> None:
        differences = [
            f"  {key}: {made_by.get(key, 'nothing')} there, {self.made_by.get(key, 'nothing')} now"
            for key in sorted({*made_by, *self.made_by})
            if made_by.get(key) != self.made_by.get(key)
        ]
        if differences:
            raise UserError(
                f"checkpoint {self.path} belongs to a training of something else:\n"
                + "\n".join(differences)
                + "\nPut that back to go on from it, or delete the file to train from the start"
            )


def digest(network: nn.Module) -> str:
    """A short hash of all values of a network, to tell one starting point from another."""
    return pretrained.digest(network.state_dict())[:16]


def _random_states() -> dict:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random(states: Mapping) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
