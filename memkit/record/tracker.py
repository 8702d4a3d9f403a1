"""Tracking the memory of a block into a CSV file, whose last line says how the block ended.

This runs in the measured process, so it imports as little as possible.
"""

from __future__ import annotations

import os
import sys
import time

from memkit.base import clocks, paths
from memkit.base.errors import JournalError, MemkitError, MeterError, UsageError, lost_rows
from memkit.base.units import parse_interval, parse_time
from memkit.model.file_format import GIB, RAISED, RETURNED
from memkit.model.file_format import TRACKER_HEAD as HEAD
from memkit.record import active, files
from memkit.system import engine, meminfo, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

_KIND = "tracker's file"
_BETWEEN = 0.1  # seconds between two readings, where some are averaged


class Tracker:
    """Writes the memory of a block over time into a CSV file: a context manager, and a decorator.

    ::

        with memkit.Tracker("train.csv"):
            train()

    Each row is ``delta,ram``: seconds since the block began and GiB, written to the file at once. A peak between two rows
    that is higher than both by more than 0.1 % is a row of its own, before the second and at its time. The last row is
    ``0,0`` if the block has ended, followed by ``-1,-1`` if it raised an exception, even ``SystemExit``; after a kill there
    is neither. ``has_completed_successfully``, ``has_crashed_gracefully`` and ``has_crashed_ungracefully`` tell which.

    ``scope``: ``"process"`` is resident memory of this process, with exact peaks and a native thread where memkit was
    compiled; ``"system"`` what is in use on the whole machine; ``"tree"`` this process and all its descendants, each with
    its share. ``interval``: seconds from row to row, text such as ``"10ms"``, or ``"auto"``, which begins at 1 ms and grows
    with the time elapsed, to some 6000 rows for a day. ``calibrate``: subtract the memory before the block, one reading or
    the mean over ``calibration_seconds``. ``start_delay`` and ``end_delay``: seconds to wait before the block and after it;
    ``afterwards`` is memory during the latter. ``peak_reset``: as for ``memkit.record``.

    A file of the same kind is replaced, any other refused. A tracker can be used again once it has ended. Raises
    ``UsageError`` for a path that cannot be written and ``MeterError`` if memory cannot be read, both before the block
    begins, and after it ``JournalError`` if rows were lost, unless the block raised an exception itself.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        scope: str = "process",
        interval: str | float = "auto",
        calibrate: bool = False,
        calibration_seconds: float = 0,
        start_delay: float = 0,
        end_delay: float = 0,
        peak_reset: bool = True,
    ) -> None:
        if callable(path):
            raise UsageError("Tracker() takes a path: write @memkit.Tracker('file.csv')")
        self.path = paths.absolute(path)
        self.calibration: tuple[float, float] | None = None
        """Mean and standard deviation, in bytes, of what is subtracted; None without ``calibrate``."""
        self.afterwards: tuple[float, float] | None = None
        """The same of memory after the block, less what is subtracted; None before, and if it cannot be read."""
        self._read = _reading(scope)
        self._scope = scope
        self._interval = parse_interval(interval)
        self._calibrates = calibrate
        self._delays = [_seconds(each) for each in (calibration_seconds, start_delay, end_delay)]
        if self._delays[0] and not calibrate:
            raise UsageError(f"calibration_seconds={calibration_seconds!r} goes with calibrate=True, which says what for")
        self.peak_reset = peak_reset
        self._journal: Any = None  # an engine.Journal since the first start

    def __repr__(self) -> str:
        return f"<memkit.Tracker {'tracking' if self.running else 'not tracking'}, {self.path}>"

    @property
    def running(self) -> bool:
        """Whether it is tracking."""
        return self in active.others

    def start(self, *, join: bool = False) -> bool:
        """Begin a new file; its first row is there before this returns.

        With ``join``, return False if it is tracking already, instead of raising ``UsageError``.
        """
        active.install_hooks()
        if join and self.running:
            return False
        self._refuse_a_path_in_use()
        files.table_path(self.path, HEAD, _KIND)  # before any delay
        calibration_seconds, start_delay, _ = self._delays
        if self._calibrates:
            self.calibration = self._measured(calibration_seconds)
        self.afterwards = None
        if start_delay:
            time.sleep(start_delay)
        with active.lock:
            self._refuse_a_path_in_use()
            try:
                self._begin()
            except (OSError, RuntimeError) as error:  # for instance, the process is out of descriptors or threads
                raise MemkitError(f"cannot track: {error}") from error
            active.others.append(self)
        return True

    def _refuse_a_path_in_use(self) -> None:
        if any(getattr(other, "path", None) == self.path for other in (*active.others, *active.recorders)):
            raise UsageError(f"{self.path!r} is being written already: give each tracker a file of its own")

    def _begin(self) -> None:
        self._pid = os.getpid()
        scoped = self._scope == "process"
        meter = engine.meter_named("rss") if scoped else engine.meter_named(self._read, self._scope)
        if scoped:
            engine.allow_reset(active.may_reset(self.peak_reset))
        self._journal = files.begun_table(self.path, HEAD, _KIND, round(self._offset()))
        try:
            began = clocks.monotonic_ns()
            self._sampler = engine.sampler_for(meter)(self._journal, meter, self._interval, began, scoped)
            self._sampler.start()
        except BaseException:
            self._journal.close()
            raise

    def stop(self, *, raised: bool | None = False) -> None:
        """End, unless it is not tracking, as in a forked child.

        ``raised`` is whether the block raised an exception; None if that is not known.
        """
        with active.lock:
            if self not in active.others:
                return
            active.others.remove(self)
            if self._pid != os.getpid():  # forked by C code, which runs no hooks
                return
            self._sampler.stop()
        if raised is not None:
            self._journal.text(f"{RETURNED}\n{RAISED}\n".encode() if raised else f"{RETURNED}\n".encode())
        exists = os.path.exists(self.path)
        self._journal.close()
        try:
            mean, spread = self._measured(self._delays[-1])
            self.afterwards = mean - self._offset(), spread
        except (MeterError, OSError):  # no failure of the block
            pass
        if self._journal.error:
            raise lost_rows(self._journal, repr(self.path))
        if not exists:
            raise JournalError(f"{self.path!r} is gone: somebody removed it while it was being written")

    def end(self, *ending: object) -> None:
        """End with the process. If it is not known how that ends, the file does not say how the block ended."""
        kind = str(ending[0]) if ending else ""
        self.stop(raised={"ok": False, "error": True, "exited": True}.get(kind))

    def before_fork(self) -> None:
        """End the sampler's thread until the fork is over."""
        self._sampler.pause()

    def after_fork_in_parent(self) -> None:
        """Start it again."""
        self._sampler.resume()

    def after_fork_in_child(self) -> None:
        """Close the file, which is the parent's."""
        self._journal.close()

    def __enter__(self) -> Tracker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        raised = kind is not None and not issubclass(kind, GeneratorExit)  # a generator that was closed before its end
        try:
            self.stop(raised=raised)
        except JournalError:
            if not raised:  # the program's own exception matters more
                raise

    def __call__(self, function: F) -> F:
        from memkit.base.decorators import OneCall, decorated

        wrapped: F = decorated(function, lambda: OneCall(self))
        return wrapped

    def _offset(self) -> float:
        return self.calibration[0] if self.calibration else 0

    def _measured(self, seconds: float) -> tuple[float, float]:
        """Mean and standard deviation of memory over so many seconds; of one reading for 0."""
        until = clocks.monotonic() + seconds
        found = [self._read()]
        while clocks.monotonic() < until:
            time.sleep(min(_BETWEEN, max(0, until - clocks.monotonic())))
            found.append(self._read())
        mean = sum(found) / len(found)
        return mean, (sum((each - mean) ** 2 for each in found) / max(1, len(found) - 1)) ** 0.5


