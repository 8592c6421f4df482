"""Training of heads on what a body that stays as it is gave once."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from camloc.core.params import Loading, Machine, Preprocessing, Training
from camloc.core.processes import Share
from camloc.data.loading import evaluation_batches
from camloc.data.manifest import Manifest
from camloc.networks.pooling import Pool
from camloc.networks.surgery import CamNetwork, head_of
from camloc.training.frozen import KeptMaps, keep_maps, training_maps, val_maps
from camloc.training.loop import fit

CPU = torch.device("cpu")
LOADING = Loading(size=8, resize=12)
TRAINING = Training(
    epochs=2,
    batch=4,
    optimizer="sgd",
    schedule="one-cycle",
    lr=0.1,
    weight_decay=0.0,
    precision="float32",
)
WANTED = Preprocessing(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
MACHINE = Machine()


class Halved(nn.Module):
    """A body without weights but for its batch norm: the mean of each 2×2 pixels."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return {"maps": nn.functional.avg_pool2d(self.norm(x), 2)}


def network():
    torch.manual_seed(0)
    convs = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    return CamNetwork(Halved(), convs, Pool("gap"), nn.Linear(4, 2), 0.0).eval()


@pytest.fixture
def manifest(tmp_path):
    """Eight training pictures, dark on the left and bright on the right, and two to measure on."""
    rows = []
    for i in range(10):
        split = "train" if i < 8 else "val"
        ramp = np.tile(np.linspace(20 * i, 255, 8, dtype=np.uint8)[None, :, None], (8, 1, 3))
        Image.fromarray(ramp).save(tmp_path / f"{i}.png")
        rows.append((f"{split}/{i}", split, f"{i}.png", f"n{i % 2:08d}", 8, 8))
    columns = ["image", "split", "path", "wnid", "width", "height"]
    images = pd.DataFrame(rows, columns=columns)
    classes = {f"n{k:08d}": f"class {k}" for k in range(2)}
    return Manifest("folder", tmp_path, classes, images, pd.DataFrame())


def kept(tmp_path, manifest, processes=1, **loading):
    parts = [tmp_path / "maps" / f"{rank}-of-{processes}" for rank in range(processes)]
    for rank, part in enumerate(parts):
        keep_maps(
            part,
            network(),
            manifest,
            LOADING.model_copy(update=loading),
            TRAINING,
            CPU,
            machine=MACHINE,
            wanted=WANTED,
            share=Share(rank, processes),
        )
    return parts


def test_maps_are_of_the_whole_picture_and_of_its_mirror_image(tmp_path, manifest):
    maps = KeptMaps(kept(tmp_path, manifest), "train")
    assert maps.maps[0].shape == (8, 2, 3, 4, 4)
    assert maps.labels.tolist() == [0, 1] * 4
    plain, mirrored = maps.maps[0][:, 0], maps.maps[0][:, 1]
    assert (np.diff(plain[..., :], axis=-1) > 0).all()  # brighter to the right
    assert np.abs(plain[..., ::-1] - mirrored).max() < 0.01


def test_several_processes_keep_the_same_maps_in_the_same_order(tmp_path, manifest):
    one, two = kept(tmp_path, manifest), kept(tmp_path, manifest, processes=2)
    for split in ("train", "val"):
        a, b = KeptMaps(one, split), KeptMaps(two, split)
        assert len(a) == len(b)
        assert all(torch.equal(a[i][0], b[i][0]) and a[i][1] == b[i][1] for i in range(len(a)))


def test_head_learns_and_the_body_stays_to_the_last_bit(tmp_path, manifest):
    parts = kept(tmp_path, manifest)
    trained, before = network(), network()
    batches = training_maps(parts, LOADING, TRAINING, seed=1)
    history = fit(head_of(trained), batches, val_maps(parts, 4), TRAINING, CPU, wanted=None)
    assert len(history) == 2 and np.isfinite(history["val_loss"]).all()
    body, unchanged = trained.body.state_dict(), before.body.state_dict()
    assert all(torch.equal(body[key], unchanged[key]) for key in unchanged)
    assert not torch.equal(trained.classifier.weight, before.classifier.weight)
    assert not torch.equal(trained.convs[0].weight, before.convs[0].weight)


def test_head_sees_what_the_whole_network_sees(tmp_path, manifest):
    whole, maps = network(), KeptMaps(kept(tmp_path, manifest), "val")
    val = evaluation_batches(manifest, "val", LOADING, 2, machine=MACHINE)
    given = torch.stack([maps[i][0] for i in range(2)]).float()
    pictures = next(iter(val))[0].float().div(255)
    assert torch.allclose(head_of(whole)(given), whole(pictures), atol=2e-3)  # float16 between


def test_views_are_mirrored_by_chance_and_no_picture_is_left_out(tmp_path, manifest):
    batches = training_maps(kept(tmp_path, manifest), LOADING, TRAINING, seed=1)
    views = [view for batch in batches.keys for view in batch]
    assert sorted(view.image for view in views) == list(range(8))
    assert {view.mirrored for view in views} == {True, False}
    assert {(view.top, view.left) for view in views} == {(0, 0)}


def test_next_picture_takes_the_place_of_an_unreadable_one(tmp_path, manifest):
    (tmp_path / "3.png").write_bytes(b"no picture")
    maps = KeptMaps(kept(tmp_path, manifest, unreadable="skip"), "train")
    assert torch.equal(maps[3][0], maps[4][0])
    assert maps.labels.tolist() == [0, 1, 0, 0, 0, 1, 0, 1]
