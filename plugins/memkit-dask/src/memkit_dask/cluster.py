"""What the processes of a cluster wrote, as one recording, and what it says of workers and tasks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dask.utils import key_split

import memkit
from memkit_dask.files import RECORDING
from memkit_dask.logs import ProcessLog, logs_in

_PID = re.compile(r"\(pid=(\d+)\)")
_ADDRESS = re.compile(r"[a-z]+://[^\s'\",()]+")
_MEMORY = ("distributed.worker.memory", "distributed.nanny.memory")
_AT = (("Pausing worker", "pause"), ("memory budget. Restarting", "terminate"))
"""What Dask says as it reaches a threshold, and which that is."""


class Word(NamedTuple):
    """What Dask warned of."""

    time: int
    """Nanoseconds since the recording began."""
    worker: str | None
    """The name of the worker that it is about; None where it is not about one."""
    pid: int | None
    """The process of that worker, where it is known."""
    logger: str
    level: str
    text: str


class Clock(NamedTuple):
    """The clock of a machine, as one of its processes found it, beside that of the scheduler's."""

    host: str
    pid: int
    offset: int
    """Nanoseconds by which the scheduler's was ahead: they were added to what this process recorded."""
    error: int
    """By how many nanoseconds that may be off: half of the time that the fastest answer took."""


class Worker(NamedTuple):
    """One process of a worker: a worker that its nanny has started again has another."""

    name: str
    address: str
    host: str
    pid: int
    began: int
    ended: int | None
    ending: memkit.Ending
    peak: int
    """The highest resident memory."""
    managed: int | None
    """What Dask counted then: the sizes of results in memory, as ``dask.sizeof`` tells them. None before it had counted."""
    spilled: int
    """The most that it had on disk."""
    limit: int | None
    """Its memory limit, by Dask."""
    tasks: int
    """How many tasks were begun whose rows are in the recording: up to 1,000 of a prefix, and the worst after these."""
    running: tuple[str, ...]
    """The keys of the tasks that it ran when it was killed; of a very long one the beginning."""

    @property
    def unmanaged(self) -> int | None:
        """What was resident at the peak and Dask did not count: temporaries, libraries, what was freed and is kept."""
        return None if self.managed is None else max(0, self.peak - self.managed)


class Prefix(NamedTuple):
    """The tasks of a key prefix that have ended, on all workers."""

    name: str
    tasks: int
    overlapped: int
    """How many ran while others did in the same process: growth and rise of these are of all that ran meanwhile."""
    time: int
    """Nanoseconds, all together."""
    rise: int
    """The most by which one rose above what its worker had when it began."""
    median: int
    """Half of them rose by no more, to 1/32 of it."""
    growth: int
    """What the workers grew by over each, all together."""
    heap_peak: int | None
    """The most that one had allocated and not yet freed; None where heap was not counted by spans."""
    kept: int | None
    """What was allocated by them and alive as they ended, all together."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that was recorded."""

    recording: memkit.Recording
    workers: tuple[Worker, ...]
    prefixes: tuple[Prefix, ...]
    words: tuple[Word, ...]
    clocks: tuple[Clock, ...]
    missing: tuple[str, ...]

    @staticmethod
    def read(folder: str, run: str) -> Cluster:
        """Read what a run has left in a folder."""
        missing: list[str] = []
        found = []
        logs = logs_in(folder, run)
        hosts = {log.host for log in logs}
        for log in logs:
            path = os.path.join(folder, log.stem + RECORDING)
            if not os.path.exists(path):
                if log.workers:
                    missing.append(f"the recording of worker {log.name} (PID {log.pid} on {log.host}) did not come")
                continue
            try:
                found.append((log, _told(memkit.read(path), log, logs, len(hosts) > 1)))
            except memkit.MemkitError as error:
                missing.append(str(error))
        found.sort(key=lambda pair: pair[1].about.began)
        began = int(found[0][1].about.began * memkit.units.SECOND)
        words = sorted(_words(logs, began))
        workers = tuple(_workers(found, began))
        merged = memkit.merge([_marked(recording, log, words, began) for log, recording in found])
        merged = replace(merged, totals=tuple(_totals(merged)), summed="rss")
        merged = replace(merged, summed_reason="each process of a cluster recorded itself", source=None)
        if len(hosts) > 1:  # those of the client's machine are not those of all
            merged = replace(merged, limits=())
        clocks = tuple(Clock(log.host, log.pid, *log.clock) for log in logs if log.clock is not None)
        return Cluster(merged, workers, tuple(_prefixes(merged)), tuple(words), clocks, tuple(missing))

    @property
    def text(self) -> str:
        """Workers, prefixes, words and clocks as tables."""
        from memkit_dask.tables import text

        return text(self)


