"""``memkit.watch``: a recording that goes on for weeks, file by file, within an age and a size."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import os

from memkit.base import clocks, own_code
from memkit.base.errors import JournalError, MeterError, UsageError, in_a_line, nearest
from memkit.base.stderr import to_stderr
from memkit.base.threads import Bell, GivingWay, SystemThread, signals_blocked, wait_for_end
from memkit.base.units import SECOND, parse_interval, parse_time
from memkit.record import active, limit_guard
from memkit.record.settings import SAMPLED, Settings, sampling_distance
from memkit.record.watch_file import WatchFile
from memkit.record.watch_folder import FOLDER, SNAPSHOT, WATCH, Keep, WatchFolder, a_watch
from memkit.system import engine, limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

_TICK = 1.0  # seconds
_TIDY = 10 * SECOND
_AGAIN = 60 * SECOND  # until what failed is tried again, and until a limit is no longer near
_NEAR_INTERVAL = "100ms"  # of samples near a limit
_LAST = "10min"
LIMIT = "80%"
_A_MOMENT = 0.005

own_code.uninterruptible |= {__file__}


def watch(
    folder: str | os.PathLike[str] = FOLDER,
    *,
    keep: str = "7d,500MB",
    interval: str | float = "1s",
    heap: bool | str = False,
    limit: str | int | None = LIMIT,
    signal: str | None = "auto",
) -> Watch:
    """Record this process from now on, for weeks, into files in a folder; returns what records, a context manager too.

    ::

        memkit.watch("/var/log/shop/memory", keep="7d,500MB")

    A new file is begun now and then, and the oldest are removed, so that all in ``folder`` is no older and no larger than
    ``keep`` says: an age, a size, or both. Each file is a recording that can be read by itself, and
    ``memkit.merge(map(memkit.read, files))`` reads several as one. Spans are recorded, lines and calls are not; samples are
    ``interval`` seconds apart, with exact peaks in between. ``heap``: False, ``"sampled"`` or ``"sampled:128KiB"``, as for
    ``memkit.record``. ``limit``: bytes, a size, or a share of what really limits memory; at it the stacks of all threads are
    recorded, and from it on until memory is clearly below, ten samples a second and a sampled heap. Where no limit is known,
    a share is none. ``signal``: the name of the signal at which the last ten minutes are written into a file of their own;
    ``"auto"`` is ``SIGUSR2`` if the program does not handle that itself, None none.

    A process that is forked from this one records itself into files of its own, once it has lived a second. Calling it again
    with the same arguments returns the watch that runs. What goes wrong later, such as a full disk, is said on stderr once,
    and tried again each minute.

    Raises ``UsageError`` for arguments that make no sense, and for a folder that cannot be written into.
    """
    asked = Asked(os.path.abspath(os.fspath(folder)), keep, interval, heap, limit, signal)
    for each in active.others:
        if isinstance(each, Watch) and each.folder == asked.folder:
            if each._asked == asked or each._argv is not None:  # memkit-run's, which the program need not know of
                return each
            raise UsageError(f"the folder {asked.folder!r} is being watched into already, in another way: stop() that first")
    found = Watch(asked)
    found.start()
    return found


class Asked:
    """The arguments of ``watch``, checked."""

    def __init__(
        self, folder: str, keep: str, interval: str | float, heap: bool | str, limit: str | int | None, signal: str | None
    ) -> None:
        if heap is True:
            raise UsageError("watch(heap=True) would count every block for weeks: write heap='sampled'")
        sampling_distance(heap)
        limit_guard.check(limit, None)
        parse_interval(interval, auto=False)
        self.folder, self.interval, self.heap, self.limit, self.signal = folder, interval, heap, limit, signal
        self.keep, self.watch = Keep(keep), a_watch()
        self.number = _number_of(signal)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def _values(self) -> tuple[object, ...]:
        return self.folder, self.keep.text, self.interval, self.heap, self.limit, self.signal

    def settings(self, path: str, near: bool) -> Settings:
        """Those of the recording in a file."""
        known = self.limit if not _is_share(self.limit) or limits.find() else None
        more = {"heap": self.heap or SAMPLED, "interval": _NEAR_INTERVAL} if near else {"heap": self.heap}
        if parse_interval(self.interval) < parse_interval(_NEAR_INTERVAL):
            more.pop("interval", None)
        return Settings(**{"path": path, "interval": self.interval, "limit": known, "watch": self.watch} | more)


def _is_share(limit: str | int | None) -> bool:
    return isinstance(limit, str) and limit.strip().endswith("%")


def _number_of(signal: str | None) -> int | None:
    """The number of a signal by its name, or None. Raises ``UsageError``."""
    if signal is None:
        return None
    name = "SIGUSR2" if signal == "auto" else signal
    known = {each: value for each, value in vars(_signal).items() if each.startswith("SIG") and isinstance(value, int)}
    if signal == "auto" or name in known:
        number: int | None = known.get(name)
        return number
    raise UsageError(f"signal {signal!r} is no signal here{nearest(str(signal), known)}: write SIGUSR2, or None")


class Watch:
    """A recording that goes on in file after file; ``memkit.watch()`` returns it."""

    follow = True  # a forked process records itself, into files of its own
    peak_reset = True

    def __init__(self, asked: Asked, argv: list[str] | None = None) -> None:
        """``argv`` is that of the program, if all of it is recorded."""
        self._asked, self._argv = asked, argv
        self.folder = asked.folder
        """The absolute path of the folder."""
        self.trouble: str | None = None
        """What went wrong last and has not been mended, in a line, or None."""
        self._folder = WatchFolder(asked.folder, asked.keep)
        self._file: WatchFile | None = None
        self._files: list[str] = []
        self._bound: limit_guard.Bound | None = None
        self._bell = Bell()
        self._thread: SystemThread | None = None
        self._pausing = False
        self._settled = False
        self._wanted = False  # a snapshot, by a signal
        self._near_since: int | None = None  # when memory was last near the limit, while more is recorded
        self._no_heap: str | None = None  # why it cannot be sampled
        self._tidy_at = self._again_at = 0

    def __repr__(self) -> str:
        return f"<memkit.Watch {'recording' if self.running else 'ended'}, {self.folder}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        from memkit.record.exit_status import how_it_ended

        if self._argv is None:
            self.end(*how_it_ended(error))

    @property
    def running(self) -> bool:
        """Whether it records, in this process."""
        return self in active.others

    @property
    def path(self) -> str | None:
        """The file that is being written into; None where there is none just now."""
        return None if self._file is None else self._file.path

    @property
    def files(self) -> list[str]:
        """Those that it has written and that are still there, the oldest first; the last is being written into."""
        self._files = [each for each in self._files if os.path.exists(each)]
        return list(self._files)

    # -- begin and end ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the first file, and go on from there."""
        active.install_hooks()
        with active.lock:
            self._file = self._begun(near=False)
            self._go_on()

    def _go_on(self) -> None:
        active.others.append(self)
        self.take_signal()
        self.after_fork_in_parent()

    def stop(self) -> None:
        """End the recording, and the file, unless it is of ``memkit-run``. Raises ``JournalError`` if rows were lost."""
        if self._argv is None:
            self.end("ok")

    def end(self, *ending: object) -> None:
        """End it, since the process does so."""
        with active.lock:
            if not self.running:
                return
            self.before_fork()
            active.others.remove(self)
            self._give_signal_back()
            if self._file is not None:
                self._file.stop(*ending)

    def before_fork(self) -> None:
        """Have no thread."""
        self._pausing = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._bell.ring()
            wait_for_end(thread)

    def after_fork_in_parent(self) -> None:
        """Start the thread, if the system has one to give."""
        self._pausing = False
        try:
            with signals_blocked():
                self._thread = SystemThread(self._run)
        except RuntimeError as error:
            self._tell(error)

    def after_fork_in_child(self) -> None:
        """The recorder has closed its file."""

    def follow_fork(self) -> None:
        """Watch this process, which was forked, with files of its own."""
        Watch(self._asked, self._argv)._go_on()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._pausing:
            with self._bell:
                self._bell.wait(_TICK)
            if not self._settled and not self._pausing:  # a server may have set its handlers meanwhile, or set them back
                self._settled = True
                engine.PendingCall(take_signals)()
            if self._entered():
                try:
                    self._tick(clocks.monotonic_ns())
                except Exception as error:  # whatever it is, the program goes on, and so does this
                    self._tell(error)
                finally:
                    active.lock.release()

    def _entered(self) -> bool:
        """Whether this thread has ``active.lock`` now. A fork has it while it waits for the end of this thread."""
        while not self._pausing:
            if active.lock.acquire(timeout=_A_MOMENT):
                return True
        return False

    def _tick(self, now: int) -> None:
        near = self._is_near(now)
        if now >= self._again_at and (self._file is None or self._is_due(self._file, now, near)):
            self._again_at = now + _AGAIN
            with GivingWay():
                self._begin_next(near)
            self._again_at = self._tidy_at = 0
            self.trouble = None
        if self._file is not None and self._file.running:
            self._file.spans.flush(due=True)
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY
            self._folder.tidy(self.path)
        if self._wanted:
            self._wanted = False
            self.snapshot()

    def _is_due(self, file: WatchFile, now: int, near: bool) -> bool:
        """Whether a file has come to its end: by its size or age, since it is gone or full, or other things are wanted."""
        size = file.size()
        return (
            size is None
            or size >= self._asked.keep.file_size(self._folder.writers)
            or now - file.started >= self._asked.keep.file_age
            or near != file.near
            or file.failed
        )

    def _is_near(self, now: int) -> bool:
        """Whether memory has reached the limit, and has not been clearly below it for a minute since."""
        if self._bound is None or self._no_heap:
            return False
        memory = self._bound.measure() if self._bound.is_share else engine.kept_meter().read()
        least = self._bound.threshold if self._near_since is None else self._bound.again
        if memory is not None and memory >= least:
            self._near_since = now
        elif self._near_since is not None and now - self._near_since > _AGAIN:
            self._near_since = None
        return self._near_since is not None

    def _begin_next(self, near: bool) -> None:
        try:
            following = self._begun(near)
        except MeterError as error:
            if not near:
                raise
            self._no_heap, near = in_a_line(error), False
            self._tell(f"no heap is sampled near the limit: {self._no_heap}")
            following = self._begun(near)
        self._file = following

    def _begun(self, near: bool) -> WatchFile:
        """The next file, in which the recording goes on. Raises ``MemkitError``, and all is as before then."""
        path = self._folder.reserve(WATCH, self.path)
        try:
            settings = self._asked.settings(path, near)
            following = WatchFile(settings, near, self._argv)
            following.begin(self._file)
        except BaseException:
            os.unlink(path)
            raise
        self._files.append(path)
        self._bound = limit_guard.bound(settings.limit, None, "rss")
        return following

    def _tell(self, error: Exception | str) -> None:
        """Say what is wrong, once until all is well again."""
        text = error if isinstance(error, str) else in_a_line(error)
        if self.trouble is None:
            to_stderr(f"watch: {text}")
        self.trouble = text

    # -- the last minutes ------------------------------------------------------------------------------------------

    def snapshot(self, last: str | float = _LAST) -> str:
        """Write the last minutes into a file of its own, with where all threads are now; returns its path.

        It is in the folder, and a recording like the others. ``last``: seconds, or text such as ``"10min"``. Raises
        ``UsageError`` where there is nothing to write or the folder cannot be used, ``JournalError`` for a full disk.
        """
        time = parse_time(last)
        if time <= 0:
            raise UsageError(f"last {last!r}: write some time, such as 10min")
        with active.lock, GivingWay():
            if self._file is None or not self._file.running:
                raise UsageError("nothing is being recorded: the watch has ended, or could not begin a file")
            self._file.write_stacks()
            now, files = clocks.monotonic_ns(), self.files
        path = self._folder.reserve(SNAPSHOT)
        from memkit.model.last_minutes import last_minutes

        try:
            with GivingWay(), open(path, "wb") as into:
                last_minutes(files, into, time, now)
        except OSError as error:
            os.unlink(path)
            raise JournalError(f"cannot write {path!r}: {error.strerror}") from None
        return path

    def take_signal(self) -> None:
        """Handle the signal, unless the program does. In another thread than the main one this does nothing."""
        number = self._asked.number
        if (
            number is None
            or not self.running
            or (self._asked.signal == "auto" and _signal.getsignal(number) is not _signal.SIG_DFL)
        ):
            return
        try:
            if _signal.getsignal(number) is not on_signal:
                _signal.signal(number, on_signal)
        except ValueError:  # the main thread will be asked to
            pass

    def _give_signal_back(self) -> None:
        number = self._asked.number
        if number is None or any(isinstance(each, Watch) and each._asked.number == number for each in active.others):
            return
        try:
            if _signal.getsignal(number) is on_signal:
                _signal.signal(number, _signal.SIG_DFL)
        except ValueError:  # not in the main thread: it stays, and does nothing
            pass

    def want_snapshot(self) -> None:
        """Have the thread write the last minutes, soon."""
        self._wanted = True
        self._bell.ring()


def take_signals(_: object = None) -> int:
    """Have the watches handle their signals, called by the main thread."""
    for each in active.others:
        if isinstance(each, Watch):
            each.take_signal()
    return 0


def on_signal(number: int, _: FrameType | None) -> None:
    """Handle the signal: what it asks for is done in the threads of the watches."""
    for each in active.others:
        if isinstance(each, Watch) and each._asked.number == number:
            each.want_snapshot()
