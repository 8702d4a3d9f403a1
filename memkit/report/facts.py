"""The facts about a recording that a report begins and ends with: what they are called, what they say, and what stands out.

Whoever shows them, in a terminal, a notebook or on a page, renders them and works nothing out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from memkit.base.units import show_bytes, show_error, show_time
from memkit.model.file_format import MORE_FUNCTIONS
from memkit.model.limit_events import Crossing
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Recording
from memkit.report.lanes import highest_sum, largest_of
from memkit.system.balance_texts import BOOKS
from memkit.system.limit import Limit

LONGEST_COMMAND = 100
_LONGEST_NAME = 40
MOST_CROSSINGS = MOST_EXECUTED = 3
_ACTIONS = {"raise": ": MemoryError raised", "stop": ": the program was stopped"}
_SLACK = 1 << 20
"""By how much a peak may be too low that a child has from its parent."""
_MUCH_OWN = 1 << 20
_NEAR = 10
"""A limit stands out of which no more than 1/10 was still free."""


class FactPart(NamedTuple):
    """A piece of what a fact says."""

    text: str
    role: str = "text"
    """``text``; ``value``, what one looks for; ``bad``, a value that tells of a failure; ``remark``, what qualifies it."""


class Fact(NamedTuple):
    """One line of what is known about a recording."""

    label: str
    """What it is about, in one word; empty where it goes on with the fact before."""
    parts: tuple[FactPart, ...]
    emphasis: str | None = None
    """``warning`` or ``bad`` where the whole line stands out, else None."""

    @property
    def text(self) -> str:
        """All that it says, without its label."""
        return "".join(part.text for part in self.parts)


def facts(recording: Recording) -> list[Fact]:
    """How it ended, how long it took, memory at the start and the end, its peak, its limits, and which were reached."""
    return [
        *_run(recording),
        *_unrecorded(recording),
        *_unwatched(recording),
        *_memory(recording),
        *_sums(recording),
        *_limits(recording),
        *_group(recording),
        *_crossings(recording),
        *_missing_stacks(recording),
    ]


def cost_facts(recording: Recording) -> list[Fact]:
    """What recording took, what could not be read, and where the recording is."""
    spent = recording.cost
    words = [f"{len(recording.samples):,} samples"]
    if spent.late:
        words.append(f"{spent.late:,} missed ticks" if spent.late > 1 else "1 missed tick")
    if spent.cpu is not None and spent.beats:
        share = spent.cpu / max(1, recording.duration)
        words.append(f"{show_time(spent.cpu)} of CPU, {share:.1%} of a core")
    if recording.about.engine != "native":
        words.append(f"{recording.about.engine} sampler")
    found = [_fact("cost", ", ".join(words))]
    if recording.greenlets:
        found.append(_fact("greenlets", ("not told apart in lines and calls: " + recording.greenlets, "remark")))
    if recording.unread:
        text = f"{recording.unread:,} rows of the recording are broken or unknown, and are left out"
        found.append(_fact("unread", (text, "remark")))
    if recording.source:
        instead = (", in place of an earlier recording", "remark") if recording.replaced else ""
        found.append(_fact("saved", recording.source, instead))
    return found


def shortened(command: str, longest: int = LONGEST_COMMAND) -> str:
    """A command with dots in the place of what is too long."""
    return command if len(command) <= longest else command[: longest - 3] + "..."


def _fact(label: str, *parts: str | tuple[str, str], emphasis: str | None = None) -> Fact:
    """A fact of texts and (text, role) pairs, the empty ones left out."""
    pieces = [FactPart(part) if isinstance(part, str) else FactPart(*part) for part in parts]
    return Fact(label, tuple(piece for piece in pieces if piece.text), emphasis)


# -- the run and its memory --------------------------------------------------------------------------------------------


def _run(recording: Recording) -> Iterator[Fact]:
    ending = recording.ending
    command = (f"{recording.about.name}: " if recording.about.name else "") + shortened(recording.about.command)
    yield _fact("memkit", (command, "value"), ": ", (str(ending), "bad" if ending.failed else "value"))
    evidence = _evidence(recording)
    if evidence is not None and evidence != ending.out_of_memory:
        yield _fact("kills", f"{evidence} while it ran", emphasis="bad")
    yield _fact("took", show_time(recording.duration))
    for moment, became in recording.executed[:MOST_EXECUTED]:
        yield _fact("became", (shortened(became), "value"), f" after {show_time(moment)}, by exec")
    if len(recording.executed) > MOST_EXECUTED:
        yield _fact("", (f"and {len(recording.executed) - MOST_EXECUTED} more programs after that", "remark"))


def _evidence(recording: Recording) -> OutOfMemory | None:
    """That memory ran out: for the program itself, else for another process."""
    of_others = (process.ending.out_of_memory for process in recording.processes[1:] if process.ending.kind == "killed")
    return recording.ending.out_of_memory or recording.oom_kills or next(filter(None, of_others), None)


def _unrecorded(recording: Recording) -> Iterator[Fact]:
    """That processes were started which were not recorded, and how large they were as far as that is known."""
    count, peak = len(recording.unrecorded), recording.peak or 0
    followed = len(recording.processes) > 1
    ended = None if followed or recording.totals else recording.waited_for  # of those that are recorded, too
    if recording.totals or not (count or ended is not None):
        return
    seen = max((each.memory for each in recording.unrecorded), default=0)
    if ended is not None and ended >= max(seen, peak + _SLACK):  # more than any can have had from its parent
        size = f"the largest reached {show_bytes(ended)}"
    elif seen:
        size = f"the largest reached {show_bytes(seen)} or more"
    else:
        size = f"none was larger than {show_bytes(ended)}"
    how_many = f"{count:,} {'was' if count == 1 else 'were'} seen that" if count else "some were started that"
    verb = "is" if count == 1 else "are"
    if recording.about.watch is not None:
        remedy = "a forked process has a file once it has lived a second, a spawned one if it is Python, with --follow"
    else:
        lines = "" if followed or recording.about.recorder is not None else ", --follow their lines and calls"
        remedy = f"--children records them{lines}"
    large = max(seen, ended if ended is not None and ended > peak + _SLACK else 0) * _NEAR > peak
    said = f"{how_many} {verb} not recorded ({size}): {remedy}"
    yield _fact("children", (said, "remark"), emphasis="warning" if large else None)


def _unwatched(recording: Recording) -> Iterator[Fact]:
    """That processes were started for which the limit that was set did not hold, and what would hold for all."""
    about, count = recording.about, len(recording.processes[1:]) + len(recording.unrecorded)
    if about.set_limit is None or about.set_limit_scope != "process" or not (count or recording.waited_for is not None):
        return
    sizes = [each.peak for each in recording.others] + [each.memory for each in recording.unrecorded]
    large = max([*sizes, recording.waited_for or 0]) >= about.set_limit
    others = f"{count:,} other{'s' if count > 1 else ''}" if count else "those"
    said = f"only the first process, for the limit of {show_bytes(about.set_limit)}, and not {others} that it started"
    remedy = ": with --meter cgroup the limit is one of all processes of the control group"
    yield _fact("watched", (said + remedy, "remark"), emphasis="warning" if large else None)


def _memory(recording: Recording) -> Iterator[Fact]:
    yield from _totals(recording) if recording.totals else _sum(recording)
    highest, start, growth = recording.highest, recording.start, recording.growth
    if highest is None or start is None or growth is None:
        yield _fact("memory", "no samples were recorded")
        return
    first = " of the first process" if len(recording.processes) > 1 else ""
    meter = "" if recording.about.meter == "rss" else f" of {recording.about.meter}"
    change = show_bytes(growth, sign=True), "remark" if growth > 0 else "text"
    yield _fact(
        "memory", f"{show_bytes(start)} at the start, {show_bytes(recording.end)} at the end: ", change, meter, first
    )
    when = f"{first}, reached by {show_time(highest.time)}, {_certainty(recording)}"
    yield _fact("peak", (show_bytes(highest.peak), "value"), when)
    own = [balance for balance in recording.balances if balance.pid == recording.about.pid]
    most = max((balance.books for balance in own), default=0)
    if most >= _MUCH_OWN:
        words = f"not in it are up to {show_bytes(most)} of memkit's, {BOOKS}: the balances have them"
        yield _fact("", (words, "remark"))


def _sums(recording: Recording) -> Iterator[Fact]:
    """How old the sums of lines and calls are, and which were counted together."""
    tracing = recording.tracing or recording.call_tracing
    sums = tracing or recording.heap
    if sums is not None and sums.as_of is not None:
        age = show_time(max(0, recording.duration - sums.as_of))
        whole = None if sums.whole_as_of is None else show_time(max(0, recording.duration - sums.whole_as_of))
        rest = "" if whole == age else f"; of what changed little, {f'of {whole} before' if whole else 'incomplete'}"
        counted = "lines and calls are" if recording.heap is None else "lines, calls and heap are"
        yield _fact("sums", (f"{counted if tracing else 'the heap is'} as of {age} before the end{rest}", "remark"))
    functions = {*(line.function for line in recording.lines), *(call.function for call in recording.calls)}
    if any(function.name == MORE_FUNCTIONS and not function.file for function in functions):
        words = f"there were too many functions to tell all apart: those beyond are counted together, as {MORE_FUNCTIONS}"
        yield _fact("sums", (words, "remark"))


def _certainty(recording: Recording) -> str:
    """How sure the peak is."""
    if recording.peak_is_exact:
        error = show_error(recording.about.peaks_error)
        return f"exact to {error}" if error else "exact"
    if recording.unseen and recording.about.recorder is not None:
        return f"highest seen; the last {show_time(recording.unseen)} were not seen"
    if recording.unseen:
        return f"highest recorded; the last {show_time(recording.unseen)} were lost"
    if not recording.ending.complete:
        return "highest recorded; what came after is not known"
    reason = f" ({recording.about.peaks_reason})" if recording.about.peaks_reason else ""
    return f"highest seen; between two samples it may have been higher{reason}"


def _sum(recording: Recording) -> Iterator[Fact]:
    """What the samples of all processes add up to, and which process was the largest, where that is not the first."""
    highest, largest = highest_sum(recording), largest_of(recording)
    if highest is not None:
        meter, count = recording.about.meter, highest.processes
        words = f" at the most, seen at {show_time(highest.time)}; {count:,} process{'es' if count > 1 else ''}"
        yield _fact("together", f"sum of {meter.upper()} ", (show_bytes(highest.memory), "value"), words)
        how = "by the samples of each process; what was higher between two is missing"
        shared = ", and a shared page counts once for each that has it" if meter == "rss" else ""
        yield _fact("summed", (how + shared, "remark"))
    if largest is not None:
        process, sample = largest
        peak = (show_bytes(sample.peak), "value")
        name = shortened(process.title or process.command, _LONGEST_NAME)
        yield _fact("largest", peak, f" of process {process.pid}, {name}, reached by {show_time(sample.time)}")


def _totals(recording: Recording) -> Iterator[Fact]:
    """What all processes used together, and what that number means."""
    highest = recording.highest_total
    if highest is None:
        return
    peak = (show_bytes(highest.memory), "value")
    count = len(recording.processes)
    words = f" at the peak, seen at {show_time(highest.time)}; {count:,} process{'es' if count > 1 else ''}"
    reason = f" ({recording.summed_reason})" if recording.summed_reason else ""
    if recording.summed == "pss":
        yield _fact("together", peak, words)
        least = show_bytes(max(total.least for total in recording.totals))
        most = show_bytes(max(total.most for total in recording.totals))
        off = "" if least == most else f": the peak seen was between {least} and {most}"
        how = "by PSS: a shared page counts once; between its readings estimated from the change in RSS"
        yield _fact("summed", how + off, (reason, "remark"))
    else:
        yield _fact("together", "sum of RSS ", peak, words)
        how = "by RSS, in which a shared page counts once for each process that has it"
        yield _fact("summed", (how, "remark"), reason)
    if recording.seen == "looks":
        reason = f" ({recording.seen_reason})" if recording.seen_reason else ""
        how = "by polling: processes that came and went between two polls are missing"
        yield _fact("seen", (how, "remark"), reason)


# -- limits ------------------------------------------------------------------------------------------------------------


def _limits(recording: Recording) -> Iterator[Fact]:
    """How far the nearest limit was, the nearest of those that count what was recorded, and one that the ending names."""
    evidence = _evidence(recording)
    reckoned = [limit for limit in recording.limits if recording.level(limit) is not None]
    for limit in recording.limits:
        named = evidence is not None and evidence.names(limit)
        if not named and limit not in (recording.limits[0], *reckoned[:1]):
            continue
        left = recording.left(limit)
        near = left is not None and left * _NEAR <= limit.size
        words = f"{limit.name}, {show_bytes(limit.size)}: {show_bytes(limit.left)} left at the start; "
        free = _free_at_the_peak(recording, limit, left, near)
        yield _fact("limit", words + free, emphasis="bad" if named else "warning" if near else None)


def _group(recording: Recording) -> Iterator[Fact]:
    """What the control group was full of, if that was more than this program."""
    highest = max(recording.group, key=lambda each: each.used, default=None)
    sizes = [limit.size for limit in recording.limits if highest is not None and limit.name == highest.name]
    if highest is None or not sizes:
        return
    others = highest.used - (recording.together or recording.peak or 0)
    if _evidence(recording) is None and others * _NEAR <= sizes[0]:
        return
    parts = (
        (highest.anonymous, "anonymous"),
        (highest.shared, "shared memory and tmpfs"),
        (highest.files, "other files in memory"),
        (highest.kernel, "the kernel's own"),
    )
    told = ", ".join(f"{show_bytes(size)} {what}" for size, what in parts if size is not None)
    words = f"{show_bytes(highest.used)} of {highest.name} in use at the most, as seen at {show_time(highest.time)}"
    yield _fact("group", words, f": {told}" if told else "")


def _free_at_the_peak(recording: Recording, limit: Limit, left: int | None, near: bool) -> str:
    if limit.counted != "memory" and recording.level(limit) is None:
        missing = ", of each process by itself" if recording.totals else ", which was not recorded"
        return f"it counts {limit.counted}{missing}"
    if left is None and recording.others and not recording.totals:
        return "what all processes used of it together was not recorded"
    if left is None:
        told = "from the sum of RSS" if recording.totals else f"from {recording.about.meter}"
        return f"what was still free at the peak cannot be told {told if recording.samples else 'without samples'}"
    if recording.totals:
        sure = "only about " if near else "about "
    elif recording.peak_is_exact:
        sure = "only " if near else ""
    else:
        sure = "no more than " if near else "at most "
    amount = f"{sure}{show_bytes(left)} were" if left else "nothing was"
    mapped = 0 if recording.totals else recording.mapped_meanwhile
    files = f", without {show_bytes(mapped)} of files that it mapped" if mapped * _NEAR > limit.size else ""
    return f"{amount} still free at the peak (counting this program only{files})"


def _crossings(recording: Recording) -> Iterator[Fact]:
    """A line for each limit that was reached."""
    for crossing in recording.crossings[:MOST_CROSSINGS]:
        words = f"{_reached(recording, crossing)} after {show_time(crossing.time)}{_ACTIONS.get(crossing.action, '')}"
        yield _fact("reached", words, emphasis="warning")
    more = recording.crossings[MOST_CROSSINGS:]
    if more:
        yield _fact("", f"and {len(more):,} more times, the last after {show_time(more[-1].time)}")


def _missing_stacks(recording: Recording) -> Iterator[Fact]:
    """Why it is not known where the threads were, when a limit was reached or before a death."""
    reason, ending = recording.about.stacks_reason, recording.ending
    died = (ending.kind == "killed" or ending.out_of_memory) and not (recording.snapshot and recording.snapshot.stacks)
    if reason and (died or not all(crossing.stacks for crossing in recording.crossings)):
        yield _fact("stacks", (f"could only be read while Python ran: {reason}", "remark"))


def _reached(recording: Recording, crossing: Crossing) -> str:
    share, size = recording.share(crossing), show_bytes(crossing.limit)
    return f"{size} of {crossing.name}" if share is None else f"{share:.0%} of {crossing.name} ({size})"
