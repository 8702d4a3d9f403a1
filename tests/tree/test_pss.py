"""What processes use together between two readings of their shares, while they come to share memory and give it back."""

import json
import os
import random
import re
import subprocess
import sys

import pytest

import memkit
from memkit import Total
from memkit.system import processes
from memkit.system.processes import Proc, Reading, Shares
from memkit.tree.node import Node
from memkit.tree.pss import TreeTotal

MIB = 1 << 20
MS = 1_000_000
OUTSIDE = 1000
"""From this number on processes are not of the tree."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


class Machine:
    """Made-up processes with pieces of memory that each of them may have; a page of it is 1 MiB."""

    kind, reason, page = "pss", None, MIB

    def __init__(self, stock=True):
        self.own, self.faults, self.pieces = {}, {}, {}
        self.stock = stock
        """Whether it tells how much shared memory there is."""

    def begin(self, pid, own=12):
        self.own[pid], self.faults[pid] = own, own

    def make(self, name, size, *pids, kind="shmem"):
        self.pieces[name] = (kind, size, set())
        for pid in pids:
            self.attach(pid, name)

    def attach(self, pid, name):
        _, size, holders = self.pieces[name]
        if pid not in holders and pid < OUTSIDE:
            self.faults[pid] += size
        holders.add(pid)

    def detach(self, pid, name):
        self.pieces[name][2].discard(pid)

    def free(self, name):
        del self.pieces[name]

    def end(self, pid):
        del self.own[pid]
        for name in self.pieces:
            self.detach(pid, name)

    def _part(self, pid, kind, share=lambda size, holders: size):
        pieces = [(size, len(of)) for what, size, of in self.pieces.values() if what == kind and pid in of]
        return sum(share(*piece) for piece in pieces)

    def read(self, pid):
        found = Reading()
        found.born, found.over, found.faults = 0, False, self.faults[pid]
        found.anonymous, found.shmem = self.own[pid] * MIB, self._part(pid, "shmem") * MIB
        found.rss = found.anonymous + found.shmem + self._part(pid, "mapped") * MIB
        return found

    def shares(self, pid):
        mapped, shmem = (self._part(pid, kind, lambda size, count: size // count) for kind in ("mapped", "shmem"))
        alone = sum(self._part(pid, kind, lambda size, count: size if count == 1 else 0) for kind in ("mapped", "shmem"))
        pss, uss = self.own[pid] + mapped + shmem, self.own[pid] + alone
        return Shares(self.read(pid).rss, pss * MIB, uss * MIB, 0, (pss - uss) * MIB, 0, mapped * MIB, shmem * MIB)

    def shmem(self):
        return (sum(size for kind, size, _ in self.pieces.values() if kind == "shmem") * MIB, 0) if self.stock else None

    @property
    def truth(self):
        """MiB of all, what strangers have as well as far as it counts with the tree."""
        shared = sum(size // len(of) * len(of & {*self.own}) for _, size, of in self.pieces.values() if of)
        return sum(self.own.values()) + shared


class Allowance:
    """Time for readings, where a test says whether there is any."""

    def __init__(self, allowed=lambda: False):
        self.allows = lambda *_: allowed()

    def spend(self, _):
        pass


class Watcher:
    """Adds up the processes of a made-up machine; their shares are read when it is told to."""

    def __init__(self, machine, allowed=lambda: False):
        self.machine, self.members, self.now = machine, {}, 0
        self.sum = TreeTotal(machine, 0)
        self.sum._budget = self.sum._urgent_budget = Allowance(allowed)

    def look(self):
        """MiB: the total, what it was at least, and what at most."""
        self._update()
        self.sum._written = None
        *_, last = map(json.loads, self.sum.poll(self.members.values(), self.now).splitlines())
        total = Total(*last[1:])
        return total.memory / MIB, total.least / MIB, total.most / MIB

    def read(self):
        self._update()
        self.sum._read(self.members.values(), self.now)
        memory, least, most = self.look()
        assert memory == least == most == self.machine.truth

    def _update(self):
        self.now += 10 * MS
        for pid in [pid for pid in self.members if pid not in self.machine.own]:
            self.sum.without(self.members.pop(pid).share)
        for pid in self.machine.own:
            if pid not in self.members:
                self.members[pid] = Node(pid, 0, False, False)
                self.members[pid].born = 0
            self.members[pid].reading = self.machine.read(pid)


def watched(*pids, stock=True):
    machine = Machine(stock)
    for pid in pids:
        machine.begin(pid)
    return machine, Watcher(machine)


@pytest.mark.parametrize("kind", ["shmem", "mapped"])
def test_growth_of_shared_memory_of_a_single_process_counts_at_once(kind):
    machine, watcher = watched(1)
    watcher.read()
    machine.make("a", 480, 1, kind=kind)
    assert watcher.look() == (492, 12, 492)
    watcher.read()
    machine.detach(1, "a")
    assert watcher.look() == (12, 12, 12)


def test_a_band_does_not_fall_while_memory_only_rises():
    machine, watcher = watched(1)
    watcher.read()
    bands = []
    for number in range(10):
        machine.make(number, 12, 1)
        bands.append(watcher.look())
    assert bands == [(12 * count, 12, 12 * count) for count in range(2, 12)]


def test_what_is_attached_to_counts_once_though_it_is_not_read():
    machine, watcher = watched(1, 2, 3)
    machine.make("a", 480, 1)
    watcher.read()
    for pid in (2, 3):
        machine.attach(pid, "a")
    assert watcher.look() == (516, 516, 516)  # there is no more on the whole machine


def test_new_shared_memory_counts_as_far_as_the_machine_has_more():
    machine, watcher = watched(1, 2, 3)
    watcher.read()
    machine.make("a", 480, 1, 2)
    machine.make("b", 120, 3)
    assert watcher.look() == (636, 36, 636)


@pytest.mark.parametrize(("holders", "known"), [((1,), 480), ((1, 2, 3), 480), ((), 0)])
def test_without_the_machines_total_only_what_must_be_new_counts(holders, known):
    machine, watcher = watched(1, 2, 3, stock=False)
    machine.make("a", 480, *holders)
    watcher.read()
    for pid in (1, 2):
        machine.attach(pid, "a")
    memory, least, most = watcher.look()
    assert memory == machine.truth == 36 + 480
    assert (least, most) == (36 + known, 36 + 480 + 480 * (len({1, 2} - {*holders}) - (not holders)))


def test_memory_that_is_handed_over_stays():
    machine, watcher = watched(1, 2)
    machine.make("a", 480, 1)
    watcher.read()
    machine.attach(2, "a")
    machine.detach(1, "a")
    memory, least, _ = watcher.look()
    assert (memory, least) == (504, 24)


def test_memory_freed_by_one_process_may_move_into_other_shares():
    machine, watcher = watched(1, 2)
    machine.make("a", 480, 1, 2)
    watcher.read()
    machine.detach(1, "a")
    assert watcher.look() == (264, 264, 504)
    machine.detach(2, "a")
    assert watcher.look() == (24, 24, 24)


def test_shared_memory_of_a_new_process_counts_before_it_is_read():
    machine, watcher = watched(1)
    watcher.read()
    machine.begin(2)
    machine.make("a", 480, 2)
    assert watcher.look() == (504, 24, 504)


def test_faults_of_a_fork_that_are_of_shared_memory_are_no_copies():
    machine, watcher = watched(1)
    machine.make("a", 480, 1)
    watcher.read()
    machine.begin(2, 40)
    machine.faults[2] = 1  # of its own, so that it shares the other 39 with its parent
    machine.attach(2, "a")
    watcher._update()
    watcher.members[2].share.forked = True
    memory, least, most = watcher.look()
    assert (memory, least) == (493, 492)
    assert most >= 493


def test_the_share_of_an_ended_process_moves_to_the_others():
    machine, watcher = watched(1, 2)
    machine.make("a", 480, 1, 2)
    watcher.read()
    machine.end(2)
    assert watcher.look() == (492, 252, 492)


def test_much_that_is_in_doubt_is_read_though_the_time_for_it_is_spent():
    machine, watcher = watched(1)
    watcher.read()
    watcher.sum._urgent_budget = Allowance(lambda: True)
    machine.make("a", 1, 1)
    assert watcher.look() == (13, 12, 13)
    machine.make("b", 480, 1)
    assert watcher.look() == (493, 493, 493)


@pytest.mark.parametrize("kind", ["shmem", "mapped"])
def test_memory_freed_during_a_reading_counts_until_it_is_gone(kind, monkeypatch):
    machine, watcher = watched(1)
    machine.make("a", 480, 1, kind=kind)
    machine.begin(1, 240)
    monkeypatch.setattr(machine, "shares", lambda pid: Shares(12 * MIB, 12 * MIB, 12 * MIB))  # both are on their way
    watcher._update()
    watcher.sum._read(watcher.members.values(), watcher.now)
    assert watcher.look() == (720, 12, 720)
    machine.begin(1)
    assert watcher.look()[0] == 492
    machine.detach(1, "a")
    assert watcher.look() == (12, 12, 12)


@pytest.mark.parametrize("stock", [True, False])
def test_the_truth_lies_between_the_bounds_whatever_the_processes_do(stock):
    for seed in range(100):
        chance = random.Random(seed)
        machine = Machine(stock)
        machine.begin(1)
        watcher = Watcher(machine, lambda chance=chance: chance.random() < 0.2)
        for number in range(60):
            something_happens(machine, chance, number)
            memory, least, most = watcher.look()
            assert least <= memory <= most
            assert least <= machine.truth <= most, (seed, number)


def something_happens(machine, chance, number):
    """One of all that processes can do with memory."""
    pid, name = chance.choice([*machine.own]), chance.choice([*machine.pieces, None])
    what = chance.choice(["begin", "end", "make", "make", "attach", "attach", "detach", "exchange", "free", "own"])
    if what == "begin" and len(machine.own) < 4:
        machine.begin(10 + number)
    elif what == "end" and len(machine.own) > 1:
        machine.end(pid)
    elif what == "make":
        stranger = chance.choice([(), (), (OUTSIDE,)])
        machine.make(number, 60 * chance.randrange(1, 9), *stranger, kind=chance.choice(["shmem", "mapped"]))
        machine.attach(pid, number)
    elif what == "own":
        more = chance.randrange(-100, 100)
        machine.own[pid] = max(12, machine.own[pid] + more)
        machine.faults[pid] += max(0, more)
    elif name is not None:
        if what in ("attach", "exchange"):
            for other in [*machine.pieces] if what == "exchange" else []:
                machine.detach(pid, other)
            machine.attach(pid, name)
        elif what == "detach":
            machine.detach(pid, name)
        elif what == "free" and not machine.pieces[name][2]:
            machine.free(name)


# -- real processes ------------------------------------------------------------------------------------------------------

FILLS = """
import mmap, os, sys
memory = mmap.mmap(-1, 100 << 20)
def say():
    print("here", flush=True)
    sys.stdin.readline()
