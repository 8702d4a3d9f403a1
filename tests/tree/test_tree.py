"""Process trees: who is seen, how each is said to have begun and ended, and what all use together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest
from machine import Machine

import memkit
from memkit.base.errors import UsageError
from memkit.system import engine, pidfd, processes
from memkit.system.processes import Proc
from memkit.tree import watch
from memkit.tree.share_estimate import ShareEstimate
from memkit.tree.tree import Tree

MIB = 1 << 20
LONG = 0.5 if engine.NAME == "native" else 3  # seconds: psutil takes its time to find a process
MS = 1_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


class Book:
    """A journal that keeps its rows."""

    def __init__(self):
        self.rows = []

    def text(self, rows):
        self.rows += map(json.loads, rows.splitlines())

    def flush(self):
        pass

    def take(self, *tags):
        found, self.rows = self.rows, []
        return [row for row in found if not tags or row[0] in tags]


# -- made-up machines ------------------------------------------------------------------------------------------------


@pytest.fixture
def machine():
    made = Machine()
    made.has(100)
    return made


@pytest.fixture
def tree(machine):
    """A tree below process 100 of the made-up machine, on a clock that only ``at`` moves."""
    made = Tree(100, Book(), machine, origin=0, interval=10 * MS)
    made.book = made._journal

    def at(milliseconds, *tags):
        made._search_due = made.due = 0
        made.poll(milliseconds * MS)
        return made.book.take(*tags)

    made.at = at
    return made


LIVES = ("process", "command", "process_end")


def test_a_tree_begins_by_saying_how_it_is_added_up(tree):
    assert tree.at(1) == [["total", MS, 10 * MIB, 10 * MIB, 0], ["tree", "pss", None, "looks", None]]


class Told:
    """Events that somebody made up: each list of ``batches`` is told at once."""

    descriptors, lost = (), 0

    def __init__(self, *batches):
        self.batches = list(batches)

    def events(self):
        return self.batches.pop(0) if self.batches else []


def test_a_process_that_a_search_found_dead_is_not_told_a_second_time(tree, machine):
    machine.has(200, 100, born=3, over=True)
    tree._events = Told([], [], [(2 * MS, "fork", 200, 200, 100), (4 * MS, "exit", 200, 200, 100)])
    assert [row[1] for row in tree.at(5, "process")] == [200]
    assert tree.at(6, *LIVES) == []
    assert tree._events.batches == []


def test_the_pid_of_a_dead_process_may_be_used_again(tree, machine):
    machine.has(200, 100, born=3, over=True)
    tree._events = Told([], [])
    tree.at(5)
    machine.has(200, 100, born=8)
    tree._events = Told([(8 * MS, "fork", 200, 200, 100)])
    assert tree.at(9, "process") == [["process", 200, 100, 8 * MS, "job 200"]]


def test_a_process_that_cannot_be_read_has_not_ended(tree, machine):
    machine.has(200, 100, born=3)
    tree.at(5)
    machine.no_descriptors = True
    assert tree.at(10, *LIVES) == []
    machine.no_descriptors = False
    machine.has(200, 100, born=3, mib=30)
    assert tree.at(15, "process_end", "sample")[-1][:3] == ["sample", 15 * MS, 30 * MIB]
    machine.no_descriptors = True
    machine.loses(200)
    assert tree.at(20, "process_end") == [["process_end", 200, 20 * MS, None, None]]


def test_a_search_prefers_what_events_know_of_a_process(tree, machine):
    machine.has(200, 100, born=3)
    tree._events = Told([], [(2_345_678, "fork", 200, 200, 100)])
    assert tree.at(5, "process") == [["process", 200, 100, 2_345_678, "job 200"]]


def test_descendants_are_found_with_theirs(tree, machine):
    machine.has(200, 100, born=3)
    machine.has(300, 200, born=4)
    assert tree.at(5, "process") == [["process", 200, 100, 3 * MS, "job 200"], ["process", 300, 200, 4 * MS, "job 300"]]


def test_a_process_did_not_begin_before_the_look_that_did_not_see_it(tree, machine):
    tree.at(5)
    machine.has(200, 100, born=1)  # clocks of the system are coarse
    assert tree.at(9, "process") == [["process", 200, 100, 5 * MS, "job 200"]]


def test_a_begin_within_a_tick_before_the_recording_is_its_begin(tree, machine):
    machine.tick = 10 * MS
    machine.has(100, born=-50)
    machine.has(200, 100, born=-9)
    machine.has(300, 100, born=-10)
    assert [row[3] for row in tree.at(1, "process")] == [0, -10 * MS]


def test_a_process_stays_when_its_parent_ends(tree, machine):
    machine.has(200, 100)
    machine.has(300, 200)
    tree.at(1)
    machine.loses(200)
    machine.table[300].parent = 1
    assert tree.at(2, *LIVES) == [["process_end", 200, 2 * MS, None, None]]
    machine.has(400, 300, born=3)
    assert tree.at(3, *LIVES) == [["process", 400, 300, 3 * MS, "job 400"]]


def test_a_number_that_is_used_again_is_another_process(tree, machine):
    machine.has(200, 100, born=1)
    tree.at(2)
    machine.has(200, 100, born=7)
    rows = [row for milliseconds in (8, 9) for row in tree.at(milliseconds, *LIVES)]
    assert rows == [["process_end", 200, 8 * MS, None, None], ["process", 200, 100, 8 * MS, "job 200"]]


def test_a_number_that_is_used_again_by_a_stranger_is_not_of_the_tree(tree, machine):
    machine.has(200, 100, born=1)
    tree.at(2)
    machine.loses(200)
    machine.has(200, 1, born=7)
    assert [row for time in (8, 9) for row in tree.at(time, *LIVES)] == [["process_end", 200, 8 * MS, None, None]]


@pytest.mark.parametrize("code", [(0, None), (3, None), (None, 9)])
def test_a_process_that_is_over_tells_how_it_ended_once(tree, machine, code):
    machine.has(200, 100)
    tree.at(1)
    machine.has(200, 100, over=True, code=code, mib=0)
    assert tree.at(2, *LIVES) == [["process_end", 200, 2 * MS, *code]]
    assert tree.at(3, *LIVES) == []


class Hold:
    """A hold on a process that ends, of which the system tells how once its parent has asked."""

    fd, ours, lives = -1, False, False

    def __init__(self, pid, in_process):
        self.told = None
        self.closed = 0

    def ending(self):
        return None if self.closed else self.told

    def close(self):
        self.closed += 1


@pytest.fixture
def unasked(machine, tree, monkeypatch):
    """The hold on process 200, which has ended after 2 ms, and whose parent has not asked yet how."""
    monkeypatch.setattr("memkit.tree.tree.Pidfd", Hold)
    machine.has(200, 100, mib=5)
    tree.at(1)
    found = tree._nodes[200].handle
    machine.has(200, 100, over=True, mib=0)
    assert tree.at(2, "process_end", "total") == [["total", 2 * MS, 10 * MIB, 10 * MIB, 0]]  # it counts no longer
    assert tree.at(900, "process_end") == []
    return found


def test_nothing_is_read_or_written_while_a_process_is_exiting(machine, tree, monkeypatch):
    monkeypatch.setattr("memkit.tree.tree.Pidfd", Hold)
    machine.has(200, 100, mib=5)
    tree._events = Told([(1 * MS, "fork", 200, 200, 100)])
    tree.at(1)
    held, read = tree._nodes[200].handle, []
    held.lives = True
    monkeypatch.setattr(machine, "read", lambda pid: read.append(pid))
    tree._events = Told([(2 * MS, "exit", 200, 200, 100)])
    assert tree.at(2) == []
    assert tree.at(11) == []
    assert (tree.exiting, tree.next, read) == (True, 12 * MS, [])
    monkeypatch.undo()
    held.lives, held.told = False, (3, None)
    assert not tree.exiting
    machine.has(200, 100, over=True)
    rows = tree.at(11, "process_end") + tree.at(12, "process_end")
    assert rows == [["process_end", 200, 2 * MS, 3, None]]


def test_a_tree_that_ends_while_a_process_is_exiting_has_its_last_readings(machine, tree, monkeypatch):
    monkeypatch.setattr("memkit.tree.tree.Pidfd", Hold)
    machine.has(200, 100, mib=5)
    tree._events = Told([(1 * MS, "fork", 200, 200, 100)])
    tree._events.close = lambda: None
    tree.at(1)
    tree._nodes[200].handle.lives = True
    tree._events.batches = [[(2 * MS, "exit", 200, 200, 100)]]
    machine.has(200, 100, mib=9)
    monkeypatch.setattr("memkit.base.clocks.monotonic_ns", lambda: 3 * MS)
    tree.close()
    rows = tree.book.take()
    assert ["total", 3 * MS, 19 * MIB, 19 * MIB, 0] in rows
    assert ["process_left", 200, 3 * MS] in rows


def test_a_process_whose_main_thread_has_ended_is_read_on_if_it_lives(machine, tree, monkeypatch):
    monkeypatch.setattr("memkit.tree.tree.Pidfd", Hold)
    machine.has(200, 100, mib=5)
    tree._events = Told([(1 * MS, "fork", 200, 200, 100)])
    tree.at(1)
    tree._nodes[200].handle.lives = True
    tree._events = Told([(2 * MS, "exit", 200, 200, 100)])
    assert tree.at(3) == []
    machine.has(200, 100, mib=9)
    assert tree.at(13, "total") == [["total", 13 * MS, 19 * MIB, 19 * MIB, 0]]
    assert not tree.exiting


def test_a_tree_waits_until_a_zombie_was_reaped(machine, tree, unasked):
    machine.loses(200)
    machine.has(200, 100, born=950)  # its number is used again
    unasked.told = (3, None)
    assert tree.at(960, *LIVES) == [["process_end", 200, 2 * MS, 3, None], ["process", 200, 100, 950 * MS, "job 200"]]
    assert unasked.closed == 1


def test_a_tree_waits_a_second_at_most_for_a_zombie(tree, unasked):
    assert tree.at(1003, *LIVES) == [["process_end", 200, 2 * MS, None, None]]
    unasked.told = (3, None)
    assert tree.at(1004, *LIVES) == []
    assert unasked.closed == 1


@pytest.mark.parametrize("told", [(3, None), None])
def test_the_last_poll_writes_the_ends_of_zombies(tree, unasked, told):
    unasked.told = told
    tree.close()
    assert tree.book.take("process_end") == [["process_end", 200, 2 * MS, *(told or (None, None))]]
    assert unasked.closed == 1


def test_a_killed_process_has_the_evidence_of_out_of_memory(machine):
    counted = iter(["cgroup /jobs: oom_kill rose by 1", None])
    kills = SimpleNamespace(of_one=lambda: next(counted))
    tree = Tree(100, Book(), machine, origin=0, interval=10 * MS, kills=kills)
    for pid in (200, 300, 400):
        machine.has(pid, 100)
    tree.poll(MS)
    for pid, code in ((200, (None, 15)), (300, (None, 9)), (400, (None, 9))):
        machine.has(pid, 100, over=True, code=code, mib=0)
    tree.due = 0
    tree.poll(2 * MS)
    assert tree._journal.take("process_end") == [
        ["process_end", 200, 2 * MS, None, 15],
        ["process_end", 300, 2 * MS, None, 9, "cgroup /jobs: oom_kill rose by 1"],
        ["process_end", 400, 2 * MS, None, 9, None],
    ]


def test_a_process_that_is_over_when_it_is_found_is_seen_all_the_same(tree, machine):
    tree.at(1)
    machine.has(200, 100, born=1, over=True, code=(1, None), mib=0)
    assert tree.at(2, *LIVES) == [["process", 200, 100, MS, "job 200"], ["process_end", 200, 2 * MS, 1, None]]
    assert tree.at(3, *LIVES) == []


def test_what_runs_when_the_recording_ends_is_said_to(machine):
    tree = Tree(100, Book(), machine, origin=0, interval=10 * MS)
    machine.has(200, 100)
    machine.has(300, 200)
    tree.poll(MS)
    machine.has(200, 100, over=True, code=(0, None), mib=0)
    tree.close()
    rows = tree._journal.take("process_end", "process_left")
    assert [row[:2] for row in rows] == [["process_end", 200], ["process_left", 300]]


def test_another_program_in_the_same_process_is_a_command(tree, machine):
    machine.has(200, 100)
    tree.at(1)
    machine.has(200, 100, image=b"2")
    machine.words[200] = "sort --unique"
    assert tree.at(2, *LIVES) == [["command", 200, 2 * MS, "sort --unique"]]


def test_a_process_that_is_ending_keeps_its_command(tree, machine):
    machine.has(200, 100)
    tree.at(1)
    machine.has(200, 100, image=None, mib=0)
    machine.words[200] = ""
    tree.at(2)
    machine.loses(200)
    assert tree.at(3, *LIVES) == [["process_end", 200, 3 * MS, None, None]]


@pytest.mark.parametrize(("forked", "command"), [(True, "job 100"), (False, "(job)")])
def test_a_fork_that_is_over_when_it_is_found_ran_what_its_parent_runs(tree, machine, forked, command):
    tree.at(1)
    machine.has(200, 100, over=True, image=None, forked=forked, code=(0, None), mib=0)
    machine.words[200] = ""
    assert tree.at(2, "process") == [["process", 200, 100, MS, command]]


@linux
@pytest.mark.skipif(engine.NAME != "native", reason="needs /proc as the native engine reads it")
def test_a_fork_is_told_from_a_program_to_its_end(fork_that_waits):
    child = fork_that_waits()
    assert Proc().read(child).forked
    with subprocess.Popen(["true"]) as program:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        reading = Proc().read(program.pid)
        assert (reading.over, reading.forked) == (True, False)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    reading = Proc().read(child)
    assert (reading.over, reading.forked) == (True, True)


def test_memkit_itself_is_not_of_the_tree(tree, machine):
    machine.has(os.getpid(), 100)
    machine.has(300, os.getpid())
    assert tree.at(1, "process") == []


def test_unchanged_memory_is_written_when_it_changes(tree, machine):
    machine.has(200, 100, mib=5)
    rows = [row for time in range(1, 6) for row in tree.at(time, "sample")]
    assert rows == [["sample", MS, 5 * MIB, 0, 200]]
    machine.has(200, 100, mib=7)
    assert tree.at(6, "sample") == [["sample", 5 * MS, 5 * MIB, 0, 200], ["sample", 6 * MS, 7 * MIB, 0, 200]]


def test_a_mark_that_rose_is_the_peak_of_a_sample(tree, machine):
    machine.has(200, 100, mib=5)
    tree.at(1)
    machine.has(200, 100, mib=5, mark=50 * MIB)
    assert tree.at(2, "sample") == [["sample", 2 * MS, 5 * MIB, 45 * MIB, 200]]
    assert tree.at(3, "sample") == []


def test_the_total_counts_shared_pages_once(tree, machine):
    machine.known.update({100: (55 * MIB, 10 * MIB), 200: (50 * MIB, 5 * MIB)})
    machine.has(100, mib=100)
    machine.has(200, 100, mib=95)
    assert tree.at(1, "total") == [["total", MS, 105 * MIB, 195 * MIB, 0]]


def test_between_readings_of_shares_the_total_follows_and_says_how_far(tree, machine):
    machine.has(100, mib=1000)
    tree.at(1)
    machine.has(100, mib=1001)
    assert tree.at(2, "total") == [["total", 2 * MS, 1001 * MIB, 1001 * MIB, MIB]]


def test_a_fork_of_which_no_shares_were_read_counts_with_what_it_touched(tree, machine):
    machine.has(100, mib=1000)
    tree.at(1)
    machine.has(200, 100, mib=1000, faults=256, image=100)
    assert tree.at(2, "total") == [["total", 2 * MS, 1001 * MIB, 2000 * MIB, MIB]]


def test_a_vforked_child_is_not_measured_before_it_executes(tree, machine):
    tree.at(1)
    machine.has(200, 100, born=2, mib=1000, image=100)
    assert tree.at(2, "sample") == []
    machine.has(200, 100, born=2, mib=3, image=200)
    assert tree.at(3, "sample") == [["sample", 3 * MS, 3 * MIB, 0, 200]]


def test_a_fork_that_ends_or_grows_old_was_measured_from_the_beginning(tree, machine):
    tree.at(1)
    for pid in (200, 300):
        machine.has(pid, 100, born=2, mib=20, image=100)
    assert tree.at(2, "sample") == []
    machine.loses(200)
    assert tree.at(3, "sample") == [["sample", 2 * MS, 20 * MIB, 0, 200]]
    machine.has(300, 100, born=2, mib=21, image=100)
    assert tree.at(9, "sample") == [["sample", 2 * MS, 20 * MIB, 0, 300], ["sample", 9 * MS, 21 * MIB, 0, 300]]


def test_pages_that_may_have_been_copied_are_in_doubt(tree, machine):
    machine.known[100] = (505 * MIB, 10 * MIB)
    machine.has(100, mib=1000)
    tree.at(1)
    machine.has(100, mib=1000, faults=512)
    assert tree.at(2, "total") == [["total", 2 * MS, 505 * MIB, 1000 * MIB, 2 * MIB, 0, 2 * MIB]]


def test_the_share_of_an_unknown_fork_is_an_error_until_it_is_known(tree, machine):
    machine.has(100, mib=200)
    machine.known[100] = (100 * MIB, 0, 100 * MIB)  # it has just forked
    *_, memory, _, doubt = tree.at(1, "total")[-1]
    assert (memory, doubt) == (150 * MIB, 50 * MIB)
    machine.has(200, 100, born=1, mib=200, image=100)
    *_, memory, _, doubt = tree.at(2, "total")[-1]
    assert memory - doubt <= 200 * MIB <= memory + doubt
    machine.known[200] = (100 * MIB, 0, 100 * MIB)
    assert tree.at(200, "total")[-1][2:] == [200 * MIB, 400 * MIB, 0]
    assert tree.at(300, "total") == []


def test_the_share_of_a_stranger_is_an_error_only_until_that_is_known(tree, machine):
    machine.has(100, mib=200)
    machine.known[100] = (100 * MIB, 0, 100 * MIB)  # it is a fork itself, of a process that was not asked for
    tree.at(1)
    assert tree.at(100, "total")[-1][2:] == [100 * MIB, 200 * MIB, 0]


def test_a_second_unknown_fork_is_an_error_though_the_first_is_read(tree, machine):
    machine.has(100, mib=300)
    tree.at(1)
    tree.at(100)
    machine.has(200, 100, born=100, mib=300, image=100)
    machine.known.update({pid: (100 * MIB, 0, 200 * MIB) for pid in (100, 200)})
    *_, memory, _, doubt = tree.at(200, "total")[-1]
    assert (memory, doubt) == (250 * MIB, 50 * MIB)


def test_the_end_of_a_fork_leaves_no_doubt_about_the_next_one(tree, machine):
    machine.has(100, mib=300)
    machine.has(200, 100, mib=300, image=100)
    machine.known.update({pid: (150 * MIB, 0, 150 * MIB) for pid in (100, 200)})
    tree.at(1)
    tree.at(100)
    machine.loses(200)
    del machine.known[100]
    tree.at(300)
    machine.known[100] = (150 * MIB, 0, 150 * MIB)
    tree._total._read_at = None
    *_, memory, _, doubt = tree.at(310, "total")[-1]
    assert (memory, doubt) == (225 * MIB, 75 * MIB)


def test_pages_that_a_process_copies_after_it_has_forked_are_in_doubt(tree, machine):
    machine.has(100, mib=1000)
    tree.at(1)
    machine.has(200, 100, born=1, mib=1000, image=100)
    tree.at(2)
    machine.has(100, mib=1000, faults=100 * 256)
    _, _, memory, _, _, below, above = tree.at(3, "total")[-1]
    assert memory - below <= 1000 * MIB
    assert memory + above >= 1100 * MIB


def test_what_changes_while_shares_are_read_is_in_doubt(tree, machine):
    machine.has(100, mib=100)
    shares = machine.shares

    def slowly(pid):
        found = shares(pid)
        machine.has(100, mib=found.rss // MIB + 10)
        return found

    machine.shares = slowly
    *_, memory, _, doubt = tree.at(1, "total")[-1]
    assert (memory, doubt) == (machine.table[100].rss, 10 * MIB)


def test_a_process_that_has_given_all_back_to_end_is_no_total(tree, machine):
    tree.at(1)
    machine.has(100, mib=0)
    assert tree.at(2, "total") == []


def test_a_process_that_refuses_its_shares_counts_with_its_own_memory(tree, machine):
    machine.has(200, 100, mib=30, anonymous=20 * MIB)
    machine.known[200] = None
    *_, total, said = tree.at(1, "total", "tree")
    assert total == ["total", MS, 30 * MIB, 40 * MIB, 10 * MIB, 0, 10 * MIB]
    assert said[1] == "pss"
    assert "process 200 (job 200): Permission denied" in said[2]


def test_if_the_root_refuses_its_shares_the_total_is_a_sum_of_rss(tree, machine):
    machine.known[100] = None
    machine.has(200, 100, mib=30)
    rows = tree.at(1)
    assert ["total", MS, 40 * MIB, 40 * MIB, 0] in rows
    assert ["tree", "rss", "smaps_rollup of process 100: Permission denied", "looks", None] in rows


def test_a_process_may_vanish_at_any_moment(machine):
    asked = 0
    while True:
        machine.table.clear()
        machine.below.clear()
        machine.has(100)
        for pid in (200, 300):
            machine.has(pid, 100, mib=20)
        left = Vanishing(machine, 200, asked)
        tree = Tree(100, Book(), left, origin=0, interval=10 * MS)
        for milliseconds in (10, 20, 30):
            tree._search_due = 0
            tree.poll(milliseconds * MS)
        rows = tree._journal.take(*LIVES)
        assert ["process", 300, 100, 0, "job 300"] in rows
        if left.asked <= asked:  # it was never asked so often, and lived
            assert [row[0] for row in rows if row[1] == 200] == ["process"]
            return
        assert [row[0] for row in rows if row[1] == 200] == (["process", "process_end"] if asked else [])
        asked += 1


class Vanishing:
    """A made-up machine on which a process is gone after it was asked about so many times."""

    def __init__(self, machine, pid, after):
        self._machine, self._pid, self._after = machine, pid, after
        self.asked = 0

    def __getattr__(self, name):
        found = getattr(self._machine, name)
        return self._counted(found) if name in ("read", "command", "shares") else found

    def _counted(self, function):
        def ask(pid):
            if pid == self._pid:
                self.asked += 1
                if self.asked > self._after and pid in self._machine.table:
                    self._machine.loses(pid)
            return function(pid)

        return ask


# -- /proc -------------------------------------------------------------------------------------------------------------

STAT = (
    "{pid} ({name}) {state} {parent} 1 1 0 -1 0 77 0 0 0 1 1 0 0 20 0 {threads} 0 {born} 4096 1 99 1 1 4711"
    + " 0" * 23
    + " {code}\n"
)


@pytest.fixture
def proc(tmp_path):
    """A function that makes up a process below a folder, and returns what reads them."""
    (tmp_path / "proc" / "self").mkdir(parents=True)

    def make(
        pid,
        state="S",
        name="job",
        parent=1,
        threads=1,
        born=5,
        code=0,
        status="VmHWM:\t 9 kB\nVmRSS:\t 8 kB\nRssAnon:\t 6 kB\n",
    ):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir()
        (folder / "status").write_text("Name:\tjob\n" + status)
        (folder / "stat").write_text(STAT.format(**locals()))
        (folder / "cmdline").write_bytes(b"sort\0--unique\0\0")
        (folder / "ns").mkdir()
        (folder / "ns" / "user").symlink_to("user:[1]")
        return Proc(str(tmp_path))

    return make


@linux
def test_a_process_is_read_whatever_its_name(proc):
    reading = proc(7, name="a) S 1 (b", parent=3).read(7)
    assert (reading.name, reading.parent, reading.born, reading.faults) == ("a) S 1 (b", 3, 5, 77)
    assert (reading.rss, reading.mark, reading.anonymous) == (8192, 9216, 6144)
    assert not reading.over


@linux
@pytest.mark.parametrize(("status", "code"), [(0, (0, None)), (3 << 8, (3, None)), (9, (None, 9)), (0x80 | 11, (None, 11))])
def test_a_zombie_tells_how_it_ended(proc, status, code):
    reading = proc(7, state="Z", code=status, status="").read(7)
    assert (reading.over, reading.code, reading.rss) == (True, code, 0)


@linux
def test_a_zombie_whose_other_threads_live_is_not_over(proc):
    assert not proc(7, state="Z", threads=2, status="").read(7).over


@linux
def test_an_exit_code_of_0_is_believed_only_where_it_may_be_known(proc, tmp_path):
    source = proc(7, state="Z", status="")
    (tmp_path / "proc" / "7" / "ns" / "user").unlink()
    assert source.read(7).code is None


@linux
def test_without_lists_of_children_all_processes_are_searched_once_for_all(proc, tmp_path):
    proc(7, parent=3)
    children = proc(8, parent=7).kinship()
    shutil.rmtree(tmp_path / "proc")
    assert [children(3), children(7), children(8)] == [[7], [8], []]


@linux
def test_what_is_gone_is_none(proc):
    source = proc(7)
    assert source.read(8) is None
    assert source.command(8) == ""
    assert source.shares(8) is None
    assert source.command(7) == "sort --unique"


@linux
def test_without_compiled_code_a_process_began_when_it_did():
    mine, theirs = processes.Proc(), processes.Elsewhere()
    moments = [source.began(source.read(os.getpid()).born) for source in (mine, theirs)]
    assert abs(moments[0] - moments[1]) <= mine.tick
    assert "Linux" not in theirs.reason


# -- real processes ------------------------------------------------------------------------------------------------------


def below():
    """What this process has started and still has, by its tests so far too: servers and trackers of multiprocessing."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.fixture(params=["events", "looks"])
