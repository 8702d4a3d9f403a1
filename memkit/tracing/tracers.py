"""Tracing lines and calls: finding code objects that are wanted, and having the interpreter tell what runs in them.

Two engines: ``sys.monitoring`` from Python 3.12 on, for lines with events only in the code that is wanted, so that
everything else runs at full speed; and the trace and profile functions (``PyEval_SetTrace``, ``PyEval_SetProfile``), which
every Python has.
``MEMKIT_TRACER=monitoring`` or ``settrace`` forces one.
"""

from __future__ import annotations

import _thread
import os
import sys

from memkit.base import own_code
from memkit.base.errors import MeterError, UsageError
from memkit.model import file_format
from memkit.system import engine as engines
from memkit.system import meminfo
from memkit.tracing.monitoring_ids import NAMELESS, free_tool, last_instruction_at_start

with engines.compiled("tracing of lines and calls"):
    from memkit.native.tracing import gate
    from memkit.native.tracing.call_events import Calls
    from memkit.native.tracing.line_events import Lines

ENGINES = ("monitoring", "settrace")
_MOST_ALIKE = 8  # threads with a tree of their own, of those that only numbers tell apart


def engine() -> str:
    """The tracing engine in use: the one that ``MEMKIT_TRACER`` names, or the best that this Python has."""
    wished = os.environ.get("MEMKIT_TRACER", "")
    if wished and wished not in ENGINES:
        raise UsageError(f"MEMKIT_TRACER is {wished!r}: write {' or '.join(ENGINES)}, or leave it out")
    if wished == "monitoring" and not hasattr(sys, "monitoring"):
        raise MeterError(f"MEMKIT_TRACER is 'monitoring', which Python {sys.version.split()[0]} has not: it came with 3.12")
    return wished or ("monitoring" if hasattr(sys, "monitoring") else "settrace")


def check() -> None:
    """Raise ``UsageError`` or ``MeterError`` if the gate or the engine that the environment names cannot be had."""
    gate.probe(os.environ.get("MEMKIT_GATE", ""))
    engine()


class Functions:
    """The numbers of functions in a recording."""

    def __init__(self, rows):
        self._rows = rows
        self._count = 0

    def add(self, file: str, name: str, line: int) -> int:
        """Write down one more; its number is returned."""
        number, self._count = self._count, self._count + 1
        self._rows.text(file_format.row("function", number, file, name, line))
        return number


class Tracer:
    """What has the interpreter call a native object, ``self._native``, for what runs in all threads, and stop it again."""

    function = "settrace"
    """Of ``sys`` and ``threading``: sets the function that the interpreter calls where there is no ``sys.monitoring``."""

    def __init__(self):
        check()
        self.engine = engine()
        self._started = False
        self._thread_hook = None
        self._tool = free_tool() if self.engine == "monitoring" else None
        if self._tool is None:
            self.engine = self.function  # asked for, or all that there is, or six other tools are at work
        self._disable = sys.monitoring.DISABLE if self._tool is not None else None

    def _callbacks(self) -> dict:
        """What is to be called for each event of ``sys.monitoring``."""
        raise NotImplementedError

    def _events(self) -> tuple:
        """The events that are wanted of all code."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to trace, in all threads."""
        self._started = True
        if self._tool is None:
            self._hook_new_threads()
            self._native.start()
            self._native.take_all()
            return
        self._native.start()
        for event, callback in self._callbacks().items():
            sys.monitoring.register_callback(self._tool, event, callback)
        sys.monitoring.set_events(self._tool, sum(self._events()))
        sys.monitoring.restart_events()  # an earlier tracer with this number may have put code aside that is wanted now

    def stop(self) -> None:
        """Trace no more, and give the tool number back."""
        self._started = False
        self._native.stop()
        if self._tool is not None:
            sys.monitoring.set_events(self._tool, 0)
            for event in self._callbacks():
                sys.monitoring.register_callback(self._tool, event, None)
            self._forget_code()
            sys.monitoring.free_tool_id(self._tool)
            return
        threading = sys.modules.get("threading")
        if getattr(threading, self._hook_name(), None) is self._thread_hook is not None:
            getattr(threading, self.function)(self._hook_before)

    def _forget_code(self) -> None:
        """Switch off the events of single code objects."""

    def _hook_name(self) -> str:
        return f"_{self.function.removeprefix('set')}_hook"

    def _hook_new_threads(self) -> None:
        """Trace the threads that ``threading`` starts from now on."""
        import threading

        self._hook_before = before = getattr(threading, self._hook_name())
        set_function = getattr(sys, self.function)

        def trace_new_thread(frame, event, argument):
            set_function(before)  # this function itself was put there, and is not to be chained
            if self._native.take():
                self._begun(frame, event)
            return before(frame, event, argument) if before is not None else None

        self._thread_hook = trace_new_thread
        getattr(threading, self.function)(trace_new_thread)

    def _begun(self, frame, event: str) -> None:
        """A new thread is traced from here on; this event will not be told of again."""

    def writer(self, sampler):
        """What a sampler of either kind needs to write the sums before a flush."""
        return self._native.writer() if sampler.engine == "native" else self._native.flush

    def flush(self, rows) -> None:
        """Write all sums into a journal."""
        self._native.flush(rows)

    def read_cost(self) -> float:
        """Nanoseconds that a reading of memory takes."""
        return self._native.read_cost()

    def close(self) -> None:
        """Give back all memory and descriptors. Nothing may flush any more."""
        self._native.close()


