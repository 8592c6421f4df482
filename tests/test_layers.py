"""The floor plan of the package: imports point down, and its door is small and quick."""

import ast
import subprocess
import sys

import pytest

import camloc
from clone import ROOT

PACKAGE = ROOT / "src" / "camloc"
# From the top; packages of one floor do not import each other.
FLOORS = [
    ["cli"],
    ["pipeline"],
    ["exchange", "report"],
    ["evaluation"],
    ["boxes"],
    ["training", "maps"],
    ["data", "networks"],
    ["core"],
]
HEIGHT = {name: -floor for floor, names in enumerate(FLOORS) for name in names}


def packages_imported(tree: ast.AST) -> set[str]:
    """The packages of camloc that code imports, at its top or in a function."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "camloc":
            below = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            names |= set(below)
    return names


@pytest.mark.parametrize("floor", HEIGHT)
def test_package_imports_only_what_lies_below(floor):
    files = [PACKAGE / f"{floor}.py"] if floor == "cli" else (PACKAGE / floor).rglob("*.py")
    above = {
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in files
        for other in packages_imported(ast.parse(path.read_text()))
        if other != floor and HEIGHT[other] >= HEIGHT[floor]
    }
    assert not above


def test_every_module_lies_on_a_floor_and_only_the_top_has_an_init():
    found = {path.stem for path in PACKAGE.iterdir() if path.name[0] not in "_."}
    assert found == HEIGHT.keys()
    inits = [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    assert not any(path.read_text() for path in inits)


def test_no_function_is_longer_than_60_lines():
    lengths = {
        f"{path.relative_to(PACKAGE)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_door_has_at_most_twelve_names_and_loads_nothing_before_it_is_asked():
    assert {"build", "class_activation_maps", "boxes_from_maps"} <= set(camloc.__all__)
    assert len(camloc.__all__) <= 12
    for name in camloc.__all__:
        assert getattr(camloc, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        _ = camloc.biuld
    code = "import camloc, sys; print(*{'torch', 'numpy', 'cv2', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "\n"
