"""The one exception for what a person can put right."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input: a key in params.yaml, a missing or broken file, a bad annotation.

    The message says what is wrong, where, and what would be right. Commands print it
    without a traceback and exit with code 2.
    """

    exit_code = 2


class Stopped(UserError):
    """The work was asked to stop (SIGTERM), and what it had reached is kept."""

    exit_code = 143  # 128 + 15, as shells tell it


def reason(error: BaseException) -> str:
    """What an exception says in one line; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def near_matches(word: str, known: Iterable[str]) -> str:
    """`"; did you mean a or b?"` for a misspelt `word`, or the known names where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:12])
    return f"; known: {shown}{', …' if len(known) > 12 else ''}"
