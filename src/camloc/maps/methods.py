"""Map methods beside CAM, by the equations of grad-cam's library and by captum.

A method's name is one of `camloc.core.rows.METHODS`. One that lights the maps of a layer may name
it, as `layer-cam@features.16` does; else the layer is what a CAM network pools. Maps are the
evidence for a class, without what speaks against it, divided by its maximum: only ratios within a
map mean something, and some methods' values would vanish in half precision.
"""

import io
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camloc.core.errors import UserError, near_matches
from camloc.core.rows import OF_LAYERS, OF_PIXELS, UNINFORMED
from camloc.maps.saliency import in_cells, relative, saliency_maps
from camloc.maps.uninformed import centre_gaussian, noise
from camloc.networks.surgery import CamNetwork, head_of

# Noisy copies of a picture, whose noise is this share of its range (Smilkov et al. 2017), and steps
# from a picture of the mean colour (Sundararajan et al. 2017). The papers take more of both; these
# are so many as a study on a processor can wait for.
SAMPLES, NOISE, STEPS = 16, 0.15, 16
MASKED = 16  # pictures that Score-CAM and Ablation-CAM give a network at once


def method_maps(
    method: str,
    network: nn.Module,
    cam_network: CamNetwork | None,
    x: Tensor,
    classes: Tensor,
    cell: int,
) -> Tensor:
    """The maps of a method for the classes asked for.

    Args:
        network: in evaluation mode; gives logits (B, K).
        cam_network: the same network as one with CAMs, which a method of layers needs that names
            none; or None.
        x: standardised pictures (B, 3, H, W).
        classes: indices of the classes wanted of each picture, (B, k).
        cell: side in pixels of the square cells over which maps of pixels are averaged, and of
            those of maps that know nothing of the network.

    Returns:
        Maps (B, k, h, w) of the layer's size, or (B, k, H / cell, W / cell), from 0 to 1.

    Raises:
        UserError: the layer gives no maps, or no gradient comes to it, or the memory is too small.
    """
    name, _, layer = method.partition("@")
    if name == "backprop":
        return saliency_maps(network, x, classes, cell)
    if name in UNINFORMED:
        return _uninformed(name, x, classes, cell)
    if name not in OF_LAYERS:
        return _of_pixels(name, network, x, classes, cell)
    if layer:
        found = _of_layer(method, network, _layer_of(network, layer), x, classes)
    elif name == "ablation-cam" and cam_network.pool.kind == "gap":
        found = _ablated(cam_network, x, classes)
    elif name == "score-cam":  # which masks whole pictures
        found = _of_layer(method, cam_network, cam_network.convs, x, classes)
    else:  # what comes before the head gives the same to all classes
        head = head_of(cam_network).eval()
        with torch.no_grad():
            maps = cam_network.body(x)["maps"]
        found = _of_layer(method, head, head.convs, maps, classes)
    return relative(torch.from_numpy(found).clamp_min(0)).to(x.device)


def check(method: str, network: nn.Module, size: int) -> None:
    """Refuse a method whose layer the network lacks, or gives no maps, or that needs gradients
    where none comes to its layer or, of a method of pixels, to the picture.

    Raises:
        UserError: names the layer, and near matches.
    """
    name, _, layer = method.partition("@")
    x = torch.zeros(2, 3, size, size)
    if layer:
        _forward(method, network, _layer_of(network, layer), x)
    elif name in OF_PIXELS:
        gradient = None
        with torch.enable_grad():
            score = network(x.requires_grad_(True)).sum()
            if score.requires_grad:
                (gradient,) = torch.autograd.grad(score, x, allow_unused=True)
        if gradient is None:
            raise UserError(f"{name}: no gradient of the scores comes to the picture; leave it out")


