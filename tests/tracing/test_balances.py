"""What resident memory is made of in a recording of the heap: at its end, near its peak, and in the reports."""

import dataclasses
import json
import os
import textwrap
import threading
import time

import pytest

import memkit
from memkit.base import own_code
from memkit.base.errors import MeterError
from memkit.report.reporters import heap
from memkit.system import balance_texts, engine
from memkit.tracing import balances

MIB = 1 << 20

pytestmark = pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")

WAIT = """
import os, sys, time
def wait_for(text):
    until = time.monotonic() + 60
    while text not in open("run.memkit").read():
        assert time.monotonic() < until
        time.sleep(0.01)
"""


def of(recording, moment):
    """The balance of a moment, of the recorded process."""
    (found,) = [each for each in recording.balances if (each.moment, each.pid) == (moment, recording.about.pid)]
    return found


# -- taking them -------------------------------------------------------------------------------------------------------


def test_a_recording_of_the_heap_has_a_balance_of_its_end():
    with memkit.record(heap=True) as run:
        pass
    found = of(run.recording, "end")
    assert sum(row.bytes for row in found.rows) == found.rss
    assert found.rss == pytest.approx(memkit.rss(), abs=16 * MIB)
    assert found.pid == os.getpid()
    assert 0 < found.time <= run.recording.duration


def test_a_recording_without_heap_has_no_balance():
    with memkit.record(calls=True) as run:
        pass
    assert run.recording.balances == ()


def test_a_recording_of_the_heap_goes_without_where_it_is_told_to():
    with memkit.record(heap=True, balance=False) as run:
        pass
    assert run.recording.balances == ()
    assert run.recording.heap is not None


def test_what_is_alive_at_the_end_of_a_program_is_in_its_row(memkit_run, script):
    run = memkit_run("--heap", script("kept = bytes([1]) * (64 << 20)\n"))
    found = of(run.recording, "end")
    assert 64 * MIB <= found.of("c") < 68 * MIB
    assert found.explained > 0.99


def test_what_memkit_needs_to_count_is_in_its_own_row(memkit_run, script):
    program = "kept = [bytes(31) for _ in range(500_000)]\n"  # 64 bytes each, and 4 of memkit's for 16 of these
    found = of(memkit_run("--heap", script(program)).recording, "end")
    own = dict(next(row.parts for row in found.rows if row.key == "memkit"))[balance_texts.BOOKS]
    assert 500_000 * 64 // 4 <= own < 500_000 * 64 // 4 + 4 * MIB
    assert 500_000 * 64 <= found.of("python") < 500_000 * 64 + 8 * MIB  # Python 3.15 has 5 MiB of its own
    assert found.explained > 0.99


SMALL_BLOCKS = """
import memkit, os, sys
page, kept = os.sysconf("SC_PAGE_SIZE"), []
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * page
def fills():
    kept.extend(bytes(31) for _ in range(500_000))
def drops():
    kept.clear()
def larger():
    kept.extend(bytes(1000) for _ in range(20_000))
fills(); drops(); larger(); fills()
memkit.rss()            # opens its file
print(resident() - memkit.rss())
"""


def test_resident_memory_is_told_without_what_is_needed_to_count(memkit_run, script):
    plain = memkit_run("--calls", script(SMALL_BLOCKS))
    counted = memkit_run("--heap", script(SMALL_BLOCKS))
    taken_off = int(counted.stdout)
    assert abs(int(plain.stdout)) < MIB / 4
    assert 500_000 * 64 // 4 + 20_000 * 36 <= taken_off < 500_000 * 64 // 4 + 20_000 * 72 + 3 * MIB
    one, other = plain.recording, counted.recording
    assert other.highest.peak - other.start == pytest.approx(one.highest.peak - one.start, abs=4 * MIB)
    assert other.end - other.start == pytest.approx(one.end - one.start, abs=4 * MIB)
    for name in ("fills", "drops", "larger"):
        (before,) = [call for call in one.calls if call.function.name == name]
        (after,) = [call for call in other.calls if call.function.name == name]
        assert after.growth == pytest.approx(before.growth, abs=4 * MIB)
    assert of(other, "end").rss - other.end > taken_off - MIB


