"""A tracer of lines in Python, for backends that only Python can read; it sums as ``LineTracer`` does."""

from __future__ import annotations

import sys
import threading
import time

from memkit.tracing.monitoring_ids import free_tool, last_instruction_at_start


class SlowLines:
    """Traces the lines of the code objects that ``wanted`` says yes to, in all threads; ``read`` returns bytes.

    ``lead`` tells of the code object in whose book another is entered, or None. ``exact`` is whether nothing but this
    process's Python moves what is read, so that what tracing itself takes can be told from it.
    """

    can_pause = False

    def __init__(self, read, wanted, lead, exact=False):
        self._read = read
        self._wanted = wanted
        self._lead = lead
        self._known = {}  # code object, by identity: itself, which keeps it alive, and its book, or None
        self._local = _Thread()
        self._sums = []
        self._tool = free_tool() if hasattr(sys, "monitoring") else None
        self._exact = exact
        self._overhead = 0
        self._on = False

    def add(self, code) -> None:
        """Trace a code object from now on."""
        self.book_of(code)
        if self._tool is not None:
            sys.monitoring.restart_events()

    def start(self) -> None:
        """Begin to trace."""
        self._on = True
        if self._tool is None:
            self._hook = _Hook(self)
            self._hook.put()
            return
        for event, callback in self._callbacks().items():
            sys.monitoring.register_callback(self._tool, event, callback)
        events = sys.monitoring.events
        sys.monitoring.set_events(self._tool, events.PY_START | events.PY_RESUME | events.PY_THROW | events.PY_UNWIND)
        sys.monitoring.restart_events()

    def stop(self) -> None:
        """Trace no more."""
        self._on = False
        if self._tool is None:
            self._hook.take_away()
            return
        sys.monitoring.set_events(self._tool, 0)
        for event in self._callbacks():
            sys.monitoring.register_callback(self._tool, event, None)
        for code, book in self._known.values():
            if book is not None:
                sys.monitoring.set_local_events(self._tool, code, 0)
        sys.monitoring.free_tool_id(self._tool)

    def join(self) -> None:
        """Trace this thread too, which may have begun before."""
        if self._tool is None:
            self._hook.put_here()

    def close(self) -> None:
        """There is nothing to give back."""

    def sums(self) -> list[tuple]:
        """What the lines came to; see ``memkit.tracing.tracers.LineTracer``."""
        return [(each.code, each.calls, each.entries, each.rows()) for each in list(self._sums)]

    def book_of(self, code):
        """Where the lines of a code object are entered, or None if it is not wanted."""
        known = self._known.get(id(code))
        if known is None:
            lead = self._lead(code) if self._wanted(code) else None
            book = None if not self._wanted(code) else _Book() if lead is None else self.book_of(lead)
            known = self._known[id(code)] = code, book
            if book is not None and self._tool is not None:
                events = sys.monitoring.events
                local = events.LINE | events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD
                sys.monitoring.set_local_events(self._tool, code, local)
        return known[1]

    # -- what happens ------------------------------------------------------------------------------------------------

    def told(self, do, *what):
        """Do what an event asks for. What this itself takes of memory is nobody's growth, where it can be told."""
        local = self._local
        local.raw = self._read()
        try:
            return do(*what, local.raw - self._overhead)
        finally:
            if self._exact:
                self._overhead += self._read() - local.raw

    def enter(self, code, line, begins, now) -> None:
        """A code object begins, or goes on in a line."""
        book = self.book_of(code)
        local = self._local
        sums = local.sums_of(code, self._sums)
        row = None if line is None else sums.lines[line]
        activation = _Activation(sums, local.top, book, local.innermost.get(book), row, now)
        activation.since = when = time.perf_counter_ns()
        local.top = local.innermost[book] = activation
        if begins:
            sums.calls += 1
            sums.entries = (*(sums.entries[:2] if sums.entries else (when, now)), when, now)

    def line(self, code, number, now) -> None:
        """A line begins."""
        activation = self._on_top(code, now)
        if activation is None:  # it was running when tracing began
            self.enter(code, None, False, now)
            activation = self._local.top
        if activation.line is not None:
            self._end_line(activation, now)
        activation.line = line = activation.sums.lines[number]
        line[0] += 1
        activation.nested = 0
        activation.since = time.perf_counter_ns()
        activation.memory = now

    def leave(self, code, now) -> None:
        """A code object ends or is suspended."""
        activation = self._on_top(code, now)
        if activation is not None:
            self._end_line(activation, now)
            self._drop(activation, now)

    def _on_top(self, code, now):
        """The activation on top if it is one of this code, once those are gone that vanished without an event."""
        top = self._local.top
        while top is not None and top.sums.code is not code:
            top = top.below
        if top is not None:
            while self._local.top is not top:
                self._drop(self._local.top, now)
        return top

    def _drop(self, activation, now):
        self._local.top = activation.below
        self._local.innermost[activation.book] = activation.around
        if activation.around is not None:
            activation.around.nested += now - activation.entry

    def _end_line(self, activation, now):
        if activation.line is None:
            return
        line = activation.line
        line[1] += now - activation.memory - activation.nested
        line[2] = now
        line[3] = line[3] or activation.since
        line[4] = time.perf_counter_ns()

    # -- sys.monitoring ------------------------------------------------------------------------------------------------

    def _callbacks(self):
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

    def _started(self, code, offset):
        return None if self.told(self._enter_if_wanted, code, None) else sys.monitoring.DISABLE

    def _resumed(self, code, offset):
        return None if self.told(self._enter_if_wanted, code, offset) else sys.monitoring.DISABLE

    def _thrown(self, code, offset, error):
        self.told(self._enter_if_wanted, code, offset)

    def _enter_if_wanted(self, code, offset, now):
        if self.book_of(code) is None:
            return False
        self.enter(code, None if offset is None else _line_at(code, offset), offset is None, now)
        return True

    def _line(self, code, number):
        self.told(self.line, code, number)

    def _left(self, code, offset, value):
        if self.book_of(code) is not None:
            self.told(self.leave, code)