def _layer_of(network: nn.Module, name: str) -> nn.Module:
    """A network's layer by its name; those of a cut network are called as in what it was cut from,
    but for blocks of layers, of which the cut leaves the layers."""
    layers = dict((network.body if isinstance(network, CamNetwork) else network).named_modules())
    if name in layers:
        return layers[name]
    known = [known for known, layer in layers.items() if not [*layer.children()]]
    raise UserError(f"there is no layer {name!r}{near_matches(name, known)}")


def _uninformed(name: str, x: Tensor, classes: Tensor, cell: int) -> Tensor:
    sides = [side // cell for side in x.shape[2:]]
    if name == "random":
        found = [noise(picture.cpu().numpy(), *sides) for picture in x]
    else:
        found = [centre_gaussian(*sides)] * len(x)
    maps = torch.from_numpy(np.stack(found)).to(x)[:, None].expand(-1, classes.shape[1], -1, -1)
    return relative(maps)


def _of_pixels(name: str, network: nn.Module, x: Tensor, classes: Tensor, cell: int) -> Tensor:
    """The largest over colour channels of what captum attributes to a pixel."""
    from captum.attr import IntegratedGradients, NoiseTunnel, Saliency  # takes a second

    noise = NOISE * (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).mean().item()
    attribute = {
        "smooth-grad": partial(
            NoiseTunnel(Saliency(network)).attribute,
            nt_samples=SAMPLES,
            nt_samples_batch_size=1,
            stdevs=noise,
        ),
        "integrated-gradients": partial(
            IntegratedGradients(network).attribute, n_steps=STEPS, internal_batch_size=len(x)
        ),
    }[name]
    maps = []
    for chosen in classes.T:
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(0)  # the same noise for all batches, on whatever device they are
            maps.append(attribute(x, target=chosen).detach().abs().amax(1))  # (B, H, W)
    return in_cells(torch.stack(maps, 1), cell)


def _of_layer(
    method: str, network: nn.Module, layer: nn.Module, x: Tensor, classes: Tensor
) -> NDArray[np.float32]:
    """The maps (B, k, h, w) as the method's equation has them: the library itself would enlarge
    them and take their minimum for 0, and a share of the maximum would mean something else."""
    name = method.partition("@")[0]
    maps, logits = _forward(method, network, layer, x)
    low = maps.detach().cpu().numpy()
    if name in ("score-cam", "ablation-cam"):
        return _by_masks(name, network, layer, x, classes, low, logits)
    equation = _equation(name, network, layer)
    if name == "eigen-cam":  # of no class
        one = equation.get_cam_image(x, layer, None, low, None, False)
        return np.stack([_turned(one)] * classes.shape[1], 1)
    found = []
    for chosen in classes.T:  # images do not mix, so one backward pass serves the batch
        score = logits.gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, maps, retain_graph=True)
        found.append(equation.get_cam_image(x, layer, None, low, gradient.cpu().numpy(), False))
    return np.stack(found, 1)


