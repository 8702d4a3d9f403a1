"""Recording this process: open the journal, start the sampler, stop it, read it back.

Everything here runs inside the program under measurement, so it imports next to nothing.
"""

from __future__ import annotations

import _thread
import atexit
import itertools
import os
import sys
import time

from memkit import engine, files, journal
from memkit.endings import how_it_ended
from memkit.errors import JournalError, MemkitError, MeterError, UsageError
from memkit.units import parse_interval
from memkit.version import VERSION

_active: list[Recorder] = []
_lock = _thread.RLock()  # a signal handler may record, too
_hooked = False
_forking = None  # the frame that forks


def record(path=None, *, interval="auto", meter="rss", lines=(), peak_reset=True) -> Recorder:
    """Record this process's memory: a context manager, and a decorator.

    ::

        with memkit.record() as run:
            work()
        print(run.recording.peak)

    ``path``: the file to record into; None keeps the rows only as long as the recorder lives. A recording that is there
    already is replaced, any other file is refused. ``interval``: seconds from sample to sample, text such as ``"10ms"``,
    or ``"auto"``, which begins at 1 ms and grows with the time elapsed; a new height in between is a row of its own.
    ``meter``: ``"rss"``, ``"pss"``, ``"uss"``, ``"vms"``, ``"swap"``, a plugin's, or a callable that returns bytes.
    ``lines``: what to trace line by line: a function, class or module, a name such as ``"package.module:function"`` or
    ``"file.py"``, or a list of these (see ``memkit.targets``). ``peak_reset``: whether the kernel's own record of the
    peak may be reset; without that, a peak between two samples is exact only where the process rises above all it had
    been.

    Raises ``UsageError`` for arguments that make no sense, ``MeterError`` where the meter cannot be read, and at its
    end ``JournalError`` if rows were lost, to a full disk for instance. Source: the kernel files named in
    ``memkit.native.meter``, or psutil.
    """
    return Recorder(path, interval=interval, meter=meter, lines=lines, peak_reset=peak_reset)


