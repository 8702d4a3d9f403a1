"""The total memory of several processes that share memory, by their proportional shares (PSS), with error bounds.

The PSS of a process counts a page that three processes share as a third, so that the sum over all processes counts every
page once. The kernel walks the page tables to compute it: up to 2 ms per GB, and ten times that for shared memory. So it is
read now and then. In between, the share of a process is estimated to change as its anonymous memory does. Growth of file
pages and of shared memory is either new memory, or memory that other processes of the tree had already: it counts as far as
it must be new to the tree, and shared memory also as far as the whole machine has more of it. The possible error is added
up in both directions.

While shares are read, a process that is not known yet may be forked. Its parent's share then falls by what the fork's share
is. This gap counts as possible error until all processes that began before the reading are known, and a new reading
closes it.
"""

from __future__ import annotations

import time

from memkit.model.file_format import row
from memkit.system.processes import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Protocol

    from memkit.system.processes import Elsewhere, Proc, Reading, Shares

    ProcessSource = Proc | Elsewhere

    class Node(Protocol):
        """A process of the tree; see ``memkit.tree.node``."""

        pid: int
        born: int | None
        command: str
        reading: Reading | None
        refused: bool
        share: ShareEstimate

        def is_young(self, moment: int) -> bool: ...

    TotalValues = tuple[int, ...]  # memory, RSS, possible error; then below and above, if they differ

_SECOND = 1_000_000_000
_READING_SHARE = 0.01  # of the time may be spent on reading shares
_URGENT_SHARE = 0.03  # and so much while the error may be large
_START, _MOST = _SECOND // 50, _SECOND // 5
_YOUNG_WAIT = _SECOND // 10  # for which a reading is put off while a process is about to execute a program
_WORTH_READING, _URGENT = 33, 8  # read if the error may be more than 1/33 of the total, urgently if more than 1/8
_EVERY = 100  # read at least each time that the elapsed time has grown by 1/100
_FORK_DELAY = _SECOND // 50  # from a fork until the kernel's event has arrived, even on a busy machine


