"""Reading other processes: their children, their memory, what they run and how they ended.

On Linux from ``/proc``, which costs some 20 µs a process and opens nothing for longer than that; elsewhere through psutil.
A process is its number and when it began, so that one that came later under the same number is another. Sources:
``man 5 proc``, ``man 2 pidfd_open``.
"""

from __future__ import annotations

import os
import sys
import time

from memkit.base import clocks
from memkit.base.descriptors import content
from memkit.system.pidfd import from_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from memkit.base.protocols import ProcessSource

    Status = tuple[int | None, int | None]
    """Exit code and signal, one of them None."""

METERS = ("rss", "anon", "pss", "uss", "vms", "swap")
"""What can be measured of other processes."""
_KIB = 1024
_SECOND = 1_000_000_000
_NAMES = (b"VmHWM:", b"VmRSS:", b"RssAnon:", b"RssShmem:", b"VmSize:", b"VmSwap:")
_ZOMBIE, _DEAD = "Z", "X"
_FORKED = 0x40  # PF_FORKNOEXEC of include/linux/sched.h, among the flags of a process


class Reading:
    """A process at one moment. Sizes are bytes, what the system does not tell is None."""

    __slots__ = (
        *("anonymous", "born", "code", "faults", "forked", "image", "mark", "name", "over", "parent", "rss", "shmem"),
        *("swap", "vms"),
    )

    parent: int
    born: float
    """When it began, in the system's own measure: with its number what tells it from any other."""
    name: str
    image: object
    """Changes when it executes another program; None where that is not told, or it is ending."""
    forked: bool
    """Whether it is known to have executed nothing since it was forked, so that it runs what its parent ran then."""
    faults: int
    """How many of its page faults were served without the disk, since it began."""
    over: bool
    """Whether it is dead, or a zombie: it exited but has not been reaped."""
    code: Status | None
    """Exit code and signal of one that is over, one of them None; None where they may not be known."""
    rss: int
    mark: int | None
    """The highest resident memory since it began, or since it executed its program."""
    anonymous: int
    """Resident memory that belongs to no file and that only forks share."""
    shmem: int
    """Resident memory that any process may share, and that belongs to no file on a disk."""
    vms: int
    swap: int | None

    @property
    def mapped(self) -> int:
        """Resident memory that belongs to files."""
        return max(0, self.rss - self.anonymous - self.shmem)


class Shares:
    """What a process has of the memory that it shares, in bytes."""

    __slots__ = ("borne", "files", "mapped", "private", "pss", "rss", "shmem", "uss")

    borne: int
    """How much of the memory that only forks share counts with others."""
    files: int
    """How much of its share may be of files, and of what else processes share that are no forks."""
    mapped: int
    """Its share of files, what nobody else has included; no more than that where it is not told."""
    shmem: int
    """The same of shared memory that belongs to no file on a disk."""

    uss: int
    """What would come free if it ended: what is private of its resident memory, and of huge pages that it asked for itself
    (``MAP_HUGETLB``), which the kernel does not count as resident."""

    def __init__(
        self,
        rss: int,
        pss: int,
        private: int,
        borne: int = 0,
        files: int = 0,
        huge: int = 0,
        mapped: int = 0,
        shmem: int = 0,
    ):
        self.rss, self.pss, self.private, self.borne, self.files = rss, pss, private, borne, files
        self.uss = private + huge
        self.mapped, self.shmem = mapped, shmem


class Refused(Exception):
    """The system does not tell that of this process."""


