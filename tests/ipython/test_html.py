"""A recording in a notebook: HTML that any front end takes, and the same as text."""

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import memkit
from memkit.ipython.html import html, line_tables, line_tables_html, mimebundle
from memkit.model.recording import Function, Line, Span, Tracing
from memkit.report import pictures

MIB = 1 << 20
MS = 1_000_000


@pytest.fixture
def whole(made_up, called, tmp_path):
    """A recording with a span, lines and calls."""
    (tmp_path / "load.py").write_text("def load():\n    rows = [1 < 2]\n    return rows\n")
    function = Function(str(tmp_path / "load.py"), "load", 1)
    lines = (Line(function, 2, 50, 3 * MS, 40 * MIB, 50 * MIB, 90 * MIB), Line(function, 3, 1, 800, 0, 50 * MIB, 50 * MIB))
    spans = [Span("reading", 7, 0, 0, 5 * MS, 10 * MIB, 50 * MIB, 90 * MIB)]
    calls = called((0, "<thread MainThread>", 0), (1, "load", 40, 3), (2, "/usr/lib/python3.13/json/__init__.py:loads", 5))
    return replace(
        made_up((0, 10), (5, 50, 90), spans=spans, began=4e9),
        lines=lines,
        tracing=Tracing("monitoring", "perf", None, 20.0, 400.0, 51, 9),
        calls=calls.calls,
        call_tracing=calls.call_tracing,
    )


def tables(page):
    """The tables of a page: heads, and rows of texts."""
    for table in ElementTree.fromstring(page).iter("table"):
        yield (
            [head.text for head in table.iter("th")],
            [
                ["".join(cell.itertext()) for cell in row.iter("td")]
                for row in table.iter("tr")
                if row.find("td") is not None
            ],
        )


def test_the_page_has_the_facts_the_plot_and_all_tables(whole):
    page = html(whole)
    facts, spans, lines, calls = tables(page)
    assert facts[1][0] == ["memkit", "load.py data.csv: finished"]
    assert spans == (
        ["took", "growth", "rise", "peak", "span"],
        [["5.00 ms", "+40.0 MiB", "80.0 MiB", "90.0 MiB", "reading"]],
    )
    assert lines == (
        ["line", "hits", "time", "growth", "memory", "peak", "source"],
        [
            ["1", "", "", "", "", "", "def load():"],
            ["2", "50", "3.00 ms", "+40.0 MiB", "50.0 MiB", "90.0 MiB", "    rows = [1 < 2]"],
            ["3", "1", "800 ns", "0", "50.0 MiB", "50.0 MiB", "    return rows"],
        ],
    )
    assert calls[0] == ["growth", "%", "own", "peak", "calls", "time", "%", "function"]
    assert [row[-1] for row in calls[1]] == ["<thread MainThread>", "  load  load.py:10", "    loads  json/__init__.py:10"]
    assert ElementTree.fromstring(page).find("svg") is not None
    assert "peak 90.0 MiB" in page
    assert "9 reads for 51 lines" in page


def test_the_line_that_grew_is_marked(whole):
    rows = re.findall(r'<tr style="([^"]*)"><td[^>]*>(\d+)</td>', html(whole))
    assert [number for style, number in rows if "bold" in style] == ["2"]


def test_there_are_no_scripts_no_style_sheets_and_nothing_from_elsewhere(whole):
    page = html(whole)
    assert not re.search(r"<script|<style|<link|javascript:|https?:|url\(|\son\w+=", page)


def test_no_colour_is_one_of_black_and_white(whole):
    colours = set(re.findall(r"#[0-9a-f]{3,6}\b|\b(?:black|white)\b(?!-)", html(whole)))
    assert colours == {pictures.MEMORY, pictures.PEAK}


def test_text_and_html_come_together(whole):
    bundle = mimebundle(whole)
    assert set(bundle) == {"text/plain", "text/html"}
    assert whole._repr_mimebundle_() == bundle
    assert whole._repr_html_() == bundle["text/html"]
    assert memkit.mimebundle(whole) == bundle
    for words in ("load.py data.csv: finished", "reading", "rows = [1 < 2]", "calls grew memory by 45.0 MiB", "samples"):
        assert words in bundle["text/plain"]


def test_calls_can_be_sorted_and_hidden(whole):
    shown = mimebundle(whole, hide=["load.py"], sort="time", show_all=True)["text/html"]
    *_, calls = tables(shown)
    assert [row[-1] for row in calls[1]] == ["<thread MainThread>", "  loads  json/__init__.py:10"]
    assert "1 more, of libraries and the like, counted with their callers" in shown


@pytest.mark.parametrize(
    ("without", "words"), [("console", "data.csv: finished"), ("lines", "rows = [1"), ("paths", "calls grew memory by")]
)
def test_the_part_of_a_plugin_can_be_left_out(whole, without, words):
    assert words in mimebundle(whole)["text/plain"]
    bundle = mimebundle(whole, without=[without])
    assert words not in bundle["text/plain"]
    assert ("<svg" in bundle["text/html"]) == (without != "console")
    left = bundle["text/html"].count("<table") - html(whole).count("<table")
    assert left == (-2 if without == "console" else -1)
    nothing = mimebundle(whole, without=["console", "lines", "paths"])
    assert nothing["text/plain"] == "" and "<table" not in nothing["text/html"]


def test_where_nothing_was_traced_the_page_says_so(whole):
    page = html(replace(whole, lines=(), calls=()))
    assert "no lines were traced" in page
    assert "no calls were traced" in page


def test_a_recording_of_nothing_is_a_page(made_up):
    assert "no samples were recorded" in html(made_up())
    assert "no samples were recorded" in mimebundle(made_up())["text/plain"]


def test_the_tables_of_lines_stand_alone_too(whole):
    assert line_tables(whole).startswith("load  ")
    page = line_tables_html(whole, "children: 5 & more")
    [lines] = tables(page)
    assert len(lines[1]) == 3
    assert "children: 5 &amp; more" in page


def test_a_gap_is_a_row_of_its_own(whole, tmp_path):
    (tmp_path / "load.py").write_text("text\n" * 60)
    function = whole.lines[0].function
    far = replace(whole, lines=(whole.lines[0], whole.lines[1]._replace(number=40)), calls=(), call_tracing=None)
    assert function == far.lines[1].function
    *_, lines = tables(html(far))
    assert [row[0] for row in lines[1]] == ["1", "2", "⋮", "40"]


def test_outside_ipython_it_needs_none():
    code = (
        "import sys, memkit\nwith memkit.record() as run: pass\nrun.recording._repr_html_()\nprint('IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
