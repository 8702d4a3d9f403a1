"""``max_mem``: enters the debugger at the first line before which memory exceeds a limit."""

from __future__ import annotations

from collections.abc import Container
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from memkit.compat.memory_profiler.trace_hook import TraceHook, pass_on
from memkit.record.memory_reader import MIB, Reader

if TYPE_CHECKING:
    from _typeshed import TraceFunction

    from memkit.compat.memory_profiler.trace_hook import Event


class MemoryBreakpoint(TraceHook):
    """Checks memory before each line of some functions, and enters the debugger once, when it is above ``limit`` MiB."""

    def __init__(self, codes: Container[CodeType], limit: float, reader: Reader) -> None:
        super().__init__()
        self._codes, self._limit, self._reader = codes, limit, reader
        self.hit = False

    def __call__(self, frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
        theirs = self.pass_on(frame, event, argument)
        return theirs if self.hit or frame.f_code not in self._codes else self._checked(theirs)

    def _checked(self, theirs: TraceFunction | None) -> TraceFunction:
        """A local trace function that checks memory at each line, after another one has got the event."""

        def check(frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
            nonlocal theirs
            theirs = pass_on(theirs, frame, event, argument)
            if self.hit:
                return theirs or check
            memory = (self._reader.read() or 0) / MIB if event == "line" else 0
            return self._enter_debugger(frame, event, argument, memory) if memory > self._limit else check

        return check

    def _enter_debugger(self, frame: FrameType, event: Event, argument: object, memory: float) -> TraceFunction | None:
        self.hit = True
        print(f"Current memory {memory:.2f} MiB exceeded the maximum of {self._limit:.2f} MiB\nStepping into the debugger ")
        import bdb
        import pdb

        debugger = pdb.Pdb()
        bdb.Bdb.set_trace(debugger, frame)
        return debugger.trace_dispatch(frame, event, argument)
