"""The tracers of lines and of calls: they switch the interpreter's events on and hand them to the compiled modules.

There are two engines: ``sys.monitoring`` from Python 3.12 on, for lines with events only in the code that is wanted, so
that other code runs at full speed; and the trace and profile functions (``PyEval_SetTrace``, ``PyEval_SetProfile``), which
every Python has. ``MEMKIT_TRACER=monitoring`` or ``settrace`` forces one.
"""

from __future__ import annotations

import _thread
import sys

from memkit.base import own_code
from memkit.system import engine as engines
from memkit.tracing import generated, handed_over
from memkit.tracing.choice import check, engine
from memkit.tracing.functions import Functions
from memkit.tracing.given_work import GivenWork
from memkit.tracing.inside import calls_inside, lines_inside
from memkit.tracing.last_calls import FUNCTIONS, LastCalls
from memkit.tracing.made_code import MadeCode
from memkit.tracing.monitoring_ids import UNASSIGNED, free_tool, last_instruction_at_start
from memkit.tracing.new_threads import NewThreads
from memkit.tracing.other_threads import OtherThreads
from memkit.tracing.pickled_code import named_after_its_file, wanted_by
from memkit.tracing.statements import STATEMENT_AT, statement_numbers
from memkit.tracing.thread_roots import ThreadRoots, is_own, this_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from memkit.base.protocols import Sampler
    from memkit.system.engine import Journal, Meter


with engines.compiled("tracing of lines and calls"):
    from memkit.native.tracing.call_events import Calls
    from memkit.native.tracing.line_events import Lines

_LOCAL_UNWIND = sys.version_info >= (3, 15)
"""Whether single code objects can have the event of a frame that an exception ends."""


class Tracer:
    """Has the interpreter pass the events of all threads to a compiled object, ``self._native``."""

    function = "trace"
    """Whether trace or profile functions, of ``sys`` and ``threading``, have the events without ``sys.monitoring``."""
    rows_inside: Callable[[int, list[list[int]]], list[bytes]]
    """The rows of what has changed in a span, which has a number."""
    _native: Any

    def __init__(self) -> None:
        check()
        self.engine = engine()
        self._started = False
        self._new_threads: NewThreads | None = None
        self._tool = free_tool() if self.engine == "monitoring" else None
        if self._tool is None:
            self.engine = f"set{self.function}"  # it was asked for, is all that there is, or all six tool ids are taken
        self._disable = sys.monitoring.DISABLE if self._tool is not None else None
        self.last_calls = LastCalls(self._tool)

    def _callbacks(self) -> dict[int, Callable[..., object]]:
        """The callback for each event of ``sys.monitoring``."""
        events = sys.monitoring.events
        start, resume, throw, leave = self._native.callbacks()[:4]
        return {
            events.CALL: self.last_calls.on_call,
            events.PY_START: start,
            events.PY_RESUME: resume,
            events.PY_THROW: throw,
            events.PY_RETURN: leave,
            events.PY_YIELD: leave,
            events.PY_UNWIND: leave,
        }

    def _events(self) -> tuple[int, ...]:
        """The events that are wanted of all code."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to trace, in all threads."""
        self._started = True
        if self._tool is None:
            self._new_threads = NewThreads(self.function, self._native, self._thread_began)
            self._native.start()
            self._native.take_all()
            return
        self._native.start()
        for event, callback in self._callbacks().items():
            sys.monitoring.register_callback(self._tool, event, callback)
        sys.monitoring.set_events(self._tool, sum(self._events()))
        sys.monitoring.restart_events()  # an earlier tracer with this id may have disabled events that are wanted now

    def stop(self) -> None:
        """Trace no more, and free the tool id."""
        self._started = False
        self._native.stop()
        if self._tool is not None:
            sys.monitoring.set_events(self._tool, 0)
            for event in self._callbacks():
                sys.monitoring.register_callback(self._tool, event, None)
            self._clear_local_events()
            sys.monitoring.free_tool_id(self._tool)
            return
        if self._new_threads is not None:
            self._new_threads.stop()
            self._new_threads = None

    def _clear_local_events(self) -> None:
        """Switch off the events of single code objects."""
        self.last_calls.clear()

    def _watch(self, code: CodeType, events: int = 0) -> None:
        """Set the local events of a code object, while events are traced: afterwards the tool id is another's."""
        if self._started:
            self.last_calls.watch(code, events)

    def _thread_began(self, frame: FrameType, event: str, argument: object) -> None:
        """A new thread is traced from here on, but this event of it does not reach the native object."""

    def writer(self, sampler: Sampler) -> object:
        """What a sampler of either kind calls to write the sums before a flush."""
        return self._native.writer() if sampler.engine == "native" else self._native.flush

    def flush(self, journal: Journal) -> None:
        """Write all sums into a journal."""
        self._native.flush(journal)

    def mark(self) -> int:
        """The number of a moment, to give to ``since``."""
        return self._native.mark() if self._native is not None else -1

    def since(self, mark: int) -> list[list[int]]:
        """What has changed since: see ``memkit.native.tracing.tracer``."""
        return (self._native and self._native.since(mark)) or []

    def read_cost(self) -> float:
        """Nanoseconds that a reading of memory takes."""
        return float(self._native.read_cost())

    def close(self) -> None:
        """Free all memory and descriptors. Nothing may follow, but to close it again."""
        if self._native is not None:
            self._native.close()
            # It has this object's methods: both are freed at once, with no turn of the garbage collector.
            self._native = None


