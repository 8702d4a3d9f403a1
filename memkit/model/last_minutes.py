"""The last minutes of a process as a recording of their own, copied row by row from the files of a watch.

It takes little memory, whatever the size of these files: the process that is watched makes it, too.
"""

from __future__ import annotations

import json
import os

from memkit.base.errors import FormatError
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.model.row_values import SHAPES, check
from memkit.model.span_sums import LabelSums
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

_TIMED = {b"mapped", b"crossing", b"snapshot", b"stack", b"sums", b"balance", b"group", b"total", b"end", b"exit"}
"""Rows that begin with a time, and say nothing of what is later."""
_PACED = {b"cost", b"reads", b"call_reads", b"thread"}
"""Rows without a time that are of what came just before them."""
_BLOCK = 1 << 16


def last_minutes(
    files: Sequence[str], into: BinaryIO, last: int, until: int, *, alive: bool = True, follows: bool = False
) -> None:
    """Write the ``last`` nanoseconds before ``until`` of what one process recorded into its ``files``, which are in order.

    ``until`` is a moment on the monotonic clock of the machine. Where the process is ``alive`` it has no end; else how
    it ended is what the files say. If it ``follows``, another process's minutes are there already. Raises ``FormatError``
    where nothing can be read.
    """
    known = [(path, about) for path in files if (about := origin_of(path)) is not None]
    if not known:
        raise FormatError("none of the files of the watch has a first row: nothing can be read from them")
    since = until - last
    following = [about["clock"] for _, about in known[1:]]
    kept = [
        (path, about, end <= since)
        for (path, about), end in zip(known, [*following, until + 1])
        if end > since or _has_spans(path, about, since)
    ]
    for place, (path, about, only_spans) in enumerate(kept):
        if place or follows:
            into.write(file_format.segment(about["pid"]))
        copy = _Copy(about, max(0, since - about["clock"]), into)
        if only_spans:
            copy.spans_of(path)
            continue
        earlier = known.index((path, about)) - 1
        if copy.is_later and earlier >= 0:
            copy.begin_as(_last(known[earlier][0], b"sample")[1])
        copy.rows_of(path)
    if alive:
        into.write(file_format.row("end", until - max(kept[-1][1]["clock"], since), "detached"))


def origin_of(path: str) -> dict[str, Any] | None:
    """What the first row says; None where there is none, or it is broken."""
    try:
        with open(path, "rb") as file:
            row = json.loads(file.readline())
        about: dict[str, Any] = row[2]
        if row[0] != "memkit" or type(about["clock"]) is not int or type(about["pid"]) is not int:
            return None
        about["began"] = float(about["began"])
        return about
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def latest(path: str, about: dict[str, Any]) -> int:
    """When the last row was written that has a time, on the monotonic clock."""
    return int(about["clock"]) + _last(path, b"sample", b"end", b"exit")[0]


def _has_spans(path: str, about: dict[str, Any], since: int) -> bool:
    """Whether a file that another follows may have spans that were open since a moment: they end in it, however late."""
    return engine.is_written(path) or int(about["clock"]) + _last(path, b"span_end", b"end")[0] > since


