"""The line tables, their CSV and JSON, on recordings made by hand."""

import csv
import json
import os
from dataclasses import replace

import pytest

import memkit
from memkit.model.heap import Heap, HeapErrors, HeapTotal
from memkit.model.lines import HeapLine
from memkit.model.recording import Function, Line, Tracing
from memkit.report.reporters.lines import columns_of, cost, tables

MIB = 1 << 20
MS = 1_000_000
HOW = Tracing("monitoring", "perf", None, 20.0, 400.0, 4_000, 500)


@pytest.fixture
def source(tmp_path):
    """A function that writes a file of so many lines, older than the recordings, and returns its name."""

    def write(count=12, name="load.py", changed=1_600_000_000):
        path = tmp_path / name
        path.write_text("".join(f"text of line {number}\n" for number in range(1, count + 1)))
        os.utime(path, (changed, changed))
        return str(path)

    return write


@pytest.fixture
def traced(made_up):
    """A function that makes a recording of lines: number, hits, milliseconds, growth, memory and peak in MiB.

    After these, rise, rises and own rise where they are known.
    """

    def make(*functions, tracing=HOW, **changes):
        lines = tuple(
            Line(
                *(function, number, hits, int(time * MS), int(growth * MIB), int(memory * MIB), int(peak * MIB)),
                **{name: int(size * MIB) for name, size in zip(("rise", "rises", "own_rise"), rises)},
            )
            for function, rows in functions
            for number, hits, time, growth, memory, peak, *rises in rows
        )
        return replace(made_up((0, 10), (5, 20), **changes), lines=lines, tracing=tracing)

    return make


def shown(recording):
    return [line.plain.rstrip() for line in tables(recording)]


def test_the_whole_table(traced, source):
    file = source()
    function = Function(file, "load", 2)
    rows = [
        (3, 1, 0.5, 76.3, 90, 90),
        (4, 50, 1250, 0, 90, 471.5),
        (6, 12_000, 3, -20, 70, 90),
        (12, 1, 0.000_04, 0, 70, 70),
    ]
    assert shown(traced((function, rows))) == [
        "",
        f"load  {file}:2  growth +56.3 MiB, peak 471.5 MiB",
        "  line        hits       time       growth      memory        peak  source",
        "     2                                                              text of line 2",
        "     3           1     500 µs    +76.3 MiB    90.0 MiB    90.0 MiB  text of line 3",
        "     4          50     1.25 s            0    90.0 MiB   471.5 MiB  text of line 4",
        "     5                                                              text of line 5",
        "     6      12,000    3.00 ms    -20.0 MiB    70.0 MiB    90.0 MiB  text of line 6",
        "     7                                                              text of line 7",
        "     8                                                              text of line 8",
        "     9                                                              text of line 9",
        "    10                                                              text of line 10",
        "    11                                                              text of line 11",
        "    12           1      40 ns            0    70.0 MiB    70.0 MiB  text of line 12",
        "",
        "gate perf: 500 reads for 4,000 lines; resident memory, ±0.1 MiB; tracing by monitoring cost about 280 µs",
    ]


def test_many_lines_that_never_ran_are_a_gap(traced, source):
    function = Function(source(40), "load", 1)
    numbers = [
        line.split()[0]
        for line in shown(traced((function, [(2, 1, 0, 0, 1, 1), (8, 1, 0, 0, 1, 1), (30, 1, 0, 0, 1, 1)])))[3:-2]
    ]
    assert numbers == ["1", "2", "3", "4", "5", "6", "7", "8", "...", "30"]


def test_a_function_that_is_far_above_its_first_line_that_ran_shows_a_gap(traced, source):
    function = Function(source(40), "load", 3)
    numbers = [line.split()[0] for line in shown(traced((function, [(20, 1, 0, 0, 1, 1)])))[3:-2]]
    assert numbers == ["...", "20"]


