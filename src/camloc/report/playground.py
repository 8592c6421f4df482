"""Widgets for JupyterLab: a picture, a network, a class, a method and a threshold, and the map and
box that they give."""

import io
from functools import cache
from pathlib import Path

import ipywidgets
import numpy as np
from IPython.display import Image, display
from numpy.typing import NDArray

from camloc.core.errors import UserError
from camloc.core.rows import METHODS, OWN
from camloc.data.pictures import read_photo
from camloc.networks import published
from camloc.report import figures
from camloc.report.look import Eye, drawn

# Networks that end in global average pooling; those of packages download nothing.
NETWORKS = [*published.PACKAGES, "resnet50", "densenet121", "mobilenet_v2", "squeezenet1_1"]
LIKELIEST = "the likeliest"


def playground(
    eye: Eye, picture: NDArray[np.uint8], *, size: int, threshold: float
) -> ipywidgets.Widget:
    """The widgets, showing a picture (height, width, 3) through a network at first."""
    choices = {
        "file": ipywidgets.FileUpload(accept="image/*", description="picture"),
        "path": ipywidgets.Text(description="or path", continuous_update=False),
        "network": ipywidgets.Dropdown(
            options=dict.fromkeys([eye.name, *NETWORKS]).keys(), description="network"
        ),
        "name": ipywidgets.Combobox(
            value=LIKELIEST,
            options=[LIKELIEST, *eye.names],
            description="class",
            continuous_update=False,
        ),
        "method": ipywidgets.Dropdown(options=[OWN, *METHODS], value=OWN, description="method"),
        "threshold": ipywidgets.FloatSlider(
            value=threshold, min=0, max=1, step=0.01, description="threshold"
        ),
    }
    eyes = cache(lambda name: eye if name == eye.name else Eye.of(name))

    def show(file, path, network, name, method, threshold) -> None:
        try:
            shown = picture
            if path:
                shown = read_photo(Path(path))
            elif file:
                shown = read_photo(io.BytesIO(file[0]["content"]), file[0]["name"])
            looking = eyes(network)
            classes = None if name == LIKELIEST else [looking.number(name)]
            seen = looking.look(shown, classes, size, threshold, method)[:1]
        except UserError as error:
            print(error)
            return
        display(Image(figures.png(drawn(shown, seen))))

    output = ipywidgets.interactive_output(show, choices)
    return ipywidgets.VBox([*choices.values(), output])
