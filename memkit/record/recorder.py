"""Recording this process: open the journal, start the sampler, stop it, read it back.

Everything here runs inside the program under measurement, so it imports next to nothing.
"""

from __future__ import annotations

import os
import time

from memkit.base import own_code, paths
from memkit.base.errors import JournalError, MemkitError, MeterError, UsageError, lost_rows
from memkit.base.units import parse_interval
from memkit.model import file_format
from memkit.record import active, child_process, files, header, limit_guard, span_rows
from memkit.record.exit_status import how_it_ended
from memkit.record.names import meter_for
from memkit.system import engine, limits

own_code.uninterruptible |= {__file__}
own_code.uninterruptible |= {each.__file__ for each in (active, child_process, file_format, files, header, span_rows)}


def record(
    path=None,
    *,
    interval="auto",
    meter="rss",
    lines=(),
    calls=False,
    c_calls=False,
    children=False,
    peak_reset=True,
    follow=False,
    limit=None,
    on_limit=None,
) -> Recorder:
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
    ``"file.py"``, or a list of these (see ``memkit.tracing.targets``). ``calls``: True for all call paths, or targets as for
    ``lines`` for what these call; ``c_calls``: whether functions in C are calls of their own. ``children``: whether to
    record all that this process starts, too, and what they use together. ``peak_reset``: whether the
    kernel's own record of the peak may be reset; without that, a peak between two samples is exact only where the
    process rises above all it had been. ``follow``: whether Python programs that this one forks or spawns record themselves
    into the same file, with lines and calls; it needs a ``path``. ``limit``: bytes, text such as ``"2GiB"``, or a share such
    as ``"80%"`` of what really limits memory; when memory reaches it, the stacks of all threads and what is traced are
    written at once, and ``on_limit`` is done: ``"report"`` (nothing more), ``"raise"`` (``MemoryError`` in the main thread)
    or ``"stop"`` (the process ends at once, with exit code 86).

    Raises ``UsageError`` for arguments that make no sense, ``MeterError`` where the meter cannot be read, and at its
    end ``JournalError`` if rows were lost, to a full disk for instance. Source: the kernel files named in
    ``memkit.native.meter``, or psutil.
    """
    return Recorder(**locals())


class Recorder:
    """One recording being made; ``record()`` makes them.

    It can be used again once it has ended. As a decorator it records a call of the function, or of the coroutine
    function, from the outermost entry to its exit; the function's ``recorder`` attribute leads to the recording.
    """

    def __init__(
        self,
        path=None,
        *,
        interval="auto",
        meter="rss",
        lines=(),
        calls=False,
        c_calls=False,
        children=False,
        peak_reset=True,
        follow=False,
        limit=None,
        on_limit=None,
        part=False,  # whether it is of a process that follows the one that the recording is of
        argv=None,
    ):
        if callable(path):
            raise UsageError("record() takes a path: write @memkit.record(), with the parentheses")
        self.path = None if path is None else paths.absolute(path)
        self.arguments = dict(
            interval=interval, meter=meter, lines=lines, calls=calls, c_calls=c_calls, peak_reset=peak_reset, argv=argv
        )
        self._interval = parse_interval(interval)
        self._meter = meter
        self.targets = _targets(lines)
        self.call_targets = _targets(calls, "calls")
        self._c_calls = c_calls
        self._children = children
        self.peak_reset = peak_reset
        self._limit, self._on_limit = limit, on_limit
        limit_guard.check(limit, on_limit)
        if follow and path is None:
            raise UsageError("record(follow=True) needs a path: a file that several processes can write into")
        self.follow = follow
        self.is_child = part
        self._tracers = self._tree = self._invitation = None
        self._argv = argv
        self.started = 0  # on the monotonic clock
        self._nameless = None  # the file of a recording without a path
        self._recording = self._journal = None

    def __repr__(self):
        state = "recording" if self.running else "not begun" if self._journal is None else "ended"
        return f"<memkit.{type(self).__name__} {state}, {self.path or 'no file'}>"

    @property
    def running(self) -> bool:
        """Whether it is recording now."""
        return self in active.recorders

    @property
    def is_mine(self) -> bool:
        """Whether it is of this process, and not of one that this was forked from."""
        return self._pid == os.getpid()

    # -- begin and end ---------------------------------------------------------------------------------------------

    def start(self, *, join: bool = False) -> bool:
        """Begin; the first sample is taken before this returns.

        With ``join``, return False where it is recording already, instead of raising ``UsageError``.
        """
        active.install_hooks()
        with active.lock:
            if self in active.recorders:
                if join:
                    return False
                raise UsageError("this recorder is recording already: make another with memkit.record()")
            if self.path and any(other.path == self.path for other in active.recorders):
                raise UsageError(f"{self.path!r} is being recorded into already: give each recording a file of its own")
            try:
                self._begin()
            except OSError as error:  # there is no descriptor left, for instance
                raise MemkitError(f"cannot record: {error}") from error
            active.recorders.append(self)
        return True

    def _begin(self) -> None:
        meter = meter_for(self._meter)
        if self._children:
            _check_others(meter)
        bound = limit_guard.bound(self._limit, self._on_limit, meter.name)
        sampler = engine.sampler_for(meter)
        scoped = getattr(meter, "name", None) == "rss" and sampler is engine.Sampler
        if self.follow and not self.is_child:
            self._invitation = child_process.Invitation(self)
        self._recording = self._journal = self._sampler = None
        try:
            self._open(meter, sampler, scoped, bound)
        except BaseException:
            self._undo()
            raise

    def _open(self, meter, sampler, scoped: bool, bound) -> None:
        """Begin for good: whatever could be refused without a change to the file was refused before."""
        if scoped:
            engine.allow_reset(active.may_reset(self.peak_reset))
        self._sampler_meter = meter
        self._pid = os.getpid()
        self.started = time.monotonic_ns()
        limiting = limits.find()
        self._journal = engine.Journal(self._opened(), self.path)
        if self.is_child:
            self._journal.begin_writes_with(file_format.segment(self._pid))
        self._journal.text(
            header.of_this_process(self._argv, self.started, meter.name, self._interval, sampler.engine, scoped, limiting)
        )
        self._journal.flush()
        if self._journal.error:
            raise JournalError(f"cannot record into {self._where()}: {os.strerror(self._journal.error)}")
        if self.follow and not self.is_child:
            self._journal.begin_writes_with(file_format.segment(0))
        self.spans = span_rows.SpanRows(self._journal, meter.read, scoped, self.started)
        self._sampler = sampler(self._journal, meter, self._interval, self.started, scoped)
        if bound is not None:
            self._sampler.watch(bound)
        if scoped and limiting:
            self._sampler.glance_from(meter.read() + limits.least_left(limiting) // 2, limit_guard.Bound.stacks)
        try:
            self._sampler.start()
        except (OSError, RuntimeError) as error:
            raise MemkitError(f"cannot record: {error}") from error
        self._start_tracing()
        self._start_watching(meter.name)
        if self._invitation is not None:
            self._invitation.send()

    def _undo(self) -> None:
        """Leave nothing at work of a recording that could not begin."""
        self._let_go()
        if self._tracers is not None:
            self._tracers.finish()
            self._tracers = None
        if self._journal is not None:
            self._journal.close()

    def _let_go(self) -> None:
        """Have nothing run any more that this has begun."""
        if self._invitation is not None:
            self._invitation.withdraw()
            self._invitation = None
        if self._tracers is not None:
            self._tracers.stop()
        if not self.is_mine:  # forked by C code, which ran no hook: any lock may be held for ever
            return
        if self._tree is not None:
            self._tree.stop()
            self._tree = None
        if self._sampler is not None:
            self._sampler.stop()

    def _start_watching(self, meter: str) -> None:
        if not self._children:
            return
        from memkit.tree.watch import Inside

        self._tree = Inside(self._journal, self.started, self._interval, meter)
        self._tree.start()

    def _start_tracing(self) -> None:
        if self.targets is None and self.call_targets is None:
            return
        from memkit.tracing.tracer_set import Tracers

        meter = self._sampler_meter if isinstance(self._sampler_meter, engine.Meter) else engine.Meter("rss")
        self._tracers = Tracers(self._journal, self._sampler, meter)
        if self.targets is not None:
            self._tracers.trace_lines(self.targets.wants)
        if self.call_targets is not None:
            self._tracers.trace_calls(getattr(self.call_targets, "wants", None), self._c_calls)

    def trace(self, function) -> None:
        """Trace the lines of a function, method or class: from now on, or from when this is next started."""
        from memkit.tracing.targets import codes_of

        with active.lock:  # another thread may stop this
            self.targets = self.targets or _targets([function])
            self.targets.add(function)
            if self not in active.recorders:
                return
            if self._tracers is None:
                self._start_tracing()
            elif self._tracers.lines is None:
                self._tracers.trace_lines(self.targets.wants)
            for code in codes_of(function):
                self._tracers.lines.add(code)

    def stop(self, *ending) -> None:
        """End, saying how. Harmless when it is not recording, as in a forked child.

        ``ending`` is the kind of a ``memkit.Ending``, then its error, code and evidence of want of memory.
        """
        with active.lock:
            if self not in active.recorders:
                return
            active.recorders.remove(self)
            self.spans.end_all()
            self._let_go()
            if not self.is_mine:
                return
            if self._tracers is not None:
                self._tracers.finish(self._journal)
                self._tracers = None
        self._journal.text(file_format.row("end", self._elapsed(), *(ending or ("ok",))))
        self._journal.close()
        if self._journal.error:
            raise lost_rows(self._journal, self._where())

    end = stop  # as the process ends

    def pause(self) -> None:
        """Have no thread of its own for the moment, as during a fork."""
        self._sampler.pause()
        if self._tree is not None:
            self._tree.pause()

    def resume(self) -> None:
        self._sampler.resume()
        if self._tree is not None:
            self._tree.resume()

    def forget(self) -> None:
        """Trace no more, and hold nothing of the file: this is a forked child."""
        self._journal.close()
        if self._tracers is not None:
            self._tracers.stop()
            self._tracers.finish()
            self._tracers = None

    def in_child(self) -> None:
        """Have this process, which was forked from the one that is recorded, record itself into the same file."""
        traced = {"lines": self.targets, "calls": self.call_targets}
        child_process.start(Recorder(self.path, **{**self.arguments, **traced}, follow=True, part=True))

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, kind, error, _) -> None:
        if isinstance(error, GeneratorExit):  # a generator of which nobody wanted more
            error = None
        try:
            self.stop(*how_it_ended(error))
        except JournalError:
            if error is None:  # the program's own exception matters more
                raise

    def __call__(self, function):
        from memkit.base.decorators import OneCall, decorated

        wrapped = decorated(function, lambda: OneCall(self))
        wrapped.recorder = self
        return wrapped

    def flush(self) -> None:
        """Write out now what would reach the file within a quarter of a second."""
        if self.running and self.is_mine:
            self._sampler.flush()

    @property
    def recording(self):
        """What was recorded: a ``Recording``, or None before the first start. It can be asked for at any time.

        Raises ``JournalError`` where there was no ``path``, and the program closed the descriptor of the temporary file.
        """
        if self._journal is None or self._recording is not None:
            return self._recording
        self.flush()
        from memkit.model.reader import read

        recording = read(self.path or self._nameless.contents())
        if not self.running:
            self._recording = recording
        return recording

    def _opened(self) -> int:
        """The descriptor to append to."""
        if self.is_child:
            return files.joined(self.path)
        if self.path:
            return files.opened(self.path)
        if self._nameless is None or not self._nameless.is_there:
            self._nameless = None  # before another can have its number
            try:
                self._nameless = files.Nameless()
            except OSError as error:
                raise JournalError(f"cannot record into {self._where()}: {error.strerror}") from None
        self._nameless.empty()
        return self._nameless.writer()

    def _where(self) -> str:
        return repr(self.path) if self.path else "a temporary file"

    def _elapsed(self) -> int:
        return time.monotonic_ns() - self.started


def _check_others(meter) -> None:
    """Refuse a meter that can measure only this process."""
    from memkit.system.processes import METERS

    if meter.name not in METERS:
        raise UsageError(
            f"children=True goes with the meters {', '.join(METERS)}: {meter.name!r} measures this process only"
        )


def _targets(wanted, what="lines"):
    """What is to be traced, True for all calls, or None for nothing."""
    if wanted is None or wanted is False or (isinstance(wanted, (list, tuple, set, frozenset)) and not wanted):
        return None
    if engine.NAME != "native":
        raise MeterError(f"{what} can be traced with the native engine only; this is the portable one: {engine.REASON}")
    from memkit.tracing import tracers
    from memkit.tracing.targets import Targets

    tracers.check()
    everything = wanted is True and what == "calls"
    return wanted if everything or isinstance(wanted, Targets) else Targets(wanted)
