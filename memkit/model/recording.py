"""What was recorded: plain immutable rows, and nothing that reads a file, a clock or a process.

Times are nanoseconds since the recording began, sizes are bytes, and what is not known is None.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter
from typing import NamedTuple

from memkit.base.units import show_bytes
from memkit.model.calls import LIBRARIES, Call, Function, Given, by_function, by_thread, fold, matcher, walk
from memkit.model.columns import columns
from memkit.model.ending import Ending
from memkit.model.heap import HeapTotal
from memkit.model.heap_paths import HeapPath, without
from memkit.model.limit_events import METERED, Crossing, GroupUse, StackSnapshot
from memkit.model.limit_events import Frame as Frame
from memkit.model.limit_events import Stack as Stack
from memkit.model.lines import HeapLine, Line
from memkit.model.metadata import About
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.overhead import Cost, Tracing
from memkit.model.process import Process as Process
from memkit.model.span_heaps import HeapInside, SpanHeap, inside
from memkit.model.span_sums import SpanSums
from memkit.model.spans import Span as Span
from memkit.system.balance_rows import Balance
from memkit.system.limit import Limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    import memkit

_time_of = attrgetter("time")


class Sample(NamedTuple):
    """One reading of memory."""

    time: int
    pid: int
    memory: int
    peak: int
    """The highest since the row before; at least ``memory``."""


class Total(NamedTuple):
    """The memory of a process and all its descendants at one moment."""

    time: int
    memory: int
    """What they use together: pages that several share count once, where ``Recording.summed`` is ``pss``."""
    rss: int
    """The sum of their resident memory, in which shared pages count once for each process."""
    estimated: int = 0
    """By how much ``memory`` may be off: what has changed since the shares were last read."""
    below: int | None = None
    """By how much less than ``memory`` it may have been; None where that is ``estimated``."""
    above: int | None = None
    """By how much more; None where that is ``estimated``."""

    @property
    def least(self) -> int:
        """What it was at least."""
        return max(0, self.memory - (self.estimated if self.below is None else self.below))

    @property
    def most(self) -> int:
        """What it was at most: no more than ``rss``."""
        return min(self.memory + (self.estimated if self.above is None else self.above), max(self.memory, self.rss))


class Unrecorded(NamedTuple):
    """A process that the recorded one started, and that was seen, but not recorded."""

    pid: int
    command: str
    memory: int
    """The highest memory that was seen: it may have been higher."""


@dataclass(frozen=True, repr=False)
class Recording:
    """What one run did to memory."""

    about: About
    samples: tuple[Sample, ...] = ()
    """Those of the recorded process."""
    lines: tuple[Line, ...] = ()
    spans: tuple[Span, ...] = ()
    processes: tuple[Process, ...] = ()
    """The recorded process, then those that it and its descendants started, where they were recorded."""
    ending: Ending = Ending("unknown")
    cost: Cost = Cost(0, 0, None)
    heap: HeapTotal | None = None
    """What is alive in all; None where heap was not counted."""
    balances: tuple[Balance, ...] = ()
    """What resident memory was made of, where heap was counted: of each process near its peak, if that took long enough,
    and at its end, in order of time. One without rows could not be taken; its ``notes`` say why."""
    span_sums: tuple[SpanSums, ...] = ()
    """The spans of each label together: after the first 1,000 of a label only the worst are in ``spans``."""
    span_heaps: tuple[SpanHeap, ...] = ()
    """What spans allocated, by their labels, where every block was counted."""
    heap_lines: tuple[HeapLine, ...] = ()
    """What lines allocated by estimate, of all code that ran, where heap was sampled."""
    heap_paths: tuple[HeapPath, ...] = ()
    """The same by path, callers before what they call; empty in what was read from JSON, a page or a folder."""
    tracing: Tracing | None = None
    """None where no lines were traced."""
    calls: tuple[Call, ...] = ()
    """The tree of calls in order of their ids, callers before what they call."""
    given: tuple[Given, ...] = ()
    """Work that calls handed to other processes; in a recording of these too, what they did is below these calls."""
    call_tracing: Tracing | None = None
    """None where no calls were traced."""
    others: tuple[Sample, ...] = ()
    """Samples of the processes that the recorded one started, in order of time; see :meth:`lane`."""
    totals: tuple[Total, ...] = ()
    """What the process and its descendants used together; empty where they were not recorded."""
    summed: str | None = None
    """How ``totals`` were added up: ``pss`` or ``rss``."""
    summed_reason: str | None = None
    """Why not better."""
    seen: str | None = None
    """How processes of the tree were found: ``events``, from the kernel, or ``looks``, which miss what went in between."""
    seen_reason: str | None = None
    """Why not by events."""
    unrecorded: tuple[Unrecorded, ...] = ()
    """The processes that were seen, but not recorded."""
    waited_for: int | None = None
    """The highest memory of a child that was not recorded and has ended, or of its parent as it began; None if unknown."""
    limits: tuple[Limit, ...] = ()
    """What limited memory when the recording began, nearest first."""
    group: tuple[GroupUse, ...] = ()
    """What the control group used whose limit is the tightest, as its supervisor saw it; empty where no group limits."""
    mapped: tuple[tuple[int, int], ...] = ()
    """How much of the process's resident memory were pages of files: times and bytes, a pair when it had changed."""
    size: float | None = None
    """How large its input was, by ``memkit.size`` or ``memkit-run --sizes``; None where nobody told."""
    executed: tuple[tuple[int, str], ...] = ()
    """The programs that the recorded process became, by ``exec``: when, and the command of each."""
    sources: tuple[tuple[str, str], ...] = ()
    """The texts of traced code that is in no file, such as that of ``exec``: names, as in ``Function``, and texts."""
    crossings: tuple[Crossing, ...] = ()
    oom_kills: OutOfMemory | None = None
    """Which count of out-of-memory kills rose meanwhile; any process of that group may have been killed."""
    snapshot: StackSnapshot | None = None
    """Where the threads were when memory last rose near a limit, or when somebody asked; None where neither was."""
    greenlets: str | None = None
    """Why lines and calls were not told apart by greenlet; None where they were, or where there were no greenlets."""
    unread: int = 0
    """Rows that could not be read: broken off, damaged, or of a kind that this memkit does not know."""
    source: str | None = None
    """The file it was read from."""
    replaced: bool = False
    """Whether it replaced an earlier recording in that file, which only who has just made it knows."""

    def __repr__(self) -> str:
        command, where = self.about.command, f" in {self.source!r}" if self.source else ""
        shown = command if len(command) <= 60 else f"{command[:57]}..."
        return f"<memkit.Recording of {shown!r}{where}: {len(self.samples):,} samples, peak {show_bytes(self.peak)}>"

    @property
    def glance(self) -> StackSnapshot | None:
        """``snapshot``, under its name before."""
        return self.snapshot

    def heap_inside(self, label: str) -> tuple[HeapInside, ...]:
        """The lines and call paths that allocated in spans of a label and inside these, in order of what most stays of.

        That is what they grew by since about half of the spans had ended, or what is alive of them where it is not known.
        Empty where heap was not counted by lines or calls.
        """
        return inside(self.span_heaps, label)

    @property
    def start(self) -> int | None:
        """Memory at the first sample."""
        return self.samples[0].memory if self.samples else None

    @property
    def end(self) -> int | None:
        """Memory at the last sample."""
        return self.samples[-1].memory if self.samples else None

    @property
    def growth(self) -> int | None:
        """Memory at the last sample less memory at the first."""
        return self.samples[-1].memory - self.samples[0].memory if self.samples else None

    @property
    def peak(self) -> int | None:
        """The highest memory of the recorded process itself; that of all processes is :attr:`together`."""
        highest = self.highest
        return highest.peak if highest else None

    @property
    def together(self) -> int | None:
        """The highest of ``totals``: what the process and all that it started used together. None without totals."""
        highest = self.highest_total
        return highest.memory if highest else None

    @property
    def highest(self) -> Sample | None:
        """The first sample that carries the peak: it was reached between the sample before and this one."""
        return max(self.samples, key=lambda sample: sample.peak, default=None)

    @property
    def highest_total(self) -> Total | None:
        """The first of ``totals`` that has the most memory."""
        return max(self.totals, key=lambda total: total.memory, default=None)

    @property
    def peak_is_exact(self) -> bool:
        """Whether nothing can have been higher, from the first sample to the end.

        ``about.peaks`` is ``reset`` where the kernel's high-water mark was reset at every sample, so that every peak in the
        recording is exact; ``mark`` where it was only read, which is exact once the process rises above what it had been
        before; ``samples`` where nothing but the readings is known. What a kill left unwritten may have been higher, and
        so may what came after a process that is recorded from outside was last polled. How exact the high-water mark is, is
        ``about.peaks_error``.
        """
        if not self._whole:
            return False
        if self.about.peaks == "mark":
            return (self.peak or 0) > (self.about.mark or 0)
        return self.about.peaks == "reset"

    def columns(self, count: int) -> tuple[list[int], list[int]]:
        """The highest memory that was read, and the highest peak, in each of so many equal stretches of the time.

        A stretch without a sample has the memory of the one before, and those before the first sample that of the first. A
        peak between two samples counts for every stretch that it may have been reached in. Where others lived on, there is
        nothing after the end of the process.
        """
        return columns(self.samples, count, self.duration, None if self.totals else self._ended or 0)

    @property
    def functions(self) -> dict[Function, tuple[Line, ...]]:
        """The traced functions, each with its lines in order."""
        found: dict[Function, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.function, []).append(line)
        return {function: tuple(lines) for function, lines in found.items()}

    @property
    def called(self) -> tuple[Call, ...]:
        """The calls of each function in one, over all paths and threads.

        Of a recursion, time and growth count once. ``id`` and ``thread`` are those of its first path, ``parent`` is None.
        """
        return by_function(self.calls)

    def walk(self) -> Iterator[tuple[int, Call]]:
        """Each call and its depth, 0 for a root: a call comes before what it called, and that before its neighbour."""
        return walk(self.calls)

    def by_thread(self) -> Recording:
        """The same recording with all calls in the threads that made them, and none below what handed work over to them.

        Of a recording without calls that :meth:`hiding` has taken out.
        """
        return replace(self, calls=by_thread(self.calls))

    def hiding(self, globs: str | Iterable[str] = (), *, libraries: bool = True) -> Recording:
        """The same recording without calls and ``heap_lines`` of some files; what these did is counted with their callers.

        ``globs`` are matched against whole paths or the ends of paths, without regard to case; ``*`` is any text, slashes
        included. With ``libraries`` the standard library and installed packages are hidden, too. A function in C goes
        with its caller. What one path handed over becomes one call for each kind of work, whichever threads did it. The
        roots of threads stay; more than eight whose names only numbers tell apart become one, with stars for the numbers.
        """
        hidden = matcher((*([globs] if isinstance(globs, str) else globs), *(LIBRARIES if libraries else ())))
        calls, homes = fold(self.calls, hidden)
        paths, lines = without(hidden, self.heap_paths, self.heap_lines, homes)
        return replace(self, calls=calls, heap_paths=paths, heap_lines=lines)

    def lane(self, process: Process) -> tuple[Sample, ...]:
        """The samples of one of ``processes``."""
        return self._lane(process, self.others)

    @property
    def lanes(self) -> tuple[tuple[Process, tuple[Sample, ...]], ...]:
        """All ``processes``, each with its samples."""
        found: dict[int, list[Sample]] = {}
        for sample in self.others:
            found.setdefault(sample.pid, []).append(sample)
        nexts: dict[int, int] = {}  # when the next process with the number of one began
        lanes = []
        for place in sorted(range(len(self.processes)), key=lambda place: self.processes[place].started, reverse=True):
            process = self.processes[place]
            lane = self._lane(process, found.get(process.pid, ()), nexts.get(process.pid))
            lanes.append((place, process, lane))
            nexts[process.pid] = process.started
        return tuple((process, lane) for _, process, lane in sorted(lanes, key=itemgetter(0)))

    def _lane(self, process: Process, samples: Sequence[Sample], until: int | None = None) -> tuple[Sample, ...]:
        """The samples of a process, which are in order of time, up to where another one has its number."""
        if process.pid == self.about.pid and process.started == 0:
            return self.samples
        first = bisect_left(samples, process.started, key=_time_of)
        last = len(samples) if process.ended is None else bisect_right(samples, process.ended, key=_time_of)
        if until is not None:
            last = min(last, bisect_left(samples, until, key=_time_of))
        return tuple(sample for sample in samples[first:last] if sample.pid == process.pid)

    def level(self, limit: Limit) -> int | None:
        """The memory at which one of ``limits`` is reached if nobody else takes of it or gives back.

        With ``totals`` it is the memory of all processes together. None where what counts against the limit is not what
        was measured (``RLIMIT_AS`` counts the address space of each process), and where there are ``others`` without totals.
        """
        measured = METERED.get(self.about.meter)
        if not self.totals:
            reckoned = self.samples and not self.others and measured == limit.counted
            return self.samples[0].memory + limit.left if reckoned else None
        if limit.counted != "memory":
            return None
        first = self.totals[0]
        before = [sample.memory for sample in self.samples if sample.time <= first.time and measured == "memory"]
        grown = max(0, before[-1] - before[0]) if before else 0  # since the limits were read
        return first.memory - grown + limit.left

    def share(self, crossing: Crossing) -> float | None:
        """Which share of one of ``limits`` was reached, 0 to 1; None where it was no limit's."""
        sizes = [limit.size for limit in self.limits if limit.name == crossing.name]
        return crossing.limit / sizes[0] if sizes and sizes[0] else None

    def left(self, limit: Limit) -> int | None:
        """What was left of one of ``limits`` at the peak, reckoned from the growth of this program alone.

        Pages of files that the process mapped meanwhile do not count: the kernel drops them where memory is short. None
        where :meth:`level` is, and where resident memory was summed up, in which shared pages count many times.
        """
        level = self.level(limit)
        if level is None or (self.totals and self.summed != "pss"):
            return None
        total = self.highest_total
        if total is not None:
            return max(0, level - total.memory)
        return max(0, level - (self.peak or 0) + self.mapped_meanwhile)

    @property
    def mapped_meanwhile(self) -> int:
        """How many more bytes of files were resident when the peak was reached than at the first sample; at least 0."""
        highest = self.highest
        known = [size for time, size in self.mapped if highest is not None and time <= highest.time]
        return max(0, known[-1] - known[0]) if known else 0

    @property
    def unseen(self) -> int:
        """Nanoseconds at the end that nothing is known of.

        What a killed program had recorded, but not yet written; or what one did that was recorded from outside, after it had
        been looked at for the last time.
        """
        return 0 if self._whole or not self.samples or self._ended is None else self._ended - self.samples[-1].time

    @property
    def _ended(self) -> int | None:
        """When the recorded process itself ended, where that is known: those that it started may have lived on."""
        return self.processes[0].ended if self.processes else self.duration

    @property
    def _whole(self) -> bool:
        """Whether the last sample was taken at the very end."""
        return self.ending.complete and (self.about.recorder is None or self.ending.kind == "detached")

    @property
    def duration(self) -> int:
        """Nanoseconds from the beginning to the last thing known."""
        ended = [process.ended for process in self.processes if process.ended is not None]
        return max([*ended, self.samples[-1].time if self.samples else 0])

    # -- in a notebook and a browser -------------------------------------------------------------------------------------

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a front end of Jupyter shows: text, and HTML with the plot and the tables."""
        import memkit  # a higher floor decides how it is shown

        return memkit.mimebundle(self)

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def page(self, path: str | os.PathLike[str] | None = None, *, source: bool = True, redact: bool = False) -> memkit.Page:
        """Write the page of the recording, as ``--html`` does; a notebook shows it, and ``.open()`` opens it in a browser.

        ``path`` is a file; by default one in a temporary folder that only its user can read. ``source`` and ``redact`` are
        those of :func:`memkit.html_page`. Raises ``MemkitError`` where the file cannot be written.
        """
        import memkit

        return memkit.page_of(self, path, source=source, redact=redact)
