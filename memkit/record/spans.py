"""Spans: named stretches of time, written into every recording that is running."""

from __future__ import annotations

import _thread
import itertools

from memkit.base import clocks
from memkit.model import file_format
from memkit.record import active
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

_local = _thread._local()


class span:
    """A named stretch of time: a context manager, and a decorator.

    ::

        with memkit.span("load"):
            table = load()

    Each recording that is running gets the label, when the span began and ended, memory before and after, and the
    peak in between; an exception or a kill does not lose it. Where nothing is recorded a span costs next to nothing. Spans
    nest, and each thread has its own nesting. Raises ``TypeError`` if ``label`` is not a string.
    """

    def __init__(self, label: str) -> None:
        if not isinstance(label, str):
            raise TypeError(f"a span's label is text, not {label!r}: write memkit.span('load')")
        self.label = label
        self._open: list[_Open] = []

    def __enter__(self) -> span:
        nesting = _nesting()
        thread, depth = _thread.get_native_id(), len(nesting)
        begun = [(each.spans, each.spans.begin(self.label, thread, depth)) for each in list(active.recorders)]
        one = _Open(nesting, begun)
        nesting.append(one)
        self._open.append(one)
        return self

    def __exit__(self, *_: object) -> None:
        nesting = _nesting()
        # Several threads may be inside one span object, and a generator may end in another thread than it began in.
        one = next((each for each in self._open[::-1] if each.nesting is nesting), None) or self._open[-1]
        self._open.remove(one)
        one.nesting.remove(one)
        for spans, number in one.begun:
            spans.end(number)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        from memkit.base.decorators import decorated

        wrapped: Callable[P, R] = decorated(function, lambda: span(self.label))
        return wrapped


class _Open:
    """A span that has begun: the open spans of its thread, and its number in each recording."""

    __slots__ = ("begun", "nesting")

    def __init__(self, nesting: list[_Open], begun: list[tuple[active.Spans, int]]) -> None:
        self.nesting, self.begun = nesting, begun


def _nesting() -> list[_Open]:
    """The open spans of this thread, the outermost first."""
    nesting: list[_Open]
    try:
        nesting = _local.nesting
    except AttributeError:
        nesting = _local.nesting = []
    return nesting


class SpanRows:
    """Writes the spans of one recording.

    ``memory`` reads its meter, ``scoped`` is whether the kernel keeps the peak of that, times count from ``began``.
    """

    def __init__(self, journal: engine.Journal, memory: Callable[[], int | None], scoped: bool, began: int) -> None:
        self._journal = journal
        self._memory = memory
        self._scoped = scoped
        self._began = began
        self._numbers = itertools.count()
        self._scopes: dict[int, engine.Scope | None] = {}  # of the spans that are open
        self._ended = False

    def end_all(self) -> None:
        """Write no more: the recording has ended."""
        self._ended = True
        self._scopes.clear()

    def begin(self, label: str, thread: int, depth: int) -> int:
        """Write that a span begins, and return the number to give to ``end``."""
        number = next(self._numbers)
        scope = engine.Scope() if self._scoped else None
        memory = self._memory()
        if memory is None:  # a plugin's meter failed: leave the span out
            return number
        self._scopes[number] = scope
        self._journal.text(file_format.row("span", number, self._elapsed(), memory, thread, depth, label))
        return number

    def end(self, number: int) -> None:
        """Write that a span has ended, unless its recording has ended before."""
        if self._ended or number not in self._scopes:
            return
        scope = self._scopes.pop(number)
        memory = self._memory()
        peak = scope.close() if scope is not None else None
        if memory is not None:
            self._journal.text(file_format.row("span_end", number, self._elapsed(), memory, peak))

    def begin_call(self) -> tuple[engine.Scope | None, int, int | None]:
        """The state at the beginning of a call, to give to ``end_call``: scope, time and memory."""
        return engine.Scope() if self._scoped else None, self._elapsed(), self._memory()

    def end_call(self, label: str, begun: tuple[engine.Scope | None, int, int | None], *, even_if_unchanged: bool) -> None:
        """Write the span of a call if memory has changed, or ``even_if_unchanged``; nothing once the recording has ended."""
        scope, start, before = begun
        after = self._memory()
        peak = scope.close() if scope is not None else None
        known = before is not None and after is not None
        if known and not self._ended and (before != after or even_if_unchanged):
            number = next(self._numbers)
            self._journal.text(
                file_format.row("span", number, start, before, _thread.get_native_id(), 0, label)
                + file_format.row("span_end", number, self._elapsed(), after, peak)
            )

    def _elapsed(self) -> int:
        return clocks.monotonic_ns() - self._began
