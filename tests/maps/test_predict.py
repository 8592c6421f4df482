"""Predictions and maps of a split: what is stored, in which order, and what a stop leaves."""

import numpy as np
import pytest
import torch
from torch import nn

from camloc.data.loading import UNLABELLED, standardise
from camloc.maps import store
from camloc.maps.faithfulness import faithfulness
from camloc.maps.predict import stored_classes, write_predictions
from camloc.maps.saliency import saliency_maps
from camloc.networks.pooling import Pool
from camloc.networks.surgery import CamNetwork

CPU = torch.device("cpu")
# Ranks of classes 0 to 4: 3, 1, 5, 2, 4.
LOGITS = torch.tensor([[2.0, 9.0, -4.0, 5.0, 0.0]])


def stored(label, top):
    classes, ranks = stored_classes(LOGITS, torch.tensor([label]), top)
    return classes[0].tolist(), ranks[0].tolist()


def test_true_class_behind_the_top_takes_the_extra_place_with_its_own_rank():
    assert stored(label=2, top=2) == ([1, 3, 2], [1, 2, 5])
    assert stored(label=0, top=2) == ([1, 3, 0], [1, 2, 3])


def test_next_prediction_takes_the_extra_place_where_the_true_class_is_among_the_top():
    assert stored(label=1, top=2) == ([1, 3, 0], [1, 2, 3])
    assert stored(label=3, top=2) == ([1, 3, 0], [1, 2, 3])


def test_next_prediction_takes_the_extra_place_of_an_unlabelled_picture():
    assert stored(label=UNLABELLED, top=2) == ([1, 3, 0], [1, 2, 3])


@pytest.mark.parametrize("top", [5, 6, 1000])
def test_all_classes_are_stored_where_top_reaches_them(top):
    assert stored(label=2, top=top) == ([1, 3, 0, 4, 2], [1, 2, 3, 4, 5])


def test_last_class_fills_the_extra_place_of_the_largest_top():
    assert stored(label=2, top=4) == ([1, 3, 0, 4, 2], [1, 2, 3, 4, 5])


def test_pictures_of_a_batch_do_not_mix():
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    classes, ranks = stored_classes(logits, torch.tensor([0, 2, UNLABELLED]), top=1)
    assert classes.tolist() == [[2, 0], [2, 1], [0, 1]]
    assert ranks.tolist() == [[1, 3], [1, 2], [1, 2]]


def test_equal_logits_keep_the_order_of_the_classes():
    classes, _ = stored_classes(torch.zeros(1, 40), torch.tensor([UNLABELLED]), top=5)
    assert classes.tolist() == [[0, 1, 2, 3, 4, 5]]


class Body(nn.Module):
    """Maps of a quarter of the picture's side."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, stride=4)

    def forward(self, x):
        return {"maps": self.conv(x)}


WNIDS = ["n30", "n10", "n20", "n40"]
IMAGES = [f"val_{i}" for i in range(5)]
GEOMETRY = store.Geometry(side=12, size=12, cells=[[1.5, 4], [1.5, 4]])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CamNetwork(
        Body(), nn.Sequential(nn.ReLU()), Pool("gap"), nn.Linear(6, 4), dropout=0.5
    ).eval()


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (5, 3, 12, 8), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 3, UNLABELLED])
    return [(pictures[:2], labels[:2]), (pictures[2:4], labels[2:4]), (pictures[4:], labels[4:])]


def write(folder, network, batches, cams=True, cell=None, images=IMAGES, top=2, faithful=()):
    return write_predictions(
        folder,
        GEOMETRY,
        network,
        network if cams else None,
        batches,
        images,
        WNIDS,
        top=top,
        methods=["backprop"] if cell else [],
        cell=cell or 1,
        faithful=faithful,
        device=CPU,
    )


def logits_of(network, batches):
    with torch.no_grad():
        return network(standardise(torch.cat([pictures for pictures, _ in batches]), CPU))


def test_predictions_name_images_in_order_and_classes_by_wnid(network, batches, tmp_path):
    write(tmp_path / "val", network, batches)
    table = store.read(tmp_path / "val")
    logits = logits_of(network, batches)
    assert table["image"].tolist() == [image for image in IMAGES for _ in range(3)]
    for i, image in enumerate(IMAGES):
        rows = table[table["image"] == image]
        order = sorted(range(4), key=lambda c: -float(logits[i, c]))
        assert rows["wnid"].tolist()[:2] == [WNIDS[c] for c in order[:2]]
        assert rows["rank"].tolist()[:2] == [1, 2]
        scores = [float(logits[i].softmax(0)[WNIDS.index(wnid)]) for wnid in rows["wnid"]]
        assert rows["score"].tolist() == pytest.approx(scores, abs=1e-6)
        assert i == 4 or WNIDS[i] in rows["wnid"].tolist()  # the true class is always there


def test_mean_of_a_stored_map_and_the_bias_is_the_logit(network, batches, tmp_path):
    write(tmp_path / "val", network, batches)
    table, maps = store.read(tmp_path / "val"), store.read_maps(tmp_path / "val", "cam")
    assert maps.dtype == np.float16 and maps.shape == (5, 3, 3, 2)
    logits, bias = logits_of(network, batches), network.classifier.bias.tolist()
    flat = maps.reshape(-1, 3, 2).astype(float)
    for row, low in zip(table.itertuples(), flat, strict=True):
        image, c = IMAGES.index(row.image), WNIDS.index(row.wnid)
        assert low.mean() + bias[c] == pytest.approx(float(logits[image, c]), abs=2e-3)


def test_saliency_is_stored_for_the_same_classes(network, batches, tmp_path):
    write(tmp_path / "val", network, batches, cams=False, cell=4)
    assert store.read_maps(tmp_path / "val", "cam") is None
    maps = store.read_maps(tmp_path / "val", "backprop")
    wnids = store.read(tmp_path / "val")["wnid"].to_numpy().reshape(5, 3)
    classes = torch.tensor([[WNIDS.index(wnid) for wnid in row] for row in wnids])
    x = standardise(torch.cat([pictures for pictures, _ in batches]), CPU)
    expected = saliency_maps(network, x, classes, cell=4).numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-3)


def test_faithfulness_is_of_each_map_of_the_likeliest_class_of_the_images_asked_for(
    network, batches, tmp_path
):
    folder, x = tmp_path / "val", standardise(torch.cat([p for p, _ in batches]), CPU)
    write(folder, network, batches, cell=4, faithful=IMAGES[1:4])
    likeliest = network(x).argmax(1)
    for method in ("cam", "backprop"):
        low = torch.from_numpy(store.read_maps(folder, method)[:, 0].astype(np.float32))
        expected = faithfulness(network, x, {method: low}, likeliest)[method]
        found = store.read_faithfulness(folder, method)
        np.testing.assert_allclose(found[1:4], expected[1:4], atol=2e-3)
        assert np.isnan(found[[0, 4]]).all()
    write(tmp_path / "test", network, batches)
    assert store.read_faithfulness(tmp_path / "test", "cam") is None


def test_cost_of_each_method_is_told_where_there_are_some(network, batches, tmp_path):
    assert write(tmp_path / "val", network, batches) == {}
    told = write(tmp_path / "test", network, batches, cell=4)
    assert set(told) == {"cam", "backprop"}
    assert all(cost["batches"] == 2 and cost["seconds"] > 0 for cost in told.values())


def test_network_without_maps_stores_predictions_only(network, batches, tmp_path):
    write(tmp_path / "val", network, batches, cams=False)
    found = {path.name for path in (tmp_path / "val").iterdir()}
    assert found == {"predictions.parquet", "geometry.json"}


def test_geometry_is_stored_beside_the_maps(network, batches, tmp_path):
    write(tmp_path / "val", network, batches)
    assert store.read_geometry(tmp_path / "val") == GEOMETRY


def test_maps_computed_in_bfloat16_are_stored_like_others(network, batches, tmp_path):
    write(tmp_path / "val", network, batches)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        write(tmp_path / "low", network, batches)
    exact, low = (store.read_maps(tmp_path / name, "cam")[4] for name in ("val", "low"))
    assert low.dtype == np.float16 and (low != exact).any()
    np.testing.assert_allclose(low, exact, atol=0.02)


def test_both_kinds_of_maps_are_stored_side_by_side(network, batches, tmp_path):
    write(tmp_path / "val", network, batches, cell=2, top=1000)
    assert store.read_maps(tmp_path / "val", "cam").shape == (5, 4, 3, 2)
    assert store.read_maps(tmp_path / "val", "backprop").shape == (5, 4, 6, 4)


def test_maps_of_only_some_images_are_refused(network, batches, tmp_path):
    with pytest.raises(RuntimeError, match="maps of 5 of 6 images were written"):
        write(tmp_path / "val", network, batches, images=[*IMAGES, "val_5"])


def test_ten_crops_are_classified_by_their_mean_softmax_and_keep_a_map_each(network, tmp_path):
    generator = torch.Generator().manual_seed(3)
    crops = torch.randint(0, 256, (3, 10, 3, 12, 8), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0, 1, UNLABELLED])
    write(tmp_path / "ten", network, [(crops, labels)], images=IMAGES[:3])
    table, maps = store.read(tmp_path / "ten"), store.read_maps(tmp_path / "ten", "cam")
    assert maps.shape == (3, 3, 10, 3, 2)
    with torch.no_grad():
        for i in range(3):
            x = standardise(crops[i], CPU)
            mean = network(x).softmax(1).mean(0)
            own = table[table["image"] == IMAGES[i]]
            best = int(mean.argmax())
            assert own["wnid"].iloc[0] == WNIDS[best]
            assert own["score"].iloc[0] == pytest.approx(float(mean[best]), abs=1e-5)
            expected = torch.einsum(
                "chw,c->hw", network.features(x)[7], network.classifier.weight[best]
            )
            np.testing.assert_allclose(maps[i, 0, 7], expected.numpy(), atol=2e-3)