def _tree() -> int:
    """Memory of this process and all its descendants, in bytes.

    For each its share is counted (PSS: a page that several processes share counts once), or its resident memory if the
    system does not tell the share. A process whose parent has ended is not a descendant any more.
    """
    source = processes.Proc() if sys.platform == "linux" else processes.Elsewhere()
    tree, children = [os.getpid()], source.kinship()
    for pid in tree:  # which grows meanwhile
        tree += children(pid)
    return sum(_share(source, pid) for pid in tree)


def _share(source: processes.Proc | processes.Elsewhere, pid: int) -> int:
    try:
        shares = source.shares(pid)
        return shares.pss if shares is not None else 0
    except processes.Refused:
        reading = source.read(pid)
        return reading.rss if reading is not None else 0


_SCOPES = {"process": engine.rss, "system": meminfo.used, "tree": _tree}


def get_used_ram(scope: str = "system") -> float:
    """GiB in use now, as in a tracker's rows: of the whole machine, or of another ``scope`` of ``memkit.Tracker``."""
    return _reading(scope)() / GIB


def _reading(scope: str) -> Callable[[], int]:
    if not isinstance(scope, str) or scope not in _SCOPES:
        raise UsageError(f"unknown scope {scope!r}: write {', '.join(_SCOPES)}")
    return _SCOPES[scope]


def _seconds(given: float | str) -> float:
    seconds = parse_time(given) / 1e9
    if seconds < 0:
        raise UsageError(f"{given!r} is no time to wait: write seconds, 0 or more")
    return seconds
