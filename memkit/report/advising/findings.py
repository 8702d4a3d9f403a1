"""The rules: what each needs to be recorded, what it measures, and what it guesses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from memkit.base.units import show_bytes
from memkit.model.lines import Line
from memkit.model.recording import Process, Recording
from memkit.report.advising.imports import by_process, imports

LEAST = 2 << 20
SHARE = 0.05
"""Advice that would lower the peak by less than both of these is not given."""
_AT_PEAK = 0.98
"""A line that reached this share of the peak may have made it."""
_ALIKE, _FEW_BLOCKS = 0.01, 64
"""Sizes of copies differ by less than this share, and so do their blocks, unless they are few."""
_RESULT, _OWN = 0.1, 0.9
"""From which share of its rise on a line keeps a result, and rises by itself."""
_MOST_LINES = 50
_FREE = {
    "c-free": "have the C library give back what was freed: malloc_trim(0), fewer threads, or MALLOC_ARENA_MAX=2",
    "python-free": "free what keeps Python's arenas: small objects that outlive those which were allocated with them",
}


class Advice(NamedTuple):
    """Something that would lower memory."""

    key: str
    """``temporary``, ``copies``, ``freed``, ``workers`` or ``import``."""
    what: str
    """What to do."""
    estimate: int
    """Bytes, at most."""
    of: str
    """What would be lower: the ``peak``, the memory at the ``end``, or what all processes use ``together``."""
    measured: str
    guessed: str
    rows: tuple[str, ...]
    """The lines, calls, balances or processes that it is drawn from."""


def advise(recording: Recording) -> tuple[Advice, ...]:
    """The few things that would lower the memory of a recorded program most, the largest first; none is no finding.

    Each says what was measured, and what is guessed. See :doc:`../howto/advise`.
    """
    peak = max(recording.peak or 0, recording.together or 0)
    rules = (_temporaries, _copies, _freed, _workers, _imports)
    found = [advice for rule in rules for advice in rule(recording)]
    return tuple(sorted((each for each in found if is_much(each.estimate, peak)), key=lambda each: -each.estimate))


def is_much(size: int, peak: int) -> bool:
    """Whether it is worth telling."""
    return size >= max(LEAST, SHARE * peak)


def missing(recording: Recording) -> tuple[str, ...]:
    """What was not recorded, and what it would have told."""
    found = []
    if not recording.lines:
        found.append("--lines: which line's temporaries are alive at the peak")
    if recording.heap is None or recording.heap.sampled is not None or not recording.lines:
        found.append("--heap --lines: two copies of the same size, and what was freed and kept")
    if recording.call_tracing is None:
        found.append("--calls --c-calls: imports that nothing was called of; with --follow, what each worker imports")
    return tuple(found)


def place(line: Line) -> str:
    """A line in a few words: ``enrich, pipeline.py:8``."""
    return f"{line.function.name}, {line.function.file.replace(chr(92), '/').rpartition('/')[2]}:{line.number}"


# -- the rules ---------------------------------------------------------------------------------------------------------


def _temporaries(recording: Recording) -> Iterator[Advice]:
    """What a line used and did not keep, where that was at the peak: of several around it, the innermost."""
    peak = recording.peak or 0
    passing = {line: _passing(line) for line in recording.lines if line.peak >= _AT_PEAK * peak}
    most = max(passing.values(), default=0)
    if not most:
        return
    line = min((line for line, size in passing.items() if size >= 0.9 * most), key=lambda line: line.rise or 0)
    size = passing[line]
    others = [other.peak for other in recording.lines if other.peak < line.peak - size // 10]
    estimate = min(size, line.peak - max(others)) if others else size
    ran = f" in one of {line.hits:,} runs" if line.hits > 1 else ""
    measured = (
        f"it rose by {show_bytes(line.rise)}{ran}, {show_bytes(size)} of it did not stay, and the peak was reached in it"
    )
    next_one = f"the next highest line reached {show_bytes(max(others))}" if others else "no other line came near the peak"
    yield Advice(
        "temporary",
        "let go of what is needed only on the way: delete it before the next step, work in place, or in chunks",
        estimate,
        "peak",
        measured,
        f"that it can be done without; {next_one}, which bounds the estimate",
        (place(line),),
    )


def _passing(line: Line) -> int:
    """What of a rise did not stay: beside a result that did, or in a line that called nothing traced.

    Of a call that keeps nothing it would be all that the program needs, which is no advice.
    """
    rise, kept = line.rise or 0, max(0, line.growth) // max(1, line.hits)
    has_result, is_own = kept >= _RESULT * rise, (line.own_rise or 0) >= _OWN * rise
    return max(0, rise - kept) if has_result or is_own else 0


def _copies(recording: Recording) -> Iterator[Advice]:
    """Two lines that have the same alive at the peak of the heap, to a percent, in as many blocks."""
    if recording.heap is None or recording.heap.sampled is not None:
        return
    held = [
        (line.own_heap.alive_at_peak, line.own_heap.blocks, line) for line in recording.lines if line.own_heap is not None
    ]
    held = sorted((each for each in held if is_much(each[0], recording.heap.peak)), key=lambda each: -each[0])
    taken: set[Line] = set()
    for (size, blocks, line), (other_size, other_blocks, other) in combinations(held[:_MOST_LINES], 2):
        apart = abs(blocks - other_blocks) > max(_FEW_BLOCKS, _ALIKE * blocks)
        if size - other_size > _ALIKE * size or apart or {line, other} & taken:
            continue
        taken |= {line, other}
        yield Advice(
            "copies",
            "if they hold the same, keep one: a view, the same object, or delete the first when the second is made",
            other_size,
            "peak",
            f"of these lines {show_bytes(size)} and {show_bytes(other_size)} were alive when most was, in {blocks:,} and "
            f"{other_blocks:,} blocks",
            "that they are copies, by their sizes alone: content was not looked at",
            (place(line), place(other)),
        )


def _freed(recording: Recording) -> Iterator[Advice]:
    """What was freed and is still resident, in the last balance near the peak, or at the end."""
    for moment in ("peak", "end"):
        balance = next((each for each in reversed(recording.balances) if each.moment == moment and each.rows), None)
        for row in balance.rows if balance is not None else ():
            if row.key in _FREE:
                yield Advice(
                    "freed",
                    _FREE[row.key],
                    row.bytes,
                    moment,
                    f"{show_bytes(row.bytes)} of {show_bytes(balance.rss if balance else 0)} resident were {row.name}",
                    "how much of it can be given back: what lies between blocks in use cannot",
                    (f"the balance {'near the peak' if moment == 'peak' else 'at the end'}: {row.name}",),
                )


def _workers(recording: Recording) -> Iterator[Advice]:
    """What each of several workers imported for itself."""
    grown = {process: size for process, size in by_process(imports(recording)) if process is not None and size >= LEAST}
    alive = _most_at_once([process for process in recording.processes if process.pid in grown])
    if len(alive) < 2:
        return
    least = min(grown[process.pid] for process in alive)
    commands = {process.pid: process.command for process in recording.processes}
    spawned = sum(process.command != commands.get(process.parent or 0, process.command) for process in alive)
    more = f"; {spawned} of them have an interpreter of their own, and what a fork would share of that comes on top"
    yield Advice(
        "workers",
        "import before the workers start, and start them by fork or by a fork-server that has them, or use threads",
        (len(alive) - 1) * least,
        "together",
        f"{len(alive)} workers were alive at once, and each grew by {show_bytes(least)} or more by imports of its own",
        "that pages of modules stay shared: reference counts of what is used are written, and those pages are not"
        + (more if spawned else ""),
        tuple(f"process {process.pid}: imports grew it by {show_bytes(grown[process.pid])}" for process in alive[:5]),
    )


def _most_at_once(processes: list[Process]) -> list[Process]:
    """Those that were alive when most of them were."""

    def alive(moment: int) -> list[Process]:
        return [each for each in processes if each.started <= moment and (each.ended is None or moment < each.ended)]

    return max((alive(process.started) for process in processes), key=len, default=[])


def _imports(recording: Recording) -> Iterator[Advice]:
    """Packages that nothing was called of, where all calls were recorded, those of functions in C too."""
    tracing = recording.call_tracing
    in_c = any(not call.function.file and "." in call.function.name for call in recording.calls)
    if tracing is None or tracing.targets or not in_c:
        return
    for each in imports(recording):
        if each.calls or each.process is not None:
            continue
        yield Advice(
            "import",
            f"import {each.package} where it is used, or not at all",
            max(0, each.growth),
            "peak",
            f"importing it, with all that it imports, grew memory by {show_bytes(each.growth)}, and no function of it was "
            "called afterwards",
            "that nothing else needs it: operators and attributes are no calls",
            (f"import {each.package}",),
        )
