"""Where the cells of a network's maps lie on its input."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Axis(NamedTuple):
    """The centres of the receptive fields of a row of cells, in pixels from the centre of the first
    pixel: where the first cell's lies, and how far apart they are."""

    first: float
    step: float


Cells = tuple[Axis, Axis]  # along the height and the width


def cells_of(features: Callable[[Tensor], Tensor], size: int) -> Cells | None:
    """Where the cells of a network's maps lie; None where an operation moves them in a way that is
    not known here, or branches that are joined disagree.

    The centre of a receptive field moves by half of what a window reaches beyond its padding, and
    the step grows with the stride (A. Araujo, W. Norris, J. Sim, *Computing Receptive Fields of
    Convolutional Neural Networks*, 2019).

    Args:
        features: from images (1, 3, H, W) to maps (1, C, h, w), in evaluation mode.
        size: height and width of the images in pixels.
    """
    image = torch.zeros(1, 3, size, size)
    with torch.no_grad(), _Followed(image) as followed:
        return followed.cells(features(image))


class _Followed(TorchFunctionMode):
    """Follows the cells of all that is computed from an image."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        # By the id of a tensor, which is held, so that no other gets it.
        self.known: dict[int, tuple[Tensor, Cells | None]] = {}
        self.known[id(image)] = image, (Axis(0, 1), Axis(0, 1))

    def cells(self, tensor: Tensor) -> Cells | None:
        return self.known.get(id(tensor), (tensor, None))[1]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and found.ndim >= 3:  # a channel alone has 3
            self.known[id(found)] = found, self._after(func.__name__, args, kwargs, found)
        return found

    def _after(self, operation: str, args: tuple, kwargs: dict, found: Tensor) -> Cells | None:
        if operation in _WINDOWS:
            before = self.cells(args[0])
            return before and _through(before, **_WINDOWS[operation](*args, **kwargs))
        # Anything else is taken to leave in place what it leaves as large as it was.
        alike = (
            t for t in _tensors(args) if id(t) in self.known and t.shape[-2:] == found.shape[-2:]
        )
        cells = {self.cells(tensor) for tensor in alike}
        return cells.pop() if len(cells) == 1 else None


def _tensors(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from _tensors(part)


def _of_convolution(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> dict:
    window, dilated = weight.shape[2:], _pair(dilation)
    if padding in ("same", "valid"):
        same = padding == "same"
        padding = [same * ((w - 1) * d // 2) for w, d in zip(window, dilated, strict=True)]
    return {"window": window, "stride": stride, "padding": padding, "dilation": dilated}


def _of_pool(x, kernel_size, stride=None, padding=0, dilation=1, *_, **__) -> dict:
    dilation = 1 if isinstance(dilation, bool) else dilation  # ceil_mode of a mean
    of_pool = {"window": kernel_size, "stride": stride or kernel_size, "padding": padding}
    return of_pool | {"dilation": dilation}


def _of_padding(x, pad, *_, **__) -> dict:
    left, _, top, _ = [*pad, 0, 0][:4]
    return {"window": 1, "stride": 1, "padding": (top, left), "dilation": 1}


_WINDOWS: dict[str, Callable[..., dict]] = {
    "conv2d": _of_convolution,
    "max_pool2d": _of_pool,
    "avg_pool2d": _of_pool,
    "pad": _of_padding,
}


def _through(before: Cells, window, stride, padding, dilation) -> Cells:
    """The cells after windows have gone over them."""
    sides = (_pair(each) for each in (window, stride, padding, dilation))
    height, width = (
        Axis(axis.first + axis.step * ((w - 1) * d / 2 - p), axis.step * s)
        for axis, w, s, p, d in zip(before, *sides, strict=True)
    )
    return height, width


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else value