class LineTracer(Tracer):
    """Traces the lines of the code objects that ``wanted`` says yes to. ``meter`` is a native ``Meter``.

    ``lead`` tells of a code object in whose book it is entered, or None for its own: what is entered in one book counts
    each byte once, on the line that really grew, as a recursion does.
    """

    def __init__(self, functions: Functions, meter, wanted, lead=lambda code: None):
        super().__init__()
        self._functions = functions
        self._wanted = wanted
        self._lead = lead
        self._native = Lines(meter, self._describe, self._disable)

    def add(self, code) -> None:
        """Trace a code object from now on."""
        self._native.trace(code)
        if self._started and self._tool is not None:
            sys.monitoring.restart_events()  # its start may have been met already, and put aside

    @property
    def can_pause(self) -> bool:
        """Whether a pause costs nobody anything.

        A trace function would slow the program down all the while, and a debugger, coverage or a profiler may want a tool
        number that is theirs.
        """
        return self._tool in NAMELESS

    def pause(self) -> None:
        """Trace nothing for the moment."""
        self._native.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._native.resume()

    def sums(self) -> list[tuple]:
        """What the lines that have ended came to, for each thread and code object that ran in it.

        Each is the code object, how often it began, a tuple of when it first and last did and memory then (time, bytes,
        time, bytes), and its lines: number, hits, growth, memory, when it first began and last ended. Times are ticks of one
        clock.
        """
        return self._native.sums()

    def start(self) -> None:
        super().start()
        if self._tool is not None:
            for frame in sys._current_frames().values():  # what runs already has no start to come
                while frame is not None:
                    self._native.trace(frame.f_code)
                    frame = frame.f_back

    def _describe(self, code):
        """What the rows of a code object are, if it is wanted; asked once for each."""
        if not self._wanted(code):
            return None
        lines = [line for _, _, line in code.co_lines() if line]
        first, last = min(lines, default=code.co_firstlineno), max(lines, default=code.co_firstlineno)
        first = min(first, code.co_firstlineno)
        row_at = [0] * (len(code.co_code) // 2)
        for start, end, line in code.co_lines():
            if line:
                row_at[start // 2 : end // 2] = [line - first] * (end // 2 - start // 2)
        number = self._functions.add(code.co_filename, code.co_qualname, code.co_firstlineno)
        if self._tool is not None and self._started:  # it may have been stopped meanwhile: the number is another's then
            events = sys.monitoring.events
            local = events.LINE | events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD
            sys.monitoring.set_local_events(self._tool, code, local)
        lead = self._lead(code)
        if lead is not None:
            self._native.trace(lead)
        return number, first, last - first + 1, row_at, lead

    def _callbacks(self):
        events = sys.monitoring.events
        start, resume, line, leave, throw = self._native.callbacks()
        return {
            events.PY_START: start,
            events.PY_RESUME: resume,
            events.PY_THROW: throw,
            events.LINE: line,
            events.PY_RETURN: leave,
            events.PY_YIELD: leave,
            events.PY_UNWIND: leave,
        }

    def _events(self):
        events = sys.monitoring.events
        return events.PY_START, events.PY_RESUME, events.PY_UNWIND, events.PY_THROW

    def _forget_code(self):
        for code in self._native.kept:
            sys.monitoring.set_local_events(self._tool, code, 0)


class CallTracer(Tracer):
    """Traces the calls of all threads, or those under the code objects that ``wanted`` says yes to.

    ``builtins`` is whether functions in C are to be in the tree too. ``meter`` is a native ``Meter``.
    """

    function = "setprofile"

    def __init__(self, functions: Functions, meter, wanted=None, builtins: bool = False):
        super().__init__()
        self._functions = functions
        self._wanted = wanted
        self._builtins = builtins
        self._alike, self._shared = {}, {}
        more = functions.add("", "<more paths>", 0)
        describe_builtin = self._describe_builtin if builtins else None
        self._native = Calls(
            meter,
            self._describe,
            describe_builtin,
            self._describe_thread,
            more,
            wanted is None,
            meminfo.most_of_a_fault(),
            self._disable,
        )

    def stop(self) -> None:
        self._native.settle()
        super().stop()

    def _describe(self, code):
        """What is to be known of a code object, or None for memkit's own; asked once for each."""
        if own_code.is_own(code.co_filename):
            return None
        target = self._wanted is not None and self._wanted(code)
        number = self._functions.add(code.co_filename, code.co_qualname, code.co_firstlineno)
        return number, target, -1 if self._tool is not None else last_instruction_at_start(code)

    def _begun(self, frame, event):
        if event == "call":
            self._native.enter(frame.f_code)

    def _describe_builtin(self, function) -> int:
        name = function.__qualname__
        module = getattr(function, "__module__", None)
        if isinstance(module, str) and module != "builtins":
            name = f"{module}.{name}"
        return self._functions.add("", name, 0)

    def _describe_thread(self) -> tuple[int, int]:
        """The function of this thread's root, and the thread's number. Many threads that only numbers tell apart share one.

        A server that starts a thread for each request would have as many trees as it has requests.
        """
        number = _thread.get_native_id()
        name = _name_of_this_thread() or str(number)
        kind = _without_numbers(name)
        alike = self._alike[kind] = self._alike.get(kind, 0) + 1
        if alike <= _MOST_ALIKE:
            return self._functions.add("", f"<thread {name}>", 0), number
        if kind not in self._shared:
            self._shared[kind] = self._functions.add("", f"<thread {kind}>", 0)
        return self._shared[kind], number

    def _callbacks(self):
        events = sys.monitoring.events
        start, resume, throw, leave, call, c_leave = self._native.callbacks()
        found = {
            events.PY_START: start,
            events.PY_RESUME: resume,
            events.PY_THROW: throw,
            events.PY_RETURN: leave,
            events.PY_YIELD: leave,
            events.PY_UNWIND: leave,
        }
        if self._builtins:
            found |= {events.CALL: call, events.C_RETURN: c_leave, events.C_RAISE: c_leave}
        return found

    def _events(self):
        events = sys.monitoring.events
        python = events.PY_START, events.PY_RESUME, events.PY_THROW, events.PY_RETURN, events.PY_YIELD, events.PY_UNWIND
        return (*python, events.CALL) if self._builtins else python


def _name_of_this_thread() -> str | None:
    """What ``threading`` calls it; a thread that has just begun is not in its list yet, but in the first frame."""
    threading = sys.modules.get("threading")
    if threading is None:
        return "MainThread" if len(sys._current_frames()) == 1 else None
    known = threading._active.get(_thread.get_ident())
    if known is None:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
        known = frame.f_locals.get("self") if frame.f_code is threading.Thread._bootstrap.__code__ else None
    return getattr(known, "name", None)


def _without_numbers(name: str) -> str:
    """A name with a star for each number in it."""
    starred = "".join("*" if letter.isdigit() else letter for letter in name)
    while "**" in starred:
        starred = starred.replace("**", "*")
    return starred
