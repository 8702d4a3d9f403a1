"""Names that no encoding can spell, as those of files may be: every report is made all the same."""

import io
import json
import os
from dataclasses import replace

import pytest

import memkit
from memkit.ipython.html import line_tables, line_tables_html
from memkit.model.calls import Function
from memkit.model.ending import Ending
from memkit.model.limit_events import Crossing
from memkit.model.recording import Line, Span, Tracing
from memkit.system.limit import Limit

MIB = 1 << 20
MS = 1_000_000
ODD = "odd\udce9"
SPELLED = r"odd\udce9"
FILES = {
    "plot": ("a.png", "a.svg", "a.pdf"),
    "flame": ("a.png", "a.svg", "a.pdf"),
    "plot_lines": ("a.png", "a.svg", "a.pdf"),
    "json": ("a.json", "-"),
    "csv": ("a.csv", "-"),
    "csv_lines": ("a.csv", "-"),
    "csv_calls": ("a.csv", "-"),
    "speedscope": ("a.json", "-"),
    "folded": ("a.txt", "-"),
    "pprof": ("a.pb.gz", "-"),
    "mprof": ("a.dat", "-"),
}


@pytest.fixture
def odd(called):
    """A recording in which everything that can have an odd name has one."""
    recording = called((0, ODD, 1), (1, f"{ODD}.py:{ODD}", 8), argv=(ODD,), ending=Ending("error", error=ODD))
    function = Function(f"/nowhere/{ODD}.py", ODD, 1)
    return replace(
        recording,
        spans=(Span(ODD, 7, 0, 0, 5 * MS, 0, 8, 9 * MIB),),
        lines=(Line(function, 2, 1, MS, MIB, 9 * MIB, 9 * MIB),),
        tracing=Tracing("monitoring", "perf", None, 20.0, 400.0, 5, 5),
        limits=(Limit(f"cgroup /{ODD}", 99 * MIB, MIB, "cgroup"),),
        crossings=(Crossing(MS, 9 * MIB, 8 * MIB, f"cgroup /{ODD}", "report"),),
    )


@pytest.mark.parametrize(("option", "file"), [(option, file) for option, files in FILES.items() for file in files])
def test_every_report_is_made(odd, tmp_path, monkeypatch, option, file):
    if file.endswith((".png", ".svg", ".pdf")):
        pytest.importorskip("matplotlib")
    path = file if file == "-" else tmp_path / file
    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr("sys.stdout", strict)
    memkit.report(odd, quiet=True, **{option: path})
    strict.flush()
    made = strict.buffer.getvalue() if file == "-" else path.read_bytes()
    assert made
    if option == "json":
        assert ODD in json.dumps(json.loads(made), ensure_ascii=False)
    elif option in ("folded", "mprof", "csv_lines", "csv_calls"):
        assert SPELLED in made.decode()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_every_table_is_printed_and_the_stream_is_as_it_was(odd, monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr("sys.stdout", stream)
    memkit.report(odd, sort="growth")
    stream.flush()
    printed = stream.buffer.getvalue().decode(encoding)
    assert f"memkit   {SPELLED}: ended by an exception: {SPELLED}" in printed
    assert f"{SPELLED}  {SPELLED}.py:10" in printed
    assert f"{SPELLED}  /nowhere/{SPELLED}.py:1  growth" in printed
    assert stream.errors == "strict"


def test_a_stream_that_is_closed_is_left_alone(odd, monkeypatch, tmp_path):
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    monkeypatch.setattr("sys.stdout", stream)
    memkit.report(odd, quiet=True, csv=tmp_path / "a.csv")
    assert os.path.getsize(tmp_path / "a.csv")


def test_what_a_notebook_shows_can_be_sent(odd):
    sent = [text.encode() for text in (*memkit.mimebundle(odd).values(), line_tables(odd), line_tables_html(odd))]
    assert all(SPELLED.encode() in text for text in sent)