def mine(request, native_only):
    """A tree below this process, by events of the kernel and without; it tells of what is started from now on."""
    source = processes.here()
    events, reason = watch.events_of_tree(os.getpid(), source) if request.param == "events" else (None, "not asked")
    if request.param == "events" and events is None:
        pytest.skip(f"needs events: {reason}")
    made = Tree(
        os.getpid(), Book(), source, origin=time.monotonic_ns(), interval=MS, events=events, reason=reason, in_process=True
    )
    made.poll()
    made.events = events is not None
    elder = {row[1] for row in made._journal.take("process")}

    def now(*tags):
        made._search_due = made.due = 0
        made.poll()
        return [row for row in made._journal.take(*tags) if row[0] not in LIVES or row[1] not in elder]

    made.now = now
    yield made
    made.close()


def forked(body):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads of a library, such as OpenBLAS's
        pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(1)
    return pid


@linux
@pytest.mark.parametrize(("ends", "code"), [(lambda: os._exit(3), (3, None)), (lambda: os.kill(os.getpid(), 9), (None, 9))])
def test_how_a_child_ended_is_known_before_it_is_asked(mine, ends, code):
    pid = forked(ends)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    rows = [row for _ in range(2) for row in mine.now(*LIVES) if row[1] == pid]
    assert [row[0] for row in rows] == ["process", "process_end"]
    assert rows[1][3:] == list(code)
    os.waitpid(pid, 0)