def test_a_second_recording_takes_off_its_own_books_only(plain, script):
    program = """
import memkit
def fills():
    return [bytes(31) for _ in range(200_000)]
for _ in range(3):
    with memkit.record(heap=True) as run:
        kept = fills()
    recording = run.recording
    print(recording.end - recording.start, recording.highest.peak - recording.end, memkit.peak_rss() - memkit.rss())
    del kept
"""
    done = plain(script(program))
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines()[1:]:  # the second finds room that the first has left
        growth, above, later = map(int, line.split())
        assert 4 * MIB < growth < 18 * MIB
        assert -MIB < above < 2 * MIB  # and not the 3 MiB that were needed to count
        assert -MIB < later < 2 * MIB


def test_memory_that_stays_high_has_a_balance_before_the_end(tmp_path):
    with memkit.record(tmp_path / "run.memkit", heap=True) as run:
        held = bytes([1]) * (96 * MIB)
        until = time.monotonic() + 60
        while "peak" not in [each.moment for each in run.recording.balances]:
            assert time.monotonic() < until
            time.sleep(0.05)
        del held
    peak, end = run.recording.balances
    assert (peak.moment, end.moment) == ("peak", "end")
    assert sum(row.bytes for row in peak.rows) == peak.rss
    assert peak.of("c") - end.of("c") == pytest.approx(96 * MIB, abs=4 * MIB)


def test_a_balance_near_the_peak_counts_nowhere(memkit_run, script):
    program = WAIT + "kept = bytes([1]) * (64 << 20)\nwait_for('\"peak\"')\n"
    run = memkit_run("-o", "run.memkit", "--heap", script(program), options=())
    whole = sum(call.own_heap.alive for call in run.recording.calls if call.own_heap)
    assert whole + run.recording.heap.elsewhere.alive == run.recording.heap.alive
    assert run.recording.heap.elsewhere.allocated < 4096
    assert not [call for call in run.recording.calls if call.function.file.startswith(own_code.PACKAGE)]


def test_calls_in_a_thread_of_memkits_cost_no_question(monkeypatch):
    asked, done = [], threading.Event()
    monkeypatch.setattr("memkit.tracing.tracers.is_own", lambda: asked.append(threading.get_native_id()) or False)

    def balance():
        for number in range(100):
            os.fspath(str(number)).join(textwrap.wrap("words of a line", 8))
        done.set()
        return made(1, "peak")

    monkeypatch.setattr(balances, "balance", balance)
    with memkit.record(calls=True, heap=True):
        held = bytes([1]) * (96 * MIB)
        assert done.wait(60)
        del held
    assert set(asked) <= {threading.get_native_id()}


def test_a_program_that_is_killed_keeps_the_balance_of_its_peak(memkit_run, script):
    program = WAIT + "kept = bytes([1]) * (64 << 20)\nwait_for('\"peak\"')\nos.kill(os.getpid(), 9)\n"
    run = memkit_run("-o", "run.memkit", "--heap", script(program), options=())
    (found,) = run.recording.balances
    assert found.moment == "peak"
    assert "what resident memory was made of, at " in run.stderr


def test_each_process_that_is_followed_has_its_own(memkit_run, script):
    program = "import os\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\n"
    run = memkit_run("--heap", "--follow", script(program), options=())
    ends = [each for each in run.recording.balances if each.moment == "end"]
    assert {each.pid for each in ends} == {process.pid for process in run.recording.processes}
    assert [each.time for each in ends] == sorted(each.time for each in ends)
    assert "--json also has what resident memory of 1 other process was made of" in run.stderr