def _last(path: str, *tags: bytes) -> tuple[int, bytes]:
    """The time of the last row of a kind near the end of a file, and that row; 0 and none where there is none."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _BLOCK))
        rows = file.read().split(b"\n")
    for row in reversed(rows):
        values = row.rstrip(b"]").split(b",")
        place = 2 if values[0] == b'["span_end"' else 1  # it begins with a number
        if values[0][2:-1] in tags and len(values) > place and values[place].isdigit() and _is_sound(row):
            return int(values[place]), row
    return 0, b""


class _Copy:
    """Copies rows of one file; ``shift`` is how much later than its first row the minutes begin."""

    def __init__(self, about: dict[str, Any], shift: int, into: BinaryIO) -> None:
        self._shift, self._into = shift, into
        self._before = b""  # the last sample before these minutes, as of which they begin
        self._begun = shift == 0
        self._spans: dict[bytes, bytes] = {}  # those that are open, and began before
        self._sums_before, self._sums = LabelSums(), LabelSums()
        moved = {"began": about["began"] + shift / SECOND, "clock": about["clock"] + shift}
        into.write(file_format.row("memkit", file_format.VERSION, json.dumps({**about, **moved}).encode()))

    def rows_of(self, path: str) -> None:
        """Copy them."""
        for row in _rows(path):
            tag = row[2:].partition(b'"')[0]
            if tag == b"sample":
                self._sample(row)
            elif tag in _TIMED:
                self._timed(row)
            elif tag == b"span":
                self._span(row)
            elif tag == b"span_end":
                self._span_end(row)
            elif tag == b"span_sums":
                self._span_sums(row)
            elif self._begun or tag not in _PACED:
                self._into.write(row + b"\n")
        self._begin()
        for row in self._spans.values():
            self._span(row, even_before=True)
        before = {each.label: each for each in self._sums_before.found(())}
        for sums in self._sums.found(()):
            left = sums.since(before[sums.label]) if sums.label in before else sums
            self._into.write(file_format.row("span_sums", *left.as_row()))

    def spans_of(self, path: str) -> None:
        """Copy spans that were open in these minutes, of a file that was followed by another before."""
        for row in _rows(path):
            tag = row[2:].partition(b'"')[0]
            if tag == b"span":
                self._span(row)
            elif tag == b"span_end":
                self._span_end(row)
        for row in self._spans.values():
            self._span(row, even_before=True)

    def _begin(self) -> None:
        if self._before:
            self._into.write(self._before + b"\n")
            self._before = b""
        self._begun = True

    @property
    def is_later(self) -> bool:
        """Whether the minutes begin later than the file does."""
        return self._shift > 0

    def begin_as(self, sample: bytes) -> None:
        """The minutes begin as of a sample, the last one before: its peak may have been reached earlier still."""
        if sample:
            head, _, rest = sample.split(b",", 2)
            self._before = b"%s,0,%s]" % (head, rest.rstrip(b"]").partition(b",")[0])

    def _sample(self, row: bytes) -> None:
        head, time, rest = row.split(b",", 2)
        late = int(time) - self._shift
        if late >= 0:
            self._begin()
            self._into.write(b"%s,%d,%s\n" % (head, late, rest))
        else:
            self.begin_as(row)

    def _timed(self, row: bytes) -> None:
        head, time, *rest = row[:-1].split(b",", 2)
        late = int(time) - self._shift
        if late >= 0:
            self._begin()
            self._into.write(b",".join((head, b"%d" % late, *rest)) + b"]\n")

    def _span(self, row: bytes, *, even_before: bool = False) -> None:
        head, number, time, rest = row.split(b",", 3)
        late = int(time) - self._shift
        if late >= 0 or even_before:
            self._into.write(b"%s,%s,%d,%s\n" % (head, number, late, rest))
        else:
            self._spans[number] = row

    def _span_end(self, row: bytes) -> None:
        head, number, time, rest = row.split(b",", 3)
        begun = self._spans.pop(number, None)
        late = int(time) - self._shift
        if late < 0:
            return
        if begun is not None:
            self._span(begun, even_before=True)
        self._into.write(b"%s,%s,%d,%s\n" % (head, number, late, rest))

    def _span_sums(self, row: bytes) -> None:
        """They are of all spans so far: what there was before is taken off at the end."""
        try:
            _, *values = json.loads(row)
            check(values, SHAPES["span_sums"])
            (self._sums if self._begun else self._sums_before).take(*values)
        except (ValueError, TypeError, LookupError, RecursionError):  # damaged
            return


def _rows(path: str) -> Iterator[bytes]:
    """The whole rows after the first, which look as rows do."""
    with open(path, "rb") as file:
        file.readline()
        for line in file:
            row = line.rstrip(b"\n")
            if line.endswith(b"]\n") and row.startswith(b'["') and _is_sound(row):
                yield row


def _is_sound(row: bytes) -> bool:
    """Whether a row that is taken apart has what is looked for in it."""
    tag, values = row[2:].partition(b'"')[0], row.split(b",", 3)[1:]
    if tag in (b"span", b"span_end"):
        return len(values) == 3 and values[1].isdigit()
    if tag == b"sample":
        return len(values) > 1 and values[0].isdigit()
    return tag not in _TIMED or (bool(values) and values[0].rstrip(b"]").isdigit())