def test_lines_without_a_source_stand_alone_and_it_is_said(traced):
    function = Function("<made>", "load", 1)
    assert shown(traced((function, [(2, 1, 1, 1, 10, 10), (5, 2, 1, 0, 10, 10)])))[1:-2] == [
        "load  <made>:1  growth +1.0 MiB, peak 10.0 MiB",
        "the source is not to be found: <made>",
        "  line        hits       time       growth      memory        peak  source",
        "     2           1    1.00 ms     +1.0 MiB    10.0 MiB    10.0 MiB",
        "     3",
        "     4",
        "     5           2    1.00 ms            0    10.0 MiB    10.0 MiB",
    ]


def test_a_source_that_was_changed_after_the_recording_is_marked(traced, source):
    recording = traced((Function(source(changed=1_700_000_100), "load", 2), [(3, 1, 1, 0, 1, 1)]))
    assert shown(recording)[2] == "the file was changed after the recording began: the text may stand beside the wrong lines"
    recording = traced((Function(source(changed=1_699_999_900), "load", 2), [(3, 1, 1, 0, 1, 1)]))
    assert shown(recording)[2].split() == ["line", "hits", "time", "growth", "memory", "peak", "source"]


def test_a_source_that_became_shorter_leaves_the_text_out(traced, source):
    recording = traced((Function(source(4), "load", 2), [(3, 1, 1, 0, 1, 1), (9, 1, 1, 0, 1, 1)]))
    assert shown(recording)[-3] == "     9           1    1.00 ms            0     1.0 MiB     1.0 MiB"


def test_several_functions_have_a_table_each_and_a_list_of_what_grew_most(traced, source):
    file = source()
    first = (Function(file, "load", 2), [(3, 1, 1, 5, 15, 15), (4, 1, 1, -1, 14, 15)])
    second = (Function(file, "Thing.parse", 6), [(7, 1, 1, 20, 34, 40), (8, 1, 1, 0, 34, 34)])
    lines = shown(traced(first, second))
    assert [line.split("  ")[0] for line in lines if ", peak " in line] == ["load", "Thing.parse"]
    place = lines.index("the lines that grew most, with all that they called")
    assert lines[place:] == [
        "the lines that grew most, with all that they called",
        "   +20.0 MiB  load.py:7  text of line 7",
        "    +5.0 MiB  load.py:3  text of line 3",
        "",
        "gate perf: 500 reads for 4,000 lines; resident memory, ±0.1 MiB; tracing by monitoring cost about 280 µs",
    ]


def test_of_what_grew_most_there_are_five(traced, source):
    file = source()
    functions = [(Function(file, f"f{number}", number), [(number, 1, 1, number, 50, 50)]) for number in range(1, 9)]
    lines = shown(traced(*functions))
    place = lines.index("the lines that grew most, with all that they called")
    assert [line.split()[0] for line in lines[place + 1 : -2]] == ["+8.0", "+7.0", "+6.0", "+5.0", "+4.0"]


def test_where_nothing_grew_there_is_no_such_list(traced, source):
    file = source()
    functions = [(Function(file, f"f{number}", number), [(number, 1, 1, 0, 50, 50)]) for number in (1, 2)]
    assert "the lines that grew most, with all that they called" not in shown(traced(*functions))


def test_functions_of_the_same_name_have_tables_of_their_own(traced, source):
    one, other = Function(source(), "load", 2), Function(source(name="other.py"), "load", 2)
    rows = [(3, 1, 1, 0, 1, 1)]
    heads = [line.split("  ")[1] for line in shown(traced((one, rows), (other, rows))) if ", peak " in line]
    assert heads == [f"{one.file}:2", f"{other.file}:2"]


def test_the_lines_that_matter_are_marked(traced, source):
    rows = [(3, 1, 1, 50, 60, 60), (4, 1, 1, 1, 61, 61), (5, 1, 1, 0, 61, 200), (6, 1, 1, -40, 21, 61), (7, 1, 1, 0, 21, 21)]
    recording = traced((Function(source(), "load", 2), rows))
    marked = [line.plain.split()[0] for line in tables(recording) if any("memkit.mark" in str(s.style) for s in line.spans)]
    assert marked == ["3", "5", "6"]


