"""Heap: which paths and functions allocated most of what is alive, was alive at the peak, or came and went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memkit.base.errors import UsageError
from memkit.base.units import show_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memkit.model.calls import Call, Function
    from memkit.model.heap import Heap, HeapErrors
    from memkit.model.lines import Line
    from memkit.model.recording import Recording

KEYS = {"heap": "alive", "heap-peak": "alive_at_peak", "allocated": "allocated", "temporary": "temporary"}
"""What pictures and lists can be by where heap was counted, and the field of a ``Heap``."""
_FIELDS = ("allocated", "freed", "alive", "alive_at_peak", "temporary")
_ERRORS = ("allocated", "freed", "alive", "alive_at_peak")
COLUMNS = (*(f"{field}_bytes" for field in _FIELDS), "blocks")
"""Of a CSV of lines or calls; their cells are empty where heap was not counted."""
ERROR_COLUMNS = (*(f"{field}_error_bytes" for field in _ERRORS), "blocks_error")
"""The same; their cells are empty where heap was not sampled."""
_OWN = ("allocated", "alive", "alive_at_peak")
OWN_COLUMNS = (*(f"own_{field}_bytes" for field in _OWN), *(f"own_{field}_error_bytes" for field in _OWN))
"""Of a CSV of lines, without what they called."""

HERE = dict.fromkeys(
    ("python", "c"), "the program holds them: the paths and lines that follow say who allocated what is alive"
)
"""What can be done about a row where the heap was counted, by its key."""


def when(recording: Recording) -> str:
    """As of when the heap is, in words: of a program that was killed, or whose disk was full, what came last is lost."""
    if recording.heap is not None and recording.heap.as_of is not None:
        return f"{show_time(max(0, recording.duration - recording.heap.as_of))} before the end"
    return "at the end" if recording.ending.complete else "when it was last written"


def cells(heap: Heap | None) -> tuple[int | None, ...]:
    """The cells of the columns of a heap, and then those of its errors."""
    errors = None if heap is None else heap.errors
    return (*_fields(heap, (*_FIELDS, "blocks")), *_fields(errors, (*_ERRORS, "blocks")))


def own_cells(heap: Heap | None) -> tuple[int | None, ...]:
    """The cells of the columns of a heap without what was called."""
    return (*_fields(heap, _OWN), *_fields(None if heap is None else heap.errors, _OWN))


def _fields(of: Heap | HeapErrors | None, names: Iterable[str]) -> Iterator[int | None]:
    for name in names:
        value = None if of is None else getattr(of, name)
        yield None if value is None else round(value)


def check(calls: Iterable[Call], key: str, option: str = "--by") -> None:
    """Raise ``UsageError`` if calls cannot be shown by one of the keys, which an option names: no heap was counted."""
    if all(call.heap is None for call in calls):
        raise UsageError(f"{option} {key}: no heap was counted by calls; record with --heap --calls")
    if key == "temporary" and is_sampled(calls):
        raise UsageError(f"{option} {key}: the heap was sampled, which does not tell what was temporary; record with --heap")


def is_sampled(calls: Iterable[Call]) -> bool:
    """Whether the calls are those of stacks of a heap that was sampled: nothing else is known of them."""
    return any(call.heap is not None and call.heap.errors is not None for call in calls)


def checked_by(calls: Sequence[Call], by: str | None) -> str | None:
    """What a picture is by, ``heap`` if nothing is said and it was sampled. Raises ``UsageError`` for what is not known."""
    if by in KEYS:
        check(calls, by)
    elif is_sampled(calls):
        if by is not None:
            raise UsageError(
                f"--by {by}: only the heap was sampled, calls were not traced; write --by heap or --by allocated"
            )
        return "heap"
    return by


def own(what: Call | Line, key: str) -> int:
    """What a call or a line allocated itself, without what it called, by one of the keys; 0 where it is not known."""
    return 0 if what.own_heap is None else getattr(what.own_heap, KEYS[key]) or 0


def largest(calls: Sequence[Call], key: str, most: int) -> list[tuple[Call, list[Function]]]:
    """The paths that allocated most themselves by one of the keys, at most so many, each with its callers, nearest first.

    The roots of threads are no callers.
    """
    known = {call.id: call for call in calls}
    found = sorted((call for call in calls if own(call, key) > 0), key=lambda call: -own(call, key))[:most]
    return [(call, [each.function for each in _callers(call, known)]) for call in found]


def of_functions(calls: Iterable[Call], key: str, most: int) -> list[tuple[Function, Heap]]:
    """The functions that allocated most themselves over all their paths, by one of the keys, at most so many."""
    found: dict[Function, Heap] = {}
    for call in calls:
        if call.own_heap is not None:
            found[call.function] = found[call.function].plus(call.own_heap) if call.function in found else call.own_heap
    chosen = [pair for pair in found.items() if getattr(pair[1], KEYS[key]) > 0]
    return sorted(chosen, key=lambda pair: -getattr(pair[1], KEYS[key]))[:most]


def _callers(call: Call, known: dict[int, Call]) -> Iterable[Call]:
    while call.parent in known:
        call = known[call.parent]
        if call.parent is not None:
            yield call
