"""The widgets of the playground, moved as a person would."""

from datetime import datetime

import pytest

from camloc.core.errors import UserError
from camloc.data.pictures import read_photo
from camloc.networks import published
from camloc.report import figures
from camloc.report.look import NETWORK, Eye, examples
from camloc.report.playground import playground

try:
    CHELSEA, COFFEE, *_ = examples()
    published.check(NETWORK, "package", 1.0)
except UserError as missing:
    pytest.skip(str(missing), allow_module_level=True)


def test_map_follows_the_picture_the_class_the_method_and_the_threshold(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("camloc.report.playground.drawn", lambda *of: shown.append(of))
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    monkeypatch.setattr("camloc.report.playground.display", lambda image: None)
    monkeypatch.setattr("camloc.report.playground.Image", bytes)
    widgets = playground(Eye.of(), read_photo(CHELSEA), size=224, threshold=0.2).children
    named = {widget.description: widget for widget in widgets[:-1]}

    def last():
        return [one.name for one in shown[-1][1]], shown[-1][1][0]

    assert last()[0] == ["Egyptian cat"]
    cat = last()[1]
    named["threshold"].value = 0.7
    assert last()[1].box != cat.box and last()[1].probability == cat.probability
    named["class"].value = "lynx"
    assert last()[0] == ["lynx"]
    named["method"].value = "backprop"
    assert last()[1].map.shape == (28, 28)  # cells of 8 pixels
    named["class"].value = "lynxx"
    assert "no class 'lynxx'" in capsys.readouterr().out
    named["class"].value = "the likeliest"
    named["or path"].value = str(COFFEE)
    assert last()[0] == ["espresso"]
    named["or path"].value = ""
    uploaded = {"name": CHELSEA.name, "type": "image/png", "last_modified": datetime.now()}
    content = CHELSEA.read_bytes()
    named["picture"].value = (uploaded | {"size": len(content), "content": memoryview(content)},)
    assert last()[0] == ["Egyptian cat"]
