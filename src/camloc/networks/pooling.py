"""Global pooling: one value of each channel's map."""

import math
from dataclasses import dataclass

from torch import Tensor

from camloc.core.errors import UserError, near_matches

POOLS = ("gap", "gmp", "log-sum-exp", "top-k-mean")


@dataclass(frozen=True)
class Pool:
    """What a map comes to, by its `kind`:

    - `gap`: the mean over its positions (Zhou et al. 2016), `gmp`: the maximum (Oquab et al. 2015);
    - `log-sum-exp`: log(mean(exp(r·map))) / r with the sharpness r, which goes from the mean for
      small r to the maximum for large (Pinheiro and Collobert 2015, equation 6);
    - `top-k-mean`: the mean of its `top_k` largest values.

    Raises:
        UserError: an unknown kind, or one without the number that it has, or with another's.
    """

    kind: str
    sharpness: float | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in POOLS:
            raise UserError(f"unknown pool {self.kind!r}{near_matches(self.kind, POOLS)}")
        for key, kind in (("sharpness", "log-sum-exp"), ("top_k", "top-k-mean")):
            given = getattr(self, key)
            if self.kind == kind and not (given and given > 0):
                raise UserError(f"pool {kind} needs {key}, a number above 0")
            if self.kind != kind and given is not None:
                raise UserError(f"{key} belongs to pool {kind}, not {self.kind}; leave it out")

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) to values (B, C).

        Raises:
            UserError: the maps have fewer positions than `top_k`.
        """
        if self.kind == "gap":
            return maps.mean((2, 3))
        if self.kind == "gmp":
            return maps.amax((2, 3))
        positions = maps.flatten(2)  # (B, C, h·w)
        if self.sharpness is not None:
            sums = (self.sharpness * positions.float()).logsumexp(2)  # half precision would round
            return (sums - math.log(positions.shape[2])) / self.sharpness
        if positions.shape[2] < self.top_k:
            h, w = maps.shape[2:]
            raise UserError(f"top_k: maps of {h}×{w} have no {self.top_k} positions; give fewer")
        return positions.topk(self.top_k, dim=2).values.mean(2)

    def __str__(self) -> str:
        numbers = {"sharpness": self.sharpness, "top_k": self.top_k}
        told = [f"{key} {value:g}" for key, value in numbers.items() if value is not None]
        return f"{self.kind} ({told[0]})" if told else self.kind
