"""The processes that work together, as torchrun starts them: one alone without it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def say(line: str) -> None:
    """Print for people, once for all processes."""
    if share().rank == 0:
        print(line, flush=True)


@dataclass(frozen=True)
class Share:
    """The part of the work that falls to process `rank` of `size`."""

    rank: int = 0
    size: int = 1

    def of(self, rows: Any, batch: int) -> Any:
        """This process's part of a table or list: contiguous, and in the batches of the whole.

        So every batch is the same whatever the number of processes, and so are results.
        """
        batches = -(-len(rows) // batch)
        first, last = (batches * r // self.size for r in (self.rank, self.rank + 1))
        return rows[first * batch : last * batch]


ALONE = Share()


def share() -> Share:
    """The share of this process; all the work where it was not started by torchrun."""
    if not dist.is_initialized():
        return ALONE
    return Share(dist.get_rank(), dist.get_world_size())


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of each process's values, in place."""
    if share().size > 1:
        dist.all_reduce(values)
    return values


def agree(*flags: bool) -> list[bool]:
    """Each flag, true everywhere where it is true in any process."""
    if share().size == 1:
        return list(flags)
    return [
        total > 0 for total in sum_over_processes(torch.tensor(flags, dtype=torch.int)).tolist()
    ]


def gather(value: Any) -> list:
    """The value of every process, in their order."""
    if share().size == 1:
        return [value]
    values = [None] * share().size
    dist.all_gather_object(values, value)
    return values
