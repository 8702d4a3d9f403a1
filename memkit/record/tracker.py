"""Tracking memory over a block into a CSV file, whose last line says how the block ended.

It runs inside the program under measurement, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import time

from memkit.base import paths
from memkit.base.errors import JournalError, MemkitError, MeterError, UsageError, lost_rows
from memkit.base.units import parse_interval, parse_time
from memkit.model.file_format import GIB, RAISED, RETURNED
from memkit.model.file_format import TRACKER_HEAD as HEAD
from memkit.record import active, files
from memkit.system import engine, meminfo, processes

_KIND = "tracker's file"
_BETWEEN = 0.1  # seconds between two readings, where some are averaged


class Tracker:
    """Writes memory over the time of a block into a CSV file: a context manager, and a decorator.

    ::

        with memkit.Tracker("train.csv"):
            train()

    Each row is ``delta,ram``: seconds since the block began and GiB, in the file as soon as it is taken. A peak between two
    rows that stands out from both by more than 0.1 % is a row of its own, at the time of the second and before it. The last
    row is ``0,0`` once the block has ended, after that ``-1,-1`` where it raised anything, ``SystemExit`` too, and neither
    after a kill: ``has_completed_successfully``, ``has_crashed_gracefully`` and ``has_crashed_ungracefully`` tell.

    ``scope``: ``"process"`` is resident memory of this one, with exact peaks and from a native thread where memkit was
    compiled; ``"system"`` what is in use on the whole machine; ``"tree"`` this process with all its descendants, of each its
    share. ``interval``: seconds from row to row, text such as ``"10ms"``, or ``"auto"``, which begins at 1 ms and grows with
    the time elapsed, to some 6000 rows for a day. ``calibrate``: subtract what memory was before the block, one reading or
    the mean of ``calibration_seconds``. ``start_delay`` and ``end_delay``: seconds to wait before the block and after it;
    ``afterwards`` is memory during the latter. ``peak_reset``: as for ``memkit.record``.

    A file of the same kind is replaced, any other left alone. It can be used again once it has ended. Raises ``UsageError``
    for a path that cannot be written and ``MeterError`` where memory cannot be read, both before the block begins, and after
    it ``JournalError`` if rows were lost, unless the block raised something itself.
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
    ):
        if callable(path):
            raise UsageError("Tracker() takes a path: write @memkit.Tracker('file.csv')")
        self.path = paths.absolute(path)
        self.calibration: tuple[float, float] | None = None
        """Mean and standard deviation in bytes of what is subtracted, or None."""
        self.afterwards: tuple[float, float] | None = None
        """The same of memory after the block, less what is subtracted; None until then, and where it cannot be read."""
        self._read = _reading(scope)
        self._scope = scope
        self._interval = parse_interval(interval)
        self._calibrates = calibrate
        self._delays = [_seconds(each) for each in (calibration_seconds, start_delay, end_delay)]
        if self._delays[0] and not calibrate:
            raise UsageError(f"calibration_seconds={calibration_seconds!r} goes with calibrate=True, which says what for")
        self.peak_reset = peak_reset
        self._journal = None

    def __repr__(self):
        return f"<memkit.Tracker {'tracking' if self.running else 'not tracking'}, {self.path}>"

    @property
    def running(self) -> bool:
        """Whether it is tracking now."""
        return self in active.watchers

    def start(self, *, join: bool = False) -> bool:
        """Begin a new file; its first row is there before this returns.

        With ``join``, return False where it is tracking already, instead of raising ``UsageError``.
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
            except (OSError, RuntimeError) as error:  # there is no descriptor or no thread left, for instance
                raise MemkitError(f"cannot track: {error}") from error
            active.watchers.append(self)
        return True

    def _refuse_a_path_in_use(self) -> None:
        if any(getattr(other, "path", None) == self.path for other in (*active.watchers, *active.recorders)):
            raise UsageError(f"{self.path!r} is being written already: give each tracker a file of its own")

    def _begin(self) -> None:
        self._pid = os.getpid()
        scoped = self._scope == "process"
        meter = engine.meter_named("rss") if scoped else engine.meter_named(self._read, self._scope)
        if scoped:
            engine.allow_reset(active.may_reset(self.peak_reset))
        self._journal = files.begun_table(self.path, HEAD, _KIND, round(self._offset()))
        try:
            began = time.monotonic_ns()
            self._sampler = engine.sampler_for(meter)(self._journal, meter, self._interval, began, scoped)
            self._sampler.start()
        except BaseException:
            self._journal.close()
            raise

    def stop(self, *, raised: bool | None = False) -> None:
        """End, saying whether the block raised something, or nothing of that for None.

        Harmless when it is not tracking, as in a forked child.
        """
        with active.lock:
            if self not in active.watchers:
                return
            active.watchers.remove(self)
            if self._pid != os.getpid():  # forked by C code, which ran no hook
                return
            self._sampler.stop()
        if raised is not None:
            self._journal.text(f"{RETURNED}\n{RAISED}\n".encode() if raised else f"{RETURNED}\n".encode())
        there = os.path.exists(self.path)
        self._journal.close()
        try:
            mean, spread = self._measured(self._delays[-1])
            self.afterwards = mean - self._offset(), spread
        except (MeterError, OSError):  # it is none of the block's
            pass
        if self._journal.error:
            raise lost_rows(self._journal, repr(self.path))
        if not there:
            raise JournalError(f"{self.path!r} is gone: somebody removed it while it was being written")

    def forget(self) -> None:
        """Hold nothing of the file: this is a forked child."""
        self._journal.close()

    def end(self, kind: str, *_) -> None:
        """End with the process; where it is not known how that ends, or that it was stopped, neither is said."""
        self.stop(raised={"ok": False, "error": True, "exited": True}.get(kind))

    def pause(self) -> None:
        """Have no thread of its own for the moment, as during a fork."""
        self._sampler.pause()

    def resume(self) -> None:
        self._sampler.resume()

    def __enter__(self) -> Tracker:
        self.start()
        return self

    def __exit__(self, kind, error, _) -> None:
        raised = kind is not None and not issubclass(kind, GeneratorExit)  # a generator of which nobody wanted more
        try:
            self.stop(raised=raised)
        except JournalError:
            if not raised:  # the program's own exception matters more
                raise

    def __call__(self, function):
        from memkit.base.decorators import OneCall, decorated

        return decorated(function, lambda: OneCall(self))

    def _offset(self) -> float:
        return self.calibration[0] if self.calibration else 0

    def _measured(self, seconds: float) -> tuple[float, float]:
        """Mean and standard deviation of memory over a time; of one reading where there is none."""
        until = time.monotonic() + seconds
        found = [self._read()]
        while time.monotonic() < until:
            time.sleep(min(_BETWEEN, max(0, until - time.monotonic())))
            found.append(self._read())
        mean = sum(found) / len(found)
        return mean, (sum((each - mean) ** 2 for each in found) / max(1, len(found) - 1)) ** 0.5


def _tree() -> int:
    """Memory of this process and all its descendants, in bytes.

    Of each its share is counted (PSS: a page that several processes have in common counts once), or its resident memory
    where the system does not tell the share. Processes whose parent has ended are no descendants any more.
    """
    source = processes.Proc() if sys.platform == "linux" else processes.Elsewhere()
    family, children = [os.getpid()], source.kinship()
    for each in family:  # grows as it is gone through
        family += children(each)
    return sum(_share(source, pid) for pid in family)


def _share(source, pid: int) -> int:
    try:
        shares = source.shares(pid)
        return shares.pss if shares is not None else 0
    except processes.Refused:
        reading = source.read(pid)
        return reading.rss if reading is not None else 0


_SCOPES = {"process": engine.rss, "system": meminfo.used, "tree": _tree}


def get_used_ram(scope: str = "system") -> float:
    """GiB in use now, as a tracker's rows have it: of the whole machine, or of another ``scope`` of ``memkit.Tracker``."""
    return _reading(scope)() / GIB


def _reading(scope: str):
    if not isinstance(scope, str) or scope not in _SCOPES:
        raise UsageError(f"unknown scope {scope!r}: write {', '.join(_SCOPES)}")
    return _SCOPES[scope]


def _seconds(given) -> float:
    seconds = parse_time(given) / 1e9
    if seconds < 0:
        raise UsageError(f"{given!r} is no time to wait: write seconds, 0 or more")
    return seconds
