"""Damage that any text may take."""

import re
from random import Random

NUMBERS = (b"-1", b"0", b"1e999", b"nan", b"inf", b"1.5", b"9" * 30, b"9" * 5000, b"1_0", b"0x10")
NUMBERS += ("\u0663".encode(), "²".encode(), b"", b"--1", b"+1", b"1e308", b"-0", b"007", b"NA")
WORDS = (b"NA", b"", b'"', b"'", b"\0", "ü".encode(), b"\xfc", b"\xef\xbb\xbf", b"x" * 1_000_000)
WORDS += (b".", b"..", b"/", b"../x", b"x" * 300, b"a/" * 3000, b"/etc/hostname", b"~")
WORDS += (b"a,b", b"&x;", b"<", b"%", b"#", b"=1+1", b"\x1b[2J", b"0", b"\t", b"*a", b"- ", b"|")
ENDS = (b"\r", b"\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x85", "\u2028".encode(), b"", b" ", b"\n\0")
CODINGS = ("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "utf-7", "cp037", "utf-16-be")


def number_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    return _replaced(rng, rb"-?\d[\d.]*", content, rng.choice(NUMBERS))


def word_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    return _replaced(rng, rb"[^\s,:<>/]+|[,:<>/]", content, rng.choice(WORDS))


def _replaced(rng: Random, pattern: bytes, content: bytes, new: bytes) -> bytes:
    start, end = rng.choice([found.span() for found in re.finditer(pattern, content)] or [(0, 0)])
    return content[:start] + rng.choice([new, new, content[start:end] + new]) + content[end:]


def lines_changed(rng: Random, content: bytes, other: bytes) -> bytes:
    """A line dropped, repeated or moved, or other ends of lines."""
    lines = content.splitlines()
    line = lines.pop(rng.randrange(len(lines)))
    at = rng.randrange(len(lines) + 1)
    lines[at:at] = [line] * rng.choice((0, 1, 2, 2, 1000))
    return rng.choice((b"\n", b"\n", *ENDS)).join(lines)


def encoded(rng: Random, content: bytes, other: bytes) -> bytes:
    anew = content.decode().encode(rng.choice(CODINGS))
    return rng.choice([anew, anew, anew, b"", b"\xff\xfe", b"\xef\xbb\xbf"])


def hostile(rng: Random, content: bytes, other: bytes) -> bytes:
    """Lines of the same kind in any number and order, of which many values are something else:
    what a number or a word may be, or what stands elsewhere in the file. The first line, which may
    be a header, mostly stays.
    """
    first, *lines = content.splitlines() or [b""]
    own = VALUE.findall(content) or [b""]
    share = rng.choice((0.01, 0.05, 0.2, 0.9))

    def value(found: re.Match) -> bytes:
        if rng.random() > share:
            return found[0]
        return rng.choice(rng.choice((own, own, NUMBERS, SHORT_WORDS)))

    if rng.random() < 0.2:
        first = rng.choice((VALUE.sub(value, first), first + b",x", first + b"," + rng.choice(own)))
    kept = rng.choice((lines, lines, rng.choices(lines or [b""], k=rng.choice((1, 3, 9)))))
    return b"\n".join([first, *(VALUE.sub(value, line) for line in kept)]) + b"\n"


VALUE = re.compile(rb"[^\s,]+")
SHORT_WORDS = tuple(word for word in WORDS if len(word) < 100)
TEXT = (number_changed, word_changed, lines_changed, encoded)
