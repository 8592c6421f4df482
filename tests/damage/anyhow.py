"""Damage that any file may take, and any tree of lists and mappings."""

from random import Random
from typing import Any


def _part(rng: Random, content: bytes) -> tuple[int, int]:
    """Start and end of a part, short ones as likely as long ones."""
    start = rng.randrange(len(content))
    return start, start + int(len(content) ** rng.random())


def flipped(rng: Random, content: bytes, other: bytes) -> bytes:
    place, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def overwritten(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    size = end - start
    new = rng.choice([rng.randbytes(size), bytes(size), b"\xff" * size])
    return content[:start] + new + content[end:]


def extreme(rng: Random, content: bytes, other: bytes) -> bytes:
    """A number that a header may hold, at its limit, near the start as likely as elsewhere."""
    size = rng.choice((1, 2, 4, 8))
    most = 256**size - 1
    number = rng.choice((0, 1, most // 2, most // 2 + 1, most, rng.randint(0, most)))
    start = int(len(content) ** rng.random()) - 1
    new = number.to_bytes(size, rng.choice(("little", "big")))
    return content[:start] + new + content[start + size :]


def truncated(rng: Random, content: bytes, other: bytes) -> bytes:
    gone = int(len(content) ** rng.random())
    return content[: rng.choice([gone - 1, -gone])]


def inserted(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:start] + rng.randbytes(end - start) + content[start:]


def deleted(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:start] + content[end:]


def doubled(rng: Random, content: bytes, other: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:end] + content[start:]


def spliced(rng: Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


ANY = (flipped, overwritten, extreme, truncated, inserted, deleted, doubled, spliced)


def changed(rng: Random, tree: Any) -> Any:
    """The tree of lists and mappings with something else in one place, or without that place."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.1:
        numbers = [0, -1, 1, 7, 1 << 31, 10**30, 0.5, 1e300, float("inf"), float("nan"), [10**30]]
        return rng.choice([*numbers, True, None, "", "nin", "a\0b", "x" * 9999, [], {}, {"a": 1}])
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    new = tree.copy()
    if rng.random() < 0.2:
        del new[key]
    else:
        new[key] = changed(rng, tree[key])
    return new