def test_a_fork_meets_no_thread_that_takes_balances(memkit_run, script):
    program = """
import os, warnings
warnings.simplefilter("error")
for _ in range(3):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""
    run = memkit_run("--heap", script(program))
    assert (run.returncode, run.stderr) == (0, "")
    assert of(run.recording, "end").rows


def refuse(error):
    def balance():
        raise error

    return balance


def test_a_recording_goes_on_where_no_balance_can_be_taken(monkeypatch):
    monkeypatch.setattr(balances, "balance", refuse(MeterError("smaps cannot be read: Permission denied")))
    with memkit.record(heap=True) as run:
        pass
    found = of(run.recording, "end")
    assert (found.rss, found.rows, found.notes) == (0, (), ("smaps cannot be read: Permission denied",))
    assert run.recording.ending.kind == "ok"
    text = "\n".join(line.plain for line in heap.page(run.recording))
    assert "what resident memory was made of at the end is not known: smaps cannot be read: Permission denied" in text


def test_an_interrupt_while_the_last_one_is_taken_loses_no_rows(monkeypatch):
    monkeypatch.setattr(balances, "balance", refuse(KeyboardInterrupt()))
    run = memkit.record(heap=True)
    run.start()
    with pytest.raises(KeyboardInterrupt):
        run.stop()
    assert run.recording.ending.kind == "ok"
    assert run.recording.heap is not None
    assert not run.running


# -- when one is taken -------------------------------------------------------------------------------------------------

SECOND = 1_000_000_000


def wanted(budget, memory, until, since=0):
    """The first moment, in twentieths of a second, at which one is wanted; None if there is none."""
    return next((at for at in range(since, until) if budget.wants(memory, at * SECOND // 20)), None)


def test_memory_that_does_not_rise_is_not_looked_into():
    assert wanted(balances._Budget(100 * MIB, 0), 104 * MIB, 100_000) is None
    assert wanted(balances._Budget(1000 * MIB, 0), 1099 * MIB, 100_000) is None


def test_memory_that_stays_high_for_some_time_is():
    assert wanted(balances._Budget(100 * MIB, 0), 200 * MIB, 100) == 2
    assert wanted(balances._Budget(100 * MIB, 0), 1100 * MIB, 100) == 5  # as long as it takes to look into so much
    assert wanted(balances._Budget(100 * MIB, 0), 124 * MIB, 80) is None  # a quarter, or a hundredth of the time


def test_memory_below_its_peak_is_not_until_it_is_as_high_again():
    budget = balances._Budget(100 * MIB, 0)
    assert not budget.wants(400 * MIB, SECOND // 20)
    assert wanted(budget, 300 * MIB, 10_000, since=2) is None
    assert budget.wants(399 * MIB, 10_000 * SECOND // 20)


def test_memory_that_rises_all_the_time_is_when_that_takes_a_hundredth():
    budget = balances._Budget(100 * MIB, 0)
    assert not [at for at in range(100) if budget.wants(int(200 * MIB * 1.02**at), at * SECOND // 20)]
    expected = 100 * (balances._COST + balances._COST_OF_GIB * 2)
    assert [budget.allows(2 << 30, now, 0) for now in (expected - 1, expected)] == [False, True]


def test_all_together_take_a_hundredth_and_a_quarter_of_a_second():
    budget, memory, cost = balances._Budget(100 * MIB, 0), 100 * MIB, 0
    for at in range(20 * 3600):
        if at % 20 == 0:
            memory += memory // 8  # and stays so for a second
        if budget.wants(memory, at * SECOND // 20):
            took = 30_000_000 + memory % 7_000_000
            cost += took
            budget.spent(took, memory)
        assert cost <= at * SECOND // 20 * balances.SHARE + balances.ONCE + 10_000_000
        memory = min(memory, 1 << 36)
    assert cost > 0


def test_memory_is_read_more_and_more_rarely():
    budget = balances._Budget(100 * MIB, 0)
    assert [budget.pause(at * SECOND)[0] for at in (0, 10, 3600)] == [SECOND // 20, SECOND // 10, SECOND]


def test_memory_is_read_more_often_for_a_while_where_more_is_alive():
    budget, began = balances._Budget(100 * MIB, 0), 3600 * SECOND
    assert budget.pause(began) == (SECOND, 8 * MIB)
    budget.look_closer(8 * MIB, began)
    assert budget.pause(began) == (SECOND, 8 * MIB)
    budget.look_closer(9 * MIB, began)
    assert budget.pause(began) == (SECOND // 50, balances._NEVER)
    assert not budget.wants(200 * MIB, began)  # it rises still
    assert budget.wants(200 * MIB, began + SECOND // 50)
    budget.spent(20_000_000, 200 * MIB, 100 * MIB)
    assert budget.pause(began + SECOND) == (SECOND, balances._NEVER)  # it has been watched, and is not again at once
    assert budget.pause(began + 2 * SECOND) == (SECOND, 110 * MIB)


def test_untouched_memory_is_looked_at_ever_more_rarely():
    budget, now, looks = balances._Budget(100 * MIB, 0), 0, 0
    while now < 60 * SECOND:
        pause, above = budget.pause(now)
        now += pause if above > 2048 * MIB else balances._CLOSE_POLL
        looks += 1
        budget.look_closer(2048 * MIB, now)
        assert not budget.wants(100 * MIB, now)
    assert looks < 600  # 50 a second otherwise


def test_a_watch_of_the_heap_wakes_where_more_is_alive_and_at_its_end():
    watch, hour = pytest.importorskip("memkit.native.heap.heap_sums").Watch(), 3600 * SECOND
    with memkit.record(heap=True):
        kept = bytes(20 * MIB)
        assert watch.alive > 20 * MIB
        assert watch.wait(hour, 10 * MIB) is False
        assert watch.wait(1000, 30 * MIB) is False
        watch.end()
        assert watch.wait(hour, 30 * MIB) is True
    assert len(kept) == 20 * MIB


# -- rows and reports --------------------------------------------------------------------------------------------------


def made(rss, moment, pid=4242, at=1_000_000, key="code"):
    parts = (memkit.BalancePart("heap", 3 * rss // 4),)
    rows = (
        memkit.BalanceRow(key, "C blocks", 3 * rss // 4, 0, parts, "make them smaller"),
        memkit.BalanceRow("unexplained", "unexplained", rss // 4, 0, (), None),
    )
    return memkit.Balance(pid, rss, rows, (), at, moment)


def shown(made_up, *found, peak=100):
    recording = dataclasses.replace(made_up((0, 10), (20, 50, peak)), balances=found)
    return list(heap.balances(recording))


def test_a_row_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "run.memkit"
    with memkit.record(path, heap=True) as run:
        pass
    found = of(run.recording, "end")
    (row,) = [json.loads(line) for line in path.read_text().splitlines() if line.startswith('["balance"')]
    assert row[1:5] == [found.time, "end", found.pid, found.rss]
    assert [each[0] for each in row[5]] == [each.key for each in found.rows]
    assert all(isinstance(each, memkit.BalanceRow) for each in found.rows)
    assert {type(part) for each in found.rows for part in each.parts} == {memkit.BalancePart}


@pytest.mark.parametrize(
    ("place", "value"),
    [(1, -1), (2, None), (3, "1"), (4, None), (5, 7), (5, [["c"]]), (5, [["c", "C", "1", 0, [], None]]), (6, [1]), (6, None)]
    + [(5, [["c", "C", 1, 0, parts, None]]) for parts in (None, [7], [["heap"]], [["heap", "1"]], ["ab"], [{"a": 1}])],
)
def test_a_damaged_row_is_counted_and_left_out(tmp_path, place, value):
    path = tmp_path / "run.memkit"
    with memkit.record(path, heap=True):
        pass
    row = ["balance", 1, "peak", 7, 5, [["c", "C", 5, 0, [["heap", 5]], None]], []]
    with path.open("a") as file:
        print(json.dumps(row), file=file)
    assert [each.rss for each in memkit.read(path).balances if each.pid == 7] == [5]
    row[place] = value
    with path.open("a") as file:
        print(json.dumps(row), file=file)
    assert memkit.read(path).unread == 1
    assert [each.rss for each in memkit.read(path).balances if each.pid == 7] == [5]


def test_thousands_of_mapped_files_are_a_row_of_bounded_length():
    parts = tuple(memkit.BalancePart(f"file {place}", 10_000 - place) for place in range(3000))
    fewer = balances._fewer(parts)
    assert len(fewer) == balances.MOST_PARTS
    assert fewer[-1][0] == "2951 more"
    assert sum(size for _, size in fewer) == sum(part.bytes for part in parts)


def test_the_balance_of_the_peak_is_shown_where_less_was_there_at_the_end(made_up):
    (peak, _), (end, lines) = shown(made_up, made(96 * MIB, "peak"), made(40 * MIB, "end", at=20_000_000))
    assert peak == "what resident memory was made of, at 1.00 ms: 96.0 MiB, 96% of the peak"
    assert end == "what resident memory was made of, at the end: 40.0 MiB"
    assert lines[0].split() == ["30.0", "MiB", "75", "%", "C", "blocks:", "heap", "30.0", "MiB"]


def test_where_the_end_has_as_much_only_that_is_shown(made_up):
    assert [title for title, _ in shown(made_up, made(96 * MIB, "peak"), made(95 * MIB, "end"))] == [
        "what resident memory was made of, at the end: 95.0 MiB"
    ]


def test_a_peak_that_no_balance_came_near_is_named(made_up):
    ((title, _),) = shown(made_up, made(89 * MIB, "end"))
    assert title == "what resident memory was made of, at the end: 89.0 MiB; none was taken near the peak, 100.0 MiB"


def with_books(balance, size):
    """The same with tables of memkit's beside what the program has."""
    parts = memkit.BalancePart("code", MIB), memkit.BalancePart(balance_texts.BOOKS, size)
    row = memkit.BalanceRow("memkit", "memkit itself", size + MIB, 0, parts, None)
    return balance._replace(rss=balance.rss + size, rows=(row, *balance.rows))


