"""YAML that a person brings, as a tree: refused before it is built where it stands for too much.

A few lines can stand for billions of values (aliases of aliases), nest without end or hold one
number of a million digits. The parser's events tell all of that without building anything.
"""

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
)

from camloc.core.errors import UserError, refusing

# Of a file: a study of some three hundred networks stays below.
CHARACTERS, VALUES, LEVELS, VALUE_CHARACTERS = 50_000, 10_000, 20, 1_000
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxdict = _SHORT.maxlist = 4
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """A value for a message: as Python writes it, and shortened where it is long."""
    return _SHORT.repr(value)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; an empty mapping leaves nothing."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        whole = f"{prefix}{key}"
        found |= flat(value, f"{whole}.") if isinstance(value, Mapping) else {whole: value}
    return found


def read_tree(text: str, name: str) -> dict:
    """A text in YAML as dictionaries, lists and plain values.

    Args:
        name: what messages call the file.

    Raises:
        UserError: the text is not YAML, holds no dictionary at the top, or stands for more than a
            study does; the message names the line.
    """
    with refusing(f"{name} is not valid YAML", "see params/ for whole studies"):
        try:
            _refuse_too_much(text, name)
            tree = YAML(typ="safe", pure=True).load(text)
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1
            raise ValueError(f"line {line}: {error.problem}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{name} holds no parameters; see params/ for whole studies")
    return tree


def _refuse_too_much(text: str, name: str) -> None:
    """Refuse what is beyond the limits above, with the line at which it is."""
    lines = [*text.splitlines(), ""]

    def at(line: int) -> str:
        return f"{name}: line {line + 1}, {shown(lines[line])},"

    if len(text) > CHARACTERS:
        longest = max(range(len(lines)), key=lambda line: len(lines[line]))
        share = f"{len(lines[longest]):,} of the file's {len(text):,} characters"
        raise UserError(f"{at(longest)} has {share}; a study has at most {CHARACTERS:,}")
    for event, values, levels in _measured(YAML(typ="safe", pure=True).parse(text)):
        line = event.start_mark.line
        if levels > LEVELS:
            raise UserError(f"{at(line)} is nested more than {LEVELS} levels deep")
        if values > VALUES:
            raise UserError(
                f"{at(line)} and what is above it stand for more than {VALUES:,} values"
            )
        if isinstance(event, ScalarEvent) and len(event.value) > VALUE_CHARACTERS:
            long = f"{len(event.value):,} characters"
            raise UserError(
                f"{at(line)} holds a value of {long}; give at most {VALUE_CHARACTERS:,}"
            )


def _measured(events: Iterable[Event]) -> Iterator[tuple[Event, float, float]]:
    """Each value's event, with how many values there are up to it and how many levels it adds to.

    An alias counts as all that it stands for; one that stands for itself, among others, has no end.
    """
    values, above = 0, []  # of each collection around: its anchor, values before it, its levels
    under: dict[str | None, tuple[float, float]] = {}  # values and levels, by anchor
    for event in events:
        size, height = 1, 0
        if isinstance(event, CollectionStartEvent):
            under[event.anchor] = math.inf, math.inf
            above.append([event.anchor, values, 0])
        elif isinstance(event, CollectionEndEvent):
            anchor, before, inner = above.pop()
            size, height = 0, inner + 1
            under[anchor] = values - before, height
        elif isinstance(event, AliasEvent):
            size, height = under.get(event.anchor, (0, 0))
        elif isinstance(event, ScalarEvent):
            under[event.anchor] = size, height
        else:
            continue
        values += size
        if above:
            above[-1][2] = max(above[-1][2], height)
        yield event, values, len(above) + height
