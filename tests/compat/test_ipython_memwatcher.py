"""ipython_memwatcher's names: the session of its README, with another import line."""

import re

import pytest

from memkit.system import engine

LINE = re.compile(
    r"In \[(\d+)\] used (-?\d+\.\d{3}) MiB RAM in (\d+\.\d{3})s, peaked (\d+\.\d{3}) MiB above current"
    r"(?: \(sampled\))?, total RAM usage (\d+\.\d{3}) MiB\n"
)


@pytest.fixture
def session(shell):
    """A shell after the README's first cells, and what the last of them printed."""
    pytest.importorskip("numpy")
    for cell in ("import numpy as np", "from memkit.compat.ipython_memwatcher import MemWatcher", "mw = MemWatcher()"):
        assert shell(cell) == ""
    shell("mw.start_watching_memory()")
    yield shell
    shell("mw.stop_watching_memory()")


def told(text):
    """Of the one line in a text: the number, growth, time, peak and total."""
    [found] = LINE.findall(text)
    return int(found[0]), *map(float, found[1:])


def test_the_session_of_the_readme(session):
    assert told(session.printed)[0] == 4
    number, grew, _, _, before = told(session("a = np.ones(int(1e7))"))
    assert number == 5
    assert grew == pytest.approx(76.3, abs=0.2)
    _, grew, _, _, total = told(session("b = np.ones(int(1e7))"))
    assert grew == pytest.approx(76.3, abs=0.2)
    assert total - before == pytest.approx(76.3, abs=0.3)
    _, grew, _, peak, _ = told(session("b = a * b"))
    assert grew == pytest.approx(0, abs=0.3)
    if engine.peaks()[0] == "reset":
        assert peak == pytest.approx(76.3, abs=0.6)  # theirs missed most of it
    session("mw.measurements")
    delta, time, peak, usage = session.result.result
    assert repr(session.result.result).startswith("Measurements(memory_delta=")
    assert delta == pytest.approx(grew, abs=0.001)
    assert time > 0
    assert usage == pytest.approx(total, abs=0.5)
    assert told(session.printed)[0] == 8
    assert session("mw.stop_watching_memory()") == ""
    assert session("b = a * b") == ""
    session("del a, b")


def test_the_session_of_the_readme_grows_by_random_numbers(session):
    session("np.random.uniform()")  # numpy loads that module now
    _, grew, _, _, _ = told(session("arr = np.random.uniform(size=int(1e7))"))
    assert grew == pytest.approx(76.3, abs=0.3)


def test_their_attributes_are_there(session):
    watcher = session.ip.user_ns["mw"]
    session("kept = touched(20)")
    assert watcher.ip is session.ip
    assert watcher.watching_memory
    assert not watcher.keep_watching
    assert watcher.input_cells[-1] == "kept = touched(20)"
    assert watcher.memory_delta == pytest.approx(20, abs=0.3)
    assert watcher.time_delta > 0
    assert watcher.peak_memory_usage == watcher.previous_call_memory_usage + watcher.peaked_memory_usage
    assert watcher.t1 > 1_700_000_000


def test_before_the_first_cell_the_measurements_are_those_of_the_start(shell):
    shell("from memkit.compat.ipython_memwatcher import MemWatcher; found = MemWatcher().measurements")
    assert shell.ip.user_ns["found"][:3] == (0, 0, 0)
    assert shell.ip.user_ns["found"].memory_usage > 5


def test_starting_twice_prints_once(session):
    session("mw.start_watching_memory()")
    assert told(session("1"))[0] == 6