def test_the_share_of_the_peak_is_without_the_tables_of_memkit(made_up):
    peak, end = with_books(made(80 * MIB, "peak"), 30 * MIB), with_books(made(40 * MIB, "end"), 30 * MIB)
    (title, _), _ = shown(made_up, peak, end)
    told = "what resident memory was made of, at 1.00 ms: 110.0 MiB, without memkit's tables 80% of the peak"
    assert title == f"{told}; none was taken near the peak, 100.0 MiB"


def test_which_balance_was_higher_is_told_without_the_tables_of_memkit(made_up):
    peak, end = with_books(made(96 * MIB, "peak"), 4 * MIB), with_books(made(80 * MIB, "end"), 20 * MIB)
    assert len(shown(made_up, peak, end)) == 2


def test_what_can_be_done_is_said_once(made_up):
    (_, peak), (_, end) = shown(made_up, made(96 * MIB, "peak"), made(40 * MIB, "end"))
    assert [line.strip() for line in peak if "make them" in line] == ["- make them smaller"]
    assert not [line for line in end if "make them" in line]


@pytest.mark.parametrize("key", ["python", "c"])
def test_what_the_program_holds_is_said_to_be_told_by_the_heap(made_up, key):
    ((_, lines),) = shown(made_up, made(95 * MIB, "end", key=key))
    assert lines[1].strip().startswith("- the program holds them: the paths and lines that follow say who")


