"""What several processes use together, though they share memory.

The kernel tells for each process its proportional share (PSS): a page that three processes share counts a third with each,
so that the sum counts every page once. To tell it, the kernel walks through all the pages, which takes up to 2 ms a GB, and
ten times that for shared memory. Between two such readings the share of a process is taken to have changed as its anonymous
memory did. What it has more of files and of shared memory is new, or others of the tree had it already: it counts as far as
it must be new to the tree, and shared memory as far as the whole machine has more of it. How wrong that can be is added up,
for less and for more.

While shares are read, a process may fork that nobody knows yet: from then on its parents seem to have less, by what it
bears. Such a gap is in doubt until all that began before the reading is known, and is closed by reading anew.
"""

from __future__ import annotations

import time

from memkit.model.file_format import row
from memkit.system.processes import Refused

_SECOND = 1_000_000_000
_SHARE = 0.01  # of the time, for reading how memory is shared
_HASTE = 0.03  # the same while much is in doubt
_START, _MOST = _SECOND // 50, _SECOND // 5
_PATIENCE = _SECOND // 10
_WRONG, _MUCH = 33, 8  # an estimated part of a total that is worth a reading, and one that is worth haste: one in so many
_REGULARLY = 100  # and one part in so many of the time elapsed is
_TOLD = _SECOND // 50  # from when a fork has shared out the pages until it is told of, even on a busy machine


