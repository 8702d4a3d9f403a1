"""mprof's files: lines of text, a word and its values each, read into a ``Recording`` and written from one.

===========  ===========================================================  =======================================
line         values, with a blank before each                             what it tells
===========  ===========================================================  =======================================
``CMDLINE``  the command                                                  what was run; words with a blank are quoted
``MEM``      MiB, time                                                    memory of the process
``CHLD``     pid, MiB, time                                               memory of a process below it
``FUNC``     name, MiB, time, MiB, time, depth                            a call: as it began, as it ended, and how
                                                                          many were open around it; old files lack it
===========  ===========================================================  =======================================

Times are seconds since the epoch. The lines come in any order. Those of other words are passed over, and so are those
that were broken off.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from memkit.base.errors import FormatError
from memkit.base.units import SECOND, show_text
from memkit.model.ending import Ending
from memkit.model.highest import Highest
from memkit.model.metadata import About
from memkit.model.recording import Process, Recording, Sample, Span
from memkit.model.row_values import LATEST

MIB = 1 << 20
NOTABLE = MIB // 10
"""A peak between two samples that is higher than both by this much is a line of its own."""
UNKNOWN = 0
"""The pid of the process in a recording that was read from such a file, which does not tell it."""
_SHAPES = {"CMDLINE": (), "MEM": (2,), "CHLD": (3,), "FUNC": (5, 6)}
_LONGEST_LIST = 1 << 17
"""Characters of such a list; a longer one is taken for words."""
_LONGEST_PID, _MOST_WORDS, _MOST = 18, 7, 1 << 43
_WORD = re.compile(r"'([^']*)'(?=\s|$)|(\S+)")
_WHOLE = re.compile(r"\.\d{4}( \d+)?$")


class Contents(NamedTuple):
    """What is in such a file, in MiB and seconds since the epoch, in the order of its lines."""

    command: str | None
    memory: list[tuple[float, float]]
    """MiB and time of each ``MEM`` line."""
    children: dict[str, list[tuple[float, float]]]
    """The same of ``CHLD`` lines, by pid."""
    calls: dict[str, list[list[Any]]]
    """By name, of each ``FUNC`` line: start, end, MiB at the start, at the end, and the depth if it is there."""
    unread: int
    """Lines that are broken."""


# -- writing ---------------------------------------------------------------------------------------------------------


def command_line(words: Iterable[str]) -> str:
    """A command in one line, the words that have a blank in them quoted."""
    words = [show_text(" ".join(word.splitlines())) for word in words]
    return " ".join(f"'{word}'" if " " in word or "\t" in word else word for word in words)


def command_row(words: Iterable[str]) -> str:
    return f"CMDLINE {command_line(words)}\n"


def memory_row(memory: float, time: float) -> str:
    return f"MEM {memory / MIB:.6f} {time:.4f}\n"


def child_row(pid: int, memory: float, time: float) -> str:
    return f"CHLD {pid} {memory / MIB:.6f} {time:.4f}\n"


def call_row(name: str, before: float, start: float, after: float, end: float, depth: int) -> str:
    name = show_text("_".join(name.split())) or "_"
    return f"FUNC {name} {before / MIB:.4f} {start:.4f} {after / MIB:.4f} {end:.4f} {depth}\n"


def readings(samples: Iterable[Sample], before: Sample | None = None) -> Iterator[tuple[int, int]]:
    """Time and memory of samples, and the peaks between them, each halfway, for it is not known better.

    ``before`` is the sample before the first of them.
    """
    for sample in samples:
        if before is not None and sample.peak > max(before.memory, sample.memory) + NOTABLE:
            yield (before.time + sample.time) // 2, sample.peak
        yield sample.time, sample.memory
        before = sample


def mprof_lines(recording: Recording) -> Iterator[str]:
    """A recording as the lines of a ``.dat`` file of mprof's, which ``mprof plot`` and other tools read.

    Spans are its functions, and processes other than the recorded one its children. A peak between two samples stands
    halfway between them. A span that did not end does so here with the recording.
    """
    began = recording.about.began
    yield command_row(recording.about.argv)
    rows = [(time, memory_row(memory, began + time / SECOND)) for time, memory in readings(recording.samples)]
    rows += [
        (sample.time, child_row(sample.pid, sample.memory, began + sample.time / SECOND)) for sample in recording.others
    ]
    for _, row in sorted(rows, key=lambda row: row[0]):
        yield row
    duration = recording.duration
    for span in recording.spans:
        end = duration if span.end is None else span.end
        after = span.after if span.after is not None else recording.end or span.before
        yield call_row(
            span.label, span.before, began + span.start / SECOND, after, began + max(end, span.start) / SECOND, span.depth
        )


# -- reading ---------------------------------------------------------------------------------------------------------


def is_mprofile(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as mprof's do."""
    try:
        with open(path, "rb") as file:
            for line in file.read(1 << 16).decode("utf-8", "backslashreplace").splitlines():
                if line.strip():
                    return line.startswith("CMDLINE ") or _values(line) is not None
    except OSError:
        pass
    return False


