"""What CI reads: a table in Markdown for a pull request, and annotations of GitHub's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from pytest_memkit.baseline import Entry
from pytest_memkit.bills import Row, size

MOST_ROWS = 20
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&$])")


def markdown(rows: Sequence[Row], before: Mapping[str, Entry]) -> Iterator[str]:
    """The calls that are over a budget or the baseline, then those that changed most against it, a line each."""
    calls = [row for row in rows if row.phase == "call"]
    over = [row for row in calls if row.over]
    yield f"**memkit: {_count(len(over), 'test')} over {'their' if len(over) != 1 else 'its'} budget, of {len(calls):,}**"
    for row in over[:MOST_ROWS]:
        yield ""
        yield f"❌ `{_code(row.test)}`: {_text('; '.join(row.over))}"
    changed = sorted(calls, key=lambda row: (-_change(row, before), -row.bill.peak, row.test))[:MOST_ROWS]
    if changed:
        yield ""
        yield "| rise | before | kept | before | test |"
        yield "| ---: | ---: | ---: | ---: | :--- |"
    for row in changed:
        entry = before.get(row.test)
        peak, kept = (size(entry.peak), size(entry.kept)) if entry else ("new", "new")
        yield f"| {size(row.bill.peak)} | {peak} | {size(row.bill.kept)} | {kept} | `{_code(row.test)}` |"


def github(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each call that is over, which GitHub shows beside the test's source."""
    for row in rows:
        for sentence in row.over:
            place = f"file={_property(row.file)},line={row.line},title={_property(f'memory of {row.test}')}"
            yield f"::error {place}::{_data(sentence)}"


def check_writable(path: str) -> None:
    """Raise ``pytest.UsageError`` where nothing can be appended to a file."""
    try:
        append(path, ())
    except OSError as error:
        raise pytest.UsageError(f"--memkit-markdown {path!r} cannot be written: {error.strerror}") from None


def append(path: str, lines: Iterator[str] | tuple[()]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def _change(row: Row, before: Mapping[str, Entry]) -> int:
    """By how many bytes a test uses more than before, by the measure that changed more; all of it for a new one."""
    entry = before.get(row.test, Entry(0, 0))
    return max(row.bill.peak - entry.peak, row.bill.kept - entry.kept)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _text(text: str) -> str:
    return _MARKS.sub(r"\\\1", text).replace("@", "@<!-- -->")


def _code(text: str) -> str:
    """Text in a span of code in a cell of a table."""
    return text.replace("`", "'").replace("|", r"\|")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