class Sum:
    """The memory of some processes together, and the rows about it.

    ``kind`` is ``pss``, or ``rss`` where nothing better is known; ``reason`` says why not, or what is wrong with it.
    """

    def __init__(self, source, origin: int):
        self._source, self._origin = source, origin
        self.kind, self.reason = source.kind, source.reason
        self.changed = True
        """Whether processes have begun or ended since shares were read."""
        self._fresh = None
        self._waiting = None  # since when a reading was put off
        self._read_until = 0  # when the last reading of shares was complete
        self._departed = 0  # bytes that processes which ended since shared with others
        self._budget, self._haste = Budget(_SHARE, _START, _MOST), Budget(_HASTE, 0, _MOST)
        self._stock = None  # shared memory of the whole machine when shares were read
        self._written = self._held = None  # the last total that was written; when it was seen to be that still

    def begin(self, pid: int) -> None:
        """Find out whether shares can be read at all, from one process."""
        if self.kind == "pss":
            try:
                self._source.shares(pid)
            except Refused as refusal:
                self.kind, self.reason = "rss", f"smaps_rollup of process {pid}: {refusal}"

    def without(self, part) -> None:
        """A process has ended: others bear now what it shared with them."""
        self._departed += part.shared
        self.changed = True

    def knows(self, members, moment: int) -> None:
        """All that began before a moment is among the members: what others bear of their memory is borne by strangers."""
        unread = any(member.part.forked and not member.part.known for member in members)
        if moment > self._read_until + _TOLD and not unread:
            for member in members:
                member.part.accept()

    def look(self, members, now: int) -> bytes:
        """Add up, after a look at all; return rows with what is new."""
        rss = sum(member.reading.rss for member in members)
        if not rss:  # the last of them is ending, and has given its memory back already
            return b""
        total = (rss, rss, 0) if self.kind == "rss" else self._shared(members, now)
        moment = now - self._origin
        if total == self._written:
            self._held = moment
            return b""
        rows = self.last() + row("total", moment, *total)
        self._written = total
        return rows

    def last(self) -> bytes:
        """A row that says until when all was as in the row before; empty where that says nothing new."""
        if self._held is None:
            return b""
        moment, self._held = self._held, None
        return row("total", moment, *self._written)

    def _shared(self, members, now):
        found = self._estimated(members)
        pause = _SECOND // 10 if self.changed else max(_SECOND, (now - self._origin) // _REGULARLY)
        due = self._fresh is None or now - self._fresh > pause
        # What is about to execute a program has its parent's memory, and would count twice.
        young = any(member.young(now - self._origin) for member in members)
        if young and self._waiting is None:
            self._waiting = now
        patient = young and now - self._waiting < _PATIENCE
        credit = _START if self.gap(members) else 0
        allowed, hasty = self._budget.allows(now, credit), self._haste.allows(now)
        wanted = (allowed and (due or found.doubtful(_WRONG))) or (hasty and found.doubtful(_MUCH))
        if wanted and not patient:
            self._waiting = None
            self._read(members, now)
            found = self._estimated(members)
        return found.total(sum(member.reading.rss for member in members))

    def _estimated(self, members):
        whole, parts, room = Estimate(), [], 0
        departed = self._departed
        for member in members:
            if not member.reading.rss:  # it is ending
                departed += member.part.shared
                continue
            one = member.part.estimate(member.reading, self._source.page)
            if member.refused:  # for good
                one.above, one.mapped, one.shmem = one.above + one.mapped + one.shmem, 0, 0
            whole.add(one)
            parts.append((one, member.part))
            room += max(0, member.reading.rss - one.memory)
        departed = min(departed, room)
        gap = self.gap(members)
        whole.move(departed + gap // 2, departed + gap - gap // 2, gap - gap // 2)
        new = _new((one.mapped, part.mapped) for one, part in parts)
        whole.move(new, new, whole.mapped - new)
        self._count_shmem(whole, parts)
        return whole

    def _count_shmem(self, whole, parts):
        """Add what there is more of shared memory: what is new to the tree, and what is new to the machine, is new."""
        gained, fallen = whole.shmem, whole.fallen
        new = _new((one.shmem, part.shmem) for one, part in parts)
        above = gained - new
        stock = self._source.shmem() if above * _WRONG > whole.memory else None
        if stock is not None:
            there, blur = stock
            if self._stock is not None:
                new = min(gained, max(new, there - self._stock[0] + fallen))
            # All that the tree has of it is there.
            known = sum(part.shmem_share for _, part in parts) - fallen
            above = min(gained - new, max(0, there + blur - known - new))
        whole.move(new, new, above)

    def gap(self, members) -> int:
        """How much of the members' memory may be borne by forks of theirs that are not known yet."""
        parts = [member.part for member in members if member.part.known]
        found = sum(part.given_away for part in parts)
        # Such a fork has the files of its parent, too.
        return found + sum(part.files for part in parts if part.given_away > 0) if found > 0 else 0

    def _read(self, members, now):
        """Ask the kernel anew how memory is shared."""
        began, clock = time.thread_time_ns(), time.monotonic_ns()
        self._departed = 0
        self._stock = self._source.shmem()
        self._fresh = now
        self.changed = False
        for member in members:
            reading = self._source.read(member.pid)
            try:
                shares = self._source.shares(member.pid)
            except Refused as refusal:
                self._was_refused(member, refusal)
                continue
            if reading is not None and shares is not None and reading.born == member.born:
                member.reading = reading
                member.part.read(shares, reading)
        for member in members:  # what has changed meanwhile counts as what changes from now on
            reading = self._source.read(member.pid)
            if reading is not None and reading.born == member.born and not reading.over:
                member.reading = reading
        self._read_until = now + time.monotonic_ns() - clock
        for budget in (self._budget, self._haste):
            budget.spend(time.thread_time_ns() - began)

    def _was_refused(self, member, refusal):
        if not member.refused:
            member.refused = True
            member.part.executed()
            self.reason = (
                f"process {member.pid} ({member.command[:50]}): {refusal}; "
                "what it has without memory that may be shared stands in for its share"
            )


def _new(gains) -> int:
    """How much must be new to all, of pairs of what each has more than it had, and what it had: the rest others had."""
    gains = list(gains)
    had = sum(before for _, before in gains)
    return max([0, *(more - (had - before) for more, before in gains)])


class Estimate:
    """What processes are taken to have, and by how much too high and too low that may be."""

    __slots__ = ("above", "below", "fallen", "mapped", "memory", "shmem")

    def __init__(self, memory: int = 0, below: int = 0, above: int = 0, mapped: int = 0, shmem: int = 0, fallen: int = 0):
        self.memory, self.below, self.above = memory, below, above
        self.mapped, self.shmem = mapped, shmem
        """How much more each has of files and of shared memory, which is not in ``memory``."""
        self.fallen = fallen
        """How much less of shared memory is in it than was read."""

    def add(self, other) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def move(self, memory: int, below: int, above: int) -> None:
        self.memory += memory
        self.below += below
        self.above += above

    def doubtful(self, part: int) -> bool:
        """Whether more of it than one part in so many is in doubt."""
        return max(self.below, self.above) * part > self.memory

    def total(self, rss: int) -> tuple:
        """What stands in a row about processes that have so much resident memory."""
        memory = min(self.memory, rss)
        below = max(0, self.below - (self.memory - memory))
        doubt = max(below, self.above)
        return (memory, rss, doubt) if below == self.above else (memory, rss, doubt, below, self.above)


class Part:
    """What one process contributes."""

    __slots__ = (
        "accepted",
        "anonymous",
        "borne",
        "faults",
        "files",
        "forked",
        "has_forked",
        "known",
        "mapped",
        "mapped_share",
        "private",
        "pss",
        "rss",
        "shmem",
        "shmem_share",
        "uss",
    )

    def __init__(self, forked: bool):
        self.known = False
        self.forked = forked
        """Whether it began as a fork, all of whose pages are its parent's."""
        self.has_forked = False
        """Whether it has forked since its shares were read, so that any page of it may be shared."""
        self.accepted = None if forked else 0
        """What others bear of its memory as far as it is known who; None of a fork that has not begun to count."""
        self.mapped = self.shmem = self.mapped_share = self.shmem_share = 0
        """What it had of files and of shared memory when shares were read, and its shares of these."""

    def read(self, shares, reading) -> None:
        """Take in a fresh reading of its shares, and how it was just before."""
        self.known = True
        self.has_forked = False
        if self.accepted is not None:
            self.accepted = min(self.accepted, shares.borne)
        self.pss, self.uss, self.rss, self.private = shares.pss, shares.uss, shares.rss, shares.private
        self.borne, self.files = shares.borne, shares.files
        self.mapped_share, self.shmem_share, self.faults = shares.mapped, shares.shmem, reading.faults
        # What is being given back is in no share, though much of it is resident: it is what came back since.
        freed = reading.rss - shares.rss
        freed = freed if freed * _MUCH > reading.rss else 0
        for name in ("shmem", "anonymous", "mapped"):
            size = getattr(reading, name)
            setattr(self, name, size - min(size, freed))
            freed -= min(size, freed)

    @property
    def shared(self) -> int:
        """Its share of memory that others have, too."""
        return self.pss - self.private if self.known else 0

    @property
    def given_away(self) -> int:
        """How much more of its memory others bear than is known; negative for one that bears memory of others as a fork."""
        if self.accepted is None:
            return -self.shared
        return max(0, self.borne - self.accepted)

    def accept(self) -> None:
        """Who bears its memory is known."""
        if self.known:
            self.accepted = self.borne

    def executed(self) -> None:
        """Nothing that is known of it holds: it runs another program."""
        self.known = self.forked = self.has_forked = False
        self.accepted = 0
        self.mapped = self.shmem = self.mapped_share = self.shmem_share = 0

    def estimate(self, reading, page: int) -> Estimate:
        """Its share as it must be about now.

        A page fault may have made a copy of a page that was shared, which changes no number of resident pages.
        """
        if not self.known:
            if not self.forked:
                return Estimate(reading.anonymous, 0, reading.mapped, 0, reading.shmem)
            touched = reading.faults * page
            own, most = min(reading.anonymous, max(0, touched - reading.shmem)), min(reading.anonymous, touched)
            return Estimate(own, own, most, reading.mapped, reading.shmem)
        change = reading.anonymous - self.anonymous
        mapped, shmem = max(0, reading.mapped - self.mapped), max(0, reading.shmem - self.shmem)
        shared = self.rss if self.has_forked else self.rss - self.private
        other = max(0, (reading.faults - self.faults) * page - max(0, change) - mapped - shmem)
        # What is given back of memory that is shared, others bear from then on.
        grown = change if change > 0 else change * self.private // max(self.rss, 1)
        found = Estimate(self.pss + grown, change if change > 0 else grown - change, abs(grown), mapped, shmem)
        # A copy is new memory; or what was its own made room for what others have, too.
        found.move(0, min(other, self.mapped_share + self.shmem_share), min(other, shared))
        for now, before, share in (
            (reading.mapped, self.mapped, self.mapped_share),
            (reading.shmem, self.shmem, self.shmem_share),
        ):
            lost = max(0, before - now)
            fallen = lost * min(share, before) // max(before, 1)
            found.move(-fallen, min(lost, share) - fallen, fallen)
            found.fallen = fallen  # of the latter
        found.memory = max(0, found.memory)
        return found


class Budget:
    """Time that may be spent: a share of what passes, and something to begin with."""

    def __init__(self, share: float, start: int, most: int):
        self._share, self._left, self._most = share, start, most
        self._last = None

    def allows(self, now: int, credit: int = 0) -> bool:
        """Whether something may be spent; what it takes is taken off later, even if that is more than was left.

        ``credit`` is what may be taken that is not there yet.
        """
        if self._last is not None:
            self._left = min(self._left + (now - self._last) * self._share, self._most)
        self._last = now
        return self._left + credit > 0

    def spend(self, nanoseconds: int) -> None:
        self._left -= nanoseconds