def contents(path: str | os.PathLike[str]) -> Contents:
    """What is in a file; lines that are none of mprof's are passed over. Raises ``FormatError`` where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            return _taken(file)
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None


def _taken(lines: Iterable[str]) -> Contents:
    command, unread = None, 0
    memory: list[tuple[float, float]] = []
    children: dict[str, list[tuple[float, float]]] = {}
    calls: dict[str, list[list[Any]]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "CMDLINE":
            command = rest
            continue
        if word not in _SHAPES:
            continue
        values = _values(line)
        if values is None or (not line.endswith("\n") and not _WHOLE.search(line)):
            unread += 1
        elif word == "MEM":
            memory.append(tuple(values))
        elif word == "CHLD":
            children.setdefault(values[0], []).append(tuple(values[1:]))
        else:
            name, before, start, after, end, *depth = values
            calls.setdefault(name, []).append([start, end, before, after, *map(int, depth)])
    return Contents(command, memory, children, calls, unread)


def _values(line: str) -> list[Any] | None:
    """The values of a line, all but a name or pid numbers, or None where they are not what its word wants."""
    word, *values = line.split(None, _MOST_WORDS) or [""]
    if len(values) not in _SHAPES.get(word, ()):
        return None
    first = [] if word == "MEM" else values[:1]
    if word == "CHLD" and not (values[0].isascii() and values[0].isdigit() and len(values[0]) <= _LONGEST_PID):
        return None
    try:
        numbers = [float(value) for value in values[len(first) :]]
    except ValueError:
        return None
    sizes, times = numbers[:4:2], numbers[1:4:2]
    fits = all(abs(size) < _MOST for size in sizes) and all(0 <= time < LATEST for time in times)
    return [*first, *numbers] if fits and all(0 <= depth < _MOST for depth in numbers[4:]) else None


def read(path: str | os.PathLike[str]) -> Recording:
    """The recording in such a file. What the file does not tell is None, and the pid 0.

    Raises ``FormatError`` where it cannot be read.
    """
    path = os.fspath(path)
    found = contents(path)
    times = [time for _, time in found.memory]
    times += [time for series in found.children.values() for _, time in series]
    times += [time for calls in found.calls.values() for call in calls for time in call[:2]]
    began = min(times) if times else os.path.getmtime(path)

    def since(time: float) -> int:
        return round((time - began) * 1_000_000) * 1000  # a float of today's time is no finer

    samples = _samples(UNKNOWN, found.memory, since)
    others = [_samples(int(pid), series, since) for pid, series in found.children.items()]
    others = [series for series in others if series]
    about = _about(words_of(found.command or ""), began)
    ending = Ending("ended")
    main = Process(UNKNOWN, None, about.command, 0, since(max(times, default=began)), ending)
    children = (
        Process(series[0].pid, UNKNOWN, f"process {series[0].pid}", series[0].time, series[-1].time, ending)
        for series in others
    )
    return Recording(
        about=about,
        samples=tuple(samples),
        others=tuple(sorted((sample for series in others for sample in series), key=lambda sample: sample.time)),
        spans=_spans(found.calls, samples, since),
        processes=(main, *children),
        ending=ending,
        unread=found.unread,
        source=path,
    )


def words_of(command: str) -> tuple[str, ...]:
    """The words of a ``CMDLINE`` line; mprof writes a list of Python's after attaching by name."""
    if command.startswith("[") and len(command) <= _LONGEST_LIST:
        try:
            return tuple(map(str, ast.literal_eval(command.strip())))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    return tuple(quoted or plain for quoted, plain in _WORD.findall(command))


def _about(argv: tuple[str, ...], began: float) -> About:
    reason = "mprof writes no peaks"
    return About("mprof", argv, UNKNOWN, None, None, None, began, 0, "memory", None, "mprof", "samples", reason, None)


def _samples(pid: int, series: Iterable[tuple[float, float]], since: Callable[[float], int]) -> list[Sample]:
    """In the order of time, without those of nothing, which mprof writes of a process that is gone."""
    samples = [Sample(since(time), pid, round(mib * MIB), round(mib * MIB)) for mib, time in series if mib > 0]
    return sorted(samples, key=lambda sample: sample.time)


def _spans(calls: dict[str, list[list[Any]]], samples: list[Sample], since: Callable[[float], int]) -> tuple[Span, ...]:
    highest, spans = Highest((each.time, each.memory) for each in samples), []
    for name, each in calls.items():
        for start, end, before, after, *depth in each:
            start, end, before, after = since(start), since(end), round(before * MIB), round(after * MIB)
            peak = max(before, after, highest.within(start, end) or 0)
            spans.append(Span(name, 0, depth[0] if depth else 0, start, end, before, after, peak))
    return tuple(sorted(spans, key=lambda span: (span.start, span.depth)))
