"""The console summary, on recordings made by hand."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Cost, Crossing, Frame, Limit, Span, Stack, Total
from memkit.report.reporters.console import Curve, Hide, _program, summary

MIB = 1 << 20
MS = 1_000_000
JOBS = OutOfMemory("oom_kill", (), "cgroup", "cgroup /jobs", 0, 1)
OF_MACHINE = OutOfMemory("oom_kill", (), "machine", "this machine", 0, 1)


def lines(recording, width=60, unicode=True):
    return [line.plain.rstrip() for line in summary(recording, width, unicode)]


def test_nothing_that_a_program_is_called_commands_the_terminal(tree):
    recording = tree([(0, 10), (1000, 10)], {77: ([(0, 5), (9, 5)],)}, [(0, 10, 10), (9, 9, 9)], argv=("we\x1b[31mird",))
    evil = "\x1b]0;title\x1b"
    processes = tuple(process._replace(command=f"job {evil}") for process in recording.processes)
    spans = (Span(evil, 7, 0, 100 * MS, 600 * MS, 10 * MIB, 20 * MIB, 90 * MIB),)
    found = lines(replace(recording, processes=processes, spans=spans, source=evil), width=120)
    assert found[0] == "memkit   we?[31mird: finished"
    assert sum("?]0;title?" in line for line in found) == 4
    assert "\x1b" not in "".join(found)


def test_the_whole_summary(made_up):
    recording = made_up(
        (0, 10),
        (500, 20, 90),
        (1000, 20),
        spans=[Span("load", 7, 0, 100 * MS, 600 * MS, 10 * MIB, 20 * MIB, 90 * MIB)],
        source="load.memkit",
    )
    assert lines(recording) == [
        "memkit   load.py data.csv: finished",
        "took     1.00 s",
        "memory   10.0 MiB at the start, 20.0 MiB at the end: +10.0 MiB",
        "peak     90.0 MiB, reached by 500 ms, exact",
        "",
        "    90.0 MiB┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "            ┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "            ┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "            ┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "    45.0 MiB┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "            ┤░░░░░░░░░░░░░░░░░░░░░░░░",
        "            ┤░░░░░░░░░░░░░░░░░░░░░░░▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆",
        "            ┤▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇███████████████████████",
        "           0 s                                       1.00 s",
        "",
        "span                 took        growth       rise         peak",
        "load               500 ms     +10.0 MiB   80.0 MiB     90.0 MiB",
        "",
        "cost     3 samples, 1.50 ms of CPU, 0.1% of a core",
        "saved    load.memkit",
    ]


def test_the_first_line_says_how_it_ended(made_up):
    ending = Ending("killed", signal=9, out_of_memory=JOBS, finished=False)
    first = lines(made_up((0, 10), ending=ending))[0]
    assert first == "memkit   load.py data.csv: killed by SIGKILL, out of memory (cgroup /jobs: oom_kill rose by 1)"


def test_a_kill_of_another_process_of_the_group_is_a_line_of_its_own(made_up):
    recording = replace(made_up((0, 10), ending=Ending("exited", code=9)), oom_kills=JOBS)
    shown = lines(replace(recording, limits=(Limit("cgroup /", 9, 8, "cgroup"), Limit("cgroup /jobs", 99, 8, "cgroup"))))
    assert shown[:2] == [
        "memkit   load.py data.csv: exited with code 9",
        "kills    cgroup /jobs: oom_kill rose by 1 while it ran",
    ]
    assert [line.split(",")[0] for line in shown if line.startswith("limit")] == [
        "limit    cgroup /",
        "limit    cgroup /jobs",
    ]


def test_a_child_that_was_killed_for_want_of_memory_stands_out(tree):
    ending = Ending("killed", signal=9, out_of_memory=OF_MACHINE, finished=False)
    shown = lines(tree([(0, 10), (9, 10)], {77: ([(1, 20), (4, 20)], ending)}, [(0, 10, 10), (9, 30, 30)]))
    assert shown[:2] == ["memkit   load.py data.csv: finished", "kills    this machine: oom_kill rose by 1 while it ran"]
    assert any("  77   4242 " in line and "killed by SIGKILL, out of memory work.py" in line for line in shown)


def test_a_child_that_was_left_running_is_told_in_two_words(tree):
    left = Ending("detached", finished=False)
    shown = lines(tree([(0, 10), (9, 10)], {77: ([(1, 20), (4, 20)], left)}, [(0, 10, 10), (9, 30, 30)]))
    assert any("  77   4242 " in line and " still running work.py" in line for line in shown)


def test_an_exact_peak_says_how_far_it_can_be_off(made_up):
    def peak(error, **changes):
        return lines(made_up((0, 10), (5, 12), peaks_error=error, **changes))[3].partition("5.00 ms, ")[2]

    assert peak(507_904) == "exact to 0.5 MiB"
    assert peak(4096) == peak(None) == "exact"
    assert peak(507_904, peaks="samples").startswith("highest seen")


def test_a_peak_that_may_have_been_higher_says_so(made_up):
    shown = lines(made_up((0, 10), (5, 12), peaks="samples", peaks_reason="no clear_refs"))
    assert "highest seen; between two samples it may have been higher (no clear_refs)" in shown[3]


def test_what_a_kill_left_unwritten_is_no_part_of_the_claim(made_up):
    killed = Ending("killed", signal=9, finished=False)
    shown = lines(made_up((0, 10), (5, 12), took=80, ending=killed))
    assert shown[3] == "peak     12.0 MiB, reached by 5.00 ms, highest recorded; the last 75.0 ms were lost"


def test_a_recording_without_samples_says_so(made_up):
    assert lines(made_up(took=5))[:3] == [
        "memkit   load.py data.csv: finished",
        "took     5.00 ms",
        "memory   no samples were recorded",
    ]


def test_missed_ticks_and_unread_rows_are_shown(made_up):
    shown = lines(replace(made_up((0, 10), (9, 11)), cost=Cost(1998, 2, None), unread=3))
    assert any(line.startswith("cost     2 samples, 2 missed ticks") for line in shown)
    assert any("3 rows of the recording are broken or unknown" in line for line in shown)


def test_a_meter_that_is_not_rss_is_named(made_up):
    assert "+1.0 MiB of pss" in lines(made_up((0, 10), (5, 11), meter="pss"))[2]


def test_memory_that_hardly_moved_has_no_curve(made_up):
    shown = lines(made_up((0, 100), (5, 101)))
    assert "curve    flat" in shown
    assert not any("┤" in line for line in shown)


def test_a_curve_fits_narrow_terminals_and_plain_encodings(made_up):
    recording = made_up((0, 10), (500, 20, 90), (1000, 20), spans=[Span("x" * 99, 7, 0, 1, 2, 1, 1, 1)])
    for width in (20, 40, 200):
        curve = [line.plain for line in Curve(recording, width).lines()]
        assert max(map(len, curve)) <= max(width, 24)
    plain = "\n".join(lines(recording, unicode=False)[4:14])
    assert plain.isascii()
    assert "#" in plain
    assert ":" in plain


def test_a_curve_marks_a_peak_back_to_the_sample_before(made_up):
    memory, peak = made_up((0, 10), (900, 10, 80), (1000, 10)).columns(100)
    assert memory[1] == memory[50] == 10 * MIB
    assert peak[0] == peak[45] == peak[90] == 80 * MIB
    assert peak[99] == 10 * MIB


def test_only_the_spans_that_rose_most_are_shown(made_up):
    spans = [Span(f"s{number}", 7, 0, number, number + 1, 0, 0, number) for number in range(30)]
    shown = "\n".join(lines(made_up((0, 10), spans=spans)))
    assert "s29 " in shown
    assert "s10 " in shown
    assert "s9 " not in shown
    assert "and 10 more that rose less" in shown


def test_an_unfinished_span_says_so(made_up):
    shown = lines(made_up((0, 10), (9, 90), spans=[Span("doomed", 7, 0, 5, None, 10 * MIB, None, 90 * MIB)]))
    [row] = [line for line in shown if line.startswith("doomed")]
    assert row.split()[1:] == ["unfinished", "?", "80.0", "MiB", "90.0", "MiB"]


def test_the_summary_is_plain_where_it_is_not_a_terminal(made_up, capsys):
    memkit.report(made_up((0, 10), (500, 20, 90), (1000, 20)))
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    assert err == ""


def test_the_summary_keeps_out_of_what_goes_to_standard_output(made_up, capsys):
    memkit.report(made_up((0, 10)), csv="-")
    out, err = capsys.readouterr()
    assert out.startswith("time_s,")
    assert "finished" not in out
    assert "finished" in err


def test_markup_in_a_command_line_is_text(made_up, capsys):
    memkit.report(made_up((0, 10), argv=("[bold]x[/bold].py",)))
    assert "[bold]x[/bold].py" in capsys.readouterr().out


# -- limits ----------------------------------------------------------------------------------------------------------

GIB = 1 << 30
GROUP = Limit("cgroup /jobs", 2 * GIB, GIB, "cgroup")
ALONE = " (counting this program only)"
SPACE = Limit("RLIMIT_AS", 3 * GIB, 2 * GIB + 5, "address space")
MACHINE = Limit("memory of this machine", 16 * GIB, 4 * GIB, "machine")


def limits_of(recording, *limits):
    return [line for line in lines(replace(recording, limits=limits)) if line.startswith("limit")]


def test_the_nearest_limit_is_shown_with_what_the_program_left_of_it(made_up):
    recording = made_up((0, 10), (5, 20, 266), (9, 20))
    assert limits_of(recording, GROUP, MACHINE) == [
        f"limit    cgroup /jobs, 2.0 GiB: 1.0 GiB left at the start; 768.0 MiB were still free at the peak{ALONE}"
    ]
    assert limits_of(recording) == []


@pytest.mark.parametrize(
    ("peak", "words"),
    [(834, "; only 200.0 MiB were still"), (1034, "; nothing was still"), (9000, "; nothing was still")],
)
def test_a_limit_that_was_near_stands_out(made_up, peak, words):
    recording = replace(made_up((0, 10), (5, 20, peak)), limits=(GROUP,))
    [line] = [line for line in summary(recording) if line.plain.startswith("limit")]
    assert words in line.plain
    assert any(span.style == "memkit.mark" for span in line.spans)


def test_where_memory_may_have_been_higher_less_may_have_been_left(made_up):
    recording = made_up((0, 10), (5, 266), peaks="samples")
    assert "; at most 768.0 MiB were still free" in limits_of(recording, GROUP)[0]
    assert "; no more than 200.0 MiB were still free" in limits_of(made_up((0, 10), (5, 834), peaks="samples"), GROUP)[0]


def test_a_limit_of_something_else_is_shown_with_the_nearest_of_memory(made_up):
    first, second = limits_of(made_up((0, 10), (5, 266)), SPACE, GROUP, MACHINE)
    assert first.startswith(
        "limit    RLIMIT_AS, 3.0 GiB: 1024.0 MiB left at the start; it counts address space, which was not"
    )
    assert second.startswith("limit    cgroup /jobs, 2.0 GiB")


def test_address_space_is_reckoned_with_where_it_was_measured(made_up):
    first, *others = limits_of(made_up((0, 10), (5, 522), meter="vms"), SPACE, GROUP)
    assert first.endswith(f"; 512.0 MiB were still free at the peak{ALONE}")
    assert others == []
    assert limits_of(made_up((0, 10), meter="vms"), GROUP)[0].endswith(
        "what was still free at the peak cannot be told from vms"
    )


@pytest.mark.parametrize(("ending", "style"), [(Ending("detached"), "bold"), (Ending("error", "E"), "memkit.bad")])
def test_an_ending_stands_out_where_something_went_wrong(made_up, ending, style):
    first = next(summary(made_up((0, 10), ending=ending)))
    assert [str(span.style) for span in first.spans if first.plain[span.start : span.end] == str(ending)] == [style]


def test_without_samples_only_the_start_is_known(made_up):
    assert limits_of(made_up(), GROUP)[0].endswith(
        "1.0 GiB left at the start; what was still free at the peak cannot be told without samples"
    )


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (JOBS, "cgroup /jobs"),
        (OF_MACHINE, "memory of this machine"),
        (OutOfMemory("refused"), "RLIMIT_AS"),
    ],
)
def test_a_limit_that_the_ending_names_stands_out(made_up, evidence, name):
    ending = Ending("killed", signal=9, out_of_memory=evidence, finished=False)
    recording = replace(
        made_up((0, 10), ending=ending), limits=(Limit("cgroup /", GIB, GIB, "cgroup"), GROUP, SPACE, MACHINE)
    )
    shown = [line for line in summary(recording) if line.plain.startswith("limit")]
    assert [line.plain[9:].split(",")[0] for line in shown] == ["cgroup /", name]
    assert [any(span.style == "memkit.bad" for span in line.spans) for line in shown] == [False, True]


def test_of_processes_summed_by_their_shares_the_headroom_is_that_of_all(made_up):
    totals = (Total(2 * MS, 30 * MIB, 40 * MIB), Total(5 * MS, 542 * MIB, 800 * MIB))
    recording = replace(made_up((0, 10), (2, 12), (5, 20)), totals=totals, summed="pss")
    assert limits_of(recording, GROUP)[0].endswith(f"; about 510.0 MiB were still free at the peak{ALONE}")
    assert limits_of(replace(recording, summed="rss"), GROUP)[0].endswith("cannot be told from the sum of RSS")
    assert limits_of(recording, SPACE)[0].endswith("; it counts address space, of each process by itself")


# -- crossings -------------------------------------------------------------------------------------------------------


def test_a_limit_that_was_reached_says_when_and_what_was_done(made_up):
    crossings = (
        Crossing(2 * MS, 20 * MIB, 20 * MIB, "rss", "report"),
        Crossing(3 * MS, 30 * MIB, 25 * MIB, "rss", "stop"),
        Crossing(4 * MS, 2 * GIB, int(1.6 * GIB), "cgroup /jobs", "raise"),
    )
    recording = replace(made_up((0, 10), (5, 30)), limits=(GROUP,), crossings=crossings)
    assert [line for line in lines(recording) if line.startswith("reached")] == [
        "reached  20.0 MiB of rss after 2.00 ms",
        "reached  25.0 MiB of rss after 3.00 ms: the program was stopped",
        "reached  80% of cgroup /jobs (1.6 GiB) after 4.00 ms: MemoryError raised",
    ]
    many = replace(recording, crossings=crossings * 4)
    assert "         and 9 more times, the last after 4.00 ms" in lines(many)


def test_stacks_are_shown_with_their_source_the_main_thread_first(made_up, tmp_path):
    source = tmp_path / "load.py"
    source.write_text("def load():\n    return [bytes(1000) for _ in range(1000)]\n")
    frames = (Frame(str(source), 2, "load"), *[Frame("<string>", 1, f"f{number}") for number in range(9)])
    stacks = (Stack(8, None, frames), Stack(7, "MainThread", frames))
    crossing = Crossing(2 * MS, 21 * MIB, 20 * MIB, "rss", "report", stacks)
    recording = replace(made_up((0, 10), (5, 30), began=4e9), crossings=(crossing,))
    shown = lines(recording)
    assert shown[shown.index("where the threads were after 2.00 ms, at 21.0 MiB") :][:13] == [
        "where the threads were after 2.00 ms, at 21.0 MiB",
        "  MainThread",
        "    load.py:2 load  return [bytes(1000) for _ in range(1000)]",
        *[f"    <string>:1 f{number}" for number in range(5)],
        "    called through 4 more",
        "  thread 8",
        "    load.py:2 load  return [bytes(1000) for _ in range(1000)]",
        "    <string>:1 f0",
        "    <string>:1 f1",
    ]
    changed = replace(recording, about=recording.about._replace(began=1.0))
    assert "    load.py:2 load" in lines(changed)


def test_a_stack_in_a_template_has_no_lines_of_its_file(made_up, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<ul>\n<li>{{ n }}</li>\n</ul>\n")
    crossing = Crossing(2 * MS, 9, 8, "rss", "report", (Stack(7, "MainThread", (Frame(str(page), 2, "root"),)),))
    shown = lines(replace(made_up((0, 10), (5, 30), began=4e9), crossings=(crossing,)))
    assert "    page.html:2 root" in shown


SITE = "/usr/lib/python3.13/site-packages"
IN_LIBRARIES = (
    Frame(f"{SITE}/numpy/core.py", 1, "grow"),
    Frame(f"{SITE}/pandas/io.py", 2, "_read"),
    Frame(f"{SITE}/pandas/io.py", 3, "read_csv"),
    Frame("load.py", 4, "load"),
    Frame("/usr/lib/python3.13/runpy.py", 5, "run"),
    Frame("vendor/tool.py", 6, "call"),
    Frame("load.py", 7, "main"),
    Frame("<frozen runpy>", 8, "_run_code"),
)


def stack_shown(recording, **hide):
    shown = [line.plain.rstrip() for line in summary(recording, hide=Hide(**hide))]
    return shown[shown.index("  MainThread") + 1 : shown.index("", shown.index("  MainThread"))]


def test_a_stack_begins_with_own_frames_and_folds_libraries(made_up):
    crossing = Crossing(2 * MS, 21 * MIB, 20 * MIB, "rss", "report", (Stack(7, "MainThread", IN_LIBRARIES),))
    recording = replace(made_up((0, 10), (5, 30)), crossings=(crossing,))
    assert stack_shown(recording) == [
        "    load.py:4 load    ... 3 frames of numpy, pandas",
        "    tool.py:6 call    ... 1 frame of runpy",
        "    load.py:7 main",
        "    called through 1 more",
    ]
    assert stack_shown(recording, globs=["vendor/*"]) == [
        "    load.py:4 load    ... 3 frames of numpy, pandas",
        "    load.py:7 main    ... 2 frames of runpy, tool",
        "    called through 1 more",
    ]
    assert [line.split()[1] for line in stack_shown(recording, libraries=False)][:3] == ["grow", "_read", "read_csv"]


def test_a_stack_of_nothing_but_libraries_is_shown_as_it_is(made_up):
    crossing = Crossing(2 * MS, 21 * MIB, 20 * MIB, "rss", "report", (Stack(7, "MainThread", IN_LIBRARIES[:2]),))
    recording = replace(made_up((0, 10), (5, 30)), crossings=(crossing,))
    assert stack_shown(recording) == ["    core.py:1 grow", "    io.py:2 _read"]


def test_of_many_crossings_only_the_first_and_last_stacks_are_shown(made_up):
    stacks = tuple(Stack(number, f"t{number}", (Frame("a.py", 1, "a"),)) for number in range(9))
    crossings = tuple(Crossing(number * MS, MIB, MIB, "rss", "report", stacks) for number in range(1, 8))
    shown = lines(replace(made_up((0, 10), (9, 30)), crossings=crossings))
    assert [line for line in shown if line.startswith("where")] == [
        "where the threads were after 1.00 ms, at 1.0 MiB",
        "where the threads were after 7.00 ms, at 1.0 MiB",
    ]
    assert shown.count("  and 3 more threads; --json has them") == 2
    once = lines(replace(made_up((0, 10), (9, 30)), crossings=crossings[:1]))
    assert len([line for line in once if line.startswith("where")]) == 1


# -- trees of processes ----------------------------------------------------------------------------------------------

KILLED = Ending("killed", signal=9, finished=False)


@pytest.fixture
def small_tree(tree):
    children = {5: ([(2, 20), (4, 30, 90)], KILLED), 6: ([(2, 10), (8, 12)], Ending("unknown", finished=False))}
    return tree([(0, 10), (4, 20), (8, 11)], children, [(0, 8, 10), (4, 45, 60, 3), (8, 18, 20)])


def test_the_total_of_all_processes_comes_first_and_says_how_it_was_summed(small_tree):
    assert lines(small_tree)[2:6] == [
        "together 45.0 MiB at the peak, seen at 4.00 ms; 3 processes",
        "summed   by PSS: a shared page counts once; between its readings estimated from the change in RSS: "
        "the peak seen was between 42.0 MiB and 48.0 MiB",
        "memory   10.0 MiB at the start, 11.0 MiB at the end: +1.0 MiB of the first process",
        "peak     20.0 MiB of the first process, reached by 4.00 ms, exact",
    ]


def test_followed_processes_are_added_up_by_their_samples(small_tree):
    followed = lines(replace(small_tree, totals=(), summed=None))
    assert followed[2:7] == [
        "together sum of RSS 60.0 MiB at the most, seen at 4.00 ms; 3 processes",
        "summed   by the samples of each process; what was higher between two is missing, and a shared page counts once for "
        "each that has it",
        "largest  90.0 MiB of process 5, /usr/bin/python3 work.py 5, reached by 4.00 ms",
        "memory   10.0 MiB at the start, 11.0 MiB at the end: +1.0 MiB of the first process",
        "peak     20.0 MiB of the first process, reached by 4.00 ms, exact",
    ]


def test_a_process_that_has_ended_is_in_no_sum(tree):
    recording = tree([(0, 10), (9, 40)], {5: ([(1, 25), (2, 30)], Ending("ok")), 6: ([(6, 25), (7, 20)], Ending("ok"))}, [])
    told = [line for line in lines(recording) if line.startswith(("together", "largest"))]
    assert told == ["together sum of RSS 40.0 MiB at the most, seen at 2.00 ms; 2 processes"]
    assert not any(line.startswith("together") for line in lines(replace(recording, others=())))
    vms = replace(recording, about=recording.about._replace(meter="vms"))
    assert not any(line.startswith("together") for line in lines(vms))


def test_a_total_that_is_unsure_at_another_moment_makes_the_peak_unsure(tree):
    recording = tree([(0, 10), (8, 11)], {}, [(0, 8, 10), (4, 45, 60, 0), (6, 40, 60, 25), (8, 18, 20)])
    assert lines(recording)[3].endswith(": the peak seen was between 45.0 MiB and 60.0 MiB")
    read = replace(recording, totals=tuple(total._replace(estimated=0) for total in recording.totals))
    assert lines(read)[3].endswith("estimated from the change in RSS")


def test_a_sum_of_rss_is_called_one_and_why_it_is_no_better(small_tree):
    assert lines(replace(small_tree, summed="rss", summed_reason="no smaps_rollup"))[2:4] == [
        "together sum of RSS 45.0 MiB at the peak, seen at 4.00 ms; 3 processes",
        "summed   by RSS, in which a shared page counts once for each process that has it (no smaps_rollup)",
    ]


def test_what_a_tree_misses_is_said(small_tree):
    refused = replace(small_tree, summed_reason="smaps_rollup of process 5: permission denied")
    assert lines(refused)[3].endswith("48.0 MiB (smaps_rollup of process 5: permission denied)")
    looked = replace(small_tree, seen="looks", seen_reason="perf_event_open: not permitted")
    assert lines(looked)[4] == (
        "seen     by polling: processes that came and went between two polls are missing (perf_event_open: not permitted)"
    )
    assert not any(line.startswith("seen") for line in lines(replace(small_tree, seen="events")))


def test_the_curve_of_a_tree_is_that_of_all_processes(small_tree):
    shown = lines(small_tree)
    assert shown[shown.index("all processes together") + 1].startswith("    45.0 MiB┤")
    alone = lines(replace(small_tree, totals=(), summed=None))
    assert not any(line.startswith("all processes") for line in alone)
    assert any(line.startswith("    20.0 MiB┤") for line in alone)


def test_each_process_is_a_row_those_that_rose_highest_first(small_tree):
    shown = lines(small_tree)
    head = next(number for number, line in enumerate(shown) if line.startswith("process"))
    assert shown[head:][:4] == [
        "process parent started    took     peak      end ending            command",
        "      5   4242 2.00 ms 2.00 ms 90.0 MiB 30.0 MiB killed by SIGKILL work.py 5",
        "   4242      1     0 s 8.00 ms 20.0 MiB 11.0 MiB finished          load.py data.csv",
        "      6   4242 2.00 ms       ? 12.0 MiB 12.0 MiB not known         work.py 6",
    ]
    [row] = [line for line in summary(small_tree) if line.plain.startswith("      5")]
    assert [span.style for span in row.spans] == ["memkit.bad"]


def test_commands_that_differ_only_at_their_ends_are_told_apart(small_tree):
    folder = "/srv/shop/releases/2024-11-30/code/of/the/service"
    processes = tuple(
        process._replace(command=f"/usr/bin/python3 {folder}/work_{number}.py")
        for number, process in enumerate(small_tree.processes)
    )
    shown = lines(replace(small_tree, processes=processes))
    head = next(number for number, line in enumerate(shown) if line.startswith("process"))
    assert [line.rpartition("  ")[2].split()[-1] for line in shown[head + 1 :][:3]] == [
        f"/srv/shop/...e/work_{number}.py" for number in (1, 0, 2)
    ]


def test_of_many_processes_the_rest_is_one_line_that_tells_of_failures(tree):
    ending = Ending("exited", code=3)
    children = {pid: ([(1, 500 - pid), (2, 500 - pid)], *[ending] * (pid % 40 == 0)) for pid in range(100, 300)}
    shown = lines(tree([(0, 10), (9, 10)], children, [(0, 10, 10), (9, 10, 10)]))
    start = next(number for number, line in enumerate(shown) if line.startswith("process"))
    assert [line.split()[0] for line in shown[start + 1 :][:12]] == [f"{pid}" for pid in range(100, 112)]
    assert shown[start + 13] == (
        "and 189 more, each 388.0 MiB at most; 5 of them failed: "
        "120 exited with code 3, 160 exited with code 3, 200 exited with code 3, ..."
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [(0, "and 9 more, whose memory was not seen"), (15, "and 9 more, each 500.0 MiB at most where it was seen")],
)
def test_of_the_rest_of_many_processes_no_more_is_said_than_was_seen(tree, seen, words):
    children = {pid: ([(1, 500), (2, 500)],) for pid in range(100, 120)}
    recording = tree([(0, 10), (9, 10)], children, [(0, 10, 10), (9, 10, 10)])
    others = tuple(sample for sample in recording.others if sample.pid < 100 + seen)
    assert words in lines(replace(recording, others=others))


def test_without_totals_nothing_is_said_of_what_was_left_for_all(small_tree):
    recording = replace(small_tree, totals=(), summed=None)
    assert limits_of(recording, GROUP)[0].endswith("; what all processes used of it together was not recorded")


def test_a_command_is_shown_without_what_says_little():
    assert _program("/usr/bin/python3.13 -m pool") == "-m pool"
    assert _program("/usr/bin/sort -u a.txt") == "sort -u a.txt"
    assert (_program("python3"), _program("")) == ("python3", "")
