"""A page for each test that was traced, and one with links to them."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_memkit.bills import Row, size

STYLE = (
    ":root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8884}"
    "th:last-child,td:last-child{text-align:left;width:100%;overflow-wrap:anywhere}td{font-variant-numeric:tabular-nums;"
    "white-space:nowrap}td:last-child{white-space:normal}.over{color:#c33}@media(prefers-color-scheme:dark){.over{color:#f88}}"
)


def prepare(folder: Path) -> None:
    """Make the folder. Raises ``pytest.UsageError`` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--memkit-html {str(folder)!r} is no folder to write to: {error.strerror}") from None


def name_of(test: str) -> str:
    """The name of the file with a test's page."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", test).strip("-")[-80:]
    return f"{words}-{hashlib.sha256(test.encode(errors='backslashreplace')).hexdigest()[:8]}.html"


def write_index(folder: Path, rows: Sequence[Row]) -> Path:
    """Write the page with links, and return where. Raises ``OSError``."""
    path = folder / "index.html"
    path.write_text("\n".join(_index(rows)), encoding="utf-8", errors="backslashreplace")
    return path


def _index(rows: Sequence[Row]) -> Iterator[str]:
    tests = len({row.test for row in rows})
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Memory of {tests:,} tests</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
    yield f"<h1>Memory of {tests:,} tests</h1>\n<table><thead><tr>"
    yield "".join(f"<th>{name}</th>" for name in ("rise", "kept", "allocated", "phase", "test"))
    yield "</tr></thead><tbody>"
    for row in sorted(rows, key=lambda row: (-row.bill.peak, row.test, row.phase)):
        bill, name = row.bill, html.escape(row.test)
        link = f'<a href="{html.escape(row.page)}">{name}</a>' if row.page else name
        over = "".join(f'<div class="over">{html.escape(sentence)}</div>' for sentence in row.over)
        cells = [size(bill.peak), size(bill.kept, sign=True), size(bill.allocated), row.phase]
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}<td>{link}{over}</td></tr>"
    yield "</tbody></table></body></html>\n"
