"""The first rows of a recording: how it is made, and what limits the memory of the process."""

from __future__ import annotations

import os
import sys

from memkit.base import clocks, own_code
from memkit.base.version import VERSION
from memkit.model import file_format
from memkit.record import rank
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from memkit.system.limits import Found

    class Bound(Protocol):
        """A limit of ``record.limit_guard``."""

        threshold: int
        scope: str

    class Watched(Protocol):
        """A process that is recorded from outside."""

        @property
        def pid(self) -> int: ...
        @property
        def parent(self) -> int | None: ...
        @property
        def argv(self) -> tuple[str, ...]: ...


_UNKEPT = ("samples", "the system keeps a peak of rss only")


def of_this_process(
    argv: Sequence[str] | None,
    began: int,
    meter: str,
    interval: int,
    sampler: str,
    scoped: bool,
    found: list[Found],
    bound: Bound | None = None,
    watch: str | None = None,
) -> bytes:
    """The header of a recording of this process that begins now.

    ``argv`` is None for what runs here. ``sampler`` is the engine of the sampler, ``scoped`` whether the kernel keeps a peak
    of the meter, ``found`` what limits its memory, ``bound`` the limit that was set, ``watch`` what the files
    of one watch have in common.
    """
    about = {
        **_beginning(_running() if argv is None else argv, began, meter, interval, sampler),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "python": sys.version.split()[0],
        **_peaks(engine.peaks() if scoped else _UNKEPT, engine.peak_rss() if scoped else None),
        "stacks_reason": engine.stacks_reason(),
        "name": rank.name(),
    }
    if bound is not None:
        about |= {"set_limit": bound.threshold, "set_limit_scope": bound.scope}
    if watch is not None:
        about["watch"] = watch
    return file_format.header(about) + limits(found)


def of_another(process: Watched, began: int, meter: str, interval: int, sampler: str, mark: int | None) -> bytes:
    """The first row of a recording of another process, which has a ``pid``, a ``parent`` and an ``argv``.

    ``mark`` is its highest resident memory before; None where the kernel does not keep that, or not of this meter.
    """
    peaks = _UNKEPT if meter != "rss" else ("samples", "the system does not tell") if mark is None else ("mark", None)
    about = {
        **_beginning(process.argv, began, meter, interval, sampler),
        "pid": process.pid,
        "parent": process.parent,
        "python": None,
        **_peaks(peaks, mark),
        "recorder": os.getpid(),
    }
    return file_format.header(about)


def _running() -> list[str]:
    """What runs here, as whoever runs it calls it: a cell of IPython, or the program and its arguments."""
    cell = None
    if "IPython" in sys.modules:
        from memkit.model.sources import running_cell

        cell = running_cell()
    return sys.argv if cell is None else [cell]


def _beginning(argv: Sequence[str], began: int, meter: str, interval: int, sampler: str) -> dict[str, object]:
    return {
        "memkit": VERSION,
        "argv": argv,
        "host": host(),
        "began": clocks.time(),
        "clock": began,
        "meter": meter,
        "interval": interval or None,
        "engine": sampler,
        "package": own_code.PACKAGE,
    }


def host() -> str:
    """The name of this machine."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "?")


def _peaks(known: tuple[str, str | None], mark: int | None) -> dict[str, object]:
    kind, reason = known
    error = None if mark is None else engine.peaks_error()
    return {"peaks": kind, "peaks_reason": reason, "mark": mark, "peaks_error": error}


def limits(found: list[Found]) -> bytes:
    """The rows of what limits the memory of a process, as ``limits.find`` found it."""
    return b"".join(file_format.row("limit", *limit) for limit in found)
