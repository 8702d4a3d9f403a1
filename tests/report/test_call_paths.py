"""The tree of calls, the list of functions, their CSV and JSON, on recordings made by hand."""

import json
from dataclasses import replace

import pytest

import memkit
from memkit.model.recording import Function, Tracing
from memkit.report.reporters.call_paths import LIST, MOST_FUNCTIONS, TREE, cost, page
from memkit.report.transforms import LONGEST_CHAIN, MOST_PATHS

MIB = 1 << 20
MAIN = "<thread MainThread>"
FIRST_IN_TREE, FIRST_IN_LIST = (sum(width + 1 for name, width in columns if name != "rise") + 1 for columns in (TREE, LIST))
"""Where the functions stand."""


def shown(recording, sort=None, **more):
    return [line.plain.rstrip() for line in page(recording, sort, **more)]


def tree(recording, sort=None):
    """The rows of the tree: (depth, name)."""
    lines = shown(recording, sort)
    rows = [line[FIRST_IN_TREE:] for line in lines[3 : lines.index("", 1)] if not line.startswith("and ")]
    return [((len(row) - len(row.lstrip())) // 2, row.split("  load.py")[0].strip()) for row in rows]


def listed(recording, sort=None):
    """The rows of the list, without their head: names."""
    lines = shown(recording, sort)
    rows = lines[lines.index("", 1) + 3 : -2]
    return [row[FIRST_IN_LIST:].split("  load.py")[0] for row in rows if not row.startswith("and ")]


PROGRAM = (
    (0, MAIN, 0.1, 1, 1, 12),
    *((1, "main", 0.5, 1, 30, 110), (2, "read", 40, 1, 900, 90), (3, "numpy.ones", 30, 5, 200, 120)),
    *((2, "clean", -12, 3, 400, 118), (1, "put", 0.03, 40_000, 30, 20)),
)


def test_the_whole_page(called):
    assert shown(called(*PROGRAM), hidden=1) == [
        "",
        "calls grew memory by 58.6 MiB; the paths that grew most",
        "     growth    %         own       peak      calls       time    %  function",
        "  +58.6 MiB 100%  +102.4 KiB  120.0 MiB          1     1.56 s 100%  <thread MainThread>",
        "  +58.5 MiB 100%  +512.0 KiB  120.0 MiB          1     1.53 s  98%    main  load.py:10",
        "  +70.0 MiB 119%   +40.0 MiB  120.0 MiB          1     1.10 s  70%      read  load.py:10",
        "  +30.0 MiB  51%   +30.0 MiB  120.0 MiB          5     200 ms  13%        numpy.ones",
        "  -12.0 MiB -20%   -12.0 MiB  118.0 MiB          3     400 ms  26%      clean  load.py:10",
        "and 1 path more that grew by less; --csv-calls and --json have them all",
        "1 path counted with these, those of libraries with their callers; --show-all shows libraries",
        "",
        "the functions that grew most themselves, without what they called",
        "        own    %      growth   own peak      calls   own time       time  function",
        "  +40.0 MiB  68%   +70.0 MiB   90.0 MiB          1     900 ms     1.10 s  read  load.py:10",
        "  +30.0 MiB  51%   +30.0 MiB  120.0 MiB          5     200 ms     200 ms  numpy.ones",
        " +512.0 KiB   1%   +58.5 MiB  110.0 MiB          1    30.0 ms     1.53 s  main  load.py:10",
        "  +30.7 KiB   0%   +30.7 KiB   20.0 MiB     40,000    30.0 ms    30.0 ms  put  load.py:10",
        "",
        "gate perf: 500 reads for 40,011 calls; resident memory, ±0.1 MiB; tracing by monitoring cost about 1.00 ms",
    ]


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_what_grew_most_comes_first_and_what_shrank_last(called):
    recording = called((0, MAIN, 0), (1, "shrank", -5), (1, "little", 2), (1, "most", 30))
    assert tree(recording) == [(0, MAIN), (1, "most"), (1, "little"), (1, "shrank")]


def test_a_leak_is_found_beneath_much_that_was_taken_and_given_back(called):
    churn = [row for k in range(40) for row in ((2, f"work{k}", 0), (3, f"take{k}", 900), (3, f"free{k}", -900))]
    recording = called((0, MAIN, 0), (1, "main", 0), *churn, (2, "cache", 0), (3, "keep", 10))
    assert tree(recording) == [(0, MAIN), (1, "main"), (2, "cache"), (3, "keep")]


def test_what_itself_grew_by_a_tenth_of_all_stands_out(called):
    recording = called((0, MAIN, 0), (1, "main", 2), (2, "keep", 30), (2, "little", 1))
    marked = [line.plain for line in page(recording) if any("memkit.mark" in str(span.style) for span in line.spans)]
    assert [line.split()[-2] for line in marked] == ["keep", "keep"]  # in the tree, and in the list


def test_paths_below_a_hundredth_are_left_out_and_counted(called):
    recording = called((0, MAIN, 0), (1, "most", 100), (1, "little", 0.9), (1, "less", -0.9))
    assert tree(recording) == [(0, MAIN), (1, "most")]
    assert "and 2 paths more that grew by less; --csv-calls and --json have them all" in shown(recording)


def test_the_page_is_cut_where_it_is_full_with_the_weightiest_kept(called):
    recording = called((0, MAIN, 0), *((1, f"f{k}", 10 + k) for k in range(100)))
    rows = tree(recording)
    assert len(rows) == MOST_PATHS
    assert rows[1:] == [(1, f"f{k}") for k in range(99, 99 - len(rows) + 1, -1)]
    assert f"and {101 - MOST_PATHS} paths more that grew by less; --csv-calls and --json have them all" in shown(recording)


def test_the_middle_of_a_long_chain_is_left_out_with_its_sum(called):
    links = [(1 + k, f"link{k}", 0.5) for k in range(20)]
    recording = called((0, MAIN, 0), *links, (21, "keep", 90), (21, "hold", 10))
    lines = shown(recording)[3:14]
    assert [line[FIRST_IN_TREE:].strip().split("  ")[0] for line in lines] == [
        *(MAIN, "link0", "link1", "... 15 calls between", "link17", "link18", "link19", "keep", "hold"),
        *("", ""),
    ]
    assert lines[3].split() == ["+7.5", "MiB", "...", "15", "calls", "between"]


def test_a_short_chain_stands_there_whole(called):
    links = [(k, f"link{k}" if k else MAIN, 0) for k in range(LONGEST_CHAIN - 1)]
    recording = called(*links, (LONGEST_CHAIN - 1, "keep", 90))
    assert len(tree(recording)) == LONGEST_CHAIN


def test_what_grew_itself_is_never_in_the_middle_of_a_chain(called):
    links = [(1 + k, f"link{k}", 20 if k == 10 else 0) for k in range(20)]
    recording = called((0, MAIN, 0), *links, (21, "keep", 90))
    assert "link10" in [name for _, name in tree(recording)]


def test_a_deep_recursion_takes_a_few_rows(called):
    recording = called((0, MAIN, 0), *((1 + k, "walk", 0.1) for k in range(2000)), (2001, "keep", 90))
    assert [name for _, name in tree(recording)] == [MAIN, "walk", "walk", "... 1,996 calls between", "walk", "walk", "keep"]


def test_each_thread_has_its_root(called):
    recording = called((0, MAIN, 1), (0, "<thread A>", 0), (1, "work", 7), (0, "<thread B>", 3))
    assert tree(recording) == [(0, "<thread A>"), (1, "work"), (0, "<thread B>"), (0, MAIN)]


def in_threads(recording, *threads):
    """The same recording, its calls made by these threads."""
    return replace(recording, calls=tuple(call._replace(thread=each) for call, each in zip(recording.calls, threads)))


def test_times_of_threads_that_add_up_to_more_than_the_run_are_explained(called):
    rows = (0, MAIN, 0, 1, 3, 20), (1, "main", 40, 1, 0, 50), (0, "<thread a>", 30, 1, 4, 50)
    recording = in_threads(called(*rows), 1, 1, 2)
    said = "time adds up threads that ran or waited at once: 7.00 ms in a run of 5.00 ms"
    assert said in shown(recording)
    assert said in memkit.mimebundle(recording)["text/html"]
    several = replace(recording, processes=recording.processes * 2)
    assert said.replace("threads", "threads and processes") in shown(several)


def test_times_that_do_not_add_up_to_more_than_the_run_need_no_line(called):
    rows = (0, MAIN, 0, 1, 3, 20), (1, "main", 40, 1, 0, 50), (0, "<thread a>", 30, 1, 2, 50)
    assert not any("time adds up" in line for line in shown(in_threads(called(*rows), 1, 1, 2)))
    one = called((0, MAIN, 40, 1, 7, 20), (1, "main", 40))  # a clock that was off
    assert not any("time adds up" in line for line in shown(one))


def test_times_that_are_not_shown_need_no_line(called):
    rows = (0, MAIN, 0, 1, 3, 20), (1, "main", 40, 1, 0, 50), (0, "<thread a>", 30, 1, 4, 50)
    recording = in_threads(called(*rows), 1, 1, 2)
    assert not any("time adds up" in line for line in shown(recording, width=60))


def test_where_nothing_grew_the_tree_leads_to_the_peak(called):
    recording = called(
        *((0, MAIN, 0), (1, "main", 0), (2, "before", 0, 1, 1, 10), (2, "spike", 0, 1, 1, 20), (3, "sorted", 0, 1, 1, 400)),
        *((2, "after", 0, 1, 500, 11),),
    )
    assert (
        shown(recording)[1] == "in all, calls grew memory by less than 128.0 KiB; the paths to the highest peak, 400.0 MiB"
    )
    assert tree(recording) == [(0, MAIN), (1, "main"), (2, "spike"), (3, "sorted")]
    assert listed(recording)[0] == "sorted"
    assert shown(recording)[3].split()[:2] == ["0", "0"]  # and nothing is a percentage of nothing


def test_what_was_taken_and_given_back_elsewhere_leads_to_the_peak(called):
    recording = called((0, MAIN, 0), (1, "load", 100, 1, 1, 110), (1, "release", -100, 1, 1, 105))
    assert "the paths to the highest peak" in shown(recording)[1]
    assert tree(recording) == [(0, MAIN), (1, "load"), (1, "release")]


def test_where_nothing_rose_either_the_tree_is_by_time(called):
    recording = called((0, MAIN, 0), (1, "quick", 0, 1, 1), (1, "slow", 0, 1, 900), (2, "inner", 0, 1, 50))
    assert shown(recording)[1].endswith("the paths that took longest, of 952 ms")
    assert tree(recording) == [(0, MAIN), (1, "slow"), (2, "inner")]
    assert listed(recording) == ["slow", "inner", "quick"]


def test_the_tree_can_be_by_peak_or_by_time(called):
    recording = called((0, MAIN, 0), (1, "keep", 50, 1, 1, 60), (1, "spike", 0, 1, 1, 400), (1, "slow", 0, 1, 900, 60))
    assert tree(recording) == [(0, MAIN), (1, "keep"), (1, "spike")]  # growth alone would hide the peak
    assert tree(recording, "peak") == [(0, MAIN), (1, "spike"), (1, "keep"), (1, "slow")]
    assert tree(recording, "time") == [(0, MAIN), (1, "slow")]


def test_those_that_only_ran_while_memory_was_high_do_not_lead_to_the_peak(called):
    recording = called(
        *((0, MAIN, 0, 1, 1, 10), (1, "main", 0, 1, 1, 400), (2, "load", 390, 1, 1, 400)),
        *((2, "print", 0, 9, 1, 400), (2, "log", 0, 9, 1, 400)),
    )
    assert tree(recording, "peak") == [(0, MAIN), (1, "main"), (2, "load")]


# -- the list ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (None, ["b", "a", "c"]),
        ("own", ["b", "a", "c"]),
        ("growth", ["a", "b", "c"]),
        ("peak", ["c", "b", "a"]),
        ("calls", ["b", "c", "a"]),
        ("time", ["c", "b", "a"]),
    ],
)
def test_the_list_is_in_the_order_that_is_asked_for(called, sort, names):
    recording = called((0, MAIN, 0), (1, "a", 5, 2, 3, 20), (2, "b", 7, 9, 10, 30), (2, "c", 1, 5, 40, 50))
    assert listed(recording, sort)[:3] == names