@linux
def test_how_a_child_ended_is_known_after_it_was_asked(mine):
    waits, lets_go = os.pipe()
    pid = forked(lambda: os.read(waits, 1) and os._exit(5))
    mine.now()
    hold = pidfd.Pidfd(pid)
    os.write(lets_go, b".")
    os.waitpid(pid, 0)
    told = hold.ending()
    hold.close()
    for end in (waits, lets_go):
        os.close(end)
    (end,) = [row for row in mine.now("process_end") if row[1] == pid]
    assert end[3:] == list(told or (None, None))
    assert told in ((5, None), None)


@linux
def test_a_process_whose_threads_are_just_ending_is_still_there(tmp_path):
    folder = tmp_path / "proc" / "7"
    (folder / "task" / "8").mkdir(parents=True)  # which has no files any more
    fields = ["Z", "1", *["0"] * 15, "2", "0", "500", *["0"] * 30]
    (folder / "status").write_text("Name:\tjob\nState:\tZ (zombie)\n")
    (folder / "stat").write_text(f"7 (job) {' '.join(fields)}\n")
    reading = Proc(str(tmp_path)).read(7)
    assert (reading.born, reading.over, reading.rss) == (500, False, 0)


@linux
def test_a_thousand_short_children_are_all_seen(mine):
    if not mine.events:
        pytest.skip("only events tell of what nobody looked at")
    seen, pids = [], []
    for number in range(1000):
        pids.append(forked(lambda: os._exit(0)))
        os.waitpid(pids[-1], 0)
        if number % 50 == 49:
            seen += mine.now(*LIVES)
    seen += mine.now(*LIVES)
    assert sorted(row[1] for row in seen if row[0] == "process") == sorted(pids)
    assert sorted(row[1] for row in seen if row[0] == "process_end") == sorted(pids)


