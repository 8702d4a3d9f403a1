"""Processes that are not recorded: which are seen, and what a program knows of its children at its end."""

import json
import os
import subprocess
import sys

import pytest
from machine import MIB, Machine

import memkit
from memkit.system import engine
from memkit.tree.unrecorded import Unrecorded

NATIVE = pytest.mark.skipif(engine.NAME != "native", reason=f"needs the native engine: {engine.REASON}")
MAPS = "import mmap; block = mmap.mmap(-1, 40 << 20, flags=mmap.MAP_PRIVATE); block[::4096] = b'x' * (40 << 8)"


def rows(unrecorded):
    return [json.loads(line) for line in unrecorded.rows().splitlines()]


@pytest.fixture
def machine():
    made = Machine()
    made.has(100)
    return made


def test_each_process_below_is_seen_with_the_highest_memory_that_was_read(machine):
    machine.has(200, 100, mib=5)
    machine.has(300, 200, mib=7)
    machine.has(400, 1, mib=9)
    found = Unrecorded(100, 0, machine)
    found.look()
    machine.has(200, 100, mib=4, mark=6 * MIB)
    machine.loses(300)
    found.look()
    assert rows(found) == [["unrecorded", 200, 6 * MIB, "job 200"], ["unrecorded", 300, 7 * MIB, "job 300"]]


def test_what_began_before_and_what_is_over_does_not_count(machine):
    machine.has(200, 100, born=1)
    machine.has(300, 100, born=5, over=True)
    machine.has(500, 300, born=5)
    machine.has(os.getpid(), 100, born=5)
    found = Unrecorded(100, 2_000_000, machine)
    found.look()
    assert [row[1] for row in rows(found)] == [500]


def test_a_pid_that_is_used_again_is_another_process(machine):
    machine.has(200, 100, born=1)
    found = Unrecorded(100, 0, machine)
    found.look()
    machine.has(200, 100, born=2)
    found.look()
    assert len(rows(found)) == 2


@NATIVE
def test_a_program_tells_the_highest_of_the_children_that_have_ended(memkit_run, script):
    name = script(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {MAPS!r}])\n")
    recording = memkit_run(name).recording
    assert 45 * MIB < recording.waited_for < 100 * MIB
    assert recording.unread == 0


@NATIVE
def test_of_children_that_live_on_the_memory_is_told(memkit_run, script):
    text = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {MAPS + "; print(flush=True); input()"!r}],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
sys.stdin.read()
"""
    recording = memkit_run(script(text)).recording
    (seen,) = recording.unrecorded
    assert 45 * MIB < seen.memory < 100 * MIB
    assert "mmap" in seen.command


@NATIVE
def test_a_recording_inside_a_program_counts_only_its_own_children():
    subprocess.run([sys.executable, "-c", MAPS], check=True)
    with memkit.record() as run:
        pass
    assert (run.recording.unrecorded, run.recording.waited_for) == ((), None)
    with memkit.record() as run:
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert run.recording.waited_for is not None


@NATIVE
@pytest.mark.parametrize("options", [("--children",), ("--follow",)])
def test_what_is_recorded_is_not_said_to_be_missing(memkit_run, script, options):
    name = script(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {MAPS!r}])\n")
    recording = memkit_run(name, options=("-q", *options)).recording
    assert not [fact for fact in memkit.facts(recording) if fact.label == "children"]
