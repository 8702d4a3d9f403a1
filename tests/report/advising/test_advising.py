"""Advice: what each rule finds, what it must not say, and that it names what it is drawn from."""

import json
from dataclasses import replace

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.heap import Heap, HeapTotal
from memkit.model.overhead import Tracing
from memkit.model.recording import Call, Function, Line, Process
from memkit.report.advising import page
from memkit.report.advising.findings import missing
from memkit.system.balance_rows import Balance, BalanceRow

MIB = 1 << 20
HEAP = HeapTotal("python, c", 0, 100 * MIB, 0)
NUMPY = "/usr/lib/python3/site-packages/numpy/"


def line(name, number, *, peak, rise, growth, own=None, hits=1, held=None, blocks=1):
    """A line of ``job.py``; sizes are MiB."""
    rise, own, growth = rise * MIB, (rise if own is None else own) * MIB, growth * MIB
    heap = None if held is None else Heap(held * MIB, 0, held * MIB, 0, blocks, 0)
    sums = int(growth), 0, peak * MIB, int(rise), int(rise) * hits, 0, int(own)
    return Line(Function("/job/job.py", name, 1), number, hits, 1, *sums, heap=heap, own_heap=heap)


@pytest.fixture
def recorded(made_up):
    """A function that makes a recording with a peak of 100 MiB."""

    def make(*lines, **changes):
        return replace(made_up((0, 10), (5, 60, 100)), lines=tuple(lines), **changes)

    return make


def test_what_is_needed_on_the_way_is_told_with_its_result(recorded):
    [advice] = memkit.advise(
        recorded(
            line("<module>", 20, peak=100, rise=90, growth=40, own=0),
            line("work", 3, peak=60, rise=50, growth=50),
            line("work", 4, peak=100, rise=40, growth=40),
        )
    )
    assert (advice.key, advice.of, advice.rows) == ("temporary", "peak", ("<module>, job.py:20",))
    assert advice.estimate == 40 * MIB  # without it the peak would be the 60 MiB of the next line
    assert "90.0 MiB, 50.0 MiB of it did not stay" in advice.measured and "60.0 MiB" in advice.guessed


def test_the_innermost_of_several_lines_around_it_is_named(recorded):
    outer = line("<module>", 20, peak=100, rise=90, growth=30, own=0)
    inner = line("sums", 7, peak=100, rise=70, growth=10)
    assert memkit.advise(recorded(outer, inner))[0].rows == ("sums, job.py:7",)


def test_a_call_that_keeps_nothing_is_the_program_and_no_advice(recorded):
    main = line("<module>", 30, peak=100, rise=90, growth=0, own=0)
    assert memkit.advise(recorded(main, line("main", 3, peak=100, rise=80, growth=80))) == ()


def test_a_line_that_was_not_at_the_peak_is_no_advice(recorded):
    early = line("early", 3, peak=80, rise=70, growth=0)
    assert memkit.advise(recorded(early, line("late", 9, peak=100, rise=90, growth=90))) == ()


def test_a_loop_counts_what_one_of_its_runs_did_not_keep(recorded):
    [advice] = memkit.advise(recorded(line("step", 3, peak=100, rise=20, growth=100, hits=10)))
    assert advice.estimate == 10 * MIB and "in one of 10 runs" in advice.measured


def test_two_lines_that_hold_the_same_are_told_as_a_guess(recorded):
    one = line("load", 3, peak=50, rise=40, growth=40, held=30, blocks=1000)
    other = line("copy", 9, peak=90, rise=40, growth=40, held=30, blocks=1001)
    [advice] = memkit.advise(recorded(one, other, heap=HEAP))
    assert (advice.key, advice.estimate) == ("copies", 30 * MIB)
    assert advice.rows == ("load, job.py:3", "copy, job.py:9")
    assert "content was not looked at" in advice.guessed


@pytest.mark.parametrize("change", [{"held": 25}, {"blocks": 2000}])
def test_lines_that_hold_something_else_are_no_copies(recorded, change):
    one = line("load", 3, peak=50, rise=40, growth=40, held=30, blocks=1000)
    other = line("copy", 9, peak=90, rise=40, growth=40, **{"held": 30, "blocks": 1000, **change})
    assert memkit.advise(recorded(one, other, heap=HEAP)) == ()


def test_copies_are_not_told_where_blocks_were_sampled(recorded):
    lines = [line("load", at, peak=50, rise=40, growth=40, held=30, blocks=10) for at in (3, 4)]
    assert memkit.advise(recorded(*lines, heap=HEAP._replace(sampled=1 << 19))) == ()