def _forward(method: str, network: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer gives, (B, C, h, w), and the logits (B, K) that come of it."""
    given = []
    hook = layer.register_forward_hook(lambda _, __, output: given.append(output))
    try:
        with torch.enable_grad():
            logits = network(x.detach().requires_grad_(True))
    finally:
        hook.remove()
    if not given or not isinstance(given[-1], Tensor) or given[-1].ndim != 4:
        raise UserError(f"{method}: its layer gives no maps (B, C, h, w); name another one")
    if not given[-1].requires_grad or not logits.requires_grad:
        raise UserError(f"{method}: no gradient of the scores comes to its layer; name another one")
    return given[-1], logits


def _equation(name: str, network: nn.Module, layer: nn.Module) -> Any:
    import pytorch_grad_cam as library  # takes seconds

    equation = getattr(library, OF_LAYERS[name])(network, [layer])
    equation.activations_and_grads.release()  # copies of what each pass gives the layer
    return equation


def _turned(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps (B, h, w) whose largest values are positive: the sign of a principal component is by
    chance (Chung and Ying 2025, equation 13)."""
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.where(-low > high, -maps, maps)


class _Remembering(nn.Module):
    """A network that gives what it gave, in order, once `again` is called: what it is shown is the
    same for each class, and the library shows it for one class after the other."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.given, self.next = network, [], 0

    def again(self) -> None:
        self.next = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.next == len(self.given):
            self.given.append(self.network(x))
        self.next += 1
        return self.given[self.next - 1]


@torch.no_grad()
def _ablated(network: CamNetwork, x: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Ablation-CAM of maps that are averaged: without a channel, a score lacks its weight times its
    mean, so that the network need not be shown the picture once a channel."""
    maps = network.features(x)
    losses = network.classifier.weight[classes] * maps.mean((2, 3))[:, None]  # (B, k, C)
    return torch.einsum("bchw,bkc->bkhw", maps, losses).float().cpu().numpy()


def _by_masks(
    name: str,
    network: nn.Module,
    layer: nn.Module,
    x: Tensor,
    classes: Tensor,
    low: NDArray[np.float32],
    logits: Tensor,
) -> NDArray[np.float32]:
    """Maps by what scores become where the picture is masked by a channel's map (Score-CAM), or
    where a channel is 0 (Ablation-CAM); picture by picture, since each is shown once a channel."""
    found, at_once = np.empty((*classes.shape, *low.shape[2:]), np.float32), MASKED
    for i, chosen in enumerate(classes.tolist()):
        one = partial(_of_picture, name, network, layer, x[i : i + 1], chosen, low[i : i + 1])
        found[i], at_once = _in_memory(one, name, at_once)
    if name == "ablation-cam":  # a share of the score, which may be negative
        found *= np.sign(logits.gather(1, classes).detach().cpu().numpy())[..., None, None]
    return found


def _of_picture(
    name: str,
    network: nn.Module,
    layer: nn.Module,
    x: Tensor,
    classes: list[int],
    low: NDArray[np.float32],
    at_once: int,
) -> NDArray[np.float32]:
    from pytorch_grad_cam.utils.find_layers import replace_layer_recursive
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    remembering = _Remembering(network)
    equation = _equation(name, remembering, layer)
    equation.batch_size = at_once
    if name == "ablation-cam":
        equation.ablation_layer = _zeroing()
    maps = []
    try:
        for chosen in classes:
            remembering.again()
            with redirect_stderr(io.StringIO()):  # a bar of each picture's progress
                target = [ClassifierOutputTarget(chosen)]
                maps.append(equation.get_cam_image(x, layer, target, low, None, False))
    finally:
        if name == "ablation-cam":  # an error leaves it in the layer's place
            replace_layer_recursive(remembering, equation.ablation_layer, layer)
    return np.concatenate(maps)


def _zeroing() -> nn.Module:
    """What takes a channel away as Desai and Ramaswamy (2020) do; the library's own gives it a
    large negative value where maps have negative ones."""
    from pytorch_grad_cam import AblationLayer

    class Zeroing(AblationLayer):
        def __call__(self, x: Tensor) -> Tensor:
            maps = self.activations
            rows = torch.arange(len(maps))
            maps[rows, torch.as_tensor(self.indices[: len(maps)]).long()] = 0
            return maps

    return Zeroing()


def _in_memory(work: partial, name: str, at_once: int) -> tuple[NDArray[np.float32], int]:
    """Do `work(at_once)` with so many masked pictures at once, or as many as there is memory for;
    what it gives, and how many that were."""
    while True:
        try:
            return work(at_once), at_once
        except RuntimeError as error:
            full = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
            if not full:
                raise
            at_once //= 2
            if not at_once:
                raise UserError(
                    f"{name} has not the memory to show the network one masked picture; leave it "
                    "out of cams.methods, or take smaller pictures"
                ) from None
            print(f"{name}: out of memory, now with {at_once} masked pictures at once", flush=True)
