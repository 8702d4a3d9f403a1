"""``memory_usage``: the memory of a process, or of a call while it runs, as a list of MiB, as memory_profiler gives it."""

from __future__ import annotations

import operator
import os
import sys
import time

from memkit.base.errors import JournalError, MemkitError, MeterError, UsageError, nearest
from memkit.base.units import LONGEST_INTERVAL, SECOND, SHORTEST_INTERVAL
from memkit.model.recording import Sample
from memkit.system import engine

MIB = 1 << 20
BACKENDS = {"psutil": "rss", "psutil_pss": "pss", "psutil_uss": "uss", "posix": None, "tracemalloc": None}
"""What each of memory_profiler's backends reads; those without a meter are ``ps``, and what Python itself allocated."""


def memory_usage(
    proc=-1,
    interval=0.1,
    timeout=None,
    timestamps=False,
    include_children=False,
    multiprocess=False,
    max_usage=False,
    retval=False,
    stream=None,
    backend=None,
    max_iterations=None,
):
    """Memory of a process over time, in MiB, with memory_profiler's arguments and what it returns.

    ``proc``: a process by its number, -1 for this one, also as text; a ``subprocess.Popen``; a function, ``(function,)``,
    ``(function, arguments)`` or ``(function, arguments, keywords)``, which is called once; or a text of Python code.
    ``interval``: seconds from sample to sample. ``timeout``: seconds after which no more samples are taken; a function that
    runs longer is let run. A process given by its number is sampled once where there is no ``timeout``, a ``Popen`` and a
    function until they end.

    The result is a list of MiB, one for each sample. That of a function begins with memory as it was called and ends with
    memory as it returned; each value between is the highest since the one before, and so is the last but one where memory
    came down from it. ``timestamps``: each is a tuple with the time in seconds since the epoch. ``max_usage``: the highest
    instead of a list. ``retval``: a tuple of the result and what the function returned. ``include_children``: the memory of
    all descendants is added. ``multiprocess``, for a process: each value is a list, with that of each descendant after it.
    ``stream``: a text file that gets a ``MEM`` line for each sample, and ``CHLD`` lines with ``multiprocess``; the result is
    None. ``backend``: ``"psutil"`` for resident memory, ``"psutil_pss"``, ``"psutil_uss"``, ``"posix"``, which asks ``ps``,
    or ``"tracemalloc"``, what Python allocated, with no children. ``max_iterations`` is accepted, and has nothing to limit.

    A process that ends, ends the list. Raises ``UsageError`` for arguments that make no sense, and ``MeterError`` where
    there is no such process, or it may not be read.
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
        return [reader.read() / MIB]
    once = timeout is None and ended is None
    return _result(_watch(reader, options, ended, once, stream), options, stream)


class _Options:
    """The words of a call that say what the samples are, and what becomes of them."""

    def __init__(self, interval, timeout, timestamps, multiprocess, max_usage):
        try:
            self.interval = float(interval)
            self.timeout = None if timeout is None else float(timeout)
        except (TypeError, ValueError):
            raise UsageError(f"interval={interval!r}, timeout={timeout!r}: give seconds") from None
        if self.interval != self.interval:
            raise UsageError(f"interval={interval!r}: give seconds")
        if self.timeout is not None and not self.timeout >= 0:
            raise UsageError(f"timeout={timeout!r}: give seconds, from 0 up, or None for no end")
        self.interval = min(max(self.interval, SHORTEST_INTERVAL / SECOND), LONGEST_INTERVAL / SECOND)
        self.timestamps, self.multiprocess, self.max_usage = timestamps, multiprocess and not max_usage, max_usage


# -- one number --------------------------------------------------------------------------------------------------------


class Reader:
    """Reads the memory of a process in the way of one backend: a meter, that of this process where ``pid`` is None."""

    costly = False  # somebody gave an interval, and means it

    def __init__(self, pid: int | None, backend: str | None = None, include_children: bool = False):
        self.name = "psutil" if backend is None else backend
        if self.name not in BACKENDS:
            wrong = str(backend)
            raise UsageError(f"unknown backend {backend!r}{nearest(wrong, BACKENDS)}: there are {', '.join(BACKENDS)}")
        self.pid = pid
        self.include_children = include_children and self.name != "tracemalloc"  # which counts within one process
        self._meter = None
        if self.include_children:  # what reading takes at first is nothing of what is measured
            self.read_children()
        if self.name == "tracemalloc":
            if pid is not None:
                raise UsageError(f"backend 'tracemalloc' counts within this process only, not in {pid}: choose another")
        elif BACKENDS[self.name] is not None:
            self._meter = _meter(BACKENDS[self.name], pid)
        elif pid is not None and self.read_own() is None:
            raise no_process(pid)

    @property
    def meter(self):
        """The meter alone, where that is all there is to it."""
        return self._meter if not self.include_children else None

    def read(self) -> int | None:
        """Bytes now; None where the process is gone."""
        own = self.read_own()
        if not own or not self.include_children:  # nothing at all is resident of what has ended, and was not waited for
            return own or (0 if self.name == "tracemalloc" else None)
        return own + sum(size for _, size in self.read_children())

    def read_own(self) -> int | None:
        """The same without its descendants."""
        if self._meter is not None:
            return self._meter.read()
        if self.name == "tracemalloc":
            import tracemalloc

            return tracemalloc.get_traced_memory()[0]
        return _asked_of_ps(self.pid or os.getpid())

    def read_children(self) -> list[tuple[int, int]]:
        """Process number and bytes of each descendant there is; of none where the backend counts within one process."""
        if self.name == "tracemalloc":
            return []
        meter = BACKENDS[self.name]
        return children_of(self.pid, meter) if meter else [(pid, _asked_of_ps(pid) or 0) for pid, _ in children_of(self.pid)]


def _meter(name, pid):
    if name == "rss" and pid is None:
        return engine.Meter("rss")
    if name not in engine.METERS:
        raise MeterError(f"meter {name!r} is not to be had on this system: leave the backend out")
    try:
        return engine.Meter(name, pid)
    except MeterError as error:
        if pid is not None and not _exists(pid):
            raise no_process(pid) from None
        raise error


def _exists(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def no_process(pid: int) -> MeterError:
    """The error for a process that is not there; it is psutil's too, which is what memory_profiler let through."""
    import psutil

    class NoProcess(MeterError, psutil.NoSuchProcess):
        def __str__(self):
            return f"there is no process {pid}, or it has just ended"

    return NoProcess(pid)


