"""Recording this process: open the journal, start the sampler, stop it, read it back; with as few imports as possible."""

from __future__ import annotations

import os

from memkit.base import clocks, own_code, paths
from memkit.base.errors import JournalError, MemkitError, UsageError, lost_rows
from memkit.base.units import parse_interval
from memkit.model import file_format
from memkit.record import active, child_process, files, header, limit_guard, resolve, spans
from memkit.record.exit_status import how_it_ended
from memkit.record.settings import Settings
from memkit.record.spans import SpanRows
from memkit.system import engine, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    from memkit.base.protocols import Meter
    from memkit.model.recording import Recording
    from memkit.tracing.session import TracingSession
    from memkit.tracing.targets import Target, Targets
    from memkit.tree.watch import TreeThread

    F = TypeVar("F", bound=Callable[..., Any])

own_code.uninterruptible |= {__file__, active.__file__, child_process.__file__, file_format.__file__}
own_code.uninterruptible |= {files.__file__, header.__file__, spans.__file__}


def record(
    path: str | os.PathLike[str] | None = None,
    *,
    interval: str | float = "auto",
    meter: str | Callable[[], int | None] | Meter = "rss",
    lines: Target | Targets | None = (),
    calls: bool | Target | Targets | None = False,
    c_calls: bool = False,
    heap: bool | str = False,
    balance: bool = True,
    children: bool = False,
    peak_reset: bool = True,
    follow: bool = False,
    limit: str | int | None = None,
    on_limit: str | None = None,
) -> Recorder:
    """Record this process's memory: a context manager, and a decorator.

    ::

        with memkit.record() as run:
            work()
        print(run.recording.peak)

    ``path``: the file to record into; None keeps the rows only as long as the recorder lives. An existing recording is
    replaced, any other file is refused. ``interval``: seconds from sample to sample, text such as ``"10ms"``, or ``"auto"``,
    which begins at 1 ms and grows with the time elapsed; a new maximum in between is a row of its own. ``meter``: ``"rss"``,
    ``"anon"``, ``"pss"``, ``"uss"``, ``"vms"``, ``"swap"``, ``"cgroup"``, a plugin's, or a callable. ``lines``: what to
    trace line by line: a function, class or module, a name such as ``"package.module:function"`` or ``"file.py"``, or a list
    of these (see ``memkit.tracing.targets``). ``calls``: True for all calls, or targets as for ``lines``, to trace what
    these call; ``c_calls``: whether functions in C are calls of their own. ``heap``: whether to count what each of these
    allocates and frees by Python's allocators and the C library's; of all calls if none is named. ``"spans"`` counts it for
    ``memkit.span``, without tracing; ``"sampled"`` or ``"sampled:128KiB"`` estimates it by the stacks of few blocks.
    ``balance``: whether ``heap`` tells what resident memory is made of, too: 25 ms and more. ``children``: whether to record
    the processes that this one starts too, and their total. ``peak_reset``: whether the kernel's high-water mark may be
    reset; if not, a peak between two samples is exact only if it is the highest so far. ``follow``: whether Python programs
    that this one forks or spawns record themselves into the same file, with lines and calls; it needs a ``path``. ``limit``:
    bytes, text such as ``"2GiB"``, or a share such as ``"80%"`` of what really limits memory. When memory reaches it, all
    stacks and what is traced are written, then comes ``on_limit``: ``"report"`` (nothing more), ``"raise"`` (``MemoryError``
    in whatever the main thread runs) or ``"stop"`` (the process ends at once, with exit code 86). Only this process is
    watched, unless the meter is ``"cgroup"`` or the share one of a control group's.

    Raises ``UsageError`` for arguments that make no sense, ``MeterError`` if the meter cannot be read, and at the end
    ``JournalError`` if rows were lost, to a full disk for instance. Source: the kernel's files, see ``memkit.native.meter``.
    """
    settings = Settings(**locals())
    settings.lines, settings.calls = resolve.checked_targets(lines, "lines"), resolve.checked_targets(calls, "calls")
    return Recorder(settings)