def test_what_was_freed_and_kept_is_told_of_its_moment(recorded):
    rows = (BalanceRow("c", "C blocks", 60 * MIB, 0, (), None), BalanceRow("c-free", "free chunks", 30 * MIB, 0, (), None))
    balances = tuple(Balance(1, 90 * MIB, rows, (), moment=moment) for moment in ("peak", "end"))
    found = memkit.advise(recorded(balances=balances))
    assert [(each.key, each.of, each.estimate) for each in found] == [("freed", of, 30 * MIB) for of in ("peak", "end")]
    assert found[0].rows == ("the balance near the peak: free chunks",)


def call(id, parent, file, name, growth, *, process=None, calls=1):
    """A call; growth is MiB."""
    size = growth * MIB
    return Call(id, parent, Function(file, name, 1), 1, calls, 9, size, 9, size, 0, 0, size, size, process=process)


TRACED = Tracing("monitoring", "perf", None, 1.0, 1.0, 1, 1, targets=())


def test_workers_that_import_for_themselves_are_told(recorded):
    calls, processes = [], [Process(1, None, "job.py", 0, 100, Ending("ok"))]
    for number, pid in enumerate((7, 8, 9)):
        root = call(2 * number, None, "", "<thread MainThread>", 20, process=pid)
        calls += [root, call(2 * number + 1, 2 * number, f"{NUMPY}__init__.py", "<module>", 20 + number, process=pid)]
        processes.append(Process(pid, 1, "worker", 10 * number, 50, Ending("ok")))
    [advice] = memkit.advise(recorded(calls=tuple(calls), processes=tuple(processes), call_tracing=TRACED))
    assert (advice.key, advice.of, advice.estimate) == ("workers", "together", 2 * 20 * MIB)
    assert advice.rows[2] == "process 9: imports grew it by 22.0 MiB"
    assert "3 of them have an interpreter of their own" in advice.guessed
    forked = [each._replace(command="job.py") for each in processes]
    [advice] = memkit.advise(recorded(calls=tuple(calls), processes=tuple(forked), call_tracing=TRACED))
    assert "interpreter" not in advice.guessed
    apart = [each._replace(started=100 * place, ended=100 * place + 9) for place, each in enumerate(processes)]
    assert memkit.advise(recorded(calls=tuple(calls), processes=tuple(apart), call_tracing=TRACED)) == ()


def imported(used):
    rows = [call(0, None, "", "<thread MainThread>", 0), call(1, 0, "/job/job.py", "<module>", 0)]
    rows += [call(2, 1, f"{NUMPY}__init__.py", "<module>", 20), call(3, 2, f"{NUMPY}core.py", "setup", 5)]
    rows += [call(4, 1, "", "list.append", 0)]
    return (*rows, call(5, 1, *used, 0)) if used else tuple(rows)


def test_an_import_of_which_nothing_was_called_is_told(recorded):
    [advice] = memkit.advise(recorded(calls=imported(None), call_tracing=TRACED))
    assert (advice.key, advice.estimate, advice.rows) == ("import", 20 * MIB, ("import numpy",))


@pytest.mark.parametrize("used", [(f"{NUMPY}core.py", "zeros"), ("", "numpy.zeros")])
def test_an_import_that_is_used_is_no_advice(recorded, used):
    assert memkit.advise(recorded(calls=imported(used), call_tracing=TRACED)) == ()


def test_imports_are_not_judged_where_not_all_calls_were_recorded(recorded):
    assert memkit.advise(recorded(calls=imported(None), call_tracing=TRACED._replace(targets=("job.py",)))) == ()
    without_c = tuple(each for each in imported(None) if each.function.name != "list.append")
    assert memkit.advise(recorded(calls=without_c, call_tracing=TRACED)) == ()


def test_little_is_not_told(recorded):
    assert memkit.advise(recorded(line("work", 3, peak=100, rise=10, growth=6))) == ()


def test_the_page_says_what_to_do_what_was_measured_and_what_is_missing(recorded):
    found = recorded(line("work", 3, peak=100, rise=60, growth=20))
    lines = [row.plain for row in page.page(found)]
    assert lines[0] == "advise   load.py data.csv: peak 100.0 MiB"
    assert lines[2].startswith("1. up to 40.0 MiB less of the peak: let go of what is needed only on the way")
    assert [text.split()[0] for text in lines[3:6]] == ["from", "measured", "guessed"]
    assert lines[-2].startswith("not recorded  --heap --lines") and lines[-1].startswith("not recorded  --calls --c-calls")
    assert "nothing that was recorded" in [row.plain for row in page.page(recorded())][1]
    assert len(missing(recorded())) == 3


def test_the_document_has_all_of_it(recorded):
    found = json.loads(page.document(recorded(line("work", 3, peak=100, rise=60, growth=20))))
    assert (found["kind"], found["peak"], found["advice"][0]["estimate"]) == ("advice", 100 * MIB, 40 * MIB)
    assert found["advice"][0]["rows"] == ["work, job.py:3"]