class Proc:
    """The processes of a Linux machine. ``root`` is where ``proc`` is found."""

    kind, reason = "pss", None

    def __init__(self, root: str = "/"):
        from memkit.system import engine

        self._small = engine.content
        self.root = os.path.join(root, "proc")
        self.page = os.sysconf("SC_PAGE_SIZE")
        self.tick = _SECOND // os.sysconf("SC_CLK_TCK")
        self._lists_children = os.path.exists(f"{self.root}/self/task") and self._knows_children()

    def _knows_children(self) -> bool:
        try:
            me = os.listdir(f"{self.root}/self/task")[0]
            return os.path.exists(f"{self.root}/self/task/{me}/children")
        except (OSError, IndexError):
            return False

    def read(self, pid: int) -> Reading | None:
        """A process as it is now; None where it is gone, or cannot be read now."""
        try:
            memory = self._small(f"{self.root}/{pid}/status")
            state = self._small(f"{self.root}/{pid}/stat")  # afterwards: it tells whose memory that was
            name, _, rest = state.partition(b"(")[2].rpartition(b")")
            fields = rest.split()
            found = Reading()
            found.name = name.decode(errors="replace")
            found.parent, found.born, found.faults = int(fields[1]), int(fields[19]), int(fields[7])
            status = fields[0].decode()
            found.forked = bool(int(fields[6]) & _FORKED)
            found.over = status == _DEAD or (status == _ZOMBIE and int(fields[17]) <= 1)
            found.code = self._ending(pid, int(fields[49])) if found.over else None
            if status == _ZOMBIE and not found.over:
                memory, fields = self._of_thread(self.memory_tid(pid)) or (memory, fields)
            found.image = fields[25] if fields[25] != b"0" else None  # one that is ending has none any more
        except (OSError, ValueError, IndexError):
            return None
        sizes = [_size(memory, name) for name in _NAMES]
        found.mark, found.rss, found.anonymous, found.shmem, found.vms, found.swap = sizes
        return found

    def lists(self, pid: int) -> bool:
        """Whether there is a process of that number."""
        return os.path.exists(f"{self.root}/{pid}")

    def _of_thread(self, tid: int) -> tuple[bytes, list[bytes]] | None:
        """``status`` and the fields of ``stat`` of a thread, for a process whose main thread has exited; None if gone."""
        try:
            state = self._small(f"{self.root}/{tid}/stat")
            return self._small(f"{self.root}/{tid}/status"), state.rpartition(b")")[2].split()
        except OSError:  # the threads end one after the other: the process itself is there still
            return None

    def memory_tid(self, pid: int) -> int:
        """The TID whose /proc entry has the memory: the PID, or a live thread if the main thread has exited."""
        for tid in [pid, *self.threads(pid)]:
            try:
                if self._small(f"{self.root}/{tid}/statm").split()[:1] not in ([], [b"0"]):
                    return tid
            except OSError:
                continue
        return pid

    def _ending(self, pid: int, status: int) -> Status | None:
        if status == 0:  # the kernel writes 0 to those who may not know, too
            try:
                os.readlink(f"{self.root}/{pid}/ns/user")
            except OSError:
                return None
        return from_status(status)

    def kinship(self) -> Callable[[int], list[int]]:
        """Who is whose child now: a function of a process that gives its children, those that it has not reaped included."""
        return self._children if self._lists_children else _by_parent(self._all())

    def _children(self, pid: int) -> list[int]:
        found: list[int] = []
        try:
            for thread in os.listdir(f"{self.root}/{pid}/task"):
                found += map(int, self._small(f"{self.root}/{pid}/task/{thread}/children").split())
        except OSError:
            pass
        return found

    def _all(self) -> Iterator[tuple[int, int]]:
        for name in filter(str.isdigit, os.listdir(self.root)):
            try:
                state = self._small(f"{self.root}/{name}/stat")
                yield int(name), int(state.rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue

    def threads(self, pid: int) -> list[int]:
        """The threads of a process."""
        try:
            return list(map(int, os.listdir(f"{self.root}/{pid}/task")))
        except OSError:
            return []

    def newest(self) -> int | None:
        """The number given last to a process or thread of this machine; None where that is not told.

        It is a cheap way to know that nothing has been started since the last poll.
        """
        try:
            return int(self._small(f"{self.root}/loadavg").split()[-1]) or None
        except (OSError, ValueError, IndexError):
            return None

    def command(self, pid: int) -> str:
        """What a process runs, in one line; empty where that cannot be told."""
        try:
            words = (content(f"{self.root}/{pid}/cmdline") or self._of_another(pid, "cmdline")).rstrip(b"\0").split(b"\0")
        except OSError:
            return ""
        return " ".join(b" ".join(words).decode(errors="replace").split())

    def shares(self, pid: int) -> Shares | None:
        """How much a process shares; None where it is gone. Raises ``Refused``."""
        try:
            text = content(f"{self.root}/{pid}/smaps_rollup") or self._of_another(pid, "smaps_rollup")
        except (FileNotFoundError, ProcessLookupError):
            if text := self._of_another(pid, "smaps_rollup"):
                return _shares(text)
            if os.path.exists(f"{self.root}/{pid}") and not os.path.exists(f"{self.root}/{pid}/smaps_rollup"):
                raise Refused("this kernel has no smaps_rollup") from None
            return None
        except OSError as error:
            raise Refused(error.strerror) from None
        return _shares(text) if text else None

    def _of_another(self, pid: int, file: str) -> bytes:
        """A file of a process whose main thread has exited, by another of its threads; empty where there is none."""
        tid = self.memory_tid(pid)
        try:
            return b"" if tid == pid else content(f"{self.root}/{tid}/{file}")
        except OSError:
            return b""

    def shmem(self) -> tuple[int, int] | None:
        """How much shared memory there is on the whole machine, mapped or not, and by how much more that may be; or None.

        The kernel adds it up from each processor when 125 pages have come together at the latest.
        """
        try:
            text = self._small(f"{self.root}/vmstat")
            place = text.index(b"\nnr_shmem ") + len(b"\nnr_shmem ")
            return int(text[place : text.index(b"\n", place)]) * self.page, 125 * (os.cpu_count() or 1) * self.page
        except (OSError, ValueError):
            return None

    def began(self, born: float) -> int:
        """The moment of ``Reading.born``, a whole number of ticks, on ``time.monotonic_ns``; up to a tick too early."""
        return int(born) * self.tick - _asleep()


class Elsewhere:
    """The processes of a machine that is not Linux, or without compiled code, through psutil; shares are not known."""

    kind = "rss"
    page = 0

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self.tick = _SECOND // 100 if psutil.LINUX else 0
        who = "compiled code of memkit asks" if psutil.LINUX else "Linux tells"
        self.reason = f"only {who} how much of its memory a process shares"

    def read(self, pid: int) -> Reading | None:
        found = Reading()
        try:
            process = self._psutil.Process(pid)
            with process.oneshot():
                found.born, found.parent = self._born(process), process.ppid()
                tid = self.memory_tid(pid) if process.status() == self._psutil.STATUS_ZOMBIE else pid
                found.over = process.status() in (self._psutil.STATUS_ZOMBIE, self._psutil.STATUS_DEAD) and tid == pid
                found.name = process.name()
                memory = None if found.over else self._psutil.Process(tid).memory_info()
        except self._psutil.NoSuchProcess:
            return None
        except self._psutil.AccessDenied:
            memory = None
        found.code, found.image, found.faults, found.swap, found.forked = None, None, 0, None, False
        found.rss, found.vms = (memory.rss, memory.vms) if memory else (0, 0)
        found.mark, found.anonymous, found.shmem = getattr(memory, "peak_wset", None), found.rss, 0
        return found

    def lists(self, pid: int) -> bool:
        return bool(self._psutil.pid_exists(pid))

    def memory_tid(self, pid: int) -> int:
        """The TID whose /proc entry has the memory: the PID, or a live thread if the main thread has exited."""
        try:
            process = self._psutil.Process(pid)
            if self._psutil.LINUX and process.status() == self._psutil.STATUS_ZOMBIE:
                for thread in process.threads():
                    if thread.id != pid and self._psutil.Process(thread.id).memory_info().vms:
                        return int(thread.id)
        except self._psutil.Error:
            pass
        return pid

    def kinship(self) -> Callable[[int], list[int]]:
        return _by_parent(self._all())

    def _all(self) -> Iterator[tuple[int, int]]:
        for process in self._psutil.process_iter():
            try:
                yield process.pid, process.ppid()
            except self._psutil.Error:
                continue

    def shmem(self) -> None:
        """It is not known."""

    def newest(self) -> None:
        return None

    def command(self, pid: int) -> str:
        try:
            process = self._psutil.Process(pid)
            return " ".join(" ".join(process.cmdline()).split())
        except self._psutil.Error:
            return ""

    def shares(self, pid: int) -> Shares | None:
        raise Refused(self.reason)

    def _born(self, process: Any) -> float:  # a psutil.Process, whose package has no types
        """When a process began, in seconds: on Linux since the machine did, which the system tells in whole seconds only."""
        began = float(process.create_time())
        return round(began - self._psutil.boot_time(), 2) if self._psutil.LINUX else began

    def began(self, born: float) -> int:
        if self._psutil.LINUX:
            return int(born * _SECOND) - _asleep()
        return int(born * _SECOND) - clocks.time_ns() + clocks.monotonic_ns()


def here() -> ProcessSource:
    """The processes of this machine."""
    from memkit.system import engine

    if sys.platform == "linux" and engine.NAME == "native":
        return Proc()
    return Elsewhere()


def _by_parent(processes: Iterable[tuple[int, int]]) -> Callable[[int], list[int]]:
    """A function of a process that gives its children, from pairs of every process and its parent."""
    found: dict[int, list[int]] = {}
    for pid, parent in processes:
        found.setdefault(parent, []).append(pid)
    return lambda pid: found.get(pid, [])


def _asleep() -> int:
    """Nanoseconds that this machine has slept since it began."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - clocks.monotonic_ns()


def _shares(text: bytes) -> Shares:
    """What smaps_rollup says."""
    private = _size(text, b"Private_Clean:") + _size(text, b"Private_Dirty:")
    rss, pss = _size(text, b"Rss:"), _size(text, b"Pss:")
    # Before Linux 5.3 it is not told of which kind a share is.
    told = b"\nPss_Anon:" in text
    borne = _size(text, b"Anonymous:") - _size(text, b"Pss_Anon:") if told else rss - pss
    files = min(pss - _size(text, b"Pss_Anon:"), pss - private) if told else 0
    mapped, shmem = (_size(text, name) if told else pss for name in (b"Pss_File:", b"Pss_Shmem:"))
    return Shares(rss, pss, private, max(0, borne), max(0, files), _size(text, b"Private_Hugetlb:"), mapped, shmem)


def _size(text: bytes, name: bytes) -> int:
    """The bytes after a name in a table of kilobytes; 0 where it is missing, as for a process that is over."""
    place = text.find(b"\n" + name)
    if place < 0:
        return 0
    return int(text[place + 1 + len(name) : text.index(b"\n", place + 1)].split()[0]) * _KIB
