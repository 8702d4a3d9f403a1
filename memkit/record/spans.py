"""Named stretches of time, written into every recording that is going on."""

from __future__ import annotations

import _thread

from memkit.record import active

_local = _thread._local()


class span:
    """A named stretch of time: a context manager, and a decorator.

    ::

        with memkit.span("load"):
            table = load()

    Each recording that is going on gets the label, when the stretch began and ended, memory before and after, and the
    peak in between; it survives an exception and a kill. Where nothing is recorded it costs next to nothing. Spans
    nest; every thread has its own nesting. Raises ``TypeError`` where ``label`` is no text.
    """

    def __init__(self, label: str):
        if not isinstance(label, str):
            raise TypeError(f"a span's label is text, not {label!r}: write memkit.span('load')")
        self.label = label
        self._open = []

    def __enter__(self) -> span:
        nesting = _nesting()
        thread, depth = _thread.get_native_id(), len(nesting)
        begun = [(each.spans, each.spans.begin(self.label, thread, depth)) for each in list(active.recorders)]
        one = _Open(nesting, begun)
        nesting.append(one)
        self._open.append(one)
        return self

    def __exit__(self, *_) -> None:
        mine = _nesting()
        # Several threads may be inside, and a generator may end in another thread than it began in.
        one = next((each for each in self._open[::-1] if each.nesting is mine), None) or self._open[-1]
        self._open.remove(one)
        one.nesting.remove(one)
        for rows, number in one.begun:
            rows.end(number)

    def __call__(self, function):
        from memkit.base.decorators import decorated

        return decorated(function, lambda: span(self.label))


class _Open:
    """A stretch that goes on: which others its thread is in, and its number in each recording."""

    __slots__ = ("begun", "nesting")

    def __init__(self, nesting: list, begun: list):
        self.nesting, self.begun = nesting, begun


def _nesting() -> list:
    """What this thread is in, the outermost first."""
    try:
        return _local.nesting
    except AttributeError:
        _local.nesting = []
        return _local.nesting