class Recorder:
    """One recording being made; ``record()`` makes them.

    It can be used again once it has ended. As a decorator it records a call of the function, or of the coroutine
    function, from the outermost entry to its exit; the function's ``recorder`` attribute leads to the recording.
    """

    def __init__(self, path=None, *, interval="auto", meter="rss", lines=(), peak_reset=True, argv=None):
        if callable(path):
            raise UsageError("record() takes a path: write @memkit.record(), with the parentheses")
        self.path = None if path is None else os.path.abspath(path)
        self.ending = ("ok",)
        self._interval = parse_interval(interval)
        self._meter = meter
        self._targets = _targets(lines)
        self._peak_reset = peak_reset
        self._tracer = None
        self._argv = sys.argv if argv is None else argv
        self._numbers = itertools.count()
        self.started = 0  # on the monotonic clock
        self._nameless = None  # the descriptor of a recording without a path
        self._recording = None
        self._journal = None

    def __repr__(self):
        state = "recording" if self.running else "not recording"
        return f"<memkit.Recorder {state}, {self.path or 'no file'}>"

    @property
    def running(self) -> bool:
        """Whether it is recording now."""
        return self in _active

    # -- begin and end ---------------------------------------------------------------------------------------------

    def start(self, *, join: bool = False) -> bool:
        """Begin; the first sample is taken before this returns.

        With ``join``, return False where it is recording already, instead of raising ``UsageError``.
        """
        _install_hooks()
        with _lock:
            if self in _active:
                if join:
                    return False
                raise UsageError("this recorder is recording already: make another with memkit.record()")
            if self.path and any(other.path == self.path for other in _active):
                raise UsageError(f"{self.path!r} is being recorded into already: give each recording a file of its own")
            self._begin()
            _active.append(self)
        return True

    def _begin(self) -> None:
        meter = _meter(self._meter)
        sampler = engine.sampler_for(meter)
        scoped = getattr(meter, "name", None) == "rss" and sampler is engine.Sampler
        if scoped:
            engine.allow_reset(all(each._peak_reset for each in (self, *_active)))
        peaks, reason = engine.peaks() if scoped else ("samples", "the system keeps a peak of rss only")
        self._recording = None
        self._spans = {}
        self._scoped = scoped
        self._sampler_meter = meter
        self._memory = meter.read
        self._pid = os.getpid()
        self.started = time.monotonic_ns()
        self._journal = engine.Journal(files.opened(self.path) if self.path else self._dup_of_nameless(), self.path)
        self._journal.text(
            journal.header(
                {
                    "memkit": VERSION,
                    "argv": self._argv,
                    "pid": os.getpid(),
                    "parent": os.getppid(),
                    "python": sys.version.split()[0],
                    "host": os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "?"),
                    "began": time.time(),
                    "clock": self.started,
                    "meter": meter.name,
                    "interval": self._interval or None,
                    "engine": sampler.engine,
                    "peaks": peaks,
                    "peaks_reason": reason,
                    "mark": engine.peak_rss() if scoped else None,
                    "peaks_error": engine.peaks_error() if scoped else None,
                }
            )
        )
        self._journal.flush()
        if self._journal.error:
            raise JournalError(f"cannot record into {self._where()}: {os.strerror(self._journal.error)}")
        self._sampler = sampler(self._journal, meter, self._interval, self.started, scoped)
        try:
            self._sampler.start()
        except (OSError, RuntimeError) as error:
            raise MemkitError(f"cannot record: {error}") from error
        if self._targets is not None:
            self._trace_lines()

    def _trace_lines(self) -> None:
        from memkit import tracing

        meter = self._sampler_meter if isinstance(self._sampler_meter, engine.Meter) else engine.Meter("rss")
        costs = tracing.costs(meter)
        tracer = tracing.LineTracer(self._journal, meter, self._targets.wants)
        gate, reason = tracing.gate.chosen()
        self._journal.text(journal.row("tracing", tracer.engine, gate, reason, *costs))
        self._sampler.flush_also([tracer.writer(self._sampler)])
        self._tracer = tracer
        tracer.start()

    def trace(self, function) -> None:
        """Trace the lines of a function, method or class: from now on, or from when this is next started."""
        from memkit.targets import codes_of

        with _lock:  # another thread may stop this
            self._targets = self._targets or _targets([function])
            self._targets.add(function)
            if self not in _active:
                return
            if self._tracer is None:
                self._trace_lines()
            for code in codes_of(function):
                self._tracer.add(code)

    def _end_lines(self) -> None:
        if self._tracer is not None:
            self._tracer.lines.flush(self._journal)
            self._tracer.close()
            self._tracer = None

    def stop(self, *ending) -> None:
        """End, saying how. Harmless when it is not recording, as in a forked child.

        ``ending`` is the kind of ``memkit.recording.Ending``, then its error, code and evidence of want of memory.
        """
        with _lock:
            if self not in _active:
                return
            _active.remove(self)
            self._spans.clear()
            if self._pid != os.getpid():  # forked by C code, which ran no hook: any lock may be held for ever
                if self._tracer is not None:
                    self._tracer.stop()
                return
            if self._tracer is not None:
                self._tracer.stop()
            self._sampler.stop()
            self._sampler.flush_also([])
            self._end_lines()
        self._journal.text(journal.row("end", self._elapsed(), *(ending or self.ending)))
        self._journal.close()
        if self._journal.error:
            raise JournalError(
                f"{self._journal.lost} rows did not reach {self._where()}: "
                f"{os.strerror(self._journal.error)}; what was written before can be read"
            )

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, kind, error, _) -> None:
        try:
            self.stop(*how_it_ended(error))
        except JournalError:
            if error is None:  # the program's own exception matters more
                raise

    def __call__(self, function):
        from memkit.wrapping import around_calls

        wrapped = around_calls(function, lambda: _OneCall(self))
        wrapped.recorder = self
        return wrapped

    @property
    def recording(self):
        """What was recorded: a ``Recording``, or None before the first start. It can be asked for at any time."""
        if self._journal is None or self._recording is not None:
            return self._recording
        if self.running and self._pid == os.getpid():
            self._sampler.flush()
        recording = journal.read(self.path or files.contents(self._nameless))
        if not self.running:
            self._recording = recording
        return recording

    def _dup_of_nameless(self) -> int:
        if self._nameless is None:
            self._nameless = files.opened_nameless()
        os.ftruncate(self._nameless, 0)
        return os.dup(self._nameless)

    def __del__(self):
        if getattr(self, "_nameless", None) is not None:
            os.close(self._nameless)

    # -- spans -----------------------------------------------------------------------------------------------------

    def begin_span(self, label: str, thread: int, depth: int) -> int:
        """Write that a span begins; the number is for ``end_span``."""
        number = next(self._numbers)
        scope = engine.Scope() if self._scoped else None
        memory = self._memory()
        if memory is None:  # a plugin's meter that fails: nothing is known, so nothing is said
            return number
        self._spans[number] = scope, True
        self._journal.text(journal.row("span", number, self._elapsed(), memory, thread, depth, label))
        return number

    def end_span(self, number: int) -> None:
        """Write that a span has ended; nothing where its recording ended before."""
        scope, known = self._spans.pop(number, (None, False))
        if self.running and known:
            memory = self._memory()
            peak = scope.close() if scope is not None else None
            if memory is not None:
                self._journal.text(journal.row("span_end", number, self._elapsed(), memory, peak))

    def begin_call(self) -> tuple:
        """Note how things are as a call begins, for ``end_call``."""
        return engine.Scope() if self._scoped else None, self.started, self._elapsed(), self._memory()

    def end_call(self, label: str, begun: tuple, *, even_if_still: bool) -> None:
        """Write the span of a call, unless memory is as it was and that is no reason, or its recording has ended."""
        scope, started, start, before = begun
        after = self._memory()
        peak = scope.close() if scope is not None else None
        known = before is not None and after is not None
        if self.running and started == self.started and known and (before != after or even_if_still):
            number = next(self._numbers)
            self._journal.text(
                journal.row("span", number, start, before, _thread.get_native_id(), 0, label)
                + journal.row("span_end", number, self._elapsed(), after, peak)
            )

    def _where(self) -> str:
        return repr(self.path) if self.path else "a temporary file"

    def _elapsed(self) -> int:
        return time.monotonic_ns() - self.started


