"""``memory_usage``: the memory of a process, or of a call while it runs, as a list of MiB, as memory_profiler gives it."""

from __future__ import annotations

import operator
import os
import time

from memkit.base import clocks
from memkit.base.errors import JournalError, MemkitError, MeterError, UsageError
from memkit.base.stderr import to_stderr
from memkit.base.units import LONGEST_INTERVAL, SECOND, SHORTEST_INTERVAL
from memkit.model.recording import Sample
from memkit.record.memory_reader import MIB, Reader, start_tracemalloc, stop_tracemalloc
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TextIO

    Call = Callable[..., Any] | tuple[Any, ...] | list[Any]  # a function; or with arguments, and keywords
    Point = tuple[float, float]  # MiB, and seconds since the epoch
    Ended = Callable[[float], bool]  # waits for seconds at most for the end of a process


def memory_usage(
    proc: int | str | subprocess.Popen[Any] | Call = -1,
    interval: float = 0.1,
    timeout: float | None = None,
    timestamps: bool = False,
    include_children: bool = False,
    multiprocess: bool = False,
    max_usage: bool = False,
    retval: bool = False,
    stream: TextIO | None = None,
    backend: str | None = None,
    max_iterations: int | None = None,
) -> Any:
    """Memory of a process over time, in MiB, with memory_profiler's arguments and what it returns.

    ``proc``: a pid, -1 for this process, also as text; a ``subprocess.Popen``; a function, ``(function,)``,
    ``(function, arguments)`` or ``(function, arguments, keywords)``, which is called once; or a string of Python code.
    ``interval``: seconds from sample to sample. ``timeout``: seconds after which no more samples are taken; a function that
    runs longer is not stopped. A process given by its pid is sampled once if there is no ``timeout``, a ``Popen`` and a
    function until they end.

    The result is a list of MiB, one for each sample. For a function it begins with memory at the call and ends with memory
    at the return; each value in between is the peak since the one before, and so is the last but one if memory has fallen
    since. ``timestamps``: each value is a tuple with the time in seconds since the epoch. ``max_usage``: the peak instead of
    a list. ``retval``: a tuple of the result and what the function returned. ``include_children``: the memory of all
    descendants is added. ``multiprocess``, for a process: each value is a list, with that of each descendant after it.
    ``stream``: a text file that gets a ``MEM`` line for each sample, and ``CHLD`` lines with ``multiprocess``; the result is
    None. ``backend``: ``"psutil"`` for resident memory, ``"psutil_pss"``, ``"psutil_uss"``, ``"posix"``, which runs ``ps``,
    or ``"tracemalloc"``, what Python has allocated, without children. ``max_iterations`` is accepted and has no effect.

    The list ends when the process ends. Raises ``UsageError`` for arguments that make no sense, and ``MeterError`` if there
    is no such process, or it may not be read.
    """
    call = _call_of(proc)
    options = _Options(interval, timeout, timestamps or stream is not None, multiprocess, max_usage)
    if call is not None:
        usage, returned = _usage_of_call(call, options, Reader(None, backend, include_children), stream)
        return (usage, returned) if retval else usage
    pid, ended = _process_of(proc)
    try:
        reader = Reader(pid, backend, include_children)
    except MeterError:
        if ended is None or not ended(0):
            raise
        return _result((), options, stream)
    if pid is None and timeout is None and not (timestamps or multiprocess or stream is not None or max_usage):
        return [_now(reader)]
    once = timeout is None and ended is None
    return _result(_watch(reader, options, ended, once, stream), options, stream)


def _now(reader: Reader) -> float:
    """One reading, in MiB. Raises ``MeterError`` where there is none."""
    memory = reader.read()
    if memory is None:
        raise MeterError("memory cannot be read now: the system may have no descriptor left")
    return memory / MIB