def _line_at(code, offset):
    return next((line for start, end, line in code.co_lines() if start <= offset < end and line), code.co_firstlineno)


# -- what is kept --------------------------------------------------------------------------------------------------------


class _Thread(threading.local):
    """What runs in a thread, and its sums."""

    def __init__(self):
        self.top = None
        self.innermost = {}
        self._sums = {}

    def sums_of(self, code, everything):
        found = self._sums.get(id(code))
        if found is None:
            found = self._sums[id(code)] = _CodeSums(code)
            everything.append(found)
        return found


class _Book:
    """What nested code objects are entered in together."""


class _Activation:
    """A code object that runs, from its entry or resumption to its end or suspension."""

    __slots__ = ("around", "below", "book", "entry", "line", "memory", "nested", "since", "sums")

    def __init__(self, sums, below, book, around, line, entry):
        self.sums, self.below, self.book, self.around = sums, below, book, around
        self.line, self.entry, self.memory = line, entry, entry
        self.nested = 0


class _CodeSums:
    """The sums of a code object in a thread."""

    def __init__(self, code):
        self.code, self.calls, self.entries = code, 0, None
        numbers = {line for _, _, line in code.co_lines() if line}
        self.lines = {number: [0, 0, 0, 0, 0] for number in sorted(numbers | {code.co_firstlineno})}
        """By number: hits, growth, memory, when it first began, when it last ended."""

    def rows(self):
        return [(number, *values) for number, values in self.lines.items() if values[4]]


# -- sys.settrace --------------------------------------------------------------------------------------------------------


class _Hook:
    """The trace function of a tracer, before one that was there."""

    def __init__(self, lines):
        self._lines = lines
        self._thread = threading.local()
        self._before_new = threading.gettrace()
        self._starts = {}

    def put(self):
        self.put_here()
        threading.settrace(self)
        frame = sys._getframe()
        while frame is not None:  # what runs already has no start to come
            if self._lines.book_of(frame.f_code) is not None:
                frame.f_trace = self._local(frame.f_trace)
            frame = frame.f_back

    def put_here(self):
        if sys.gettrace() is not self and not hasattr(self._thread, "before"):
            self._thread.before = sys.gettrace()
            sys.settrace(self)

    def take_away(self):
        self._leave()
        if threading.gettrace() is self:
            threading.settrace(self._before_new)

    def _leave(self):
        if sys.gettrace() is self:
            sys.settrace(self._before)

    @property
    def _before(self):
        return getattr(self._thread, "before", self._before_new)

    def __call__(self, frame, event, argument):
        """A call, or the resumption of a generator."""
        if not self._lines._on:
            self._leave()
            return self._passed_on(frame, event, argument)
        return self._lines.told(self._enter, frame, event, argument)

    def _passed_on(self, frame, event, argument):
        before = self._before
        theirs = before(frame, event, argument) if before is not None else None
        return before if theirs is None and hasattr(before, "take_all") else theirs  # a compiled one wants every event

    def _enter(self, frame, event, argument, now):
        theirs = self._passed_on(frame, event, argument)
        code = frame.f_code
        if self._lines.book_of(code) is None:
            return theirs
        start = self._starts.get(id(code))
        if start is None:
            start = self._starts[id(code)] = last_instruction_at_start(code)
        begins = frame.f_lasti <= start
        if begins:
            _make_room(frame)
        self._lines.enter(code, None if begins else frame.f_lineno, begins, now)
        return self._local(theirs)

    def _local(self, theirs):
        lines = self._lines

        def trace(frame, event, argument):
            lines.told(do, frame, event, argument)
            return trace

        def do(frame, event, argument, now):
            nonlocal theirs
            if theirs is not None:
                theirs = theirs(frame, event, argument) or theirs
            if lines._on and event == "line":
                lines.line(frame.f_code, frame.f_lineno, now)
            elif lines._on and event == "return":
                lines.leave(frame.f_code, now)

        return trace


def _make_room(frame):
    """Have the interpreter's copy of a frame's variables, which it keeps for trace functions, grow now and not in a line."""
    if sys.version_info >= (3, 13):  # there is no copy any more
        return
    copy, names = frame.f_locals, [f"memkit {number}" for number in range(3 * len(frame.f_code.co_varnames) + 16)]
    copy.update(dict.fromkeys(names))
    for name in names:
        del copy[name]
