"""Sums of the spans of each label, and whether what they keep grows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from memkit.model.file_format import WHOLE_SPANS, bucket, middle
from memkit.model.row_values import check
from memkit.model.spans import Span

_TESTED = 40
"""Blocks of spans that the leak test looks at."""
_WARM = 20
"""Blocks before these, which it leaves alone: caches fill."""
_CHANCE = 0.001
"""How likely one of all labels may be named by chance."""
_ALONE = 20
"""A label is alone in keeping something if it keeps so many times as much as any other."""
_LEAST = 9  # of the blocks in order: the median is lower with a chance of 0.0003, since each is below it with one of 1/2


class Spread(NamedTuple):
    """One measure of many spans: exact sums, and how often about which value occurred."""

    total: int
    worst: int
    """The highest."""
    buckets: tuple[tuple[int, int], ...]
    """The number of a bucket, in their order, and how many values are in it. There are 16 an octave; below 32 a value
    has one of its own."""

    @staticmethod
    def of(values: Iterable[int | None]) -> Spread | None:
        """That of some values; None where one of them is not known."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return Spread(sum(known), max(known), tuple(sorted(Counter(map(bucket, known)).items())))

    @property
    def median(self) -> int:
        """Half of the values are as high as this, to 1/32 of it."""
        return self.quantile(0.5)

    @property
    def p95(self) -> int:
        """19 in 20 are not higher than this, to 1/32 of it."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> int:
        """The value that a share of all values do not exceed, to 1/32 of it."""
        left = math.ceil(share * sum(number for _, number in self.buckets))
        for place, number in self.buckets:
            left -= number
            if left <= 0:
                return min(middle(place), self.worst)
        return self.worst

    def plus(self, other: Spread) -> Spread:
        """Those of both."""
        return Spread(self.total + other.total, max(self.worst, other.worst), self._counted(other, 1))

    def since(self, before: Spread) -> Spread | None:
        """Those that came after others, if there are any. What was worst is then known as well as a bucket tells it."""
        left = self._counted(before, -1)
        return Spread(self.total - before.total, min(middle(left[-1][0]), self.worst), left) if left else None

    def _counted(self, other: Spread, sign: int) -> tuple[tuple[int, int], ...]:
        """The buckets of both, or of one without the other."""
        counts = Counter(dict(self.buckets))
        for place, number in other.buckets:
            counts[place] += sign * number
        return tuple(sorted((place, number) for place, number in counts.items() if number > 0))

    def as_list(self) -> list[int]:
        """As a row has it."""
        return [self.total, self.worst, *(each for pair in self.buckets for each in pair)]


class Leak(NamedTuple):
    """That what spans of a label keep has grown without an end in sight."""

    kept: float
    """Bytes that a span kept, net of what later ones freed of it: in the median of blocks of spans."""
    least: float
    """What that is at least, with 99.9 % confidence, whatever the distribution: the tenth lowest of 40 blocks."""
    chance: float
    """How likely so many blocks grow by chance, where each is as likely to shrink: the sign test."""
    spans: int
    """How many spans that was seen over, the last ones."""


class SpanSums(NamedTuple):
    """The spans of a label that have ended, all together. A measure that is not known is None."""

    label: str
    number: int
    overlapped: int
    """How many of them others overlapped: growth and rise of these are of all that ran meanwhile."""
    time: Spread | None
    growth: Spread | None
    rise: Spread | None
    allocated: Spread | None
    kept: Spread | None
    """What of it was alive as each span ended."""
    heap_peak: Spread | None
    block: int
    """Spans of a block."""
    alive: tuple[int, ...]
    """The least that was alive of all spans that were over, in each of the last blocks."""
    sure: tuple[int, ...] = ()
    """The same of blocks of sizes that no free list of Python's has: these count for who has them. See ``memkit.leaks``."""

    @property
    def leak(self) -> Leak | None:
        """Whether what is alive of them has grown over the last thousand, in nearly all blocks; None if not, or not known.

        At least 500 spans come before these: caches fill. The sign test asks how many of the 40 blocks grew, and does not
        mind how much. Divide by how many labels you test, as ``memkit.leaks`` does.
        """
        return self._growth_of(self.alive)

    @property
    def untested(self) -> int:
        """How many more spans of this label it takes until it can be said whether it leaks; 0 where it can be, or never."""
        return max(0, (_WARM + _TESTED) * self.block - self.number)

    @property
    def sure_leak(self) -> Leak | None:
        """The same of blocks of sizes that no free list has."""
        return self._growth_of(self.sure)

    def _growth_of(self, alive: tuple[int, ...]) -> Leak | None:
        if len(alive) <= _TESTED or self.number < (_WARM + _TESTED) * self.block:
            return None
        last = alive[-_TESTED - 1 :]
        grown = sorted((after - before) / self.block for before, after in pairwise(last))
        kept, least = (grown[_TESTED // 2 - 1] + grown[_TESTED // 2]) / 2, grown[_LEAST]
        up = sum(each > 0 for each in grown)
        chance = sum(math.comb(_TESTED, number) for number in range(up, _TESTED + 1)) / 2**_TESTED
        return Leak(kept, least, chance, _TESTED * self.block) if least > 0 and chance <= _CHANCE else None

    def plus(self, other: SpanSums) -> SpanSums:
        """Those of two processes; what is alive of both together is not known, block by block."""
        leaking = max(self, other, key=lambda each: (each.leak is not None, each.number))
        number, overlapped = self.number + other.number, self.overlapped + other.overlapped
        return leaking._replace(number=number, overlapped=overlapped, **self._each(other, Spread.plus))

    def since(self, before: SpanSums) -> SpanSums:
        """Those of spans that ended after others, of which there are sums from then."""
        number, overlapped = self.number - before.number, self.overlapped - before.overlapped
        return self._replace(number=number, overlapped=overlapped, **self._each(before, Spread.since))

    def _each(self, other: SpanSums, together: Callable[[Spread, Spread], Spread | None]) -> dict[str, Any]:
        """Each measure of both; that of one where the other's is not known."""
        return {
            name: one if another is None else another if one is None else together(one, another)
            for name, one, another in zip(self._fields[3:9], self[3:9], other[3:9])
        }

    def as_row(self) -> tuple[Any, ...]:
        """What a row of them has after its tag."""
        spreads = [None if each is None else each.as_list() for each in self[3:9]]
        return (self.label, self.number, self.overlapped, *spreads, [self.block, *self.alive], list(self.sure))


def leaks(sums: Iterable[SpanSums]) -> tuple[tuple[SpanSums, Leak], ...]:
    """Labels that leak, those first that keep most: less likely than 1 in 1,000 that any is named by chance.

    An object that Python takes from a free list, such as a float, a small tuple or the header of a list, counts for the
    label that made it first: where one label leaks them, what is alive of others grows. So a label is named for the growth
    of blocks of other sizes; for that of all blocks only if no other label keeps a twentieth of what it does.
    """
    sums = list(sums)
    chance = _CHANCE / max(1, sum(len(each.alive) > _TESTED for each in sums))
    found: list[tuple[SpanSums, Leak]] = []
    for each in sums:
        sure, leak = (known if known and known.chance <= chance else None for known in (each.sure_leak, each.leak))
        most = max((_kept_by_all(other) for other in sums if other is not each), default=0.0)
        named = (leak or sure) if sure or most * _ALONE < _kept_by_all(each) else None
        if named is not None:
            found.append((each, named))
    return tuple(sorted(found, key=lambda pair: -pair[1].kept))


def _kept_by_all(sums: SpanSums) -> float:
    """What all spans of a label keep, as far as the last blocks tell."""
    blocks = len(sums.alive) - 1
    return (sums.alive[-1] - sums.alive[0]) / (blocks * sums.block) * sums.number if blocks > 0 else 0.0


class LabelSums:
    """The rows of sums as a reader meets them; the last of a label holds."""

    def __init__(self) -> None:
        self._found: dict[str, SpanSums] = {}

    def take(self, label: str, number: int, overlapped: int, *measures: Any) -> None:
        """Keep a row. TypeError for one that is damaged."""
        *spreads, looks = measures[:7]
        sure = measures[7] if len(measures) > 7 else []
        if len(spreads) < 6 or not isinstance(looks, list) or not looks or not isinstance(sure, list):
            raise TypeError(measures)
        check(looks, "t" + "i" * len(looks))
        check(sure, "i" * len(sure))
        block, *alive = looks
        known = *map(_spread, spreads), block, tuple(alive), tuple(sure)
        self._found[label] = SpanSums._make((label, number, overlapped, *known))

    def found(self, spans: Iterable[Span]) -> tuple[SpanSums, ...]:
        """All labels, in the order of their names.

        As long as all spans of a label are there whole, those that ended after its last row are added: a program may have
        been killed.
        """
        found, whole = dict(self._found), defaultdict(list)
        for span in spans:
            if span.end is not None:
                whole[span.label].append(span)
        for label, ended in whole.items():
            known = found.get(label)
            number = 0 if known is None else known.number
            if number < min(WHOLE_SPANS, len(ended)):
                more = _sums_of(label, sorted(ended, key=attrgetter("end"))[number:])
                found[label] = more if known is None else known.plus(more)
        return tuple(found[label] for label in sorted(found))


def _sums_of(label: str, spans: list[Span]) -> SpanSums:
    """The sums of some spans that have ended."""
    measures = ("duration", "growth", "rise", "allocated", "kept", "heap_peak")
    spreads = [Spread.of(getattr(span, name) for span in spans) for name in measures]
    return SpanSums._make((label, len(spans), sum(span.overlapped for span in spans), *spreads, 0, (), ()))


def _spread(values: Any) -> Spread | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) < 4 or len(values) % 2:
        raise TypeError(values)
    check(values, "i" * len(values))
    total, worst, *pairs = values
    return Spread(total, worst, tuple(zip(pairs[::2], pairs[1::2])))
