"""A process that a recording is about."""

from __future__ import annotations

from typing import NamedTuple

from memkit.model.ending import Ending
from memkit.model.workers import kind_by_command


class Process(NamedTuple):
    """A process that the recording is about."""

    pid: int
    parent: int | None
    command: str
    started: int
    ended: int | None
    ending: Ending
    name: str | None = None
    """What it is called among those of its job, such as ``rank 3``; None where that is not known."""
    limit: int | None = None
    """Bytes that what it runs in allows it, such as the memory limit of a worker of Dask; None where that is not known."""

    @property
    def title(self) -> str:
        """Its name, if it has one, and its command; or what it is for, ``joblib worker``, where nobody typed that."""
        return f"{self.name}: {self.what}" if self.name else self.what

    @property
    def what(self) -> str:
        """Its command, or what it is for."""
        return kind_by_command(self.command) or self.command