def test_a_function_stands_in_the_list_once(called):
    recording = called((0, MAIN, 0), (1, "a", 0), (2, "keep", 5), (1, "b", 0), (2, "keep", 7))
    assert listed(recording) == ["keep"]


def test_the_list_is_cut_where_functions_do_not_matter(called):
    recording = called((0, MAIN, 0), *((1, f"f{k}", 100 if k < 7 else 0.5) for k in range(20)))
    assert len(listed(recording)) == 7
    assert "and 13 functions more" in shown(recording)
    recording = called((0, MAIN, 0), *((1, f"f{k}", 100) for k in range(20)))
    assert len(listed(recording)) == MOST_FUNCTIONS


def test_where_no_function_grew_the_list_says_so(called):
    recording = called((0, MAIN, 0), (1, "free", -30))
    assert shown(recording)[1] == "calls did not grow memory in all; the paths that grew most"
    assert "no function grew" in shown(recording)


def test_the_place_of_a_function_is_short():
    assert memkit.place_of(Function("/home/a/load.py", "f", 12)) == "load.py:12"
    assert memkit.place_of(Function("/home/a/json/__init__.py", "f", 12)) == "json/__init__.py:12"
    assert memkit.place_of(Function("C:\\a\\load.py", "f", 12)) == "load.py:12"
    assert memkit.place_of(Function("<string>", "f", 1)) == "<string>:1"
    assert memkit.place_of(Function("", "numpy.ones", 0)) == ""
    assert memkit.place_of(Function("/a/\udcff.py", "f", 1)) == r"\udcff.py:1"


