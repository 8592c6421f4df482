"""docs/reliability.md promises what the code and the repository hold."""

import ast
import re
from importlib.metadata import distributions

import pytest

from clone import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
REFUSALS = re.findall(r"^\| [^|]+ \| `+(.+?)`+ \|$", PAGE.partition("## What is refused")[2], re.M)


def texts() -> list[str]:
    """Every text in the package, with … for what is filled in."""
    found = []
    for path in (ROOT / "src" / "camloc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                found.append("".join(part if isinstance(part, str) else "…" for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_message_that_the_page_lists_is_one_of_the_code():
    said = texts()
    assert len(REFUSALS) > 30
    assert [message for message in REFUSALS if not any(message in text for text in said)] == []


@pytest.mark.parametrize("kind", ["tests", "benchmarks"])
def test_what_holds_a_promise_is_there(kind):
    named = set(re.findall(rf"{kind}/[\w/]+\.py", PAGE))
    assert named and [name for name in named if not (ROOT / name).is_file()] == []


def test_licence_of_every_installed_package_is_listed():
    listed = (ROOT / "docs" / "licences.md").read_text()
    listed = {row.split("|")[1].strip().lower() for row in listed.splitlines() if row[:2] == "| "}
    installed = {found.name.lower() for found in distributions()} - {"camloc", "pip", "setuptools"}
    assert installed - listed == set()