class _Options:
    """The arguments that say when samples are taken, and what is returned of them."""

    def __init__(self, interval: object, timeout: object, timestamps: bool, multiprocess: bool, max_usage: bool) -> None:
        try:
            self.interval = float(interval)  # type: ignore[arg-type]  # if it is no number, that is the error below
            self.timeout = None if timeout is None else float(timeout)  # type: ignore[arg-type]  # the same
        except (TypeError, ValueError):
            raise UsageError(f"interval={interval!r}, timeout={timeout!r}: give seconds") from None
        if self.interval != self.interval:
            raise UsageError(f"interval={interval!r}: give seconds")
        if self.timeout is not None and not self.timeout >= 0:
            raise UsageError(f"timeout={timeout!r}: give seconds, from 0 up, or None for no end")
        self.interval = min(max(self.interval, SHORTEST_INTERVAL / SECOND), LONGEST_INTERVAL / SECOND)
        self.timestamps, self.multiprocess, self.max_usage = timestamps, multiprocess and not max_usage, max_usage


# -- what is to be measured --------------------------------------------------------------------------------------------


def _call_of(proc: Any) -> Callable[[], Any] | None:
    """The call that is to be measured, as a function without arguments; None for a process."""
    if callable(proc):
        function: Callable[..., Any] = proc
        return function
    if isinstance(proc, (list, tuple)):
        if not 1 <= len(proc) <= 3 or not callable(proc[0]):
            raise UsageError(f"{proc!r} is no call: write (function,), (function, arguments) or with keywords after them")
        defaults: tuple[Any, ...] = ((), {})
        function, arguments, keywords = (*tuple(proc), *defaults[len(proc) - 1 :])
        return lambda: function(*arguments, **keywords)
    if isinstance(proc, str) and not proc.strip().removeprefix("-").isdigit():
        try:
            code = compile(proc, "<string>", "eval")
        except SyntaxError:
            code = compile(proc, "<string>", "exec")
        return lambda: eval(code, {"__name__": "__main__", "__builtins__": __builtins__})
    return None


def _process_of(proc: Any) -> tuple[int | None, Ended | None]:
    """The pid, None for this process, and a function that waits for its end."""
    if hasattr(proc, "poll") and hasattr(proc, "pid"):
        return proc.pid, lambda seconds: _ended(proc, seconds)
    try:
        pid = int(proc) if isinstance(proc, str) else _index(proc)
    except (TypeError, ValueError):
        raise UsageError(f"{proc!r} is neither a process nor a function: see help(memkit.memory_usage)") from None
    if pid < -1 or pid == 0:
        raise UsageError(f"{proc!r} is not the number of a process: give one above 0, or -1 for this one")
    return (None if pid == -1 or pid == os.getpid() else pid), None


def _index(number: Any) -> int:
    if isinstance(number, bool):
        raise TypeError
    return operator.index(number)


def _ended(process: subprocess.Popen[Any], seconds: float) -> bool:
    import subprocess

    if seconds <= 0:
        return process.poll() is not None
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# -- a process ---------------------------------------------------------------------------------------------------------


def _watch(reader: Reader, options: _Options, ended: Ended | None, once: bool, stream: TextIO | None) -> Iterator[Any]:
    """The values to be returned, sample by sample until the end."""
    began = due = clocks.monotonic()
    while ended is None or not ended(0):
        memory = reader.read()
        if memory is None:
            return
        yield _sample(memory / MIB, clocks.time(), reader, options, stream)
        due += options.interval
        if once or (options.timeout is not None and due - began >= options.timeout):
            return
        left = due - clocks.monotonic()
        if ended is None:
            time.sleep(max(0, left))
        elif ended(left):
            return
        due = max(due, clocks.monotonic())


def _sample(memory: float, now: float, reader: Reader, options: _Options, stream: TextIO | None) -> Any:
    children = reader.read_children() if options.multiprocess else []
    if stream is not None:
        _write(stream, [(memory, now)], [(pid, size, now) for pid, size in children])
    value: float | Point = (memory, now) if options.timestamps and not options.max_usage else memory
    return [value, *(size / MIB for _, size in children)] if options.multiprocess else value


