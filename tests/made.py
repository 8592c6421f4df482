"""What several tests make: files of a data set, those that a network's maps stage would leave, and
a server that answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

from camloc.core.paths import EVALUATED, Study
from camloc.data.manifest import Manifest
from camloc.maps import store


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    """A server that answers in a thread until the block ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def jpeg(path: Path, size: tuple[int, int] = (50, 40)) -> None:
    """A JPEG of noise, in a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert("RGB").save(path, "JPEG")


def annotation(wnid: str, *boxes: tuple) -> str:
    """PASCAL VOC's format as ImageNet wrote it; a box is its name and four corners."""
    objects = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><bndbox><xmin>{xmin}</xmin>"
        f"<ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>\n"
        for name, xmin, ymin, xmax, ymax in boxes
    )
    return (
        f"<annotation>\n<folder>{wnid}</folder><filename>%s</filename>"
        f"<size><width>50</width><height>40</height><depth>3</depth></size>\n{objects}</annotation>"
    )


def store_random_maps(study: Study, name: str, side: int, seed: int = 0) -> None:
    """Random predictions of every class of the evaluated splits, with random CAMs (side, side) and
    random saliency at the same resolution, and CAMs of ten crops and in bfloat16."""
    manifest, rng = Manifest.load(study.manifest), np.random.default_rng(seed)
    for split in EVALUATED:
        images = manifest.split(split)["image"]
        shape = (len(images), len(manifest.classes))
        classes = rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
        ranks = np.tile(np.arange(1, shape[1] + 1), (shape[0], 1))
        scores = np.sort(rng.dirichlet(np.ones(shape[1]), shape[0]), axis=1)[:, ::-1]
        folder = study.predictions(name) / split
        low, crops = (rng.standard_normal((*shape, *of, side, side)) for of in ((), (10,)))
        kinds = {
            "": {"cam": low, "backprop": -low},
            "ten-crop": {"cam": crops},
            "bf16": {"cam": low},
        }
        for kind, maps in kinds.items():
            target = store.folder_of(folder, kind)
            writer = store.MapWriter(target, images, manifest.wnids)
            writer.write(classes, ranks, scores, maps)
            writer.close()
            cells = [(112 / side / 2, 112 / side)] * 2
            seen = 128 if kind == "ten-crop" else 112
            store.write_geometry(target, store.Geometry(seen, 112, cells))