def test_the_gate_is_named_with_the_reason_and_what_tracing_cost(traced):
    how = Tracing("settrace", "rusage", "perf_event_open: Permission denied", 150.0, 400.0, 2_000_000, 1_000)
    assert cost(traced(tracing=how)) == (
        "gate rusage (perf_event_open: Permission denied): 1,000 reads for 2,000,000 lines; resident memory, ±0.1 MiB; "
        "tracing by settrace cost about 300 ms"
    )
    assert "lines; pss; tracing" in cost(traced(meter="pss"))


def test_the_table_goes_where_the_summary_goes(traced, source, capsys):
    recording = traced((Function(source(), "load", 2), [(3, 1, 1, 0, 1, 1)]))
    memkit.report(recording)
    out, err = capsys.readouterr()
    assert out.index("finished") < out.index("text of line 3")
    assert "\x1b" not in out
    assert err == ""
    memkit.report(recording, csv="-")
    out, err = capsys.readouterr()
    assert out.startswith("time_s,")
    assert "text of line 3" not in out
    assert "text of line 3" in err
    memkit.report(recording, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_what_was_not_traced_has_no_table(made_up, capsys):
    memkit.report(made_up((0, 10)))
    assert "gate" not in capsys.readouterr().out


def test_what_was_traced_but_never_ran_is_said(traced, capsys):
    memkit.report(traced(tracing=HOW._replace(events=0, reads=0)))
    assert "no lines were traced: nothing that was named ran as Python code during the recording" in capsys.readouterr().out


def with_heap(recording):
    """The same with 4 MiB allocated by each line: 3 MiB of it alive at the peak, and 1 MiB at the end."""
    of_it = memkit.Heap(4 * MIB, 3 * MIB, 3 * MIB, MIB, 9, 8)
    return replace(recording, lines=tuple(line._replace(heap=of_it, own_heap=of_it) for line in recording.lines))


def test_lines_have_what_they_allocated_was_alive_at_peak_and_is(traced, source):
    recording = with_heap(traced((Function(source(), "load", 2), [(3, 1, 1, 2, 90, 90, 2, 2, 1)])))
    head, row, *_ = [line.split() for line in shown(recording) if line.endswith(("source", "text of line 3"))]
    assert head[-7:] == ["peak", "allocated", "alive", "at", "peak", "alive", "source"]
    assert row[-12:-4] == ["90.0", "MiB", "4.0", "MiB", "3.0", "MiB", "1.0", "MiB"]
    none = memkit.Heap(0, 0, 0, 0, 0, 0)
    recording = replace(recording, lines=tuple(line._replace(heap=none) for line in recording.lines))
    assert next(line for line in shown(recording) if line.endswith("text of line 3")).split()[-7:-4] == ["0", "0", "0"]


def test_a_notebook_shows_what_lines_had_alive_at_the_peak(traced, source):
    recording = with_heap(traced((Function(source(), "load", 2), [(3, 1, 1, 2, 90, 90, 2, 2, 1)])))
    html = memkit.mimebundle(recording)["text/html"]
    assert ">alive at peak</th>" in html
    assert html.index(">4.0 MiB</td>") < html.index(">3.0 MiB</td>") < html.index(">1.0 MiB</td>")


def test_a_narrow_terminal_keeps_what_of_a_line_is_alive(traced, source):
    recording = with_heap(traced((Function(source(), "load", 2), [(3, 1, 1, 2, 90, 90, 2, 2, 1)])))
    for width in (80, 100, 120):
        names = [name for name, _ in columns_of(recording.lines, width)]
        assert names[0] == "line"
        assert names[-1] == "alive"
        assert width - sum(each + 1 for _, each in columns_of(recording.lines, width)) >= 30 or len(names) == 5


def test_markup_in_the_source_is_text(traced, tmp_path, capsys):
    path = tmp_path / "a.py"
    path.write_text("def f():\n    x = '[bold]y[/bold]'\n")
    os.utime(path, (1, 1))
    memkit.report(traced((Function(str(path), "f", 1), [(2, 1, 1, 0, 1, 1)])))
    assert "x = '[bold]y[/bold]'" in capsys.readouterr().out


# -- CSV and JSON ----------------------------------------------------------------------------------------------------------


def test_the_csv_has_a_row_for_each_line(traced, source, tmp_path):
    file = source()
    rows = [(3, 1, 0.5, 2, 90, 90, 2, 2, 1), (4, 50, 1250, -1, 90, 471.5)]
    memkit.report(traced((Function(file, "load", 2), rows)), csv_lines=tmp_path / "a.csv", quiet=True)
    assert (tmp_path / "a.csv").read_text() == (
        "file,function,line,hits,time_s,growth_bytes,memory_bytes,peak_bytes,rise_bytes,rises_bytes,about_bytes,own_rise_bytes,"
        "allocated_bytes,freed_bytes,alive_bytes,alive_at_peak_bytes,temporary_bytes,blocks,allocated_error_bytes,"
        "freed_error_bytes,alive_error_bytes,alive_at_peak_error_bytes,blocks_error,own_allocated_bytes,own_alive_bytes,"
        "own_alive_at_peak_bytes,own_allocated_error_bytes,own_alive_error_bytes,own_alive_at_peak_error_bytes,source\n"
        f"{file},load,3,1,0.000500000,{2 * MIB},{90 * MIB},{90 * MIB},{2 * MIB},{2 * MIB},0,{MIB},{17 * ','}text of line 3\n"
        f"{file},load,4,50,1.250000000,{-MIB},{90 * MIB},{int(471.5 * MIB)},,,0,,{17 * ','}text of line 4\n"
    )


def heap_line(function, number, alive, own):
    heaps = (Heap(2 * size, size, size, None, 3, 1, HeapErrors(4, 3, 2.4, 1, 2, 1)) for size in (alive, own))
    return HeapLine(function, number, *heaps)


def test_the_csv_has_the_lines_of_a_sampled_heap_too(traced, source, tmp_path):
    function = Function(source(), "load", 2)
    of_library = Function("/usr/lib/python3.13/json/decoder.py", "decode", 10)
    recording = traced((function, [(3, 1, 0.5, 2, 90, 90)]))
    lines = (heap_line(of_library, 12, 9, 9), heap_line(function, 3, 700, 0), heap_line(function, 5, 50, 50))
    memkit.report(replace(recording, heap_lines=lines), csv_lines=tmp_path / "a.csv", quiet=True)
    with open(tmp_path / "a.csv", newline="") as file:
        third, fifth = csv.DictReader(file)
    told = ("line", "hits", "growth_bytes", "source")
    assert [third[name] for name in told] == ["3", "1", str(2 * MIB), "text of line 3"]
    assert [fifth[name] for name in told] == ["5", "", "", "text of line 5"]
    heap = ("allocated_bytes", "freed_bytes", "alive_bytes", "alive_at_peak_bytes", "temporary_bytes", "blocks")
    assert [third[name] for name in heap] == ["1400", "700", "700", "700", "", "3"]
    assert [third[name] for name in ("allocated_error_bytes", "alive_error_bytes", "blocks_error")] == ["4", "2", "2"]
    assert (third["own_alive_bytes"], fifth["own_alive_bytes"], fifth["own_alive_error_bytes"]) == ("0", "50", "2")
    memkit.report(replace(recording, heap_lines=lines), csv_lines=tmp_path / "a.csv", show_all=True, quiet=True)
    assert "decode,12," in (tmp_path / "a.csv").read_text()


def test_the_csv_of_a_heap_that_was_sampled_needs_no_traced_lines(made_up, source, tmp_path):
    short = replace(made_up((0, 1)), heap=HeapTotal("python", 0, 0, 0, sampled=512 << 10))  # too short for a sample
    recording = replace(short, heap_lines=(heap_line(Function(source(), "load", 2), 3, 700, 0),))
    for each, rows in ((recording, 1), (short, 0)):
        memkit.report(each, csv_lines=tmp_path / "a.csv", quiet=True)
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + rows


def test_the_csv_can_go_to_standard_output_alone(traced, source, capsys):
    memkit.report(traced((Function(source(), "load", 2), [(3, 1, 1, 0, 1, 1)])), csv_lines="-")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "text of line 3" in err


def test_the_csv_is_of_one_recording(traced, tmp_path):
    with pytest.raises(memkit.UsageError, match="--csv-lines takes one recording, not 2"):
        memkit.report([traced(), traced()], csv_lines=tmp_path / "a.csv", quiet=True)
    assert os.listdir(tmp_path) == []


def test_the_json_has_the_lines_and_how_they_were_traced(traced, source, tmp_path):
    file = source()
    memkit.report(traced((Function(file, "load", 2), [(3, 5, 1, 2, 90, 91, 3, 9, 1)])), json=tmp_path / "a.json", quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["lines"] == [
        {
            "function": {"file": file, "name": "load", "line": 2},
            "number": 3,
            "hits": 5,
            "time": MS,
            "growth": 2 * MIB,
            "memory": 90 * MIB,
            "peak": 91 * MIB,
            "rise": 3 * MIB,
            "rises": 9 * MIB,
            "about": 0,
            "own_rise": MIB,
            "heap": None,
            "own_heap": None,
        }
    ]
    assert found["tracing"] == {**HOW._asdict(), "cost": 280_000, "targets": []}


def test_the_json_of_what_was_not_traced_has_none(made_up, tmp_path):
    memkit.report(made_up((0, 10)), json=tmp_path / "a.json", quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["lines"], found["tracing"]) == ([], None)


@pytest.mark.parametrize("width", [80, 100, 140, 400])
def test_rows_end_with_the_line_of_a_terminal(traced, source, width):
    file = source()
    with open(file, "a") as more:
        more.write(f"\tvalue = {list(range(200))}\n")
    rows = [(3, 1, 0.5, 76.3, 90, 90, 80, 80, 80), (13, 50, 1250, 3, 90, 471.5, 400, 400, 400)]
    functions = [(Function(file, name, 2), rows) for name in ("load", "save")]
    found = list(tables(traced(*functions), width))
    with_source = [line for line in found if "value = [0, 1" in line.plain]
    assert len(with_source) >= 4
    assert all(line.cell_len <= width for line in with_source)
    assert all(line.plain.endswith("…") == (width < 400 or line.cell_len == width) for line in with_source)
    whole = [line.plain for line in tables(traced(*functions)) if "value = [0, 1" in line.plain]
    assert all("198, 199]" in line for line in whole)


def test_a_narrow_terminal_goes_without_some_columns_and_says_so(traced, source):
    recording = traced((Function(source(), "load", 2), [(3, 1, 0.5, 76.3, 90, 90, 80, 80, 80)]))
    for width, heads in ((80, "line growth rise peak source"), (200, "line hits time growth memory rise peak source")):
        rows = [line.plain for line in tables(recording, width)]
        assert [" ".join(row.split()) for row in rows if row.endswith("source")] == [heads]
        assert any("--wide shows all" in row for row in rows) == (width == 80)
        assert any("text of line 3" in row for row in rows)


def test_lines_that_did_next_to_nothing_are_not_marked(traced, source):
    recording = traced((Function(source(), "load", 2), [(3, 1, 1, 0.1, 60, 60), (4, 1, 1, 0, 61, 60)]))
    assert not any("memkit.mark" in str(span.style) for line in tables(recording) for span in line.spans)
