"""Rows of the tables and of metrics.json: a network, and the method that its boxes are made by."""

from dataclasses import dataclass

from camloc.core.errors import near_matches

OWN = "cam"  # a network's own row: its classes and, where it has some, the boxes of its CAMs
# Methods beside CAM whose maps are of a layer, with what grad-cam's library calls them, those whose
# maps are of pixels (see `camloc.maps.methods`), and maps that know nothing of the network.
OF_LAYERS = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "layer-cam": "LayerCAM",
    "score-cam": "ScoreCAM",
    "eigen-cam": "EigenCAM",
    "ablation-cam": "AblationCAM",
}
OF_PIXELS = ("backprop", "smooth-grad", "integrated-gradients")
UNINFORMED = ("centre-gaussian", "random")
IN_CELLS = (*OF_PIXELS, *UNINFORMED)
METHODS = (*OF_LAYERS, *IN_CELLS)
HEURISTICS = ("heuristics", "heuristics-text")  # five predictions from three classes
BASELINES = ("whole-image", "centre-box", "centre-gaussian")  # of no network


@dataclass(frozen=True)
class Row:
    """A row; `network` is None for the image-independent baselines."""

    network: str | None
    method: str = OWN

    @property
    def name(self) -> str:
        """What metrics.json calls it: `googlenet-gap`, `backprop-vgg16`, `centre-box`."""
        if self.network is None:
            return self.method
        return self.network if self.method == OWN else f"{self.method}-{self.network}"


def refusal(method: str) -> str | None:
    """Why a method beside CAM, with what stands behind its `@`, cannot be meant, or None."""
    kind, at, layer = method.partition("@")
    if kind not in METHODS:
        return f"no method named {kind!r}{near_matches(kind, METHODS)}"
    if kind not in OF_LAYERS and at:
        return f"{kind} is of no layer, so none belongs behind it"
    return f"{method!r} names no layer behind its @" if at and not layer else None


def is_reserved(name: str) -> bool:
    """Whether a network of this name could share a row's name with another row."""
    return name in BASELINES or name.startswith(("heuristics-", *METHODS))