def fill(half):
    for place in range(half * 50 << 20, (half + 1) * 50 << 20, mmap.PAGESIZE):
        memory[place] = 1
say()
fill(0)
say()
fill(1)
say()
memory.close()
say()
"""


@linux
def test_the_kernels_sum_is_within_the_bounds_for_real_shared_memory(native_only):
    with subprocess.Popen([sys.executable, "-c", FILLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        source, totals, truths = processes.here(), [], []
        member, sums = Node(child.pid, 0, True, False), TreeTotal(source, 0)
        for step in range(4):
            child.stdout.readline()
            member.reading = source.read(child.pid)
            member.born = member.reading.born
            sums._budget = sums._urgent_budget = Allowance(lambda step=step: step == 0)
            totals.append(Total(*json.loads(sums.poll([member], step).splitlines()[-1])[1:]))
            truths.append(source.shares(child.pid).pss)
            child.stdin.write(b"\n")
            child.stdin.flush()
    before, *rising, after = totals
    blur = 2 * MIB  # what the kernel has not added up yet, and libraries that others begin and end to use
    for total, truth in zip(totals, truths):
        assert total.least - blur <= truth <= total.most + blur
    for number, total in enumerate(rising):
        assert abs(total.memory - before.memory - (50 + 50 * number) * MIB) <= blur
        assert abs(total.least - before.least) <= blur
    assert abs(after.memory - before.memory) <= blur


@linux
def test_the_kernel_tells_how_much_shared_memory_there_is(tmp_path):
    there, blur = Proc().shmem()
    with open("/proc/meminfo") as file:
        told = int(re.search(r"^Shmem: +(\d+) kB", file.read(), re.MULTILINE)[1]) * 1024
    assert there > 0 or told == 0
    assert blur >= 125 * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "proc").mkdir()
    assert Proc(str(tmp_path)).shmem() is None
    (tmp_path / "proc" / "vmstat").write_text("nr_mapped 9\nnr_shmem 7\nnr_shmem_hugepages 0\n")
    assert Proc(str(tmp_path)).shmem()[0] == 7 * os.sysconf("SC_PAGE_SIZE")


GROWS = """
import mmap
memory = mmap.mmap(-1, 200 << 20)
for place in range(0, 200 << 20, mmap.PAGESIZE):
    memory[place] = 1
"""


@linux
def test_the_total_of_a_tree_of_one_is_not_behind_its_own_memory(memkit_run, script, native_only):
    recording = memkit_run(script(GROWS), options=("-q", "--children")).recording
    recording = memkit.read(recording.source)
    for total in recording.totals:  # libraries, which others have too, and what is being given back are no more than that
        assert total.rss - 60 * MIB <= total.memory <= total.rss
        assert total.least <= total.memory <= total.most
