"""Which machinery measures here: the compiled modules where they were built and can work, the portable ones elsewhere.

``MEMKIT_ENGINE=native`` or ``portable`` forces one. Names that both have: ``Journal``, ``Meter``, ``Sampler``, ``Scope``,
``METERS``, ``PendingCall``, ``peaks``, ``allow_reset``, ``peak_rss``, ``content``, ``lock``.
"""

from __future__ import annotations

import os
import sys

from memkit.base.errors import MeterError, UsageError, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from memkit.base import protocols

__all__ = [
    "GROUP",
    "METERS",
    "NAME",
    "REASON",
    "Journal",
    "Meter",
    "PendingCall",
    "Sampler",
    "Scope",
    "allow_reset",
    "compiled",
    "content",
    "is_meter",
    "is_written",
    "kept_meter",
    "lock",
    "meter_named",
    "peak_rss",
    "peaks",
    "peaks_error",
    "rss",
    "sampler_for",
    "stacks_reason",
]

NAME = "native"
REASON: str | None = None
"""Why the better engine is not in use, or None."""


def not_loaded(error: ImportError) -> str:
    """Which compiled module could not be loaded, why, and what that means."""
    text = f"the compiled module {error.name} cannot be loaded: {error}"
    if "TLS" in str(error):
        text += (
            "; the loader has no room left for static thread-local storage: import memkit before other libraries, "
            "or set GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096 where the C library is glibc"
        )
    return text


class compiled:
    """Put around an import of compiled modules: where one cannot be loaded, ``MeterError`` says which and why.

    ``what`` is what cannot be done without them; recording can. With the portable engine nothing is imported.
    """

    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        if NAME != "native":  # its journals and meters are of no use to compiled modules
            raise MeterError(f"{self._what} needs the native engine; this is the portable one: {REASON}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, ImportError):
            raise MeterError(f"{self._what} cannot be had here; recording can: {not_loaded(error)}") from error


_forced = os.environ.get("MEMKIT_ENGINE", "")
if _forced not in ("", "native", "portable"):
    raise UsageError(f"MEMKIT_ENGINE is {_forced!r}: write native or portable, or leave it out")
if _forced == "portable":
    NAME, REASON = "portable", "MEMKIT_ENGINE=portable"
else:
    try:
        from memkit.native.descriptors import content, lock
        from memkit.native.journal import Journal
        from memkit.native.meter import METERS, Meter
        from memkit.native.peak import Scope, allow_reset, peak_rss, peaks
        from memkit.native.pending_call import PendingCall
        from memkit.native.sampling.sampler import Sampler
        from memkit.native.sampling.stacks import unreadable_because

        Meter("rss")
    except (ImportError, MeterError) as error:
        _reason = not_loaded(error) if isinstance(error, ImportError) else f"the compiled modules do not work here: {error}"
        if _forced == "native":
            raise MeterError(f"MEMKIT_ENGINE is 'native', but it does not work here: {_reason}") from error
        NAME, REASON = "portable", _reason

if not TYPE_CHECKING and NAME == "portable":  # for type checkers the names are those of the compiled modules
    from memkit.base.descriptors import content
    from memkit.base.locks import lock
    from memkit.system.portable import METERS, Journal, Meter, PendingCall, Sampler, Scope, allow_reset, peak_rss, peaks


def is_written(path: str) -> bool:
    """Whether somebody has a recording's file locked, as each process does that writes into it, this one too."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        return not lock(fd, True)
    finally:
        os.close(fd)


GROUP = "cgroup"
"""The meter of the control group whose limit is nearest: not of one process, so that it is not among ``METERS``."""


def is_meter(name: object) -> bool:
    """Whether memkit itself has a meter of this name."""
    return name == GROUP or name in METERS


def meter_named(meter: Any, name: str | None = None) -> protocols.Meter:
    """The meter of this process for a name, or for a callable that returns bytes and the name it is to have."""
    if hasattr(meter, "read"):
        ready: protocols.Meter = meter
        return ready
    if meter == GROUP:
        from memkit.system.cgroup import nearest_use

        meter, name = nearest_use(), GROUP
    if callable(meter):
        from memkit.system.portable import CalledMeter

        return CalledMeter(meter, name)
    if meter not in METERS:
        meter = str(meter)
        raise UsageError(f"unknown meter {meter!r}{nearest(meter, METERS)}; this machine has {', '.join([*METERS, GROUP])}")
    return Meter(meter)


def sampler_for(meter: protocols.Meter) -> type[protocols.Sampler]:
    """The sampler that can read a meter: a plugin's is Python, and needs the one that runs Python."""
    if isinstance(meter, Meter):
        return Sampler
    from memkit.system.portable import Sampler as PythonSampler

    return PythonSampler


def peaks_error() -> int | None:
    """How far off a peak from the kernel's high-water mark can be, in bytes; None where there is none, or it is not known.

    Nearly always it is too low. From Linux 6.2 on each CPU counts pages by itself, and adds them to the count of the
    process once they are a batch of ``max(32, 2 * CPUs)``; the high-water mark is made of that count alone. So it lacks up
    to a batch less one page for each CPU that the process has run on, and for each kind of memory. Two kinds are reckoned
    with here: anonymous memory, of which a transient is made, and mapped files, which every process has. Shared memory is a
    third, and would add as much as one of them. A CPU on which pages were given back, a few at a time, has less than
    nothing to add: the high-water mark is then too high, by no more than that. A huge page is more than a batch, and added
    at once.

    Before 6.2 each thread adds its pages after 64 page faults; what is said here is for one thread.

    Source: ``percpu_counter_batch`` in ``lib/percpu_counter.c``, ``update_hiwater_rss`` in ``include/linux/mm.h``, and for
    older kernels ``TASK_RSS_EVENTS_THRESH`` in ``mm/memory.c``; ``man 5 proc`` speaks of 63 pages for each thread.
    """
    if peaks()[0] == "samples" or sys.platform != "linux":
        return None
    pages = _uncounted(os.uname().release, os.sysconf("SC_NPROCESSORS_ONLN"))
    return pages and pages * os.sysconf("SC_PAGE_SIZE")


def _uncounted(kernel: str, cpus: int) -> int | None:
    """The pages that a kernel may have left out of its high-water mark, with so many CPUs online."""
    try:
        version = tuple(map(int, kernel.split(".")[:2]))
    except ValueError:
        return None
    return 2 * (max(32, 2 * cpus) - 1) * cpus if version >= (6, 2) else 64


def stacks_reason() -> str | None:
    """Why the stacks of threads can only be read while Python runs, or None."""
    return "the portable engine asks Python" if NAME == "portable" else unreadable_because()


def rss() -> int:
    """Resident memory of this process now, in bytes. Source: ``/proc/self/statm``, or psutil.

    While a recording counts the heap, what memkit needs to tell its blocks apart is taken off, as in ``peak_rss``.
    Raises ``MeterError`` where it cannot be read.
    """
    memory = kept_meter().read()
    if memory is None:
        raise MeterError("memory of this process cannot be read now: the system may have no descriptor left")
    return memory


def kept_meter() -> Meter:
    """A meter of the resident memory of this process that is opened once, and anew after a fork."""
    global _rss
    if _rss is None:
        _rss = Meter("rss")
    _rss.read()
    return _rss


_rss: Meter | None = None
