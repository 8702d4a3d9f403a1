"""How a recording was made: the facts of its first row."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class About(NamedTuple):
    """How a recording was made."""

    memkit: str
    """The version of memkit that made it."""
    argv: tuple[str, ...]
    """The program and its arguments, as given, or the cell of IPython: ``In [5]``."""
    pid: int
    parent: int | None
    python: str | None
    """The version of Python that it ran on; None where it was recorded from outside."""
    host: str | None
    """The machine; None where the file does not tell."""
    began: float
    """When, in seconds since the epoch."""
    clock: int
    """The same moment on the machine's monotonic clock, in nanoseconds."""
    meter: str
    """What was measured: ``rss``, ``anon``, ``pss``, ``uss``, ``vms``, ``swap``, ``cgroup`` or a plugin's."""
    interval: int | None
    """Nanoseconds from sample to sample; None where it grew with the time elapsed."""
    engine: str
    """``native`` or ``portable``: the compiled sampler, or a Python thread."""
    peaks: str
    """How peaks are known: ``reset``, ``mark`` or ``samples`` (see :attr:`Recording.peak_is_exact`)."""
    peaks_reason: str | None
    """Why they are not known better."""
    mark: int | None
    """The highest resident memory of the process before the recording began."""
    peaks_error: int | None = None
    """How far a peak that is exact can be off, in bytes, by the way in which the kernel counts: nearly always too low."""
    recorder: int | None = None
    """The process that recorded it from outside; None where it recorded itself."""
    stacks_reason: str | None = None
    """Why the stacks of threads could not be read unless Python ran; None where they could, or where it is not known."""
    package: str | None = None
    """The folder of the memkit that made it, with a separator at its end: frames of files in it are memkit's own."""
    set_limit: int | None = None
    """The size of the limit that was set with ``--limit``; None where none was."""
    set_limit_scope: str | None = None
    """Whose memory was compared with that: of the ``process`` itself, of its ``cgroup``, or of the ``machine``."""
    name: str | None = None
    """What the process is called among those of its job, such as ``rank 3``; None where it is not one of several."""
    watch: str | None = None
    """What all files of one watch have in common, those of processes that were started, too; None where it is of none."""

    @property
    def command(self) -> str:
        """The program and its arguments in one line."""
        return " ".join(" ".join(self.argv).split())

    @property
    def when(self) -> datetime:
        """When the recording began, in local time."""
        return datetime.fromtimestamp(self.began)