def test_balances_of_other_processes_are_counted(made_up):
    found = shown(made_up, made(95 * MIB, "end"), made(9 * MIB, "end", pid=7), made(9 * MIB, "end", pid=8))
    assert found[1:] == [("--json also has what resident memory of 2 other processes was made of", [])]


def test_all_of_them_are_in_the_json_document(tmp_path):
    with memkit.record(heap=True) as run:
        pass
    memkit.report(run.recording, json=tmp_path / "run.json", quiet=True)
    (document,) = json.loads((tmp_path / "run.json").read_text())["balances"]
    found = of(run.recording, "end")
    assert (document["pid"], document["rss"], document["moment"]) == (found.pid, found.rss, "end")
    assert (document["time"], document["explained"]) == (found.time, found.explained)
    assert sum(row["bytes"] for row in document["rows"]) == found.rss


def test_a_notebook_shows_them_too():
    with memkit.record(heap=True) as run:
        pass
    bundle = memkit.mimebundle(run.recording)
    assert "what resident memory was made of, at the end" in bundle["text/html"]
    assert "code and variables of libraries" in bundle["text/html"]
    assert "what resident memory was made of, at the end" in bundle["text/plain"]


def test_recordings_that_are_merged_keep_theirs(made_up):
    first = dataclasses.replace(made_up((0, 1), began=100.0, clock=0), balances=(made(5 * MIB, "end", pid=4242),))
    later = dataclasses.replace(made_up((0, 1), began=101.0, clock=SECOND, pid=7), balances=(made(6 * MIB, "end", pid=7),))
    merged = memkit.merge([later, first])
    assert [(each.pid, each.time) for each in merged.balances] == [(4242, 1_000_000), (7, 1_001_000_000)]
