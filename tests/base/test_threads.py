"""Threads of the system, also where a program has put greenlets in their place."""

import threading
from types import SimpleNamespace

import pytest

from memkit.base import threads
from memkit.base.threads import Bell, start_thread, unpatched, wait_for_end

HEAD = """
from gevent import monkey
monkey.patch_all()
import json
import time
import memkit

def work():
    end = time.monotonic() + 0.3
    while time.monotonic() < end:  # and no other greenlet runs
        pass
"""


@pytest.fixture
def patched(python):
    """A function that runs a text in a process where gevent has replaced what it can."""
    pytest.importorskip("gevent")
    return lambda text: python(HEAD + text)


def test_a_thread_has_no_task_left_once_it_was_waited_for(monkeypatch):
    answers = iter([True, True, False])
    asked = []

    def exists(path):
        asked.append(path)
        return next(answers)

    monkeypatch.setattr(threads.os, "path", SimpleNamespace(exists=exists))
    thread = threading.Thread(target=lambda: None)
    thread.start()
    threads.wait_for_end(thread)
    assert asked == [f"/proc/self/task/{thread.native_id}"] * 3
    assert not thread.is_alive()


def test_the_original_is_what_is_there_where_nobody_replaced_it():
    assert unpatched("threading", "Thread") is threading.Thread


def test_a_bell_wakes_who_waits_or_will_wait():
    bell, heard = Bell(), []

    def listen():
        with bell:
            bell.wait(60)
            heard.append("first")
            bell.wait(60)
            heard.append("second")

    thread = start_thread(listen, "listener")
    for _ in range(2):
        with bell:
            bell.ring()
            bell.ring()  # once is enough
        while not heard:
            pass
    wait_for_end(thread)
    assert heard == ["first", "second"]


def test_a_bell_that_nobody_rings_waits_no_longer_than_told():
    bell = Bell()
    with bell:
        bell.wait(0.001)
        bell.wait(0)


def test_the_original_is_what_gevent_has_replaced(patched):
    found = patched(
        """
from memkit.base.threads import unpatched
print(json.dumps([unpatched("time", "sleep") is time.sleep, type(unpatched("_thread", "allocate_lock")()).__module__]))
"""
    )
    assert found == [False, "_thread"]


def test_memory_is_watched_while_no_greenlet_switches(patched):
    found = patched(
        """
with memkit.MemoryMonitor(interval=0.02) as watch:
    watch.start_recording()
    work()
print(json.dumps(len(watch.history)))
"""
    )
    assert found > 0


def test_a_tracker_reads_while_no_greenlet_switches(patched):
    found = patched(
        """
with memkit.Tracker("t.csv", interval=0.02, scope="system"):
    work()
    work()
with open("t.csv") as file:
    print(json.dumps(len(file.readlines())))
"""
    )
    assert found > 4  # four lines are not from the thread


def test_a_thread_beside_gevent_can_be_waited_for(patched):
    found = patched(
        """
import os, threading
from memkit.base.threads import start_thread, wait_for_end
seen = []
thread = start_thread(lambda: seen.append(threading.get_native_id()), "one")
wait_for_end(thread)
print(json.dumps([seen == [thread.native_id], seen[0] != os.getpid(), os.path.exists(f"/proc/self/task/{seen[0]}")]))
"""
    )
    assert found == [True, True, False]
