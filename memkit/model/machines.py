"""Processes of several machines, whose PIDs may be the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memkit.model.recording import Recording

_APART = 1 << 22
"""Added to the PIDs of another machine, if they were given out on one before; no PID of Linux is as large."""
_ON = " on machine "


class Machines:
    """Which PIDs were given out on which machine: two machines give out the same."""

    def __init__(self) -> None:
        self._offsets: dict[str | None, int] = {}
        self._taken: dict[int, str | None] = {}

    def apart(self, recording: Recording) -> Recording:
        """A recording whose PIDs no process of another machine has."""
        host = recording.about.host
        if host not in self._offsets:
            pids = {process.pid for process in recording.processes}
            alike = any(self._taken.get(pid, host) != host for pid in pids)
            self._offsets[host] = (1 + sum(map(bool, self._offsets.values()))) * _APART if alike else 0
        by = self._offsets[host]
        if not by and any(self._taken.get(process.pid, host) != host for process in recording.processes):
            by = self._offsets[host] = (1 + sum(map(bool, self._offsets.values()))) * _APART
        for process in recording.processes:
            self._taken.setdefault(process.pid + by, host)
        return _renumbered(recording, by) if by else recording

    def named(self, recordings: list[Recording]) -> list[Recording]:
        """The recordings, whose processes say on which machine they were where there are several."""
        if len(self._offsets) < 2:
            return recordings
        return [
            replace(
                each,
                processes=tuple(
                    process._replace(command=f"{process.what}{_ON}{each.about.host or '?'}") for process in each.processes
                ),
            )
            for each in recordings
        ]


def machine_of(command: str) -> str:
    """The machine that a command says it ran on; empty where it says none."""
    return command.rpartition(_ON)[2] if _ON in command else ""


def _renumbered(recording: Recording, by: int) -> Recording:
    def later(row: Any) -> Any:
        return row if row.process is None else row._replace(process=row.process + by)

    parent = recording.about.parent
    return replace(
        recording,
        about=recording.about._replace(pid=recording.about.pid + by, parent=None if parent is None else parent + by),
        samples=tuple(sample._replace(pid=sample.pid + by) for sample in recording.samples),
        others=tuple(sample._replace(pid=sample.pid + by) for sample in recording.others),
        processes=tuple(
            process._replace(pid=process.pid + by, parent=None if process.parent is None else process.parent + by)
            for process in recording.processes
        ),
        spans=tuple(map(later, recording.spans)),
        crossings=tuple(map(later, recording.crossings)),
        calls=tuple(map(later, recording.calls)),
        balances=tuple(balance._replace(pid=balance.pid + by) for balance in recording.balances),
    )