@pytest.fixture
def fork_that_waits():
    """A function that forks a child which does nothing, and returns its number; it is killed in the end."""
    waits, lets_go = os.pipe()
    pids = []

    def fork():
        pids.append(forked(lambda: os.read(waits, 1)))
        return pids[-1]

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for end in (waits, lets_go):
        os.close(end)


@linux
def test_forks_of_a_large_process_count_once(mine, touched, fork_that_waits):
    memory = touched(100)
    pids = [fork_that_waits() for _ in range(3)]
    time.sleep(0.02)  # they are no longer taken for programs that have not begun
    mine._total._read_at = None
    rows = mine.now("total")
    family = {os.getpid(), *below()}
    assert family >= set(pids)
    pss, rss = (sum(told(name, pid) for pid in family) for name in ("Pss", "Rss"))
    memory.close()
    assert rows[-1][2] == pytest.approx(pss, rel=0.03)
    assert rows[-1][3] == pytest.approx(rss, rel=0.03)
    assert rss > pss + 250 * MIB


@linux
def test_the_bounds_hold_when_a_process_forks_during_a_reading(mine, touched, fork_that_waits, monkeypatch):
    memory = touched(200)
    pids, shares = [], mine._source.shares

    def read_after_a_fork(pid):
        if pid == os.getpid() and not pids:
            pids.append(fork_that_waits())
        return shares(pid)

    monkeypatch.setattr(mine._source, "shares", read_after_a_fork)
    mine._total._read_at = None
    rows = []
    while not (pids and rows and rows[-1][4] < 10 * MIB):
        rows += mine.now("total")
        truth = sum(told("Pss", pid) for pid in {os.getpid(), *below()})
        # What Python itself does in between, and what the kernel has not added up yet, is no more than that.
        if pids:
            _, _, total, _, doubt, *_ = rows[-1]  # and how far to each side, where that differs
            assert abs(total - truth) <= doubt + 2 * MIB
        time.sleep(0.005)
    memory.close()


