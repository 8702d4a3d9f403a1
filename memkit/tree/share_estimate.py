"""The share of one process in memory that several processes share: as read from the kernel, and as estimated since."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.system.processes import Reading, Shares

    TotalValues = tuple[int, ...]  # memory, RSS, possible error; then below and above, if they differ

_FREEING = 8  # more than 1/8 of its memory is being freed


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
        freed = freed if freed * _FREEING > reading.rss else 0
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
