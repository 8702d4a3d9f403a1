"""memon's monitor: its names, its rule, and its faults mended."""

import inspect
import subprocess
import sys
import threading

import pytest

import memkit
from memkit.compat.memon import MemoryMonitor
from memkit.record import active


def test_the_arguments_are_those_of_memon():
    assert [(each.name, each.default) for each in inspect.signature(MemoryMonitor).parameters.values()] == [
        ("interval", 0.1),
        ("memory_limit", 50),
    ]


def test_the_names_are_those_of_memon():
    watch = MemoryMonitor(3600, 101 - 1)
    assert (watch.is_recording, watch.history, watch.max_mem) == (False, [], 0)
    assert watch.total_mem > 1 << 20
    assert 0 < watch.current_usage < 100
    for name in (
        "start",
        "stop",
        "close",
        "is_running",
        "is_shutdown",
        "start_recording",
        "stop_recording",
        "join",
        "is_alive",
    ):
        assert callable(getattr(watch, name))
    watch.start()
    assert watch.is_running()
    assert watch.is_alive()
    watch.start_recording()
    watch.stop_recording()
    watch.clear_recording_history()
    watch.reset_max_memory()
    assert 0 < watch.max_mem < 100
    watch.close()
    assert not watch.is_alive()
    watch.join()
    watch.__exit__()  # as memon's own users had to


@pytest.mark.parametrize(("history", "expected"), [([20.0, 30.0], True), ([20.0, 40.0], False), ([10.0, 30.0, 20.0], True)])
def test_the_forecast_follows_the_rule_of_memon(history, expected):
    watch = MemoryMonitor(memory_limit=50)
    watch.history = history
    assert (sum(history) / len(history) + max(history) - min(history) < 50) is expected
    assert watch.memory_available() is expected


def test_join_waits_until_it_is_stopped():
    watch = MemoryMonitor(3600)
    watch.start()
    watch.join(0.001)
    assert watch.is_running()
    threading.Timer(0.01, watch.stop).start()
    watch.join(60)
    assert not watch.is_running()


def test_join_keeps_waiting_while_another_thread_forks():
    watch = MemoryMonitor(3600)
    watch.start()
    waiter = threading.Thread(target=watch.join)
    waiter.start()
    for _ in range(5):
        with active.lock:
            watch.pause()  # as before a fork
        waiter.join(0.02)
        with active.lock:
            watch.resume()
        waiter.join(0.02)
    assert waiter.is_alive()
    watch.stop()
    waiter.join(60)
    assert not waiter.is_alive()


README = """
from memkit.compat.memon import MemoryMonitor
import time

watch = MemoryMonitor(interval=0.01)
began = time.monotonic()
watch.start()
watch.start_recording()
while len(watch.history) + watch.missed < 10:
    time.sleep(0.01)
watch.stop_recording()
print(time.monotonic() - began)
"""


def test_a_running_monitor_does_not_block_the_exit():
    done = subprocess.run([sys.executable, "-W", "error", "-c", README], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) > 0.09  # ten readings take nine and a half intervals at the least


def test_it_is_memkits():
    assert issubclass(MemoryMonitor, memkit.MemoryMonitor)
    with MemoryMonitor(3600) as watch:
        assert watch.headroom() < watch.total_mem