def told(name, pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return int(re.search(rf"^{name}: +(\d+) kB", file.read(), re.MULTILINE)[1]) * 1024
    except ProcessLookupError:  # it is over, and nobody has asked yet how
        return 0


@linux
def test_huge_pages_that_a_process_asked_for_are_its_own_and_not_resident(tmp_path, machine):
    text = "1000-2000 ---p 00000000 00:00 0    [rollup]\n"
    sizes = {"Rss": 100, "Pss": 70, "Pss_Anon": 60, "Anonymous": 80, "Private_Clean": 10, "Private_Dirty": 40}
    text += "".join(f"{name}:  {size} kB\n" for name, size in {**sizes, "Private_Hugetlb": 4096}.items())
    (tmp_path / "proc/101").mkdir(parents=True)
    (tmp_path / "proc/101/smaps_rollup").write_text(text)
    shares = Proc(str(tmp_path)).shares(101)
    assert (shares.rss, shares.pss, shares.private, shares.uss) == (100 << 10, 70 << 10, 50 << 10, (4096 + 50) << 10)
    machine.has(101, 10)
    part = ShareEstimate(forked=False)
    part.read(shares, machine.read(101))
    assert (part.uss, part.shared) == (shares.uss, 20 << 10)


@linux
def test_a_process_whose_main_thread_has_ended_lives_and_has_its_memory(mine, leaderless):
    rows = [row for _ in range(2) for row in mine.now("process", "process_end", "sample") if leaderless.pid in row]
    assert [row[0] for row in rows[:1]] == ["process"]
    assert all(row[0] == "sample" and row[2] >= 50 * MIB for row in rows[1:])
    shares = mine._source.shares(leaderless.pid)
    assert shares.rss >= shares.pss >= shares.uss >= 50 * MIB
    leaderless.stdin.close()
    os.waitid(os.P_PID, leaderless.pid, os.WEXITED | os.WNOWAIT)
    (end,) = [row for _ in range(2) for row in mine.now("process_end") if row[1] == leaderless.pid]
    assert end[3:] == [5, None]


POOL = f"""
import mmap, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

def work(_):
    memory = mmap.mmap(-1, 40 << 20)
    memory[::mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    time.sleep({LONG})

if __name__ == "__main__":
    if sys.argv[1] == "futures":
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
    else:
        with get_context(sys.argv[1]).Pool(2) as pool:
            pool.map(work, range(2), 1)
"""


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver", "futures"])
def test_the_workers_of_a_pool_are_lanes(memkit_run, script, way):
    recording = memkit_run(script(POOL), way, options=("-q", "--children")).recording
    recording = memkit.read(recording.source)
    assert recording.ending.kind == "ok"
    peaks = [max((sample.peak for sample in recording.lane(process)), default=0) for process in recording.processes[1:]]
    assert sum(peak > 40 * MIB for peak in peaks) >= 1
    assert max(total.memory for total in recording.totals) > 40 * MIB
    assert recording.unread == 0


def test_every_part_of_a_pipeline_is_a_lane(memkit_run):
    done = memkit_run("-c", "import os; os.system('sleep 1.01 | sleep 1.02 | sleep 1.03')", options=("-q", "--children"))
    commands = [process.command for process in done.recording.processes]
    assert {"sleep 1.01", "sleep 1.02", "sleep 1.03"} <= set(commands)


def test_a_fork_has_the_command_of_the_program_and_not_of_memkit(memkit_run, script):
    program = f"import os, time\npid = os.fork()\nif pid == 0:\n    time.sleep({LONG})\nelse:\n    os.waitpid(pid, 0)\n"
    done = memkit_run(script(program), "an", "argument", options=("-q", "--children"))
    assert [process.command for process in done.recording.processes] == ["program.py an argument"] * 2


DAEMON = """
import os, time
if os.fork() == 0:
    os.chdir("/")
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 4096)
        time.sleep(1)
        os._exit(7)
    time.sleep(0.5)
    os._exit(0)
os.wait()
time.sleep(1)
"""


@linux
def test_a_daemon_stays_in_the_tree(memkit_run, script, native_only):
    recording = memkit_run(script(DAEMON), options=("-q", "--children")).recording
    _, middle, daemon = recording.processes
    assert (middle.parent, daemon.parent) == (recording.about.pid, middle.pid)
    assert daemon.ended > middle.ended
    assert daemon.ending.code in (7, None)


def test_what_outlives_the_program_was_still_running(memkit_run, script):
    program = f"import os, time\nif os.fork() == 0:\n    os.closerange(0, 3)\n    time.sleep(5)\ntime.sleep({LONG})\n"
    recording = memkit_run(script(program), options=("-q", "--children")).recording
    with suppress(ProcessLookupError):
        os.kill(recording.processes[1].pid, signal.SIGKILL)
    assert recording.processes[1].ended is None
    assert str(recording.processes[1].ending) == "still running when the recording ended"
    assert recording.ending.kind == "ok"


def test_a_stopped_child_goes_on_as_a_lane(memkit_run, script):
    program = f"""
import os, signal, time
pid = os.fork()
if pid == 0:
    time.sleep(0.3)
    os._exit(0)
os.kill(pid, signal.SIGSTOP)
time.sleep({LONG})
os.kill(pid, signal.SIGCONT)
os.waitpid(pid, 0)
"""
    recording = memkit_run(script(program), options=("-q", "--children")).recording
    (child,) = recording.processes[1:]
    assert child.ended > 500 * MS


def test_children_change_nothing_for_the_program(same, script):
    program = "import os, subprocess, sys\nprint(subprocess.run(['sh', '-c', 'exit 4']).returncode)\nsys.exit(6)\n"
    assert same(script(program), options=("-q", "--children")).returncode == 6


# -- record(children=True) -------------------------------------------------------------------------------------------------


def test_a_process_records_its_own_children():
    elder = below()
    with memkit.record(children=True) as run:
        done = subprocess.run([sys.executable, "-c", f"import time; table = bytearray(50_000_000); time.sleep({LONG})"])
    assert done.returncode == 0
    (child,) = (process for process in run.recording.processes[1:] if process.pid not in elder)
    assert child.parent == os.getpid()
    assert "bytearray(50_000_000)" in child.command
    assert max(sample.peak for sample in run.recording.lane(child)) > 40 * MIB
    assert {sample.pid for sample in run.recording.samples} == {os.getpid()}


def test_the_reason_why_events_are_refused_is_recorded(monkeypatch):
    monkeypatch.setattr(watch, "events_of_tree", lambda *_: (None, "perf_event_open: Permission denied"))
    elder = below()
    with memkit.record(children=True) as run:
        subprocess.run([sys.executable, "-c", f"import time; time.sleep({LONG})"])
    assert (run.recording.seen, run.recording.seen_reason) == ("looks", "perf_event_open: Permission denied")
    assert len([process for process in run.recording.processes if process.pid not in elder]) == 2


def test_a_program_may_close_all_descriptors(python, native_only):
    python("""
import os, subprocess, sys
import memkit
if __name__ == "__main__":
    with memkit.record("run.memkit", children=True) as run:
        os.closerange(3, 4096)
        files = [open("under_test.py") for _ in range(1000)]
        subprocess.run([sys.executable, "-c", "import time; time.sleep(2)"])
    for file in files:
        os.fstat(file.fileno())
        file.close()
    assert len(run.recording.processes) == 2, run.recording.processes
""")


def test_forks_find_no_thread_of_memkit(python):
    python("""
import os, time
import memkit
with memkit.record(children=True) as run:
    for _ in range(20):
        pid = os.fork()  # Python warns of threads at a fork, and warnings are errors
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
assert run.recording.ending.kind == "ok"
""")


def test_a_meter_of_one_process_cannot_measure_its_children():
    with (
        pytest.raises(UsageError, match="children=True goes with the meters rss"),
        memkit.record(children=True, meter=lambda: 1),
    ):
        pass
