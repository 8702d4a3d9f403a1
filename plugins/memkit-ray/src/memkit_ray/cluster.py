"""The recordings of workers as one, in which each is called by its node and by what it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import memkit
from memkit_ray.nodes import Clock, End

_KILLED = "killed by Ray's memory monitor"
_APART = 1 << 22
"""Added to the PIDs of another machine: no PID of Linux is as large."""


class Worker(NamedTuple):
    """A worker of Ray that recorded itself."""

    id: str
    node: str
    """The name of its node."""
    pid: int
    actor: str | None
    """The class of the actor that it was; None where it ran tasks."""
    peak: int | None
    tasks: int
    """How many tasks or calls of methods it ran."""
    unfinished: tuple[str, ...]
    """The labels of those that it was in as it ended."""
    end: End | None
    """How it stands; None where Ray did not tell."""

    @property
    def what(self) -> str:
        """``actor Counter``, or ``worker``."""
        return f"actor {self.actor}" if self.actor else "worker"

    def __str__(self) -> str:
        """In a line what it was and how it ended."""
        peak = "not seen" if self.peak is None else memkit.units.show_bytes(self.peak)
        ran = f"{self.tasks:,} task{'' if self.tasks == 1 else 's'}"
        inside = f", in {', '.join(self.unfinished)}" if self.unfinished else ""
        return f"{self.what} {self.pid} on {self.node}: peak {peak}, {ran}; {self._ending}{inside}"

    @property
    def _ending(self) -> str:
        if self.end is None:
            return "how it ended is not known"
        if self.end.alive:
            return "still running"
        if self.end.out_of_memory:
            return f"{_KILLED}: {self.end.words}"
        return f"{'died' if self.end.type == 'SYSTEM_ERROR' else 'ended'}: {self.end.words}"


def worker_of(id: str, node: str, recording: memkit.Recording, end: End | None, running: tuple[str, ...]) -> Worker:
    """What is told of the worker that a recording is of."""
    labels = [sums.label for sums in recording.span_sums]
    count = sum(sums.number for sums in recording.span_sums)
    begun = [label for label in (*labels, *running) if label.endswith(".__init__")]
    actor = begun[0].removesuffix(".__init__") if begun else None
    living = end is not None and end.alive
    return Worker(id, node, recording.about.pid, actor, recording.peak, count, () if living else running, end)


def named(recording: memkit.Recording, worker: Worker) -> memkit.Recording:
    """The recording of a worker, whose process has the name of its node and says what it was and how Ray ended it."""
    own, *children = recording.processes
    ending, ended = own.ending, own.ended
    if worker.end is not None and not own.ending.failed:
        if worker.end.alive:
            ending = memkit.Ending("detached", finished=False)
        elif worker.end.out_of_memory:
            ending = memkit.Ending("killed", f"Ray's memory monitor: {worker.end.words}", signal=9, finished=False)
        elif worker.end.type == "SYSTEM_ERROR" and own.ending.kind == "unknown":
            ending = memkit.Ending("unknown", worker.end.words, finished=False)
        elif worker.end.type == "USER_ERROR":
            ending = memkit.Ending("error", worker.end.words, finished=False)
        elif worker.end.type.startswith("INTENDED") and own.ending.kind == "unknown":
            ending = memkit.Ending("ended", finished=False)
        if worker.end.time is not None and ended is None:
            last = recording.samples[-1].time if recording.samples else 0
            ended = max(last, round((worker.end.time - recording.about.began) * memkit.units.SECOND))
    killed = f", {_KILLED}" if worker.end is not None and worker.end.out_of_memory else ""
    own = own._replace(name=worker.node, command=worker.what + killed, ending=ending, ended=ended)
    others = [child._replace(name=worker.node) for child in children]
    spans = (*recording.spans, *(_last_tasks(recording, worker) if ending.failed else ()))
    return replace(recording, processes=(own, *others), spans=spans, ending=ending)


def _last_tasks(recording: memkit.Recording, worker: Worker) -> Iterator[memkit.Span]:
    """The tasks that a worker died in whose beginning was not yet in its recording: begun after what is."""
    known = {span.label for span in recording.spans if span.end is None}
    memory = recording.samples[-1].memory if recording.samples else 0
    for label in worker.unfinished:
        if label not in known:
            yield memkit.Span(label, 0, 0, recording.duration, None, memory, None, memory)


def told_of_task(sums: memkit.SpanSums) -> str:
    """In a line what all tasks of a function, or calls of a method, took."""
    size, known = memkit.units.show_bytes, []
    if sums.rise is not None:
        known.append(f"rise at most {size(sums.rise.worst)}")
    if sums.kept is not None:
        known.append(f"kept {size(sums.kept.total)} in all")
    elif sums.growth is not None:
        known.append(f"growth {size(sums.growth.total, sign=True)} in all")
    if sums.time is not None:
        known.append(f"{memkit.units.show_time(sums.time.worst)} at most")
    if sums.overlapped:
        known.append(f"{sums.overlapped:,} of them beside others")
    return f"{sums.label}: {sums.number:,} time{'' if sums.number == 1 else 's'}, {', '.join(known)}"


def on_one_clock(recording: memkit.Recording, clock: Clock | None) -> memkit.Recording:
    """The recording with its beginning by the clock of the driver."""
    if clock is None:
        return recording
    return replace(recording, about=recording.about._replace(began=recording.about.began - clock.ahead))


def merged(recordings: Sequence[memkit.Recording]) -> memkit.Recording:
    """The recordings as one, with PIDs that no two machines share: those of the first machine stay."""
    hosts = list(dict.fromkeys(each.about.host for each in recordings))
    return memkit.merge(_renumbered(each, hosts.index(each.about.host) * _APART) for each in recordings)


def _renumbered(recording: memkit.Recording, by: int) -> memkit.Recording:
    def other(pid: int | None) -> int | None:
        return None if pid is None else pid + by

    about = recording.about
    return replace(
        recording,
        about=about._replace(pid=about.pid + by, parent=other(about.parent)),
        samples=tuple(sample._replace(pid=sample.pid + by) for sample in recording.samples),
        others=tuple(sample._replace(pid=sample.pid + by) for sample in recording.others),
        processes=tuple(each._replace(pid=each.pid + by, parent=other(each.parent)) for each in recording.processes),
        calls=tuple(call._replace(process=other(call.process)) for call in recording.calls),
        balances=tuple(balance._replace(pid=balance.pid + by) for balance in recording.balances),
    )