def children_of(pid: int | None, meter: str = "rss") -> list[tuple[int, int]]:
    """Process number and bytes of each descendant; what ends meanwhile is left out, and no other with it."""
    import psutil

    found = []
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return found
    for child in children:
        try:
            memory = child.memory_info() if meter in ("rss", "vms") else child.memory_full_info()
            if size := getattr(memory, meter):  # nothing is left of what has ended, and was not waited for
                found.append((child.pid, size))
        except psutil.Error:
            continue
    return found


def _asked_of_ps(pid: int) -> int | None:
    import subprocess

    try:
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise MeterError(f"backend 'posix' asks ps, which cannot be run here: {error.strerror}; choose another") from None
    text = done.stdout.strip()
    return int(text) * 1024 if text.isdigit() else None


# -- what is to be measured --------------------------------------------------------------------------------------------


def _call_of(proc):
    """A function of no arguments for what is to be run, or None for a process."""
    if callable(proc):
        return proc
    if isinstance(proc, (list, tuple)):
        if not 1 <= len(proc) <= 3 or not callable(proc[0]):
            raise UsageError(f"{proc!r} is no call: write (function,), (function, arguments) or with keywords after them")
        function, arguments, keywords = (*proc, *((), {})[len(proc) - 1 :])
        return lambda: function(*arguments, **keywords)
    if isinstance(proc, str) and not proc.strip().removeprefix("-").isdigit():
        try:
            code = compile(proc, "<string>", "eval")
        except SyntaxError:
            code = compile(proc, "<string>", "exec")
        return lambda: eval(code, {"__name__": "__main__", "__builtins__": __builtins__})
    return None


def _process_of(proc):
    """Process number, None for this one, and how to wait for its end: a function of seconds that says whether it came."""
    if hasattr(proc, "poll") and hasattr(proc, "pid"):
        return proc.pid, lambda seconds: _ended(proc, seconds)
    try:
        pid = int(proc) if isinstance(proc, str) else operator.index(None if isinstance(proc, bool) else proc)
    except (TypeError, ValueError):
        raise UsageError(f"{proc!r} is neither a process nor a function: see help(memkit.memory_usage)") from None
    if pid < -1 or pid == 0:
        raise UsageError(f"{proc!r} is not the number of a process: give one above 0, or -1 for this one")
    return (None if pid == -1 or pid == os.getpid() else pid), None


def _ended(process, seconds) -> bool:
    import subprocess

    if seconds <= 0:
        return process.poll() is not None
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# -- a process ---------------------------------------------------------------------------------------------------------


