"""Entering the debugger at the line before which memory is found above a limit."""

from __future__ import annotations

import sys

from memkit.record.memory_reader import MIB, Reader


class Stopper:
    """A trace function for the functions of a profiler: it stops once, at a line that has not run yet."""

    def __init__(self, profiler):
        self._profiler = profiler
        self._reader = Reader(None, profiler.backend, profiler.include_children)
        self._before = None
        self._done = False

    def start(self):
        if not self._done:
            self._before = sys.gettrace()
            sys.settrace(self)

    def stop(self):
        if sys.gettrace() is self:
            sys.settrace(self._before)

    def __call__(self, frame, event, argument):
        return self._check if not self._done and frame.f_code in self._profiler.code_map else None

    def _check(self, frame, event, argument):
        memory = self._reader.read() / MIB if event == "line" and not self._done else 0
        if memory <= self._profiler.max_mem:
            return self._check
        self._done = True
        limit = self._profiler.max_mem
        print(f"Current memory {memory:.2f} MiB exceeded the maximum of {limit:.2f} MiB\nStepping into the debugger ")
        import bdb
        import pdb

        debugger = pdb.Pdb()
        bdb.Bdb.set_trace(debugger, frame)
        return debugger.trace_dispatch(frame, event, argument)
