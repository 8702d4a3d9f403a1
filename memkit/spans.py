"""Named stretches of time, written into every recording that is going on."""

from __future__ import annotations

import _thread

from memkit import ongoing

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
        depth = getattr(_local, "depth", 0)
        _local.depth = depth + 1
        thread = _thread.get_native_id()
        self._open.append([(each.spans, each.spans.begin(self.label, thread, depth)) for each in list(ongoing.recorders)])
        return self

    def __exit__(self, *_) -> None:
        _local.depth -= 1
        for rows, number in self._open.pop():
            rows.end(number)

    def __call__(self, function):
        from memkit.wrapping import decorated

        return decorated(function, lambda: span(self.label))
