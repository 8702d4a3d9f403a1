"""Times are right while a test has frozen the clocks of the module ``time``."""

import sys
import time

import pytest

import memkit
from memkit.base import clocks

NAMES = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")


@pytest.fixture
def frozen(monkeypatch):
    """The clocks of ``time`` stand still long ago, in every module that has them, as freezegun does it."""
    real = {id(getattr(time, name)): name for name in NAMES}
    stopped = {name: (lambda value: lambda: value)(1_577_836_800 * (10**9 if name.endswith("_ns") else 1)) for name in NAMES}
    keep = ("threading", "queue", "_pytest", "multiprocessing", "sqlite3")
    for module in [module for name, module in sys.modules.items() if not name.startswith(keep)]:
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in real:
                monkeypatch.setattr(module, name, stopped[real[id(value)]])
    assert time.time() == time.monotonic() == 1_577_836_800


def test_the_clocks_go_on(frozen):
    wall = time.clock_gettime(time.CLOCK_REALTIME) if hasattr(time, "clock_gettime") else clocks.time()
    assert clocks.time() == pytest.approx(wall, abs=60)
    before = clocks.monotonic_ns(), clocks.perf_counter_ns(), clocks.monotonic()
    while clocks.monotonic_ns() == before[0]:
        pass
    after = clocks.monotonic_ns(), clocks.perf_counter_ns(), clocks.monotonic()
    assert all(one <= other for one, other in zip(before, after))


@pytest.mark.parametrize("children", [False, True])
def test_a_recording_has_right_times(frozen, tmp_path, children, capsys):
    before = clocks.time()
    with memkit.record(tmp_path / "a.memkit", children=children) as run, memkit.span("work"):
        table = bytearray(40 << 20)
        time.sleep(0.02)
    recording = run.recording
    assert 0 < recording.duration < 60 * 10**9 and len(table)
    assert before - 1 <= recording.about.began <= clocks.time() + 1
    assert all(0 <= sample.time <= recording.duration for sample in recording.samples)
    [span] = recording.spans
    assert 20_000_000 <= span.end - span.start < 60 * 10**9
    memkit.report(recording)
    assert "finished" in capsys.readouterr().out


def test_a_tracker_has_right_times(frozen, tmp_path):
    with memkit.Tracker(tmp_path / "t.csv"):
        time.sleep(0.02)
    times = [float(line.split(",")[0]) for line in (tmp_path / "t.csv").read_text().splitlines() if line[:1].isdigit()]
    assert times and all(0 <= at < 60 for at in times)


def test_freezegun_changes_nothing(tmp_path):
    freezegun = pytest.importorskip("freezegun")
    with freezegun.freeze_time("2020-01-01"), memkit.record(tmp_path / "a.memkit") as run:
        time.sleep(0.02)
    assert 20_000_000 <= run.recording.duration < 60 * 10**9
    assert run.recording.about.began > 1_600_000_000