def _told(recording: memkit.Recording, log: ProcessLog, logs: list[ProcessLog], several: bool) -> memkit.Recording:
    """The recording of a process on the scheduler's clock, with what Dask calls it, and how it ended as its nanny saw."""
    own, ending = recording.processes[0], recording.ending
    here = int(recording.about.began * memkit.units.SECOND)
    command = (log.command or own.command) + (f" on machine {log.host}" if several else "")
    ended = own.ended
    seen = [
        exit for other in logs if other.host == log.host for exit in other.exits if exit[1] == log.pid and exit[0] >= here
    ]
    if seen:
        time, _, code = min(seen)
        ending, ended = _exit(ending, code, log.last_words(logs)), max(recording.duration, time - here)
    elif log.command and ending.kind == "ok" and not log.left:
        ending = memkit.Ending("detached")  # it goes on, unrecorded
    limits = [thresholds["limit"] for _, thresholds in log.workers.values() if "limit" in thresholds]
    process = own._replace(command=command, ended=ended, ending=ending, limit=sum(limits) or None)
    spans = (*recording.spans, *(_last_tasks(recording, log) if ending.failed else ()))
    offset = log.clock[0] if log.clock is not None else 0
    about = recording.about._replace(began=recording.about.began + offset / memkit.units.SECOND)
    samples = (*recording.samples, *_read_by_nanny(recording, log, logs, here + offset, ended))
    processes = (process, *recording.processes[1:])
    return replace(recording, about=about, samples=samples, spans=spans, ending=ending, processes=processes)


def _read_by_nanny(
    recording: memkit.Recording, log: ProcessLog, logs: list[ProcessLog], began: int, ended: int | None
) -> Iterator[memkit.Sample]:
    """What a nanny read before it killed a process, after the last that this could write."""
    for other in logs:
        for time, address, size in other.reads:
            moment = other.moment(time, began)
            if address in log.workers and recording.samples and moment > recording.samples[-1].time:
                yield memkit.Sample(moment if ended is None else min(moment, ended), recording.about.pid, size, size)


def _exit(ending: memkit.Ending, code: int, why: str | None) -> memkit.Ending:
    if code < 0:
        return memkit.Ending("killed", error=why, signal=-code, finished=False)
    if code > 0 or ending.kind == "unknown":
        return memkit.Ending("exited", code=code, finished=ending.finished)
    return ending


def _words(logs: Iterable[ProcessLog], began: int) -> Iterator[Word]:
    pids = {(log.host, str(log.pid)): log for log in logs if log.workers}
    at = {address: log for log in logs for address in log.workers}
    for log in logs:
        for time, logger, level, text in log.words:
            pid, address = _PID.search(text), _ADDRESS.search(text)
            about = log if log.workers else pids.get((log.host, pid[1])) if pid else at.get(address[0]) if address else None
            name, number = (about.name, about.pid) if about is not None else (None, None)
            yield Word(log.moment(time, began), name, number, logger, level, text)


