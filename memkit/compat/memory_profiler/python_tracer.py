"""A line tracer in Python, for backends that only Python can read; its sums are those of ``LineTracer``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from memkit.base import clocks
from memkit.compat.memory_profiler.trace_hook import TraceHook, pass_on
from memkit.tracing.monitoring_ids import free_tool, last_instruction_at_start

if TYPE_CHECKING:
    from _typeshed import TraceFunction

    from memkit.compat.memory_profiler.line_sums import CodeSums, Entries, Row
    from memkit.compat.memory_profiler.trace_hook import Event

What = TypeVarTuple("What")
Result = TypeVar("Result")


class PythonLineTracer:
    """Traces the lines of the code objects for which ``wanted`` is true, in all threads; ``read`` returns bytes.

    ``outermost`` returns the code object that a nested one is counted with, or None. Code objects that are counted together
    count each byte once, on the innermost line that grew. ``exact``: whether only Python code of this process changes what
    ``read`` returns; then the memory that tracing itself takes is subtracted.
    """

    can_pause = False

    def __init__(
        self,
        read: Callable[[], int | None],
        wanted: Callable[[CodeType], bool],
        outermost: Callable[[CodeType], CodeType | None],
        exact: bool = False,
    ) -> None:
        self._read = read
        self._wanted = wanted
        self._outermost = outermost
        self._known: dict[int, tuple[CodeType, _Group | None]] = {}  # by id; the code object itself is kept alive
        self._local = _Thread()
        self._sums: list[_CodeSums] = []
        self._tool = free_tool() if hasattr(sys, "monitoring") else None
        self._exact = exact
        self._overhead = 0
        self.on = False

    def add(self, code: CodeType) -> None:
        """Trace a code object from now on."""
        self.group_of(code)
        if self._tool is not None:
            sys.monitoring.restart_events()

    def start(self) -> None:
        """Begin to trace."""
        self.on = True
        if self._tool is None:
            self._hook = _LineHook(self)
            self._hook.install()
            self._hook.install_in_new_threads()
            self._hook.trace_running_frames()
            return
        for event, callback in self._callbacks().items():
            sys.monitoring.register_callback(self._tool, event, callback)
        events = sys.monitoring.events
        sys.monitoring.set_events(self._tool, events.PY_START | events.PY_RESUME | events.PY_THROW | events.PY_UNWIND)
        sys.monitoring.restart_events()

    def stop(self) -> None:
        """Stop tracing."""
        self.on = False
        if self._tool is None:
            self._hook.uninstall()
            return
        sys.monitoring.set_events(self._tool, 0)
        for event in self._callbacks():
            sys.monitoring.register_callback(self._tool, event, None)
        for code, group in self._known.values():
            if group is not None:
                sys.monitoring.set_local_events(self._tool, code, 0)
        sys.monitoring.free_tool_id(self._tool)

    def join(self) -> None:
        """Trace this thread too, which may have begun before tracing did."""
        if self._tool is None:
            self._hook.install()

    def close(self) -> None:
        """There is nothing to release."""

    def sums(self) -> list[CodeSums]:
        """The sums of each code object in each thread; see ``memkit.tracing.tracers.LineTracer``."""
        return [(each.code, each.calls, each.entries, each.rows()) for each in list(self._sums)]

    def group_of(self, code: CodeType) -> _Group | None:
        """The code objects that this one is counted with, or None if it is not wanted."""
        known = self._known.get(id(code))
        if known is None:
            outermost = self._outermost(code) if self._wanted(code) else None
            group = None if not self._wanted(code) else _Group() if outermost is None else self.group_of(outermost)
            known = self._known[id(code)] = code, group
            if group is not None and self._tool is not None:
                events = sys.monitoring.events
                local = events.LINE | events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD
                sys.monitoring.set_local_events(self._tool, code, local)
        return known[1]

    # -- events ------------------------------------------------------------------------------------------------------

    def handle(self, do: Callable[[*What, int], Result], *what: *What) -> Result:
        """Handle an event with ``do(*what, memory now)``; if ``exact``, memory that this itself takes is not counted."""
        local = self._local
        local.raw = self._read() or 0
        try:
            return do(*what, local.raw - self._overhead)
        finally:
            if self._exact:
                self._overhead += (self._read() or 0) - local.raw

    def enter(self, code: CodeType, line: int | None, begins: bool, now: int) -> _Activation:
        """A code object begins, or is resumed in a line."""
        group = self.group_of(code)
        local = self._local
        sums = local.sums_of(code, self._sums)
        row = None if line is None else sums.lines[line]
        when = clocks.perf_counter_ns()
        activation = _Activation(sums, local.top, group, local.innermost.get(group), row, now, when)
        local.top = local.innermost[group] = activation
        if begins:
            sums.calls += 1
            sums.entries = (*(sums.entries[:2] if sums.entries else (when, now)), when, now)
        return activation

    def line(self, code: CodeType, number: int, now: int) -> None:
        """A line begins."""
        activation = self._on_top(code, now)
        if activation is None:  # it was running when tracing began
            activation = self.enter(code, None, False, now)
        if activation.line is not None:
            self._end_line(activation, now)
        activation.line = line = activation.sums.lines[number]
        line[0] += 1
        activation.nested = 0
        activation.since = clocks.perf_counter_ns()
        activation.memory = now

    def leave(self, code: CodeType, now: int) -> None:
        """A code object ends or is suspended."""
        activation = self._on_top(code, now)
        if activation is not None:
            self._end_line(activation, now)
            self._drop(activation, now)

    def _on_top(self, code: CodeType, now: int) -> _Activation | None:
        """The topmost activation of this code, or None. Those above it have ended without an event, and are dropped."""
        found = self._local.top
        while found is not None and found.sums.code is not code:
            found = found.below
        while found is not None and (top := self._local.top) is not None and top is not found:
            self._drop(top, now)
        return found

    def _drop(self, activation: _Activation, now: int) -> None:
        self._local.top = activation.below
        self._local.innermost[activation.group] = activation.around
        if activation.around is not None:
            activation.around.nested += now - activation.entry

    def _end_line(self, activation: _Activation, now: int) -> None:
        if activation.line is None:
            return
        line = activation.line
        line[1] += now - activation.memory - activation.nested
        line[2] = now
        line[3] = line[3] or activation.since
        line[4] = clocks.perf_counter_ns()

    # -- sys.monitoring ------------------------------------------------------------------------------------------------

    def _callbacks(self) -> dict[int, Callable[..., object]]:
        events = sys.monitoring.events
        return {
            events.PY_START: self._started,
            events.PY_RESUME: self._resumed,
            events.PY_THROW: self._thrown,
            events.LINE: self._line,
            events.PY_RETURN: self._left,
            events.PY_YIELD: self._left,
            events.PY_UNWIND: self._left,
        }

    def _started(self, code: CodeType, offset: int) -> object:
        return None if self.handle(self._enter_if_wanted, code, None) else sys.monitoring.DISABLE

    def _resumed(self, code: CodeType, offset: int) -> object:
        return None if self.handle(self._enter_if_wanted, code, offset) else sys.monitoring.DISABLE

    def _thrown(self, code: CodeType, offset: int, error: BaseException) -> None:
        self.handle(self._enter_if_wanted, code, offset)

    def _enter_if_wanted(self, code: CodeType, offset: int | None, now: int) -> bool:
        if self.group_of(code) is None:
            return False
        self.enter(code, None if offset is None else _line_at(code, offset), offset is None, now)
        return True

    def _line(self, code: CodeType, number: int) -> None:
        self.handle(self.line, code, number)

    def _left(self, code: CodeType, offset: int, value: object) -> None:
        if self.group_of(code) is not None:
            self.handle(self.leave, code)


def _line_at(code: CodeType, offset: int) -> int:
    return next((line for start, end, line in code.co_lines() if start <= offset < end and line), code.co_firstlineno)


# -- state ---------------------------------------------------------------------------------------------------------------


class _Group:
    """Code objects that are counted together: a function and those nested in it."""


class _Thread(threading.local):
    """The activations of a thread, and its sums."""

    raw = 0
    """What the last event read."""

    def __init__(self) -> None:
        self.top: _Activation | None = None
        self.innermost: dict[_Group | None, _Activation | None] = {}
        self._sums: dict[int, _CodeSums] = {}

    def sums_of(self, code: CodeType, everything: list[_CodeSums]) -> _CodeSums:
        found = self._sums.get(id(code))
        if found is None:
            found = self._sums[id(code)] = _CodeSums(code)
            everything.append(found)
        return found


class _Activation:
    """A code object that runs, from its entry or resumption to its end or suspension."""

    __slots__ = ("around", "below", "entry", "group", "line", "memory", "nested", "since", "sums")

    def __init__(
        self,
        sums: _CodeSums,
        below: _Activation | None,
        group: _Group | None,
        around: _Activation | None,
        line: list[int] | None,
        entry: int,
        since: int,
    ) -> None:
        self.sums, self.below, self.group, self.around = sums, below, group, around
        self.line, self.entry, self.memory = line, entry, entry
        self.nested, self.since = 0, since


class _CodeSums:
    """The sums of a code object in a thread."""

    def __init__(self, code: CodeType) -> None:
        self.code, self.calls = code, 0
        self.entries: Entries | None = None
        numbers = {line for _, _, line in code.co_lines() if line}
        self.lines = {number: [0, 0, 0, 0, 0] for number in sorted(numbers | {code.co_firstlineno})}
        """By number: hits, growth, memory, when it first began, when it last ended."""

    def rows(self) -> list[Row]:
        return [
            (number, hits, growth, memory, first, ended)
            for number, (hits, growth, memory, first, ended) in self.lines.items()
            if ended
        ]


# -- sys.settrace --------------------------------------------------------------------------------------------------------


class _LineHook(TraceHook):
    """The trace function of a tracer."""

    def __init__(self, tracer: PythonLineTracer) -> None:
        super().__init__()
        self._tracer = tracer
        self._starts: dict[int, int] = {}

    def trace_running_frames(self) -> None:
        """Trace the rest of the frames that this thread is in: they have no start to come."""
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if self._tracer.group_of(frame.f_code) is not None:
                frame.f_trace = self._local(frame.f_trace)  # type: ignore[assignment]  # there an event is any text
            frame = frame.f_back

    def __call__(self, frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
        """A call, or the resumption of a generator."""
        if not self._tracer.on:
            self.uninstall()
            return self.pass_on(frame, event, argument)
        return self._tracer.handle(self._enter, frame, event, argument)

    def _enter(self, frame: FrameType, event: Event, argument: object, now: int) -> TraceFunction | None:
        theirs = self.pass_on(frame, event, argument)
        code = frame.f_code
        if self._tracer.group_of(code) is None:
            return theirs
        start = self._starts.get(id(code))
        if start is None:
            start = self._starts[id(code)] = last_instruction_at_start(code)
        begins = frame.f_lasti <= start
        if begins:
            _make_room(frame)
        self._tracer.enter(code, None if begins else frame.f_lineno, begins, now)
        return self._local(theirs)

    def _local(self, theirs: TraceFunction | None) -> TraceFunction:
        tracer = self._tracer

        def trace(frame: FrameType, event: Event, argument: object) -> TraceFunction:
            tracer.handle(do, frame, event, argument)
            return trace

        def do(frame: FrameType, event: Event, argument: object, now: int) -> None:
            nonlocal theirs
            theirs = pass_on(theirs, frame, event, argument)
            if tracer.on and event == "line":
                tracer.line(frame.f_code, frame.f_lineno, now)
            elif tracer.on and event == "return":
                tracer.leave(frame.f_code, now)

        return trace


def _make_room(frame: FrameType) -> None:
    """Grow the dictionary of locals that the interpreter keeps for trace functions, so that it does not grow in a line."""
    if sys.version_info >= (3, 13):  # there is no such dictionary any more
        return
    copy, names = frame.f_locals, [f"memkit {number}" for number in range(3 * len(frame.f_code.co_varnames) + 16)]
    copy.update(dict.fromkeys(names))
    for name in names:
        del copy[name]
