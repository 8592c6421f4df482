"""Does what a map lights decide? Insertion and deletion (Petsiuk, Das and Saenko 2018, *RISE*) and
the average drop (Chattopadhay et al. 2018, *Grad-CAM++*)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from camloc.maps.saliency import relative

STEPS = 10  # shares of a picture's pixels after which the network is asked
BLUR = (11, 5.0)  # side of the kernel in pixels and its deviation, as RISE's code has them
PASSES = 2 * (STEPS - 1) + 1  # of a picture for each map, beside three for all of them


@torch.no_grad()
def faithfulness(
    network: nn.Module, x: Tensor, maps: Mapping[str, Tensor], classes: Tensor
) -> dict[str, Tensor]:
    """Of each method insertion, deletion and the average drop of its maps.

    The first two are the area under the class's probability as pixels are put into a blurred
    picture, and as they are taken out of it, the map's highest first: in so many equal shares as
    `STEPS`, where the authors take a row of pixels at a time. The last is the share of the
    probability that is lost where each pixel is multiplied by its map, 0 where none is. A pixel
    that is taken out has the mean colour. Of insertion more is better, of the others less.

    Args:
        network: in evaluation mode; gives logits (B, K).
        x: standardised pictures (B, 3, H, W).
        maps: of each method (B, h, w), enlarged bilinearly; of equal values the first in reading
            order counts.
        classes: (B,).

    Returns:
        All three from 0 to 1, (B, 3).
    """
    from torchvision.transforms.functional import gaussian_blur  # see `camloc.networks.zoo`

    def asked(pictures: Tensor) -> Tensor:
        found = network(pictures.contiguous(memory_format=torch.channels_last)).float().softmax(1)
        times = len(pictures) // len(x)
        return found.gather(1, classes[:, None].repeat(times, 1)).view(times, -1)

    blurred = gaussian_blur(x, [BLUR[0]] * 2, [BLUR[1]] * 2)
    whole, unsharp, empty = (asked(picture)[0] for picture in (x, blurred, torch.zeros_like(x)))
    measured = {}
    for method, low in maps.items():
        full = functional.interpolate(low[:, None].float(), x.shape[2:], mode="bilinear")
        between = [
            asked(torch.cat([torch.where(first, x, blurred), torch.where(first, 0.0, x)]))
            for first in _highest(full)
        ]
        ends = torch.stack([unsharp, whole]), torch.stack([whole, empty])
        curves = torch.stack([ends[0], *between, ends[1]])
        areas = torch.trapezoid(curves, dx=1 / STEPS, dim=0)
        drop = ((whole - asked(x * relative(full.clamp_min(0)))[0]) / whole).clamp_min(0)
        measured[method] = torch.stack([*areas, drop], 1)
    return measured


def _highest(full: Tensor) -> list[Tensor]:
    """Where the highest shares of a map's pixels (B, 1, H, W) lie, but for none and all."""
    order = full.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=full.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places).view_as(full)
    return [ranks < round(step / STEPS * order.shape[1]) for step in range(1, STEPS)]
