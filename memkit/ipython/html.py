"""What a notebook shows of a recording: HTML with its plot and tables, and the same as text.

No scripts and no style sheets: front ends take them out. Colours are those of the page around, dark or light.
"""

from __future__ import annotations

from html import escape

from memkit.base.units import show_bytes, show_text, show_time
from memkit.ipython import pictures
from memkit.model.sources import Source
from memkit.report import transforms
from memkit.report.reporters import call_paths, console, lines

MARK = "background:rgba(230,150,30,.25);font-weight:bold"
CELL = "padding:1px 8px;border:none;white-space:pre;vertical-align:baseline;max-width:none"
TABLE = "border-collapse:collapse;border:none;margin:2px 0 10px 0;font:12px monospace;table-layout:auto;color:inherit"
FAINT = "opacity:.7"
WIDTH = 100


def mimebundle(recording, *, sort=None, hide=(), show_all=False, without=()) -> dict[str, str]:
    """A recording as text and as HTML, by their MIME types, for any front end of Jupyter.

    ``sort``, ``hide`` and ``show_all`` are the options of that name for the tree of calls. ``without`` names plugins whose
    part is left out: ``console`` is the summary, ``lines`` the tables of lines, ``paths`` the tree of calls. The HTML has no
    scripts and no style sheets.
    """
    shown = recording.hiding(hide, libraries=not show_all) if recording.calls else recording
    return {"text/plain": text(recording, shown, sort, without), "text/html": html(recording, shown, sort, without)}


def text(recording, shown=None, sort=None, without=()) -> str:
    """The summary, the tables of lines and the tree of calls, as in the terminal."""
    shown = shown or recording
    found = [] if "console" in without else list(console.summary(recording, WIDTH))
    if recording.tracing is not None and "lines" not in without:
        found += lines.tables(recording)
    if recording.call_tracing is not None and "paths" not in without:
        found += call_paths.page(shown, sort, len(recording.calls) - len(shown.calls))
    return show_text("\n".join(line.plain.rstrip() for line in found).lstrip("\n"))


def html(recording, shown=None, sort=None, without=()) -> str:
    """The same with the curve as a picture."""
    shown, summary = shown or recording, "console" not in without
    parts = []
    if summary:
        parts += [_facts(recording), pictures.plot(transforms.together(recording)), *_details(recording), *_spans(recording)]
    if "lines" not in without:
        parts += _lines(recording)
    if recording.call_tracing is not None and "paths" not in without:
        parts += _calls(shown, sort, len(recording.calls) - len(shown.calls))
    if summary:
        parts += [_faint(line.plain) for line in console.cost(recording)]
    return _page(parts)


def _page(parts):
    return show_text(f'<div style="font-size:12px;line-height:1.4;color:inherit">{"".join(parts)}</div>')


def line_tables(recording) -> str:
    """The tables of lines alone, as text."""
    return show_text("\n".join(line.plain.rstrip() for line in lines.tables(recording)).strip("\n"))


def line_tables_html(recording, more="") -> str:
    """The same as HTML, with a line more below if there is one."""
    return _page([*_lines(recording), _faint(more) if more else ""])


def _facts(recording):
    facts = [(line.plain[:9].strip(), line.plain[9:]) for line in console.facts(recording)]
    rows = "".join(
        f'<tr style="background:none"><td style="{CELL};text-align:left;{FAINT}">{escape(name)}</td>'
        f'<td style="{CELL};text-align:left;white-space:normal">{escape(words)}</td></tr>'
        for name, words in facts
    )
    return f'<table style="{TABLE};font-family:sans-serif;margin-left:0">{rows}</table>'


def _details(recording):
    found = [line.plain for line in console.details(recording, WIDTH)]
    if any(found):
        text = escape("\n".join(found).strip("\n"))
        yield f'<pre style="font:12px monospace;overflow-x:auto;background:none;color:inherit">{text}</pre>'


def _faint(words):
    return f'<div style="{FAINT};font-size:11px">{escape(words)}</div>'


def _title(name, more):
    return f'<div style="margin-top:8px"><b style="font-family:monospace">{escape(name)}</b>\u2002{escape(more)}</div>'


def _table(heads, rows):
    """Rows are (cells, style); all columns but the last stand to the right."""
    last = len(heads) - 1

    def cell(tag, place, words, more=""):
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


def _spans(recording):
    if not recording.spans:
        return
    most = transforms.largest_spans(recording.spans, console.MOST_SPANS)
    rows = []
    for span in most:
        took = "unfinished" if span.end is None else show_time(span.duration)
        growth = "?" if span.growth is None else show_bytes(span.growth, sign=True)
        rows.append(((took, growth, show_bytes(span.peak), "  " * span.depth + span.label), ""))
    yield _table(("took", "growth", "peak", "span"), rows)
    if len(recording.spans) > len(most):
        yield _faint(f"and {len(recording.spans) - len(most)} more that rose less")


def _lines(recording):
    if recording.tracing is None:
        return
    if not recording.lines:
        yield _faint(lines.none_known(recording))
        return
    for function, those in recording.functions.items():
        source = Source(function.file, recording.about.began)
        yield _title(function.name, f"{source.name}:{function.line} · {lines.sums(those)}")
        if source.remark:
            yield _faint(source.remark)
        rows = []
        for number, line, marked in lines.rows(function, those, source):
            if number is None:
                rows.append((("⋮", *[""] * len(lines.HEAD)), FAINT))
            else:
                rows.append(((*lines.cells(number, line), source.line(number)), MARK if marked else ""))
        yield _table((*lines.HEAD, "source"), rows)
    yield _faint(lines.cost(recording))


def _calls(recording, sort, hidden):
    if not recording.calls:
        yield _faint(call_paths.none_known(recording))
        return
    paths = transforms.MainPaths(recording.calls, sort)
    yield _title("calls", call_paths.title(paths).removeprefix("calls "))
    rows, shown = [], 0
    for depth, call in paths.rows():
        indent = "  " * depth
        if isinstance(call, list):
            shown += len(call)
            rows.append(((*[""] * len(call_paths.TREE), f"{indent}... {len(call):,} calls between"), FAINT))
            continue
        shown += 1
        place = f"  {call_paths.place(call.function)}".rstrip()
        cells = (*call_paths.cells(paths, call), f"{indent}{call.function.name}{place}")
        rows.append((cells, MARK if paths.stands_out(call) else ""))
    yield _table((*(name for name, _ in call_paths.TREE), "function"), rows)
    if left := call_paths.left_out(paths, shown):
        yield _faint(left)
    if hidden:
        yield _faint(f"{hidden:,} more, of libraries and the like, counted with their callers")
    yield _faint(call_paths.cost(recording))
