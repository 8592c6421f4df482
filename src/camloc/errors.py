"""The one exception for what a person can put right."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input: a key in params.yaml, a missing or broken file, a bad annotation.

    The message says what is wrong, where, and what would be right. Commands print it
    without a traceback and exit with code 2.
    """


def near_matches(word: str, known: Iterable[str]) -> str:
    """`"; did you mean a or b?"` for a misspelt `word`, or the known names where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:12])
    return f"; known: {shown}{', …' if len(known) > 12 else ''}"