def test_the_gate_is_named_with_the_reason_and_what_tracing_cost(called):
    from dataclasses import replace

    how = Tracing("settrace", "rusage", "perf_event_open: Permission denied", 150.0, 400.0, 2_000_000, 1_000)
    assert cost(replace(called((0, MAIN, 0)), call_tracing=how)) == (
        "gate rusage (perf_event_open: Permission denied): 1,000 reads for 2,000,000 calls; resident memory, ±0.1 MiB; "
        "tracing by settrace cost about 300 ms"
    )


# -- where it goes -----------------------------------------------------------------------------------------------------


def test_the_page_goes_where_the_summary_goes_after_it(called, capsys):
    recording = called(*PROGRAM)
    memkit.report(recording)
    out, err = capsys.readouterr()
    assert out.index("finished") < out.index("the paths that grew most")
    assert "\x1b" not in out
    assert err == ""
    memkit.report(recording, csv="-")
    out, err = capsys.readouterr()
    assert "numpy.ones" not in out
    assert "numpy.ones" in err
    memkit.report(recording, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_the_pages_of_several_recordings_are_told_apart(called, capsys):
    from dataclasses import replace

    memkit.report([replace(called(*PROGRAM), source=name) for name in ("one.memkit", "two.memkit")])
    lines = capsys.readouterr().out.splitlines()
    titles = [place for place, line in enumerate(lines) if "the paths that grew most" in line]
    assert [lines[place - 2] for place in titles] == ["one.memkit", "two.memkit"]
    memkit.report(replace(called(*PROGRAM), source="one.memkit"))
    assert capsys.readouterr().out.count("one.memkit") == 1  # in the summary


def test_what_was_not_traced_has_no_page(made_up, capsys):
    memkit.report(made_up((0, 10)))
    assert "the paths" not in capsys.readouterr().out


def test_what_was_traced_but_never_called_is_said(called, capsys):
    memkit.report(called())
    assert "no calls were traced: nothing of the program ran" in capsys.readouterr().out


def test_libraries_are_hidden_unless_all_is_asked_for(called, capsys):
    rows = (
        (0, MAIN, 0),
        (1, "main", 0),
        (2, "/usr/lib/python3.13/json/__init__.py:loads", 10),
        (2, "vendor/six.py:wraps", 9),
    )
    recording = called(*rows)
    memkit.report(recording)
    out = capsys.readouterr().out
    assert "loads" not in out
    assert "wraps" in out
    assert "1 path counted with these" in out
    memkit.report(recording, show_all=True)
    out = capsys.readouterr().out
    assert "loads  json/__init__.py:10" in out
    assert "counted with these" not in out
    memkit.report(recording, hide=["vendor/*"])
    out = capsys.readouterr().out
    assert "wraps" not in out
    assert "loads" not in out
    assert "2 paths counted with these" in out
    memkit.report(recording, hide="vendor/*", show_all=True)
    out = capsys.readouterr().out
    assert "wraps" not in out
    assert "loads" in out


def test_another_order_is_refused_with_those_there_are(called):
    with pytest.raises(
        memkit.UsageError, match="--sort 'size': functions can be sorted by own, growth, rise, peak, calls, time"
    ):
        memkit.report(called(*PROGRAM), sort="size", quiet=True)


def test_the_options_work_on_the_command_line(called, memkit, tmp_path):
    from memkit.model import file_format

    rows = [
        *(
            ("function", 0, "", MAIN, 0),
            ("function", 1, "/a/load.py", "keep", 3),
            ("function", 2, "/a/vendor/x.py", "wrap", 3),
        ),
        *(("call", 0, None, 0, 7, 1, 5, 0, 9 * MIB), ("call", 1, 0, 2, 7, 1, 5, 0, 9 * MIB)),
        *(("call", 2, 1, 1, 7, 5, 9, 8 * MIB, 9 * MIB), ("call_tracing", "monitoring", "perf", None, 30.0, 600.0)),
    ]
    about = called().about._asdict()
    (tmp_path / "a.memkit").write_bytes(file_format.header(about) + b"".join(file_format.row(*row) for row in rows))
    done = memkit("report", "--sort", "calls", "--hide", "vendor/*", "--hide=other.py", "--csv-calls", "a.csv", "a.memkit")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the functions that were called most" in done.stdout
    assert "wrap" not in done.stdout
    assert "wrap" in memkit("report", "--show-all", "a.memkit").stdout
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    done = memkit("report", "--sort", "size", "a.memkit")
    assert (done.returncode, done.stdout) == (2, "")
    keys = "own, growth, rise, peak, calls, time, heap, heap-peak, allocated, temporary"
    assert done.stderr == f"memkit: --sort 'size': functions can be sorted by {keys}\n"
    (tmp_path / "time").write_text("a file that is called as an order is")
    done = memkit("report", "-q", "--sort", "time", "--csv-calls", "time", "a.memkit")
    assert (done.returncode, done.stderr) == (0, "")


# -- CSV and JSON ------------------------------------------------------------------------------------------------------


def test_the_csv_has_a_row_for_each_call_hidden_or_not(called, tmp_path):
    library = "/usr/lib/python3.13/json/__init__.py"
    recording = called((0, MAIN, 0, 1, 2, 9, 3, 3), (1, f"{library}:loads", -1, 3, 0.5, 12))
    memkit.report(recording, csv_calls=tmp_path / "a.csv", quiet=True)
    assert (tmp_path / "a.csv").read_text() == (
        "id,parent,file,function,line,thread,calls,time_s,own_time_s,growth_bytes,own_growth_bytes,peak_bytes,own_peak_bytes,"
        "rise_bytes,rises_bytes,about_bytes,allocated_bytes,freed_bytes,alive_bytes,alive_at_peak_bytes,temporary_bytes,blocks,"
        "allocated_error_bytes,freed_error_bytes,alive_error_bytes,alive_at_peak_error_bytes,blocks_error\n"
        f"0,,,{MAIN},0,7,1,0.002500000,0.002000000,{-MIB},0,{12 * MIB},{9 * MIB},{3 * MIB},{3 * MIB},0,,,,,,,,,,,\n"
        f"1,0,{library},loads,10,7,3,0.000500000,0.000500000,{-MIB},{-MIB},{12 * MIB},{12 * MIB},,,0,,,,,,,,,,,\n"
    )


def test_the_csv_is_of_one_recording(called, tmp_path):
    with pytest.raises(memkit.MemkitError, match="--csv-calls takes one recording, not 2"):
        memkit.report([called(), called()], csv_calls=tmp_path / "a.csv", quiet=True)
    assert not (tmp_path / "a.csv").exists()


def test_the_json_has_the_calls_and_how_they_were_traced(called, tmp_path):
    recording = called((0, MAIN, 1), (1, "keep", 2, 1, 1, 10, 4, 5))
    memkit.report(recording, json=tmp_path / "a.json", quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["calls"][0]["parent"] is None
    assert found["calls"][1] == {
        "id": 1,
        "parent": 0,
        "function": {"file": "load.py", "name": "keep", "line": 10},
        "thread": 7,
        "calls": 1,
        "time": 1_000_000,
        "growth": 2 * MIB,
        "own_time": 1_000_000,
        "own_growth": 2 * MIB,
        "peak": 10 * MIB,
        "own_peak": 10 * MIB,
        "rise": 4 * MIB,
        "rises": 5 * MIB,
        "about": 0,
        "handed": None,
        "process": None,
        "alone": None,
        "heap": None,
        "own_heap": None,
    }
    assert found["call_tracing"] == {
        **recording.call_tracing._asdict(),
        "cost": recording.call_tracing.cost,
        "targets": [],
    }


def test_the_json_of_what_was_not_traced_has_none(made_up, tmp_path):
    memkit.report(made_up((0, 10)), json=tmp_path / "a.json", quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["calls"], found["call_tracing"]) == ([], None)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_rows_of_the_tree_end_with_the_line_of_a_terminal(called, width):
    recording = called((0, MAIN, 0), (1, "main", 2), (2, "keep_" + "x" * 300, 30))
    rows = [line for line in page(recording, width=width) if "keep_" in line.plain]
    assert len(rows) == 2 and all(line.cell_len == width and line.plain.endswith("…") for line in rows)
    assert any("--wide shows all" in line.plain for line in page(recording, width=width)) == (width < 110)