class LineTracer(Tracer):
    """Traces the lines of the code objects for which ``wanted`` is true. ``meter`` is a native ``Meter``.

    ``lead`` returns the code object whose account a code object shares, or None for an account of its own. Code objects
    that share an account count each byte once, on the line that really grew, as the frames of a recursion do. With ``keep``
    one code object of each function is kept alive, as ``sums`` needs it; ``with_heap`` is whether allocations are counted.
    ``rules_out`` tells of code that is not wanted at once. One that ``is_brief`` may be followed by many of its kind.
    """

    rows_inside = staticmethod(lines_inside)

    def __init__(
        self,
        functions: Functions,
        meter: Meter,
        wanted: Callable[[CodeType], bool],
        lead: Callable[[CodeType], CodeType | None] = lambda code: None,
        keep: bool = False,
        with_heap: bool = False,
        rules_out: Callable[[CodeType], bool] = lambda code: False,
        is_brief: bool = False,
    ) -> None:
        super().__init__()
        self._functions = functions
        self._wanted, self._rules_out, self._is_brief = wanted, rules_out, is_brief
        self._lead = lead
        self._made = MadeCode(functions.row)
        self._others = OtherThreads()
        self._native = Lines(meter, self._describe, self._disable, keep, with_heap, self._at_thread, is_brief)

    def add(self, code: CodeType) -> None:
        """Trace a code object from now on."""
        self._native.trace(code)
        if self._started and self._tool is not None:
            sys.monitoring.restart_events()  # its start event may have been disabled already

    @property
    def can_pause(self) -> bool:
        """Whether the tracer may stay installed during a pause.

        A trace function would slow the program down, and a tool id of a debugger, coverage or a profiler may be wanted.
        """
        return self._tool in UNASSIGNED

    def pause(self) -> None:
        """Trace nothing until ``resume``."""
        self._native.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._native.resume()
        self._others.look(self._native)

    def sums(self) -> list[tuple[Any, ...]]:
        """The sums of the lines that have ended, for each thread and each function that ran in it.

        Each is a code object of it, how often it began, a tuple of when it first and last did and memory then (time, bytes,
        time, bytes), and its lines: number, hits, growth, memory, when it first began and last ended. Times are ticks of the
        native clock.
        """
        return list(self._native.sums())

    def _at_thread(self) -> None:
        if self._native is not None:
            self._others.at_call(self._native)

    def _thread_began(self, frame: FrameType, event: str, argument: object) -> None:
        if self._native is not None:
            self._others.begins(self._native)

    def start(self) -> None:
        super().start()
        self._others.look(self._native)
        if self._tool is not None:
            # Code that runs already will have no start event. No name may be left with this frame: that would be a cycle.
            running: list[FrameType | None] = [*sys._current_frames().values()]
            while running:
                frame = running.pop()
                while frame is not None:
                    if not self._rules_out(frame.f_code):
                        self._native.trace(frame.f_code)
                    elif not self._is_brief:
                        self._watch(frame.f_code)
                    frame = frame.f_back

    def _describe(self, code: CodeType) -> tuple[int, int, int, list[int], CodeType | None] | tuple[()] | None:
        """Number, first line, count of lines, line of each instruction, lead; None if not wanted. Called once for each."""
        if self._rules_out(code):
            self._watch(code)
            return () if self._others.concerns(code) else None
        named = named_after_its_file(code)
        if not self._made.look(code, self._wanted) and not wanted_by(self._wanted, code, named):
            self._watch(code)
            return () if self._others.concerns(code) else None
        lines = [line for _, _, line in code.co_lines() if line]
        first, last = min(lines, default=code.co_firstlineno), max(lines, default=code.co_firstlineno)
        first = min(first, code.co_firstlineno)
        statements = statement_numbers(code) if last > first else {}
        row_at = [0] * (len(code.co_code) // 2)
        for start, end, line in code.co_lines():
            if line:
                row = line - first | statements.get(line, 0) << STATEMENT_AT
                row_at[start // 2 : end // 2] = [row] * (end // 2 - start // 2)
        number = self._functions.number(self._made.file_of(named), code.co_qualname, code.co_firstlineno, first, last)
        if self._tool is not None:
            events = sys.monitoring.events
            left = events.PY_RETURN | events.PY_YIELD | (events.PY_UNWIND if _LOCAL_UNWIND else 0)
            self._watch(code, events.LINE | events.PY_START | events.PY_RESUME | left)
        for nested in code.co_consts if self._is_brief else ():
            if isinstance(nested, type(code)):
                self._native.trace(nested)
        if self._functions.is_more(number):
            return number, 0, 1, [], None
        lead = self._lead(code)
        if lead is not None:
            self._native.trace(lead)
        return number, first, last - first + 1, row_at, lead

    def _callbacks(self) -> dict[int, Callable[..., object]]:
        return super()._callbacks() | {sys.monitoring.events.LINE: self._native.callbacks()[4]}

    def _events(self) -> tuple[int, ...]:
        events = sys.monitoring.events
        of_all = events.PY_START, events.PY_RESUME, events.PY_THROW
        return of_all if _LOCAL_UNWIND else (*of_all, events.PY_UNWIND)

    def _clear_local_events(self) -> None:
        super()._clear_local_events()
        assert self._tool is not None
        for code in self._native.codes():
            sys.monitoring.set_local_events(self._tool, code, 0)


class CallTracer(Tracer):
    """Traces the calls of all threads, or only calls under the code objects for which ``wanted`` is true.

    ``builtins`` is whether functions in C are calls of their own. ``meter`` is a native ``Meter``. ``with_heap`` is whether
    allocations are counted.
    """

    function = "profile"
    rows_inside = staticmethod(calls_inside)

    def __init__(
        self,
        functions: Functions,
        meter: Meter,
        wanted: Callable[[CodeType], bool] | None = None,
        builtins: bool = False,
        with_heap: bool = False,
    ) -> None:
        super().__init__()
        self._functions = functions
        self._wanted = wanted
        self._builtins = builtins
        self._roots = ThreadRoots(functions)
        more = functions.add("", "<more paths>", 0)
        describe_builtin = self._describe_builtin if builtins else None
        self._native = Calls(
            meter,
            self._describe,
            describe_builtin,
            self._describe_thread,
            more,
            wanted is None,
            self._disable,
            GivenWork(functions).take,
            with_heap,
        )
        self._native.watch_calls(FUNCTIONS, lambda: self.last_calls.before())

    def stop(self) -> None:
        self._native.settle()
        super().stop()

    def _describe(self, code: CodeType) -> tuple[int, bool, int, tuple[int, str | None, int]] | None:
        """Number, whether it is a target, first instruction, its part in handing work over; None for memkit's own code.

        Called once for each.
        """
        named = named_after_its_file(code)
        if own_code.is_own(named.co_filename):
            return None
        target = self._wanted is not None and wanted_by(self._wanted, code, named)
        if not self._builtins:  # else all code has events of calls
            self._watch(code)
        number = self._functions.number(generated.file_of(named), code.co_qualname, code.co_firstlineno)
        role, local, kind = handed_over.part_of(code)
        part = role, local, -1 if kind is None else self._functions.named(kind)
        return number, target, -1 if self._tool is not None else last_instruction_at_start(code), part

    def _thread_began(self, frame: FrameType, event: str, argument: object) -> None:
        native = self._native
        if event == "call" and native is not None:
            native.enter(frame.f_code)

    def _describe_builtin(self, function: Callable[..., object]) -> int:
        name = function.__qualname__
        module = getattr(function, "__module__", None)
        if isinstance(module, str) and module != "builtins":
            name = f"{module}.{name}"
        return self._functions.number("", name, 0)

    def _describe_thread(self) -> tuple[int, int, int, int] | None:
        """The root of this thread's tree, its number, its object, and what stands for threads; None for one of memkit's."""
        if is_own():
            return None
        thread, name = this_thread()
        return self._roots.number(name), _thread.get_native_id(), id(thread), self._functions.named(handed_over.THREAD)

    def _callbacks(self) -> dict[int, Callable[..., object]]:
        events = sys.monitoring.events
        found = super()._callbacks()
        if self._builtins:
            call, c_leave = self._native.callbacks()[4:]
            found |= {events.CALL: call, events.C_RETURN: c_leave, events.C_RAISE: c_leave}
        return found

    def _events(self) -> tuple[int, ...]:
        events = sys.monitoring.events
        python = events.PY_START, events.PY_RESUME, events.PY_THROW, events.PY_RETURN, events.PY_YIELD, events.PY_UNWIND
        return (*python, events.CALL) if self._builtins else python
