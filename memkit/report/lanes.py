"""What several processes did, where each of them was recorded and not what they used together."""

from __future__ import annotations

from typing import NamedTuple

from memkit.model.process import Process
from memkit.model.recording import Recording, Sample

_ADD_UP = ("rss", "anon", "pss", "uss")  # meters that tell of one process


class Sum(NamedTuple):
    """The most that the samples of all processes add up to."""

    time: int
    memory: int
    processes: int
    """How many processes there were at that moment."""


def highest_sum(recording: Recording) -> Sum | None:
    """The highest sum of the latest samples of all processes that lived; None where there is one, or the meter has no sum.

    One whose end nobody saw counts up to its last sample.
    """
    lanes = [lane for lane in recording.lanes if lane[1]]
    if len(lanes) < 2 or recording.about.meter not in _ADD_UP:
        return None
    changes: list[tuple[int, int, int]] = []  # time, by how much the sum changes, and the number of processes
    for process, samples in lanes:
        before = 0
        for place, sample in enumerate(samples):
            changes.append((sample.time, sample.memory - before, 0 if place else 1))
            before = sample.memory
        end = samples[-1].time if process.ended is None else max(process.ended, samples[-1].time)
        changes.append((end + 1, -before, -1))
    memory = count = 0
    best = Sum(0, 0, 0)
    for time, change, more in sorted(changes):
        memory, count = memory + change, count + more
        if memory > best.memory:
            best = Sum(time, memory, count)
    return best


def largest_of(recording: Recording) -> tuple[Process, Sample] | None:
    """The process with the highest peak and the sample that carries it, where that is not the first process."""
    highest = recording.highest
    known = [(process, max(samples, key=lambda sample: sample.peak)) for process, samples in recording.lanes[1:] if samples]
    found = max(known, key=lambda each: each[1].peak, default=None)
    return None if found is None or (highest is not None and found[1].peak <= highest.peak) else found
