"""A cluster that was recorded, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memkit import units

if TYPE_CHECKING:
    from memkit_dask.cluster import Cluster, Worker

show_bytes, show_time = units.show_bytes, units.show_time
_MOST = 20
"""Rows of each table."""
_LONGEST, _LONG = 40, 200


def text(cluster: Cluster) -> str:
    """What a cluster did, in lines."""
    return "\n".join(
        line.rstrip() for part in (_head, _workers, _running, _prefixes, _words, _clocks) for line in part(cluster)
    )


def _head(cluster: Cluster) -> Iterator[str]:
    recording, hosts = cluster.recording, {worker.host for worker in cluster.workers}
    highest = recording.highest_total
    names = {worker.name for worker in cluster.workers}
    where = f" on {len(hosts)} machines" if len(hosts) > 1 else ""
    yield f"{_count(len(names), 'worker')}{where}, {show_time(recording.duration)}"
    if highest is not None:
        yield (
            f"together {show_bytes(highest.memory)} at the peak, after {show_time(highest.time)}: the sum of what "
            f"{_count(len(recording.processes), 'process', 'es')} had resident"
        )
    yield from (f"missing: {each}" for each in cluster.missing)


def _workers(cluster: Cluster) -> Iterator[str]:
    several = len({worker.host for worker in cluster.workers}) > 1
    rows = []
    for worker in sorted(cluster.workers, key=lambda worker: -worker.peak)[:_MOST]:
        share = f"{worker.peak / worker.limit:.0%}" if worker.limit else ""
        managed, unmanaged = ("" if size is None else show_bytes(size) for size in (worker.managed, worker.unmanaged))
        spilled = show_bytes(worker.spilled) if worker.spilled else ""
        where = (worker.host,) if several else ()
        name = (worker.name, *where, str(worker.pid))
        rows.append((*name, show_bytes(worker.peak), share, managed, unmanaged, spilled, worker.ending.brief))
    head = (
        "worker",
        *(("machine",) if several else ()),
        "PID",
        "peak",
        "of limit",
        "managed",
        "unmanaged",
        "spilled",
        "ended",
    )
    yield from _table(head, rows, len(cluster.workers), "workers", last_left=True)


def _running(cluster: Cluster) -> Iterator[str]:
    """What ran in workers that died."""
    for worker in cluster.workers:
        if worker.ending.failed:
            ran = ", ".join(worker.running[:3]) or "no task"
            more = f" and {len(worker.running) - 3} more" if len(worker.running) > 3 else ""
            yield f"worker {worker.name} (PID {worker.pid}) {worker.ending} after {_ended(worker)}; it ran {ran}{more}"


def _ended(worker: Worker) -> str:
    return "?" if worker.ended is None else show_time(worker.ended - worker.began)


def _prefixes(cluster: Cluster) -> Iterator[str]:
    heap = any(prefix.heap_peak is not None for prefix in cluster.prefixes)
    rows = []
    for prefix in cluster.prefixes[:_MOST]:
        name = prefix.name if len(prefix.name) <= _LONGEST else prefix.name[: _LONGEST - 3] + "..."
        row = [name, f"{prefix.tasks:,}", show_time(prefix.time), show_bytes(prefix.rise), show_bytes(prefix.median)]
        row.append(show_bytes(prefix.growth, sign=True))
        if heap:
            row += ["" if size is None else show_bytes(size) for size in (prefix.heap_peak, prefix.kept)]
        rows.append((*row, f"{prefix.overlapped:,}" if prefix.overlapped else ""))
    more = ("peak by heap", "kept") if heap else ()
    head = ("tasks", "number", "time", "rise", "median", "growth", *more, "overlapped")
    yield from _table(head, rows, len(cluster.prefixes), "prefixes")
    if any(prefix.overlapped for prefix in cluster.prefixes):
        remedy = "" if heap else ": heap='spans' tells them apart"
        yield f"rise and growth of tasks that overlapped are of all that the worker ran meanwhile{remedy}"


def _words(cluster: Cluster) -> Iterator[str]:
    if cluster.words:
        yield ""
        yield "what Dask said"
    for word in cluster.words[:_MOST]:
        about = f"worker {word.worker}: " if word.worker is not None else ""
        text = word.text if len(word.text) <= _LONG else f"{word.text[: _LONG - 3]}..."
        yield f"{show_time(word.time):>10}  {about}{text}"
    if len(cluster.words) > _MOST:
        yield f"            and {len(cluster.words) - _MOST:,} times more: run.words has all"


def _clocks(cluster: Cluster) -> Iterator[str]:
    hosts = {clock.host for clock in cluster.clocks}
    if len(hosts) < 2:
        return
    yield ""
    yield "clocks, beside the scheduler's"
    for host in sorted(hosts):
        best = min((clock for clock in cluster.clocks if clock.host == host), key=lambda clock: clock.error)
        way = "behind" if best.offset > 0 else "ahead"
        yield f"  {host}: {show_time(abs(best.offset))} {way}, known to {show_time(best.error)}"


def _table(
    head: Sequence[str], rows: list[tuple[str, ...]], number: int, what: str, last_left: bool = False
) -> Iterator[str]:
    if not rows:
        return
    widths = [max(len(row[place]) for row in [tuple(head), *rows]) for place in range(len(head))]
    yield ""
    for row in [tuple(head), *rows]:
        cells = [
            cell.ljust(width) if not place or (last_left and place == len(head) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        ]
        yield "  ".join(cells)
    if number > len(rows):
        yield f"and {number - len(rows):,} {what} more"


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number:,} {noun}{ending if number != 1 else ''}"
