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

from memkit.base import clocks
from memkit.model.file_format import row
from memkit.system.processes import Refused
from memkit.tree.budget import Budget
from memkit.tree.share_estimate import Estimate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from memkit.base.protocols import ProcessSource
    from memkit.tree.node import Node
    from memkit.tree.share_estimate import ShareEstimate, TotalValues

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
        began, clock = clocks.thread_time_ns(), clocks.monotonic_ns()
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
        self._read_until = now + clocks.monotonic_ns() - clock
        for budget in (self._budget, self._urgent_budget):
            budget.spend(clocks.thread_time_ns() - began)

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
