"""The table of spans by label, what leaks, what grows and what has spikes."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.heap import Heap
from memkit.model.span_heaps import HeapInside, SpanHeap
from memkit.report.reporters.spans_by_label import labels

KIB, MIB = 1 << 10, 1 << 20


def spread(*values):
    return memkit.Spread.of(values)


def sums(label, number=2000, alive=(0,) * 41, peak=(9,), overlapped=0, rise=(9,)):
    times, peaks = spread(*range(20)), None if peak is None else spread(*peak)
    kept = None if peak is None else spread(0)
    return memkit.SpanSums(label, number, overlapped, times, spread(0), spread(*rise), kept, kept, peaks, 25, tuple(alive))


def heap(alive, *inside):
    return SpanHeap(inside, Heap(alive, 0, alive, 0, 1, 0))


@pytest.fixture
def table(made_up):
    """A function that returns the lines of the table of some sums."""

    def lines(*found, heaps=(), width=80):
        recording = replace(made_up((0, 1), (10, 2)), span_sums=found, span_heaps=tuple(heaps))
        return [row.plain for row in labels(recording, width)]

    return lines


def test_labels_are_told_with_what_is_alive_of_them(table):
    heaps = heap(2 * MIB, "GET /a"), heap(500, "GET /b"), heap(MIB, "GET /a", "inner"), heap(500, "GET /b", "inner")
    head, a, inner, b, *_ = table(sums("GET /b"), sums("GET /a"), sums("inner", 10), heaps=heaps)
    assert head.split() == ["spans", "by", "label", "spans", "median", "worst", "peak", "alive", "each"]
    assert a.split() == ["GET", "/a", "2,000", "9", "ns", "9", "B", "3.0", "MiB", "1.5", "KiB"]
    assert inner.split()[:2] == ["inner", "10"] and "1.0 MiB" in inner
    assert b.split()[-4:] == ["1000", "B", "0", "B"]


def test_without_heap_rises_are_told(table):
    head, row, note, shared, *_ = table(sums("work", peak=None, rise=(MIB, 2 * MIB), overlapped=1))
    assert head.split() == ["spans", "by", "label", "spans", "median", "p95", "worst", "rise", "p95", "worst"]
    assert row.split()[-4:] == ["~2.0", "MiB", "~2.0", "MiB"]
    assert (note, shared[0]) == ("medians and p95 are off by at most 1/32", "~")


def test_those_that_leak_are_named(table):
    leaking = sums("GET /leak", alive=(block * 2500 for block in range(41)))
    text = "\n".join(table(sums("GET /fine"), leaking, heaps=[heap(1, "GET /leak")]))
    assert "leak     GET /leak kept 100 B a span over its last 1,000, net of what was freed; by chance in less than" in text
    assert "of 1,000,000 cases" in text and "/fine kept" not in text


def test_what_grows_and_cannot_be_judged_yet_is_told_so(table):
    growing = sums("GET /new", 700, alive=(block * 25_000 for block in range(20)))
    steady = sums("GET /old", 700, alive=(100,) * 20)
    (line,) = [row for row in table(growing, steady, heaps=[heap(1, "GET /new")]) if row.startswith("growing")]
    assert line.startswith("growing  GET /new kept 1000 B a span so far; 800 more spans tell whether it is a leak")


def test_a_label_with_a_spike_is_told_unless_others_may_have_it(table):
    quiet, spiky = sums("GET /quiet", peak=(5 * MIB, 6 * MIB)), sums("GET /spiky", peak=(5 * MIB, 5 * MIB, 60 * MIB))
    (line,) = [row for row in table(quiet, spiky) if row.startswith("spike")]
    assert line == "spike    GET /spiky had 60.0 MiB, half of its spans 5.1 MiB or less"  # to 1/32
    alone, shared = (sums("work", peak=None, rise=(0, 0, 60 * MIB), overlapped=number) for number in (0, 3))
    assert [row[:21] for row in table(alone) if "spike" in row] == ["spike    work rose 60"]
    assert not [row for row in table(shared) if row.startswith("spike")]


def test_long_labels_that_differ_still_differ(table):
    long = "GET /a/path/that/is/long/enough/to/be/cut/somewhere/in/{}"
    rows = table(sums(long.format("one")), sums(long.format("two")), heaps=[heap(1, "x")])[1:3]
    assert rows[0].split("2,000")[0] != rows[1].split("2,000")[0]
    assert all(len(row) <= 80 for row in rows)


@pytest.mark.parametrize(("number", "there"), [(9, False), (10, True)])
def test_the_table_is_part_of_a_report_from_some_spans_of_a_label_on(made_up, capsys, number, there):
    memkit.report(replace(made_up((0, 1), (10, 2)), span_sums=(sums("work", number),)))
    assert ("spans by label" in capsys.readouterr().out) == there


# -- by lines and paths ------------------------------------------------------------------------------------------------


def inside(name, line, alive, allocated, grown=None):
    heap = Heap(allocated, allocated - alive, alive, 0, 1, 0)
    return HeapInside((memkit.Function("/src/shop.py", name, 10),), line, heap, grown)


def by_lines(alive, *lines, grown=None):
    return heap(alive, "GET /leak")._replace(inside=lines, grown=grown)


LEAKING = sums("GET /leak", alive=(block * 2500 for block in range(41)), peak=None)
REMEMBERS = inside("remember", 41, 3 * MIB, 4 * MIB, 2 * MIB)
FILLED = inside("warm", 12, 9 * MIB, 9 * MIB, 0)
SPIKES = inside("export", 77, 0, 900 * MIB, 0)


def test_the_line_that_grew_is_named_and_not_the_one_of_a_cache_or_a_spike(table):
    rows = table(LEAKING, heaps=[by_lines(13 * MIB, SPIKES, FILLED, REMEMBERS, grown=3 * MIB)])
    place = next(number for number, row in enumerate(rows) if row.startswith("leak "))
    assert rows[place + 1] == " " * 9 + "2.0 MiB of 3.0 MiB since about half of its spans had ended: shop.py:41 remember  "
    first, most = (row.split() for row in rows[rows.index("GET /leak allocated by") + 1 :][:2])
    assert first[:7] == ["3.0", "MiB", "alive", "4.0", "MiB", "allocated", "shop.py:41"]
    assert most[:8] == ["0", "B", "alive", "900.0", "MiB", "allocated", "shop.py:77", "export"]


def leak_notes(rows):
    place = next(number for number, row in enumerate(rows) if row.startswith("leak "))
    return [row.strip() for row in rows[place + 1 :] if row.startswith(" " * 9)]


@pytest.mark.parametrize(("grown", "also"), [(0, False), (MIB, True)])
def test_a_line_that_has_little_of_what_grew_is_not_blamed(table, grown, also):
    notes = leak_notes(table(LEAKING, heaps=[by_lines(6 * MIB, inside("page", 41, grown, 9 * MIB, grown), grown=6 * MIB)]))
    assert notes[0].startswith(f"{6 - grown // MIB}.0 MiB of 6.0 MiB since about half of its spans had ended: code")
    assert "not traced; --heap --calls" in notes[0] and len(notes) == 1 + also
    assert not also or notes[1].startswith("1.0 MiB of 6.0 MiB since about half of its spans had ended: shop.py:41 page")


def test_many_lines_that_share_what_grew_leave_no_untraced_code(table):
    rows = [inside("page", line, MIB, MIB, MIB) for line in range(8)]
    (note,) = leak_notes(table(LEAKING, heaps=[by_lines(8 * MIB, *rows, grown=8 * MIB)]))
    assert note.startswith("1.0 MiB of 8.0 MiB since")


def test_a_path_that_has_what_the_lines_have_not_is_named(table):
    rows = inside("page", 41, 0, MIB, 0), inside("keep", None, 6 * MIB, 6 * MIB, 6 * MIB)
    (note,) = leak_notes(table(LEAKING, heaps=[by_lines(6 * MIB, *rows, grown=6 * MIB)]))
    assert note == "6.0 MiB of 6.0 MiB since about half of its spans had ended: shop.py:10 keep"


def test_what_grew_is_not_told_where_it_is_not_known_of_a_worker(table):
    known = by_lines(4 * MIB, inside("remember", 41, 4 * MIB, 4 * MIB, 2 * MIB), grown=2 * MIB)
    brief = by_lines(MIB, inside("remember", 41, MIB, MIB))
    (note,) = leak_notes(table(LEAKING, heaps=[known.plus(brief)]))
    assert note.startswith("5.0 MiB of the 5.0 MiB alive of it: shop.py:41 remember")
    (note,) = leak_notes(table(LEAKING, heaps=[known, brief._replace(labels=("other", "GET /leak"))]))
    assert note.startswith("5.0 MiB of the 5.0 MiB alive of it: shop.py:41 remember")


def test_without_a_half_way_a_line_has_its_share_of_what_is_alive(table):
    rows = table(LEAKING, heaps=[by_lines(4 * MIB, inside("remember", 41, 3 * MIB, 4 * MIB))])
    assert " " * 9 + "3.0 MiB of the 4.0 MiB alive of it: shop.py:41 remember  " in rows


def test_where_no_lines_are_traced_the_path_is_named(table):
    rows = table(LEAKING, heaps=[by_lines(4 * MIB, inside("remember", None, 3 * MIB, 4 * MIB))])
    assert " " * 9 + "3.0 MiB of the 4.0 MiB alive of it: shop.py:10 remember" in rows


def test_a_label_that_leaks_without_lines_says_how_to_find_the_line(table):
    rows = table(LEAKING, heaps=[heap(MIB, "GET /leak")])
    assert " " * 9 + "which line keeps it is not known: a run with --heap --lines, or --heap --calls, tells" in rows


def test_a_label_whose_spans_overlapped_has_a_spike_of_what_it_allocated(table):
    spiky = sums("GET /leak", peak=None, overlapped=9)._replace(allocated=spread(*[MIB] * 99, 90 * MIB))
    rows = table(spiky, heaps=[by_lines(0, inside("export", 77, 0, 150 * MIB))])
    place = rows.index("spike    GET /leak allocated 90.0 MiB, half of its spans 1.0 MiB or less")
    assert rows[place + 1].startswith(" " * 9 + "150.0 MiB of the 189.0 MiB that its spans allocated: shop.py:77 export")


def test_without_heap_the_report_says_what_it_does_not_know(table):
    assert table(sums("work", peak=None))[-1].endswith("--heap=spans tells, --heap --lines the line, too")
    assert "not known" not in "".join(table(sums("work", 99, peak=None)))