class Recorder:
    """One recording that is being made; ``record()`` returns it.

    It can be started again once it has ended. As a decorator it records a call of the function, or of the coroutine
    function, from the outermost entry to its exit; the function's ``recorder`` attribute is this recorder.
    """

    is_brief = False
    """Whether many of its kind may follow, whose tables tell of lines only: no thread samples it and no limits are found."""
    _goes_on_from: Recorder | None = None

    def __init__(self, settings: Settings, *, argv: list[str] | None = None, is_child: bool = False) -> None:
        """``argv`` is the program's, if all of it is recorded; ``is_child`` is whether another process began the file."""
        if callable(settings.path):
            raise UsageError("record() takes a path: write @memkit.record(), with the parentheses")
        self.path = settings.path = None if settings.path is None else paths.absolute(settings.path)
        """The absolute path of the file, or None."""
        self._settings = settings
        self._argv = argv
        self._is_child, self._inherited = is_child, None  # the parent's descriptor, in a forked child
        self._interval = parse_interval(settings.interval)
        self._line_targets = resolve.targets_for(settings.lines, "lines")
        self._call_targets: Targets | bool | None = resolve.calls_for(settings)
        self._counting = resolve.heap_for(settings)
        limit_guard.check(settings.limit, settings.on_limit)
        if self.follow and self.path is None:
            raise UsageError("record(follow=True) needs a path: a file that several processes can write into")
        self.started = 0
        """When it was started, in nanoseconds of the monotonic clock."""
        self._pid = 0
        self._unnamed: files.UnnamedFile | None = None  # of a recording without a path
        self._journal: Any = None  # an engine.Journal since the first start
        self._sampler: Any = None  # an engine.Sampler since the first start
        self._tracing: TracingSession | None = None
        self._tree: TreeThread | None = None
        self._environment: child_process.ChildEnvironment | None = None
        self._recording: Recording | None = None

    def __reduce__(self) -> tuple[type[Recorder], tuple[Settings]]:
        return Recorder, (self._settings.for_copy(),)  # with a function that it decorates, to another process

    def __repr__(self) -> str:
        state = "recording" if self.running else "not begun" if self._journal is None else "ended"
        return f"<memkit.{type(self).__name__} {state}, {self.path or 'no file'}>"

    @property
    def follow(self) -> bool:
        """Whether child processes record themselves into the same file."""
        return self._settings.follow

    @property
    def peak_reset(self) -> bool:
        """Whether the kernel's high-water mark may be reset."""
        return self._settings.peak_reset

    @property
    def running(self) -> bool:
        """Whether it is recording."""
        return self in active.recorders

    @property
    def is_mine(self) -> bool:
        """Whether this process started it, and not one that this process was forked from."""
        return self._pid == os.getpid()

    def start(self, *, join: bool = False) -> bool:
        """Begin; the first sample is taken before this returns.

        With ``join``, return False if it is recording already, instead of raising ``UsageError``.
        """
        active.install_hooks()
        with active.lock:
            if self.running and join:
                return False
            if self.running:
                raise UsageError("this recorder is recording already: make another with memkit.record()")
            if self.path and any(other.path == self.path for other in active.recorders):
                raise UsageError(f"{self.path!r} is being recorded into already: give each recording a file of its own")
            try:
                self._begin()
            except OSError as error:  # the process is out of descriptors, for instance
                raise MemkitError(f"cannot record: {error}") from error
            active.recorders[:] = [*(each for each in active.recorders if each is not self._goes_on_from), self]
        return True

    def _begin(self) -> None:
        meter = resolve.meter_for(self._settings.meter)
        if self._settings.children:
            resolve.refuse_meter_of_one_process(meter.name)
        bound = limit_guard.bound(self._settings.limit, self._settings.on_limit, meter.name)
        if self._settings.heap and self._goes_on_from is None:
            resolve.prepare_heap(takes_balances=self._counting is True and self._settings.balance)
        if self.follow and not self._is_child:
            self._environment = child_process.ChildEnvironment(self._settings_for_child(), by_program=self._argv is None)
        self._recording = self._journal = self._sampler = None
        try:
            self._open(meter, bound)
        except BaseException:
            self._undo()
            raise

    def _open(self, meter: Meter, bound: limit_guard.Bound | None) -> None:
        """Open the file and start everything: what can be refused without touching the file was refused before."""
        sampler = engine.sampler_for(meter)
        scoped = getattr(meter, "name", None) == "rss" and sampler is engine.Sampler
        if scoped:
            engine.allow_reset(active.may_reset(self.peak_reset))
        self._pid = os.getpid()
        self.started = clocks.monotonic_ns()
        limiting = [] if self.is_brief else limits.find()
        journal = self._journal = engine.Journal(self._opened(), self.path)
        if self._is_child:
            journal.begin_writes_with(file_format.segment(self._pid))
        how = self._argv, self.started, meter.name, self._interval, sampler.engine, scoped
        journal.text(header.of_this_process(*how, limiting, bound, self._settings.watch))
        journal.flush()
        if journal.error:
            raise JournalError(f"cannot record into {self._where()}: {os.strerror(journal.error)}")
        if self.follow and not self._is_child:
            journal.begin_writes_with(file_format.segment(0))
        self.spans = SpanRows(journal, meter, scoped, self.started)
        self._sampler = sampler(journal, meter, self._interval, self.started, scoped)
        self._meter = meter
        if bound is not None:
            self._sampler.watch(bound)
        if scoped and limiting:
            near = (meter.read() or 0) + limits.least_left(limiting) // 2
            self._sampler.snapshot_stacks_from(near, limit_guard.Bound.stacks)
        child_process.flush_when_terminated(self._sampler, self._is_child or self._argv is not None, self.flush)
        try:
            self._sampler.start(thread=not self.is_brief)
        except (OSError, RuntimeError) as error:
            raise MemkitError(f"cannot record: {error}") from error
        self._children = child_process.OwnChildren(self.started, supervised=self._argv is not None)
        self._start_tracing()
        if self._settings.children:
            self._start_tree(meter.name)
        if self._environment is not None:
            self._environment.set()

    def _undo(self) -> None:
        """Stop everything of a recording that could not begin."""
        self._halt()
        if self._tracing is not None:
            self._tracing.close()
            self._tracing = None
        if self._journal is not None:
            self._journal.close()

    def _halt(self) -> None:
        """Stop everything that runs for this recording. The tracers keep their sums."""
        if self._environment is not None:
            self._environment.restore()
            self._environment = None
        if self._tracing is not None:
            active.leave_heap(self._tracing.span_heap)
            self._tracing.stop()
        if not self.is_mine:  # forked by C code, which runs no hooks: a lock may be held for ever
            return
        if self._tree is not None:
            self._tree.stop()
            self._tree = None
        if self._sampler is not None:
            self._sampler.stop()

    def _start_tree(self, meter: str) -> None:
        from memkit.tree.watch import TreeThread

        self._tree = TreeThread(self._journal, self.started, self._interval, meter)
        self._tree.start()

    def _start_tracing(self) -> None:
        if self._line_targets is None and self._call_targets is None and not self._counting:
            return
        from memkit.tracing.session import TracingSession

        meter = self._meter if isinstance(self._meter, engine.Meter) else engine.Meter("rss")
        self._tracing = TracingSession(self._journal, self._sampler, meter, self.started, self._is_child, self.is_brief)
        self._tracing.takes_balances = self._settings.balance
        self._tracing.trace(self._line_targets, self._call_targets, self._settings.c_calls, self._counting)
        self.spans.count(self._tracing.span_heap, self._tracing.inside)

    def trace(self, function: Target) -> None:
        """Trace the lines of a function, method or class: from now on, or from the next start."""
        from memkit.tracing.targets import codes_of

        with active.lock:  # another thread may stop this
            targets = self._line_targets = self._line_targets or resolve.targets_for([function], "lines")
            assert targets is not None
            targets.add(function)
            if not self.running:
                return
            if self._tracing is None:
                self._start_tracing()
            elif self._tracing.lines is None:
                self._tracing.trace_lines(targets)
            assert self._tracing is not None and self._tracing.lines is not None
            for code in codes_of(function):
                self._tracing.lines.add(code)

    def stop(self, *ending: object) -> None:
        """End the recording. Does nothing if it is not running, as in a forked child.

        ``ending`` says how: the kind of a ``memkit.Ending``, then its error, code and evidence of running out of memory.
        """
        with active.lock:
            if not self.running:
                return
            active.recorders.remove(self)
            self.spans.end_all(write=self.is_mine)
            self._halt()
            if not self.is_mine:
                return
            try:
                if self._tracing is not None:
                    self._tracing.flush()
                    self._tracing.close()
                    self._tracing = None
            finally:  # an interrupt, as a balance takes its time
                self._write_end(ending or ("ok",))
        if self._journal.error:
            raise lost_rows(self._journal, self._where())

    def _write_end(self, ending: tuple[object, ...]) -> None:
        if not self._is_child and not self._settings.children:
            self._journal.text(self._children.rows())
        self._journal.text(file_format.row("end", clocks.monotonic_ns() - self.started, *ending))
        self._journal.close()
        child_process.flush_when_terminated(self._sampler, on=False)

    end = stop  # with the process

    def before_fork(self) -> None:
        """End the threads of this recording until the fork is over."""
        for each in filter(None, (self._tracing, self._sampler, self._tree)):
            each.pause()

    def after_fork_in_parent(self) -> None:
        """Start them again."""
        for each in filter(None, (self._tracing, self._sampler, self._tree)):
            each.resume()

    def after_fork_in_child(self) -> None:
        """Stop tracing, and close the file, which is the parent's."""
        self._inherited = self._journal.duplicate() if self.follow else None
        self._journal.close()
        if self._tracing is not None:
            self._tracing.stop()
            self._tracing.close()
            self._tracing = None

    def follow_fork(self) -> None:
        """Record this process, which was forked from the recorded one, into the same file."""
        recorder = Recorder(self._settings_for_child(), argv=self._argv, is_child=True)
        recorder._inherited = self._inherited
        child_process.start(recorder)

    def _settings_for_child(self) -> Settings:
        return self._settings.for_child(self._line_targets, self._call_targets)

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, GeneratorExit):  # a generator that was closed before its end
            error = None
        try:
            self.stop(*how_it_ended(error))
        except JournalError:
            if error is None:  # the program's own exception matters more
                raise

    def __call__(self, function: F) -> F:
        from memkit.base.decorators import OneCall, decorated

        wrapped: F = decorated(function, lambda: OneCall(self))
        wrapped.recorder = self  # type: ignore[attr-defined]  # a function takes any attribute
        return wrapped

    def flush(self) -> None:
        """Write at once what would reach the file within 250 ms."""
        if self.running and self.is_mine:
            self.spans.flush()
            self._sampler.flush()

    @property
    def recording(self) -> Recording | None:
        """What has been recorded so far, also while it runs; None before the first start.

        Raises ``JournalError`` if there is no ``path``, and the program has closed the descriptor of the temporary file.
        """
        if self._journal is None or self._recording is not None:
            return self._recording
        self.flush()
        from memkit.model.reader import read

        contents = self.path if self._unnamed is None else self._unnamed.contents()
        assert contents is not None
        recording = read(contents)
        if not self.running:
            self._recording = recording
        return recording

    def _opened(self) -> int:
        """The descriptor to append to."""
        if self.path:
            return files.joined(self.path, self._inherited) if self._is_child else files.opened(self.path)
        if self._unnamed is None or not self._unnamed.is_there:
            self._unnamed = None  # before the next file can get its descriptor's number
            self._unnamed = files.UnnamedFile(in_memory=self.is_brief)
        self._unnamed.empty()
        return self._unnamed.writer()

    def _where(self) -> str:
        return repr(self.path) if self.path else "a temporary file"