def _watch(reader, options, ended, once, stream):
    """Sample until the end: values as they are to be returned."""
    began = due = time.monotonic()
    while ended is None or not ended(0):
        memory = reader.read()
        if memory is None:
            return
        yield _sample(memory / MIB, time.time(), reader, options, stream)
        due += options.interval
        if once or (options.timeout is not None and due - began >= options.timeout):
            return
        left = due - time.monotonic()
        if ended is None:
            time.sleep(max(0, left))
        elif ended(left):
            return
        due = max(due, time.monotonic())


def _sample(memory, now, reader, options, stream):
    children = reader.read_children() if options.multiprocess else []
    if stream is not None:
        _write(stream, [(memory, now)], [(pid, size, now) for pid, size in children])
    value = (memory, now) if options.timestamps and not options.max_usage else memory
    return [value, *(size / MIB for _, size in children)] if options.multiprocess else value


def _write(stream, points, children=()):
    from memkit.model.mprof_file import child_row, memory_row

    rows = [memory_row(memory * MIB, when) for memory, when in points]
    stream.write("".join([*rows, *(child_row(*row) for row in children)]))
    if hasattr(stream, "flush"):
        stream.flush()


def _result(values, options, stream):
    if stream is not None:
        for _ in values:
            pass
        return None
    return max(values, default=None) if options.max_usage else list(values)


# -- a call ------------------------------------------------------------------------------------------------------------


def _usage_of_call(call, options, reader, stream):
    """The result and what the call returned; an exception of its passes through when the stream has what was measured."""
    measuring = _Measuring(options, reader)
    try:
        returned = call()
    finally:
        points = measuring.end()
        if stream is not None:
            _write(stream, points)
    if stream is not None:
        return None, returned
    if options.max_usage:
        best = max(points)
        return (best if options.timestamps else best[0]), returned
    return [point if options.timestamps else point[0] for point in points], returned


class _Measuring:
    """What is recorded while a call runs. That a disk is full is said, and is no reason to lose what the call returns."""

    def __init__(self, options, reader):
        from memkit.record.recorder import Recorder

        self._options, self._reader = options, reader
        self._tracing = reader.name == "tracemalloc" and start_tracemalloc()
        self._recorder = Recorder(interval=options.interval, meter=reader.meter or reader)
        self._scope = engine.Scope() if reader.include_children and reader.name == "psutil" else None
        self._began, self._clock = time.time(), time.monotonic_ns()
        try:
            self._recorder.start()
            self._first = None
        except JournalError as error:
            self._lost(error)
            self._first = self._sample()

    def end(self) -> list[tuple]:
        """MiB and seconds since the epoch of each sample to be returned."""
        samples, began = self._recorded() if self._first is None else ([self._first, self._sample()], self._began)
        highest = stop_tracemalloc() if self._tracing else self._scope and self._scope.close()
        return _points(samples, began, self._options, highest or 0)

    def _recorded(self):
        try:
            self._recorder.stop()
            recording = self._recorder.recording
            return recording.samples, recording.about.began
        except (MemkitError, OSError) as error:
            self._lost(error)
        try:
            samples = self._recorder.recording.samples
        except (MemkitError, OSError):  # the program has closed the file
            samples = ()
        return [*samples, self._sample()], self._began

    def _sample(self):
        memory = self._reader.read() or 0
        return Sample(time.monotonic_ns() - self._clock, os.getpid(), memory, memory)

    def _lost(self, error):
        if sys.stderr is not None:
            print(f"memkit: memory_usage has not all samples of a call: {error}", file=sys.stderr)


def _points(recorded, began, options, highest):
    """MiB and seconds since the epoch of each sample to be returned; ``highest`` is known from elsewhere, or 0."""
    beat = round(options.interval * SECOND)
    limit = None if options.timeout is None else options.timeout * SECOND
    samples = [each for each in recorded if limit is None or each.time <= limit] or list(recorded[:1])
    whole = len(samples) == len(recorded)
    first, last = samples[0], samples[-1]
    points, high, due = [(first.memory, first.time)], 0, beat
    for sample in samples[1:]:
        high = max(high, sample.peak)
        if sample is not last and sample.time >= due:
            points.append((high, sample.time))
            high, due = 0, sample.time - sample.time % beat + beat
    if high > last.memory:
        points.append((high, last.time))
    if whole and highest > max(points)[0]:
        points.append((highest, last.time))
    if last is not first:
        points.append((last.memory, last.time))
    return [(size / MIB, began + moment / SECOND) for size, moment in points]


def start_tracemalloc() -> bool:
    """Have Python count what it allocates; False where it does already."""
    import tracemalloc

    if tracemalloc.is_tracing():
        return False
    tracemalloc.start()
    return True


def stop_tracemalloc() -> int:
    """Have it count no more; the highest that it counted is returned."""
    tracemalloc = sys.modules["tracemalloc"]
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest
