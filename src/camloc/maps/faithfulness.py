"""Insertion and deletion (Petsiuk, Das and Saenko 2018, *RISE*): does what a map lights decide?"""

import torch
from torch import Tensor, nn
from torch.nn import functional

STEPS = 10  # shares of a picture's pixels after which the network is asked
BLUR = (11, 5.0)  # side of the kernel in pixels and its deviation, as the authors' code has them


@torch.no_grad()
def insertion_and_deletion(network: nn.Module, x: Tensor, maps: Tensor, classes: Tensor) -> Tensor:
    """The area under the class's probability as pixels are put into a blurred picture, and as they
    are taken out of it, the map's highest first.

    In so many equal shares as `STEPS`, where the authors take a row of pixels at a time. A pixel
    that is taken out has the mean colour. Of insertion more is better, of deletion less.

    Args:
        network: in evaluation mode; gives logits (B, K).
        x: standardised pictures (B, 3, H, W).
        maps: (B, h, w), enlarged bilinearly; of equal values the first in reading order counts.
        classes: (B,).

    Returns:
        Both areas, from 0 to 1, (B, 2).
    """
    from torchvision.transforms.functional import gaussian_blur  # see `camloc.networks.zoo`

    full = functional.interpolate(maps[:, None].float(), x.shape[2:], mode="bilinear")
    order = full.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=x.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places).view(len(x), 1, *x.shape[2:])
    blurred, chosen = gaussian_blur(x, [BLUR[0]] * 2, [BLUR[1]] * 2), classes[:, None]
    curves = []
    for step in range(STEPS + 1):
        first = ranks < round(step / STEPS * order.shape[1])
        both = torch.where(first, x, blurred), torch.where(first, 0.0, x)
        asked = torch.cat(both).contiguous(memory_format=torch.channels_last)
        found = network(asked).float().softmax(1)
        curves.append(found.gather(1, chosen.repeat(2, 1)).view(2, -1))
    return torch.trapezoid(torch.stack(curves), dx=1 / STEPS, dim=0).T
