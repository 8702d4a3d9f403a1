"""The rows of the spans of one recording."""

from __future__ import annotations

import _thread
import itertools
import time

from memkit.model import file_format
from memkit.system import engine


class SpanRows:
    """What writes the spans of one recording.

    ``memory`` reads its meter, ``scoped`` is whether the kernel keeps peaks of that, ``began`` what times count from.
    """

    def __init__(self, rows, memory, scoped: bool, began: int):
        self._rows = rows
        self._memory = memory
        self._scoped = scoped
        self._began = began
        self._numbers = itertools.count()
        self._open = {}
        self._ended = False

    def end_all(self) -> None:
        """Write no more: the recording has ended."""
        self._ended = True
        self._open.clear()

    def begin(self, label: str, thread: int, depth: int) -> int:
        """Write that a span begins; the number is for ``end``."""
        number = next(self._numbers)
        scope = engine.Scope() if self._scoped else None
        memory = self._memory()
        if memory is None:  # a plugin's meter that fails: nothing is known, so nothing is said
            return number
        self._open[number] = scope
        self._rows.text(file_format.row("span", number, self._elapsed(), memory, thread, depth, label))
        return number

    def end(self, number: int) -> None:
        """Write that a span has ended; nothing where its recording ended before."""
        if self._ended or number not in self._open:
            return
        scope = self._open.pop(number)
        memory = self._memory()
        peak = scope.close() if scope is not None else None
        if memory is not None:
            self._rows.text(file_format.row("span_end", number, self._elapsed(), memory, peak))

    def begin_call(self) -> tuple:
        """Note how things are as a call begins, for ``end_call``."""
        return engine.Scope() if self._scoped else None, self._elapsed(), self._memory()

    def end_call(self, label: str, begun: tuple, *, even_if_still: bool) -> None:
        """Write the span of a call, unless memory is as it was and that is no reason, or its recording has ended."""
        scope, start, before = begun
        after = self._memory()
        peak = scope.close() if scope is not None else None
        known = before is not None and after is not None
        if known and not self._ended and (before != after or even_if_still):
            number = next(self._numbers)
            self._rows.text(
                file_format.row("span", number, start, before, _thread.get_native_id(), 0, label)
                + file_format.row("span_end", number, self._elapsed(), after, peak)
            )

    def _elapsed(self) -> int:
        return time.monotonic_ns() - self._began
