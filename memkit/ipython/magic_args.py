"""The options at the beginning of a magic's line, and the statement after them, which is left exactly as it was typed."""

from __future__ import annotations

import re

from memkit.base.errors import UsageError

_WORD = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


def split(magic: str, line: str, flags: str = "", valued: str = "") -> tuple[dict[str, list[str]], str]:
    """The options of a line, letter -> values in order, and the rest of the line.

    ``flags`` are the letters without a value, whose values are empty texts; a value follows its letter at once or after a
    space, in quotes if there are spaces in it. ``--`` ends the options. Raises ``UsageError``.
    """
    found: dict[str, list[str]] = {}
    rest = line.lstrip()
    while match := re.match(r"-(-(?=\s|$)|[A-Za-z])", rest):
        letter, rest = match[1], rest[match.end() :]
        if letter == "-":
            break
        if letter in flags:
            found.setdefault(letter, []).append("")
            rest = f"-{rest}" if rest[:1].isalpha() else rest.lstrip()
        elif letter in valued:
            word = _WORD.match(rest)
            if word is None:
                raise UsageError(f"%{magic} -{letter}: a value is missing")
            found.setdefault(letter, []).append(next(value for value in word.groups() if value is not None))
            rest = rest[word.end() :].lstrip()
        else:
            known = ", ".join(f"-{each}" for each in flags + valued)
            raise UsageError(f"%{magic} has no option -{letter}; it has {known}; write -- before a statement that begins so")
    return found, rest.lstrip()


def number(magic: str, options: dict, letter: str, default, kind=int, least=0):
    """The last value of an option as a number greater than ``least``. Raises ``UsageError``."""
    if letter not in options:
        return default
    text = options[letter][-1]
    try:
        value = kind(text)
        if not least < value < float("inf"):
            raise ValueError
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"%{magic} -{letter} {text!r}: write {what} greater than {least}") from None
    return value