class _OneCall:
    """One call of a decorated function: it records, unless a call around it does already."""

    def __init__(self, recorder):
        self._recorder = recorder

    def __enter__(self):
        self._mine = self._recorder.start(join=True)

    def __exit__(self, *error):
        if self._mine:
            self._recorder.__exit__(*error)


def active() -> list[Recorder]:
    """The recorders that are recording now, oldest first."""
    return list(_active)


def _meter(wanted):
    """The meter for a name, of memkit's own or of a plugin's, or for a callable."""
    if isinstance(wanted, str) and wanted not in engine.METERS:
        from memkit.plugins import Plugins

        theirs = Plugins().meters()
        if wanted in theirs:
            return engine.meter_named(theirs[wanted], wanted)
    return engine.meter_named(wanted)


def _targets(lines):
    """What is to be traced, or None for nothing."""
    if isinstance(lines, (list, tuple, set, frozenset)) and not lines:
        return None
    if engine.NAME != "native":
        raise MeterError(f"lines can be traced with the native engine only; this is the portable one: {engine.REASON}")
    from memkit import tracing
    from memkit.targets import Targets

    tracing.check()
    return lines if isinstance(lines, Targets) else Targets(lines)


# -- what happens to the process -------------------------------------------------------------------------------------


def _install_hooks() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
            # Python 3.13 counts the threads after these hooks have run; a thread that starts later warns nobody.
            os.register_at_fork(after_in_parent=engine.Soon(_resume))


def _at_exit() -> None:
    for recorder in active():
        try:
            recorder.stop()
        except JournalError as error:
            if sys.stderr is not None:
                print(f"memkit: {error}", file=sys.stderr)


def _before_fork() -> None:
    # A fork with other threads about is warned of from Python 3.12 on, and would copy their locks in any state.
    global _forking
    _lock.acquire()
    _forking = sys._getframe(1)
    for recorder in _active:
        recorder._sampler.pause()


def _after_fork() -> None:
    _lock.release()
    if len(sys._current_frames()) > 1:  # there is a warning anyway, and the main thread may not run for long
        _resume()


def _resume(_=None) -> int:
    global _forking
    here = sys._getframe(1)
    while here is not None and here is not _forking:
        here = here.f_back
    if here is not None and here is not sys._getframe(1) and len(sys._current_frames()) == 1:
        engine.Soon(_resume)()  # another library's hook is running
        return 0
    _forking = None
    with _lock:
        for recorder in _active:
            recorder._sampler.resume()
    return 0


def _in_child() -> None:
    global _lock
    for recorder in _active:
        if recorder._tracer is not None:
            recorder._tracer.stop()
            recorder._sampler.flush_also([])
            recorder._tracer.close()
            recorder._tracer = None
    _active.clear()
    _lock = _thread.RLock()
