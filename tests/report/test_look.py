"""A look at one's own pictures, with the real network of a package."""

import json

import numpy as np
import pytest
from PIL import Image

from camloc.cli import main
from camloc.core.errors import UserError
from camloc.data.pictures import read_photo
from camloc.networks import published
from camloc.report import look
from camloc.report.look import NETWORK, Eye, examples

try:
    CHELSEA = examples()[0]
    published.check(NETWORK, "package", 1.0)
except UserError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def eye():
    return Eye.of()


def test_the_cat_is_seen_where_it_is(eye):
    picture = read_photo(CHELSEA)
    seen = eye.look(picture)
    assert [one.name for one in seen][:2] == ["Egyptian cat", "tiger cat"]
    assert seen[0].wnid == "n02124075" and seen[0].map.shape == (10, 10)
    probabilities = [one.probability for one in seen]
    assert probabilities == sorted(probabilities, reverse=True) and len(seen) == 5
    height, width = picture.shape[:2]
    y, x = np.unravel_index(seen[0].map.argmax(), seen[0].map.shape)
    assert 100 < x / 10 * width < 350 and 60 < y / 10 * height < 260  # on the face
    xmin, ymin, xmax, ymax = seen[0].box
    assert 0 <= xmin < xmax < width and 0 <= ymin < ymax < height


def test_map_of_a_class_averages_to_its_logit(eye):
    """Differences of logits are those of logarithms of probabilities."""
    first, second = eye.look(read_photo(CHELSEA), [285, 7])
    bias = eye.network.classifier.bias.detach().numpy()
    logits = [one.map.mean() + bias[one.index] for one in (first, second)]
    expected = np.log(first.probability) - np.log(second.probability)
    assert logits[0] - logits[1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("text", ["285", "n02124075", "Egyptian cat", "egyptian CAT"])
def test_class_is_named_by_number_wnid_or_name(eye, text):
    assert eye.number(text) == 285


@pytest.mark.parametrize("text", ["1000", "n00000000", "Egyptian cta"])
def test_unknown_class_is_refused(eye, text):
    with pytest.raises(UserError, match=f"no class '{text}' among ImageNet's") as error:
        eye.number(text)
    assert text != "Egyptian cta" or "did you mean Egyptian cat" in str(error.value)


def test_each_picture_gets_a_png_and_a_json(tmp_path, capsys):
    strip = tmp_path / "strip.png"
    Image.new("RGB", (1, 2000), "red").save(strip)
    (tmp_path / "page.jpg").write_text("<html>")
    options = ["--classes", "espresso", "281", "--size", "224", "--out", str(tmp_path / "out")]
    photos = [str(strip), str(tmp_path / "page.jpg"), str(examples()[1])]
    assert main(["look", *photos, *options]) == 2
    told = capsys.readouterr()
    assert f"image {tmp_path / 'page.jpg'} cannot be read" in told.err
    assert told.out.count("espresso ") == 2
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["coffee.json", "coffee.png", "strip.json", "strip.png"]
    found = json.loads((tmp_path / "out" / "coffee.json").read_text())
    assert [one["name"] for one in found["classes"]] == ["espresso", "tabby"]
    assert (found["network"], found["size"], found["threshold"]) == (NETWORK, 224, 0.2)


def test_name_of_two_classes_is_the_one_of_its_case(eye):
    assert eye.names[eye.number("cardigan")] == "cardigan"
    assert eye.names[eye.number("Cardigan")] == "Cardigan"


def test_nothing_is_written_over_a_picture_or_another_result(tmp_path, capsys):
    for name in ("a.png", "b/a.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    before = (tmp_path / "c.png").read_bytes()
    assert main(["look", str(tmp_path / "c.png"), "--out", str(tmp_path)]) == 2
    assert "holds pictures that would be written over: c.png" in capsys.readouterr().err
    assert (tmp_path / "c.png").read_bytes() == before
    both = [str(tmp_path / name) for name in ("a.png", "b/a.png")]
    assert main(["look", *both, "--out", str(tmp_path / "out")]) == 2
    assert "would hold several results of the name: a" in capsys.readouterr().err
    assert main(["look", str(tmp_path / "c.png"), "--out", str(tmp_path / "a.png")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "alexnet"], "does not end in global average pooling"),
        (
            ["--network", "efficientnet_lite9"],
            "unknown backbone 'efficientnet_lite9'; did",
        ),
    ],
)
def test_network_without_cams_is_refused(monkeypatch, capsys, tmp_path, options, message):
    monkeypatch.setattr(published, "file", lambda *asked: None)  # nothing is downloaded
    assert main(["look", *options, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_examples_that_are_not_installed_are_told_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr(look, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"give a picture; .* `uv sync --group photos`"):
        examples()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "31", "'31' is no number of pixels from 32 to 2048"),
        ("--size", "2049", "'2049' is no number of pixels"),
        ("--size", "3²", "'3²' is no number of pixels"),
        ("--threshold", "1.1", "'1.1' is no share from 0 to 1"),
        ("--threshold", "nan", "'nan' is no share from 0 to 1"),
        ("--threshold", "20 %", "'20 %' is no share from 0 to 1"),
    ],
)
def test_option_out_of_its_range_is_refused(capsys, option, value, message):
    with pytest.raises(SystemExit, match="2"):
        main(["look", option, value])
    assert message in capsys.readouterr().err


def test_higher_threshold_gives_a_smaller_box(tmp_path):
    sides = []
    for threshold in ("0.2", "0.8"):
        options = ["--size", "224", "--threshold", threshold, "--out", str(tmp_path / threshold)]
        assert main(["look", str(CHELSEA), *options]) == 0
        told = json.loads((tmp_path / threshold / f"{CHELSEA.stem}.json").read_text())
        xmin, ymin, xmax, ymax = told["classes"][0]["box"]
        sides.append((xmax - xmin, ymax - ymin))
    assert np.all(np.array(sides[1]) < sides[0])


def test_another_method_lights_by_its_own_maps_and_is_told(tmp_path):
    for method in ("cam", "layer-cam@blocks.4"):
        options = ["--method", method, "--out", str(tmp_path / method)]
        assert main(["look", str(CHELSEA), *options]) == 0
    cam, other = (
        json.loads((tmp_path / method / "chelsea.json").read_text())
        for method in ("cam", "layer-cam@blocks.4")
    )
    assert (cam["method"], other["method"]) == ("cam", "layer-cam@blocks.4")
    names = [[one["name"] for one in told["classes"]] for told in (cam, other)]
    assert names[0] == names[1]
    assert cam["classes"][0]["box"] != other["classes"][0]["box"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("grad-camm", "no method named 'grad-camm'; did you mean grad-cam"),
        ("layer-cam@blocks.44", "there is no layer 'blocks.44'"),
        ("layer-cam@", "'layer-cam@' names no layer behind its @"),
        ("cam@blocks.4", "no method named 'cam'"),
        ("backprop@blocks.4", "backprop is of no layer, so none belongs behind it"),
    ],
)
def test_unknown_method_or_layer_is_refused(tmp_path, capsys, method, message):
    options = ["--method", method, "--out", str(tmp_path)]
    assert main(["look", str(CHELSEA), *options]) == 2
    assert message in capsys.readouterr().err
