"""Reading the memory of a process as memory_profiler's backends do: of the process alone, or with its descendants."""

from __future__ import annotations

import os
import sys

from memkit.base.errors import MeterError, UsageError, nearest
from memkit.system import engine

MIB = 1 << 20
BACKENDS = {"psutil": "rss", "psutil_pss": "pss", "psutil_uss": "uss", "posix": None, "tracemalloc": None}
"""The meter of each of memory_profiler's backends; None for ``ps``, and for what Python itself has allocated."""


class Reader:
    """A meter that reads the memory of a process by a backend; ``pid`` is None for this process."""

    costly = False  # the user has chosen the interval

    def __init__(self, pid: int | None, backend: str | None = None, include_children: bool = False) -> None:
        self.name = "psutil" if backend is None else backend
        if self.name not in BACKENDS:
            wrong = str(backend)
            raise UsageError(f"unknown backend {backend!r}{nearest(wrong, BACKENDS)}: there are {', '.join(BACKENDS)}")
        self.pid = pid
        self.include_children = include_children and self.name != "tracemalloc"  # which counts within one process
        self._meter: engine.Meter | None = None
        if self.include_children:  # before the measurement: the first call imports and allocates
            self.read_children()
        if self.name == "tracemalloc":
            if pid is not None:
                raise UsageError(f"backend 'tracemalloc' counts within this process only, not in {pid}: choose another")
        elif (meter := BACKENDS[self.name]) is not None:
            self._meter = _meter(meter, pid)
        elif pid is not None and self.read_own() is None:
            raise no_process(pid)

    @property
    def meter(self) -> engine.Meter | None:
        """The engine's meter, if that reads all by itself."""
        return self._meter if not self.include_children else None

    def read(self) -> int | None:
        """Bytes now; None if the process has ended."""
        own = self.read_own()
        if not own or not self.include_children:  # a zombie has no memory
            return own or (0 if self.name == "tracemalloc" else None)
        return own + sum(size for _, size in self.read_children())

    def read_own(self) -> int | None:
        """The same without its descendants."""
        if self._meter is not None:
            memory: int | None = self._meter.read()
            return memory
        if self.name == "tracemalloc":
            import tracemalloc

            return tracemalloc.get_traced_memory()[0]
        return _by_ps(self.pid or os.getpid())

    def read_children(self) -> list[tuple[int, int]]:
        """Pid and bytes of each descendant; none if the backend counts within one process."""
        if self.name == "tracemalloc":
            return []
        meter = BACKENDS[self.name]
        return children_of(self.pid, meter) if meter else [(pid, _by_ps(pid) or 0) for pid, _ in children_of(self.pid)]


def _meter(name: str, pid: int | None) -> engine.Meter:
    if name == "rss" and pid is None:
        return engine.Meter("rss")
    if name not in engine.METERS:
        raise MeterError(f"meter {name!r} is not available on this system: leave the backend out")
    try:
        return engine.Meter(name, pid)
    except MeterError as error:
        if pid is not None and not _exists(pid):
            raise no_process(pid) from None
        raise error


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))


def no_process(pid: int) -> MeterError:
    """The error for a process that does not exist. It is psutil's as well, since memory_profiler raises that."""
    import psutil

    class NoProcess(MeterError, psutil.NoSuchProcess):  # type: ignore[misc]  # psutil has no types
        def __str__(self) -> str:
            return f"there is no process {pid}, or it has just ended"

    return NoProcess(pid)


def children_of(pid: int | None, meter: str = "rss") -> list[tuple[int, int]]:
    """Pid and bytes of each descendant, without those that end meanwhile."""
    import psutil

    found: list[tuple[int, int]] = []
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return found
    for child in children:
        try:
            memory = child.memory_info() if meter in ("rss", "vms") else child.memory_full_info()
            if size := getattr(memory, meter):  # a zombie has no memory
                found.append((child.pid, size))
        except psutil.Error:
            continue
    return found


def _by_ps(pid: int) -> int | None:
    import subprocess

    try:
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise MeterError(f"backend 'posix' asks ps, which cannot be run here: {error.strerror}; choose another") from None
    text = done.stdout.strip()
    return int(text) * 1024 if text.isdigit() else None


def start_tracemalloc() -> bool:
    """Have Python count what it allocates; False if it does already."""
    import tracemalloc

    if tracemalloc.is_tracing():
        return False
    tracemalloc.start()
    return True


def stop_tracemalloc() -> int:
    """Stop that, and return the peak."""
    tracemalloc = sys.modules["tracemalloc"]
    highest: int = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest
