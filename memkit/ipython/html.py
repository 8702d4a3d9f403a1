"""What a notebook shows of a recording: HTML with its plot and tables, and the same as text.

No scripts and no style sheets: front ends take them out. Colours are those of the page around, dark or light.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from html import escape

from memkit.base.units import show_bytes, show_text, show_time
from memkit.ipython import pictures
from memkit.model.recording import Recording
from memkit.model.sources import Source, place_of
from memkit.report import facts, transforms
from memkit.report.facts import Fact
from memkit.report.reporters import call_paths, console, heap, lines

MARK = "background:rgba(230,150,30,.25);font-weight:bold"
CELL = "padding:1px 8px;border:none;white-space:pre;vertical-align:baseline;max-width:none"
TABLE = "border-collapse:collapse;border:none;margin:2px 0 10px 0;font:12px monospace;table-layout:auto;color:inherit"
FAINT = "opacity:.7"
BAD = "font-weight:bold;color:#d64545"
ROLES = {"value": "font-weight:bold", "warning": "font-weight:bold", "bad": BAD}
WIDTH = 100


def mimebundle(
    recording: Recording,
    *,
    sort: str | None = None,
    hide: str | Iterable[str] = (),
    show_all: bool = False,
    by_thread: bool = False,
    without: Collection[str] = (),
) -> dict[str, str]:
    """A recording as text and as HTML, by their MIME types, for any front end of Jupyter.

    ``sort``, ``hide``, ``show_all`` and ``by_thread`` are the options of that name for the tree of calls. ``without`` names
    plugins whose part is left out: ``console`` is the summary, ``heap`` what is alive, ``lines`` the tables of lines,
    ``paths`` the tree of calls. The HTML has no scripts and no style sheets.
    """
    shown = recording.by_thread() if by_thread else recording
    shown = shown.hiding(hide, libraries=not show_all) if recording.calls else recording
    return {"text/plain": text(recording, shown, sort, without), "text/html": html(recording, shown, sort, without)}


def text(
    recording: Recording, shown: Recording | None = None, sort: str | None = None, without: Collection[str] = ()
) -> str:
    """The summary, the tables of lines and the tree of calls, as in the terminal."""
    shown = shown or recording
    found = [] if "console" in without else list(console.summary(recording, WIDTH))
    if recording.heap is not None and "heap" not in without:
        found += heap.page(shown, sort=sort)
    if recording.tracing is not None and "lines" not in without:
        found += lines.tables(recording)
    if recording.call_tracing is not None and "paths" not in without:
        found += call_paths.page(shown, sort, len(recording.calls) - len(shown.calls))
    return show_text("\n".join(line.plain.rstrip() for line in found).lstrip("\n"))


def html(
    recording: Recording, shown: Recording | None = None, sort: str | None = None, without: Collection[str] = ()
) -> str:
    """The same with the curve as a picture."""
    shown, summary = shown or recording, "console" not in without
    parts = []
    if summary:
        parts += [
            _facts(facts.facts(recording)),
            pictures.plot(transforms.together(recording)),
            *_details(recording),
            *_spans(recording),
        ]
    if recording.heap is not None and "heap" not in without:
        parts += _heap(shown, sort)
    if "lines" not in without:
        parts += _lines(recording)
    if recording.call_tracing is not None and "paths" not in without:
        parts += _calls(shown, sort, len(recording.calls) - len(shown.calls))
    if summary:
        parts += [_faint(f"{fact.label:<9}{fact.text}") for fact in facts.cost_facts(recording)]
    return _page(parts)


def _page(parts: Iterable[str]) -> str:
    return show_text(f'<div style="font-size:12px;line-height:1.4;color:inherit">{"".join(parts)}</div>')


def line_tables(recording: Recording) -> str:
    """The tables of lines alone, as text."""
    return show_text("\n".join(line.plain.rstrip() for line in lines.tables(recording)).strip("\n"))


def line_tables_html(recording: Recording, more: str = "") -> str:
    """The same as HTML, with a line more below if there is one."""
    return _page([*_lines(recording), _faint(more) if more else ""])


def _facts(facts: Iterable[Fact]) -> str:
    rows = "".join(
        f'<tr style="background:none"><td style="{CELL};text-align:left;{FAINT}">{escape(fact.label)}</td>'
        f'<td style="{CELL};text-align:left;white-space:normal">{_parts(fact)}</td></tr>'
        for fact in facts
    )
    return f'<table style="{TABLE};font-family:sans-serif;margin-left:0">{rows}</table>'


def _parts(fact: Fact) -> str:
    """What a fact says, with what stands out in it; in a color only what went wrong, for a page may be dark or light."""
    shown = "".join(_styled(part.text, ROLES.get(part.role)) for part in fact.parts)
    return f'<span style="{ROLES[fact.emphasis]}">{shown}</span>' if fact.emphasis else shown


def _styled(text: str, style: str | None) -> str:
    return f'<span style="{style}">{escape(text)}</span>' if style else escape(text)


def _details(recording: Recording) -> Iterator[str]:
    found = [line.plain for line in console.details(recording, WIDTH)]
    if any(found):
        yield _preformatted(found)


def _preformatted(lines: Iterable[str]) -> str:
    text = escape("\n".join(lines).strip("\n"))
    return f'<pre style="font:12px monospace;overflow-x:auto;background:none;color:inherit">{text}</pre>' if text else ""


def _faint(words: str) -> str:
    return f'<div style="{FAINT};font-size:11px">{escape(words)}</div>'


def _title(name: str, more: str) -> str:
    return f'<div style="margin-top:8px"><b style="font-family:monospace">{escape(name)}</b>\u2002{escape(more)}</div>'


def _table(heads: Sequence[str], rows: Iterable[tuple[Iterable[str], str]]) -> str:
    """Rows are (cells, style); all columns but the last stand to the right."""
    last = len(heads) - 1

    def cell(tag: str, place: int, words: str, more: str = "") -> str:
        side = "left" if place == last else "right"
        return f'<{tag} style="{CELL};text-align:{side};{more}">{escape(words)}</{tag}>'

    head = "".join(cell("th", place, words, "font-weight:normal;opacity:.7") for place, words in enumerate(heads))
    body = "".join(
        f'<tr style="background:none;{style}">{"".join(cell("td", place, words) for place, words in enumerate(cells))}</tr>'
        for cells, style in rows
    )
    return (
        f'<div style="overflow-x:auto"><table style="{TABLE}">'
        f'<thead style="border-bottom:1px solid currentColor"><tr style="background:none">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _spans(recording: Recording) -> Iterator[str]:
    if not recording.spans:
        return
    most = transforms.largest_spans(recording.spans, console.MOST_SPANS)
    rows = []
    for span in most:
        took = "unfinished" if span.end is None else show_time(span.duration)
        growth = "?" if span.growth is None else show_bytes(span.growth, sign=True)
        sizes = growth, show_bytes(span.rise), show_bytes(span.peak)
        rows.append(((took, *sizes, "  " * min(span.depth, WIDTH // 4) + span.label), ""))
    yield _table(("took", "growth", "rise", "peak", "span"), rows)
    if len(recording.spans) > len(most):
        yield _faint(f"and {len(recording.spans) - len(most)} more that rose less")


def _heap(recording: Recording, sort: str | None) -> Iterator[str]:
    yield _title("heap", heap.total(recording).removeprefix("heap: "))
    yield from map(_faint, heap.remarks(recording))
    for title, found in heap.balances(recording, WIDTH):
        yield f'<div style="margin-top:8px">{escape(title)}</div>'
        yield _preformatted(found)
    for title, head, rows in heap.lists(recording, sort):
        yield f'<div style="margin-top:8px">{escape(title)}</div>'
        yield _table(head, ((cells, MARK if marked else "") for cells, marked in rows))
    yield _faint(heap.exactness(recording))


def _lines(recording: Recording) -> Iterator[str]:
    if recording.tracing is None:
        return
    if not recording.lines:
        yield _faint(lines.none_known(recording))
        return
    for function, those in recording.functions.items():
        source = Source(function.file, recording.about.began, function, recording.sources)
        yield _title(function.name, f"{source.name}:{function.line} · {lines.sums(those)}")
        if source.remark:
            yield _faint(source.remark)
        rows, columns = [], lines.columns_of(those)
        for number, line, marked in lines.rows(function, those, source):
            if number is None:
                rows.append((("⋮", *[""] * len(columns)), FAINT))
            else:
                rows.append(((*lines.cells(number, line, columns), source.line(number)), MARK if marked else ""))
        yield _table((*(name for name, _ in columns), "source"), rows)
    for title, found in lines.lists(recording):
        yield from _list(title, found)
    yield from map(_plain, lines.kinds(recording))
    if below := lines.traced(recording):
        yield _faint(below)
    yield _faint(lines.cost(recording))


def _list(title: str, found: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f'<div style="margin-top:8px">{escape(title)}</div>'
    yield _table(("", ""), (((size, words), "") for size, words in found))


def _plain(words: str) -> str:
    return f"<div>{escape(words)}</div>"


def _calls(recording: Recording, sort: str | None, hidden: int) -> Iterator[str]:
    if not recording.calls or (not hidden and all(call.parent is None for call in recording.calls)):
        yield _faint(call_paths.none_known(recording))
        return
    paths = transforms.MainPaths(recording.calls, sort)
    yield _title("calls", call_paths.title(paths).removeprefix("calls "))
    rows, shown, columns = [], 0, call_paths.columns_of(recording, call_paths.TREE)
    for depth, call in paths.rows():
        indent = "  " * depth
        if isinstance(call, list):
            shown += len(call)
            rows.append(((*[""] * len(columns), f"{indent}... {len(call):,} calls between"), FAINT))
            continue
        shown += 1
        place = "  handed over" if call.handed else f"  {place_of(call.function)}".rstrip()
        cells = (*call_paths.cells(paths, call, columns), f"{indent}{call.function.name}{place}")
        rows.append((cells, MARK if paths.stands_out(call) else ""))
    yield _table((*(name for name, _ in columns), "function"), rows)
    if left := call_paths.left_out(paths, shown):
        yield _faint(left)
    if hidden:
        yield _faint(f"{hidden:,} more, of libraries and the like, counted with their callers")
    if added := call_paths.at_once(recording, paths):
        yield _faint(added)
    if risen := call_paths.most_risen(recording):
        yield from _list(call_paths.MOST_RISEN_TITLE, risen)
    yield from map(_plain, call_paths.kinds(recording))
    yield _faint(call_paths.cost(recording))