def _workers(found: Iterable[tuple[ProcessLog, memkit.Recording]], began: int) -> Iterator[Worker]:
    for log, recording in found:
        start = int(recording.about.began * memkit.units.SECOND) - began
        own = recording.processes[0]
        highest = recording.highest
        for address, (name, thresholds) in log.workers.items():
            at = 0 if highest is None else start + highest.time
            counted = [
                (log.moment(time, began), managed, spilled) for time, who, managed, spilled in log.memory if who == name
            ]
            before = [managed for time, managed, _ in counted if time <= at]
            spans = [span for span in recording.spans if dict(span.attributes).get("worker") == name]
            running = tuple(key for who, key in log.running if who == name)
            yield Worker(
                *(name, address, log.host, log.pid, start, None if own.ended is None else start + own.ended, own.ending),
                *(recording.peak or 0, before[-1] if before else None, max((each[2] for each in counted), default=0)),
                *(thresholds.get("limit"), len(spans), running),
            )


def _totals(recording: memkit.Recording) -> Iterator[memkit.Total]:
    """The sum of what all processes had, whenever one of them was read."""
    changes = []
    for place, (process, lane) in enumerate(recording.lanes):
        changes += [(sample.time, place, sample.memory) for sample in lane]
        if process.ended is not None:
            changes.append((max(process.ended, lane[-1].time if lane else 0), place, 0))
    last: dict[int, int] = {}
    together = 0
    for time, place, memory in sorted(changes):
        together += memory - last.get(place, 0)
        last[place] = memory
        yield memkit.Total(time, together, together)


def _marked(recording: memkit.Recording, log: ProcessLog, words: Iterable[Word], began: int) -> memkit.Recording:
    """The recording of a process with the moments at which a worker in it reached a threshold, as what Dask said then."""
    start = int(recording.about.began * memkit.units.SECOND) - began
    found: list[tuple[int, int, str]] = []
    for name, thresholds in log.workers.values():
        spilled = [(log.moment(time, began), size) for time, who, _, size in log.memory if who == name]
        for (_, before), (time, size) in zip([(0, 0), *spilled], spilled):
            if size and not before:
                text = f"worker {name} (spilled {memkit.units.show_bytes(size)})"
                found.append((time, thresholds.get("target", 0), text))
    *_, (_, thresholds) = log.workers.values() or [("", {})]
    for word in words:
        if word.logger in _MEMORY and (word.worker, word.pid) == (log.name, log.pid):
            reached = (thresholds.get(what, 0) for said, what in _AT if said in word.text)
            found += ((word.time, limit, f"worker {word.worker} ({word.text})") for limit in reached)
    crossings = []
    for time, limit, text in sorted(found, key=lambda each: (each[0], each[2])):
        moment = max(0, time - start)
        memory = next((sample.memory for sample in reversed(recording.samples) if sample.time <= moment), 0)
        crossings.append(memkit.Crossing(moment, memory, limit, text, "report"))
    return replace(recording, crossings=(*recording.crossings, *crossings))


def _last_tasks(recording: memkit.Recording, log: ProcessLog) -> Iterator[memkit.Span]:
    """The tasks that a process was in as it was killed and whose beginning was not yet in its recording: begun after it."""
    known = {dict(span.attributes).get("key") for span in recording.spans if span.end is None}
    memory = recording.samples[-1].memory if recording.samples else 0
    for who, key in log.running:
        if key not in known:
            attributes = (("key", key), ("worker", who))
            yield memkit.Span(key_split(key), 0, 0, recording.duration, None, memory, None, memory, attributes)


def _prefixes(recording: memkit.Recording) -> Iterator[Prefix]:
    names = {span.label for span in recording.spans if "key" in dict(span.attributes)}
    sums = [each for each in recording.span_sums if each.label in names]
    for each in sorted(sums, key=lambda each: -(each.rise.worst if each.rise else 0)):
        rise, growth, time = each.rise, each.growth, each.time
        yield Prefix(
            *(each.label, each.number, each.overlapped, time.total if time else 0),
            *(rise.worst if rise else 0, rise.median if rise else 0, growth.total if growth else 0),
            *(each.heap_peak.worst if each.heap_peak else None, each.kept.total if each.kept else None),
        )
