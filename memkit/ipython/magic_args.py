"""Parsing the line of a magic: options first, then a statement, which is left exactly as it was typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from memkit.base.errors import UsageError

Number = TypeVar("Number", int, float)
Default = TypeVar("Default")
_WORD = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


def split(magic: str, line: str, flags: str = "", valued: str = "") -> tuple[dict[str, list[str]], str]:
    """The options of a line, letter -> values in order, and the rest of the line.

    ``flags`` are the letters of options without a value; each occurrence counts as an empty string. ``valued`` are the
    letters with a value, which follows the letter directly or after a space, quoted if it contains spaces. ``--`` ends the
    options. Raises ``UsageError``.
    """
    found: dict[str, list[str]] = {}
    rest = line.lstrip()
    while match := re.match(r"-(-[A-Za-z][\w-]*|-(?=\s|$)|[A-Za-z])", rest):
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
            other = "; %%memkit has those of memkit-run" if letter.startswith("-") else ""
            hint = "write -- before a statement that begins so"
            raise UsageError(f"%{magic} has no option -{letter}; it has {known}{other}; {hint}")
    return found, rest.lstrip()


def number(
    magic: str, options: dict[str, list[str]], letter: str, default: Default, kind: Callable[[str], Number]
) -> Number | Default:
    """The last value of an option as a number greater than 0. Raises ``UsageError``."""
    if letter not in options:
        return default
    text = options[letter][-1]
    try:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"%{magic} -{letter} {text!r}: write {what} greater than 0") from None
    return value
