"""The one exception for what a person can put right."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


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
    """What an exception says in one printable line; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return printable(lines[0], 300) if lines else type(error).__name__


def printable(line: str, most: int = 1000) -> str:
    """A line that may quote a file: no longer than `most` characters, its middle left out, and what
    no terminal should get as an escape."""
    if len(line) > most:
        line = f"{line[: most // 2]} … {line[-most // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def near_matches(word: str, known: Iterable[str]) -> str:
    """`"; did you mean a or b?"` for a misspelt `word`, or the known names where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:12])
    return f"; known: {shown}{', …' if len(known) > 12 else ''}"


def refuse(where: object, cases: Iterable, what: str, advice: str = "") -> None:
    """End with the first three of the cases and the number of the others, if there are any.

    Raises:
        UserError: `<where> <what>: a, b, c (and 7 more); <advice>`.
    """
    cases = list(cases)
    if cases:
        shown = ", ".join(printable(str(case), 200) for case in cases[:3])
        more = f" (and {len(cases) - 3} more)" if len(cases) > 3 else ""
        raise UserError(f"{where} {what}: {shown}{more}{advice and f'; {advice}'}")


@contextmanager
def refusing(what: str, advice: str) -> Iterator[None]:
    """Turn whatever another library raises about a person's file into one message.

    Parsers raise dozens of kinds of errors about damaged files, and other kinds in their next
    version: any list of them is one short. So the block holds nothing but the parser's call.

    Args:
        what: what is wrong with which file, `image a.png cannot be read`.
        advice: what would be right.

    Raises:
        UserError: `what (the library's reason); advice`. One that was raised already stays.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} ({reason(error)}); {advice}") from None