class TreeTotal:
    """The total memory of some processes, and its rows.

    ``kind`` is ``pss``, or ``rss`` if shares cannot be read; ``reason`` says why not, or what is missing.
    """

    def __init__(self, source: ProcessSource, origin: int) -> None:
        self._source, self._origin = source, origin
        self.kind, self.reason = source.kind, source.reason
        self.changed = True
        """Whether processes have begun or ended since shares were read."""
        self._read_at: int | None = None  # when shares were read last
        self._read_until = 0  # when that reading was complete
        self._put_off_since: int | None = None
        self._departed = 0  # bytes that processes which have ended since then shared with others
        self._budget = Budget(_READING_SHARE, _START, _MOST)
        self._urgent_budget = Budget(_URGENT_SHARE, 0, _MOST)
        self._machine_shmem: tuple[int, int] | None = None  # of the whole machine when shares were read, and its error
        self._written: TotalValues | None = None  # the last row
        self._unchanged_until: int | None = None  # until when the total was the same, if that is not written yet

    def begin(self, pid: int) -> None:
        """Find out, with one process, whether shares can be read at all."""
        if self.kind == "pss":
            try:
                self._source.shares(pid)
            except Refused as refusal:
                self.kind, self.reason = "rss", f"smaps_rollup of process {pid}: {refusal}"

    def without(self, share: ShareEstimate) -> None:
        """A process has ended: what it shared with others is now in their shares."""
        self._departed += share.shared
        self.changed = True

    def all_known(self, nodes: Collection[Node], moment: int) -> None:
        """All processes of the tree that began before a moment are among the nodes: what else shares their memory is not.

        So the shares of the nodes leave no gap.
        """
        unread = any(node.share.forked and not node.share.known for node in nodes)
        if moment > self._read_until + _FORK_DELAY and not unread:
            for node in nodes:
                node.share.accept()

    def poll(self, nodes: Collection[Node], now: int) -> bytes:
        """Add up nodes that have just been read, and return the rows of what has changed."""
        rss = _rss(nodes)
        if not rss:  # the last of them is ending, and its memory has been freed
            return b""
        total = (rss, rss, 0) if self.kind == "rss" else self._total(nodes, now)
        moment = now - self._origin
        if total == self._written:
            self._unchanged_until = moment
            return b""
        rows = self.last() + row("total", moment, *total)
        self._written = total
        return rows

    def last(self) -> bytes:
        """The row that says until when the total was as in the row before; empty if there is nothing to say."""
        if self._unchanged_until is None or self._written is None:
            return b""
        moment, self._unchanged_until = self._unchanged_until, None
        return row("total", moment, *self._written)

    def _total(self, nodes: Collection[Node], now: int) -> TotalValues:
        estimate = self._estimate(nodes)
        pause = _SECOND // 10 if self.changed else max(_SECOND, (now - self._origin) // _EVERY)
        due = self._read_at is None or now - self._read_at > pause
        # A process that is about to execute a program has its parent's memory, which would count twice.
        young = any(node.is_young(now - self._origin) for node in nodes)
        if young and self._put_off_since is None:
            self._put_off_since = now
        put_off = young and self._put_off_since is not None and now - self._put_off_since < _YOUNG_WAIT
        credit = _START if self.gap(nodes) else 0
        allowed, urgently_allowed = self._budget.allows(now, credit), self._urgent_budget.allows(now)
        wanted = allowed and (due or estimate.may_be_off_by(_WORTH_READING))
        if (wanted or (urgently_allowed and estimate.may_be_off_by(_URGENT))) and not put_off:
            self._put_off_since = None
            self._read(nodes, now)
            estimate = self._estimate(nodes)
        return estimate.total(_rss(nodes))

    def _estimate(self, nodes: Collection[Node]) -> Estimate:
        whole, estimates, room = Estimate(), [], 0
        departed = self._departed
        for node in nodes:
            if node.reading is None:
                continue
            if not node.reading.rss:  # it is ending
                departed += node.share.shared
                continue
            one = node.share.estimate(node.reading, self._source.page)
            if node.refused:  # its shares will never be known
                one.above, one.mapped, one.shmem = one.above + one.mapped + one.shmem, 0, 0
            whole.add(one)
            estimates.append((one, node.share))
            room += max(0, node.reading.rss - one.memory)
        departed = min(departed, room)
        gap = self.gap(nodes)
        whole.move(departed + gap // 2, departed + gap - gap // 2, gap - gap // 2)
        new = _least_new((one.mapped, share.mapped) for one, share in estimates)
        whole.move(new, new, whole.mapped - new)
        self._count_shmem(whole, estimates)
        return whole

    def _count_shmem(self, whole: Estimate, estimates: list[tuple[Estimate, ShareEstimate]]) -> None:
        """Count the growth of shared memory: as far as it must be new to the tree, or the machine has more of it."""
        gained, fallen = whole.shmem, whole.fallen
        new = _least_new((one.shmem, share.shmem) for one, share in estimates)
        above = gained - new
        machine = self._source.shmem() if above * _WORTH_READING > whole.memory else None
        if machine is not None:
            size, error = machine
            if self._machine_shmem is not None:
                new = min(gained, max(new, size - self._machine_shmem[0] + fallen))
            # The tree cannot have more than the machine.
            known = sum(share.shmem_share for _, share in estimates) - fallen
            above = min(gained - new, max(0, size + error - known - new))
        whole.move(new, new, above)

    def gap(self, nodes: Iterable[Node]) -> int:
        """How much of the nodes' memory may be in the shares of forks that are not known yet."""
        shares = [node.share for node in nodes if node.share.known]
        gap = sum(share.missing for share in shares)
        # Such a fork has its parent's file pages, too.
        return gap + sum(share.files for share in shares if share.missing > 0) if gap > 0 else 0

    def _read(self, nodes: Collection[Node], now: int) -> None:
        """Read how memory is shared."""
        began, clock = time.thread_time_ns(), time.monotonic_ns()
        self._departed = 0
        self._machine_shmem = self._source.shmem()
        self._read_at = now
        self.changed = False
        for node in nodes:
            reading = self._source.read(node.pid)
            try:
                shares = self._source.shares(node.pid)
            except Refused as refusal:
                self._was_refused(node, refusal)
                continue
            if reading is not None and shares is not None and reading.born == node.born:
                node.reading = reading
                node.share.read(shares, reading)
        for node in nodes:  # changes since its shares were read count as changes from now on
            reading = self._source.read(node.pid)
            if reading is not None and reading.born == node.born and not reading.over:
                node.reading = reading
        self._read_until = now + time.monotonic_ns() - clock
        for budget in (self._budget, self._urgent_budget):
            budget.spend(time.thread_time_ns() - began)

    def _was_refused(self, node: Node, refusal: Refused) -> None:
        if not node.refused:
            node.refused = True
            node.share.executed()
            self.reason = (
                f"process {node.pid} ({node.command[:50]}): {refusal}; "
                "its memory without what may be shared is counted instead of its share"
            )


def _rss(nodes: Iterable[Node]) -> int:
    return sum(node.reading.rss for node in nodes if node.reading is not None)


def _least_new(gains: Iterable[tuple[int, int]]) -> int:
    """How much of the growth of several processes must be new memory. A pair is the growth of one, and what it had before.

    The rest may be what the other processes had before.
    """
    gains = list(gains)
    had = sum(before for _, before in gains)
    return max([0, *(more - (had - before) for more, before in gains)])


class Estimate:
    """The estimated memory of one process or several; the truth is at most ``below`` less, and at most ``above`` more."""

    __slots__ = ("above", "below", "fallen", "mapped", "memory", "shmem")

    def __init__(
        self, memory: int = 0, below: int = 0, above: int = 0, mapped: int = 0, shmem: int = 0, fallen: int = 0
    ) -> None:
        self.memory, self.below, self.above = memory, below, above
        self.mapped, self.shmem = mapped, shmem
        """How much file pages and shared memory have grown, which is not in ``memory``."""
        self.fallen = fallen
        """How much shared memory has shrunk, which has been taken off ``memory``."""

    def add(self, other: Estimate) -> None:
        """Add the estimate of another process."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def move(self, memory: int, below: int, above: int) -> None:
        """Change the estimate and its bounds."""
        self.memory += memory
        self.below += below
        self.above += above

    def may_be_off_by(self, fraction: int) -> bool:
        """Whether the error may be more than 1/``fraction`` of the memory."""
        return max(self.below, self.above) * fraction > self.memory

    def total(self, rss: int) -> TotalValues:
        """The values of a ``total`` row, for processes with so much resident memory."""
        memory = min(self.memory, rss)
        below = max(0, self.below - (self.memory - memory))
        doubt = max(below, self.above)
        return (memory, rss, doubt) if below == self.above else (memory, rss, doubt, below, self.above)


class ShareEstimate:
    """The share of one process: as it was read last, and as it is estimated since."""

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

    def __init__(self, forked: bool) -> None:
        self.known = False
        """Whether its shares have been read."""
        self.forked = forked
        """Whether it began as a fork, which shares all pages with its parent."""
        self.has_forked = False
        """Whether it has forked since its shares were read, so that any of its pages may be shared."""
        self.accepted: int | None = None if forked else 0
        """How much of its memory is in the shares of processes that are known; None for a fork that does not count yet."""
        self.mapped = self.shmem = self.mapped_share = self.shmem_share = 0
        """Its file pages and shared memory when shares were read, and its shares of these."""
        self.pss = self.uss = self.rss = self.private = self.borne = self.files = self.faults = self.anonymous = 0

    def read(self, shares: Shares, reading: Reading) -> None:
        """Keep its shares, which were read just after ``reading``."""
        self.known = True
        self.has_forked = False
        if self.accepted is not None:
            self.accepted = min(self.accepted, shares.borne)
        self.pss, self.uss, self.rss, self.private = shares.pss, shares.uss, shares.rss, shares.private
        self.borne, self.files = shares.borne, shares.files
        self.mapped_share, self.shmem_share, self.faults = shares.mapped, shares.shmem, reading.faults
        # Memory that is being freed is resident for a while, but in nobody's share: do not count it as growth later.
        freed = reading.rss - shares.rss
        freed = freed if freed * _URGENT > reading.rss else 0
        for name in ("shmem", "anonymous", "mapped"):
            size = getattr(reading, name)
            setattr(self, name, size - min(size, freed))
            freed -= min(size, freed)

    @property
    def shared(self) -> int:
        """Its share of memory that it shares with others."""
        return self.pss - self.private if self.known else 0

    @property
    def missing(self) -> int:
        """How much of its memory is in shares of processes that are not known.

        Negative for a fork that does not count yet: so much of others' memory is in its share.
        """
        if self.accepted is None:
            return -self.shared
        return max(0, self.borne - self.accepted)

    def accept(self) -> None:
        """All processes that share its memory are known, or outside the tree."""
        if self.known:
            self.accepted = self.borne

    def executed(self) -> None:
        """It has executed another program, so that its shares are not known any more."""
        self.known = self.forked = self.has_forked = False
        self.accepted = 0
        self.mapped = self.shmem = self.mapped_share = self.shmem_share = 0

    def estimate(self, reading: Reading, page: int) -> Estimate:
        """Its share now.

        A page fault may have copied a page that was shared, which does not change the number of resident pages.
        """
        if not self.known:
            return self._estimate_of_unread(reading, page)
        change = reading.anonymous - self.anonymous
        mapped, shmem = max(0, reading.mapped - self.mapped), max(0, reading.shmem - self.shmem)
        shared = self.rss if self.has_forked else self.rss - self.private
        other = max(0, (reading.faults - self.faults) * page - max(0, change) - mapped - shmem)
        # When it frees memory that it shares, the shares of others grow.
        grown = change if change > 0 else change * self.private // max(self.rss, 1)
        found = Estimate(self.pss + grown, change if change > 0 else grown - change, abs(grown), mapped, shmem)
        # A copy is new memory. Or a private page was freed, and one that others have, too, was mapped.
        found.move(0, min(other, self.mapped_share + self.shmem_share), min(other, shared))
        for now, before, share in (
            (reading.mapped, self.mapped, self.mapped_share),
            (reading.shmem, self.shmem, self.shmem_share),
        ):
            lost = max(0, before - now)
            fallen = lost * min(share, before) // max(before, 1)
            found.move(-fallen, min(lost, share) - fallen, fallen)
            found.fallen = fallen  # in the end that of shared memory
        found.memory = max(0, found.memory)
        return found

    def _estimate_of_unread(self, reading: Reading, page: int) -> Estimate:
        if not self.forked:
            return Estimate(reading.anonymous, 0, reading.mapped, 0, reading.shmem)
        touched = reading.faults * page
        own, most = min(reading.anonymous, max(0, touched - reading.shmem)), min(reading.anonymous, touched)
        return Estimate(own, own, most, reading.mapped, reading.shmem)


class Budget:
    """CPU time that may be spent: a share of the time that passes, up to ``most``, and ``start`` at the beginning."""

    def __init__(self, share: float, start: int, most: int) -> None:
        self._share, self._left, self._most = share, float(start), most
        self._last: int | None = None

    def allows(self, now: int, credit: int = 0) -> bool:
        """Whether anything is left, with a ``credit``. What is spent then may be more than that."""
        if self._last is not None:
            self._left = min(self._left + (now - self._last) * self._share, self._most)
        self._last = now
        return self._left + credit > 0

    def spend(self, nanoseconds: int) -> None:
        """Take off what was spent."""
        self._left -= nanoseconds
