"""What the values of rows have to be: a file comes from anywhere, and what is in it is checked once, as it is read."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from typing import Any

LATEST = 250_000_000_000
"""Seconds since the epoch from which on no date can be told: the year 9892."""
_END = 1 << 63


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of 64 bits, as all sizes and times are."""
    return type(value) is int and -_END <= value < _END


def is_number(value: Any) -> bool:
    """Whether a value is a number that can be reckoned with."""
    return is_whole(value) or (type(value) is float and math.isfinite(value) and abs(value) < _END)


def is_moment(value: Any) -> bool:
    """Whether a value can be seconds since the epoch."""
    return is_number(value) and 0 <= value < LATEST


def _or_null(known: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or known(value)


_IS: dict[str, Callable[[Any], bool]] = {
    "i": is_whole,
    "t": lambda value: is_whole(value) and value >= 0,
    "l": lambda value: is_whole(value) and -(1 << 31) <= value < 1 << 31,
    "p": lambda value: is_whole(value) and 0 <= value < 1 << 31,
    "f": is_number,
    "m": is_moment,
    "s": lambda value: isinstance(value, str),
    "a": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "x": lambda _: True,
}
SHAPES = {
    "sample": "tiiI",
    "span": "iiiItsx",
    "span_end": "itiIiiII",
    "span_sums": "stt",
    "span_call": "ttit",
    "span_line": "ttlit",
    "span_label": "iIs",
    "span_heap": "iiiiiii",
    "size": "tf",
    "function": "issl",
    "source": "ss",
    "line": "iliiiiiIIiI",
    "heap_counting": "siiSI",
    "heap": "IIiiiiiII",
    "heap_in_span": "iIIiiiiiII",
    "heap_errors": "IIiiiiii",
    "heap_lines": "iIili",
    "heap_total": "iiiiiii",
    "balance": "tsptxx",
    "tracing": "ssSffa",
    "reads": "i",
    "handed": "iIi",
    "given": "iii",
    "call_tracing": "ssSffa",
    "call_reads": "i",
    "greenlets": "i",
    "sums": "ti",
    "mapped": "ti",
    "group": "tsiIIII",
    "limit": "siiS",
    "peaks": "sS",
    "crossing": "tiiss",
    "snapshot": "ti",
    "stack": "tISx",
    "thread": "is",
    "process": "iIis",
    "command": "iis",
    "process_end": "iiIIx",
    "process_left": "ii",
    "tree": "sSSS",
    "total": "tiiiII",
    "unrecorded": "iis",
    "waited_for": "i",
    "cost": "iii",
    "end": "tsSIxSx",
    "exit": "tIIx",
}
"""What the values of each row are, in order: ``i`` a whole number, ``t`` one from 0 on, ``l`` the number of a line, ``f`` a
number, ``s`` text, ``a`` an array of texts, ``x`` what is looked at elsewhere; a capital is null or that. A ``call`` row is
packed, which checks it.
"""
ABOUT = {
    "memkit": "S",
    "pid": "p",
    "parent": "P",
    "python": "S",
    "host": "S",
    "began": "m",
    "clock": "I",
    "meter": "S",
    "interval": "I",
    "engine": "S",
    "peaks": "S",
    "peaks_reason": "S",
    "mark": "I",
    "peaks_error": "I",
    "recorder": "P",
    "package": "S",
    "set_limit": "I",
    "set_limit_scope": "S",
    "watch": "S",
}
"""The same of the first row, by key; ``m`` is seconds since the epoch, ``p`` the number of a process."""


_KNOWN = {**_IS, **{kind.upper(): _or_null(known) for kind, known in _IS.items()}}


def check(values: Iterable[Any], shape: Iterable[str]) -> None:
    """Raise ``TypeError`` where one of the values is not what it has to be, as far as there are both."""
    for value, kind in zip(values, shape):
        if not _KNOWN[kind](value):
            raise TypeError(value)


def check_whole(values: Iterable[Any]) -> None:
    """Raise ``TypeError`` or ``OverflowError`` unless all of many values are whole numbers of 64 bits."""
    values = list(values)
    if set(map(type, values)) - {int}:
        raise TypeError(values)
    array("q", values)


def attributes_of(values: Any) -> tuple[tuple[str, str | int | float | bool | None], ...]:
    """The attributes of a span, as a row or a document has them. TypeError for what are none."""
    if values is None:
        return ()
    if not isinstance(values, dict):
        raise TypeError(values)
    for value in values.values():
        if not (value is None or isinstance(value, (str, bool)) or is_number(value)):
            raise TypeError(value)
    return tuple(values.items())
