"""Class activation maps, reproduced: see the README.

What other programs use most is here by its short name and loaded when it is first asked for.
"""

import importlib
import os

# Intel's library, which OpenCV takes on some processors, rounds the weights of a resize in another
# way; without it a map is the same to the last bit on every machine. Both are read when OpenCV is
# first used, and it warns of what it was told here.
os.environ.setdefault("OPENCV_IPP", "disabled")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

_HOMES = {
    "Manifest": "data.manifest",
    "authors_boxes": "boxes.authors",
    "boxes_from_maps": "boxes.paper",
    "build": "networks.surgery",
    "class_activation_maps": "maps.cam",
    "image_errors": "evaluation.errors",
    "iou": "boxes.geometry",
    "load": "networks.files",
    "outcomes": "evaluation.errors",
    "read_picture": "data.pictures",
    "saliency_maps": "maps.saliency",
    "whole": "networks.backbones",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