def _write(stream: TextIO, points: Iterable[Point], children: Iterable[tuple[int, int, float]] = ()) -> None:
    from memkit.model.mprof_file import child_row, memory_row

    rows = [memory_row(memory * MIB, when) for memory, when in points]
    stream.write("".join([*rows, *(child_row(*row) for row in children)]))
    if hasattr(stream, "flush"):
        stream.flush()


def _result(values: Iterable[Any], options: _Options, stream: TextIO | None) -> Any:
    if stream is not None:
        for _ in values:
            pass
        return None
    return max(values, default=None) if options.max_usage else list(values)


# -- a call ------------------------------------------------------------------------------------------------------------


def _usage_of_call(call: Callable[[], Any], options: _Options, reader: Reader, stream: TextIO | None) -> tuple[Any, Any]:
    """The result and what the call returned. If it raises an exception, the stream gets what was measured until then."""
    measurement = _Measurement(options, reader)
    try:
        returned = call()
    finally:
        points = measurement.end()
        if stream is not None:
            _write(stream, points)
    if stream is not None:
        return None, returned
    if options.max_usage:
        best = max(points)
        return (best if options.timestamps else best[0]), returned
    return [point if options.timestamps else point[0] for point in points], returned


class _Measurement:
    """A recording while a call runs. A full disk leads to a message, but the call goes on and its result is returned."""

    def __init__(self, options: _Options, reader: Reader) -> None:
        from memkit.record.recorder import record

        self._options, self._reader = options, reader
        self._tracing = reader.name == "tracemalloc" and start_tracemalloc()
        self._recorder = record(interval=options.interval, meter=reader.meter or reader)
        self._scope = engine.Scope() if reader.include_children and reader.name == "psutil" else None
        self._began, self._clock = clocks.time(), clocks.monotonic_ns()
        self._first: Sample | None = None  # only if nothing can be recorded
        try:
            self._recorder.start()
        except JournalError as error:
            self._lost(error)
            self._first = self._sample()

    def end(self) -> list[Point]:
        """The points to be returned."""
        samples: Sequence[Sample]
        samples, began = self._recorded() if self._first is None else ([self._first, self._sample()], self._began)
        highest = stop_tracemalloc() if self._tracing else self._scope and self._scope.close()
        return _points(samples, began, self._options, highest or 0)

    def _recorded(self) -> tuple[Sequence[Sample], float]:
        try:
            self._recorder.stop()
            recording = self._recorder.recording
            assert recording is not None
            return recording.samples, recording.about.began
        except (MemkitError, OSError) as error:
            self._lost(error)
        try:
            recording = self._recorder.recording
        except (MemkitError, OSError):  # the program has closed the file
            recording = None
        return [*(recording.samples if recording is not None else ()), self._sample()], self._began

    def _sample(self) -> Sample:
        memory = self._reader.read() or 0
        return Sample(clocks.monotonic_ns() - self._clock, os.getpid(), memory, memory)

    def _lost(self, error: Exception) -> None:
        to_stderr(f"memory_usage has not all samples of a call: {error}")


def _points(recorded: Sequence[Sample], began: float, options: _Options, highest: int) -> list[Point]:
    """The points to be returned, one an interval; ``highest`` is a peak that another source knows, or 0."""
    interval = round(options.interval * SECOND)
    limit = None if options.timeout is None else options.timeout * SECOND
    samples = [each for each in recorded if limit is None or each.time <= limit] or list(recorded[:1])
    whole = len(samples) == len(recorded)
    first, last = samples[0], samples[-1]
    points, high, due = [(first.memory, first.time)], 0, interval
    for sample in samples[1:]:
        high = max(high, sample.peak)
        if sample is not last and sample.time >= due:
            points.append((high, sample.time))
            high, due = 0, sample.time - sample.time % interval + interval
    if high > last.memory:
        points.append((high, last.time))
    if whole and highest > max(points)[0]:
        points.append((highest, last.time))
    if last is not first:
        points.append((last.memory, last.time))
    return [(size / MIB, began + moment / SECOND) for size, moment in points]
