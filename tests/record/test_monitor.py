"""Watching memory in use against a limit, on a made-up clock and made-up memory; and real threads, forks and exits."""

import itertools
import os
import random
import subprocess
import sys
import threading

import pytest

import memkit
from memkit.record import monitor, trend
from memkit.system import meminfo

MIB, GIB = 1 << 20, 1 << 30
MS, SECOND = 1_000_000, 1_000_000_000


class World:
    """A machine of 100 GiB, of which so many per cent are in use, and its clock."""

    now = 0
    used = 40.0

    def monotonic_ns(self):
        return self.now

    def total(self):
        return 100 * GIB

    def available(self):
        return round((100 - self.used) * GIB)


@pytest.fixture
def world(monkeypatch):
    """That machine, to which a monitor made here belongs; nothing else limits memory there."""
    made = World()
    monkeypatch.setattr(monitor, "clocks", made)
    monkeypatch.setattr(monitor, "meminfo", made)
    monkeypatch.setattr(monitor, "limit", lambda: None)
    return made


@pytest.fixture
def watching(world, monkeypatch):
    """A function that starts a monitor whose thread is this one; and lets it look at the clock when it is told to."""

    def resume(self):
        self._thread = threading.Thread()
        self._thread.join = lambda: None

    monkeypatch.setattr(monitor.MemoryMonitor, "resume", resume)
    made = []

    def make(*arguments, **settings):
        made.append(memkit.MemoryMonitor(*arguments, **settings))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def wake(watch, world, moment):
    """The thread wakes at this moment, and takes a reading if one is due."""
    world.now = moment
    if moment >= watch._due:
        watch._tick(watch._turn)


def pass_time(watch, world, until):
    """Until then the thread wakes whenever it wants to."""
    while watch._due <= until:
        wake(watch, world, watch._due)
    world.now = until


# -- readings ------------------------------------------------------------------------------------------------------------


def test_a_second_of_tenths_is_ten_readings_however_late_each_of_them_is(watching, world):
    watch = watching(0.1)
    world.now = 37 * MS
    watch.start_recording()
    late = itertools.cycle([0, 3 * MS, 40 * MS, 1])
    while watch._due < world.now + 2000 * MS and len(watch.history) < 10:
        wake(watch, world, watch._due + next(late))
    assert len(watch.history) == 10
    assert world.now < 37 * MS + SECOND < watch._due
    assert watch.missed == 0


def test_readings_do_not_drift_over_a_day(watching, world):
    watch = watching(1)
    watch.start_recording()
    pass_time(watch, world, 86_400 * SECOND)
    assert (len(watch.history), watch.missed) == (86_400, 0)
    assert watch._due == 86_400 * SECOND + SECOND // 2


def test_readings_that_came_too_late_are_counted_and_not_made_up_for(watching, world):
    watch = watching("100ms")
    watch.start_recording()
    for moment in (50, 150, 790, 791, 800, 850):
        wake(watch, world, moment * MS)
    assert len(watch.history) == 4  # at 50, 150, 790 and 850
    assert watch.missed == 5  # due at 250, 350, 450, 550 and 650


def test_readings_are_recorded_only_when_that_is_wished(watching, world):
    watch = watching(0.1)
    pass_time(watch, world, SECOND)
    assert watch.history == []
    watch.start_recording()
    watch.start_recording()
    assert watch.is_recording
    pass_time(watch, world, 1300 * MS)
    watch.stop_recording()
    pass_time(watch, world, 2 * SECOND)
    assert (watch.is_recording, watch.history) == (False, [40.0] * 3)
    watch.clear_recording_history()
    assert watch.history == []


def test_the_highest_is_of_all_readings_and_can_begin_anew(watching, world):
    watch = watching(0.1)
    assert watch.max_mem == 40
    for world.used in (70.0, 55.0):
        pass_time(watch, world, world.now + 100 * MS)
    assert (watch.max_mem, watch.current_usage) == (70, 55)
    watch.reset_max_memory()
    assert watch.max_mem == 55
    assert watch.total_mem == 100 * GIB


# -- will it fit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "available"),
    [
        ([30.0, 40.0], True),
        ([30.0, 39.0, 40.0], True),
        ([30.0, 50.0], False),
        ([49.0, 49.0], True),
        ([45.0, 45.0, 47.5, 47.5], True),
    ],
)
def test_memory_is_available_while_mean_plus_range_is_below_the_limit(watching, history, available):
    watch = watching(memory_limit=50)
    watch.history = history
    assert watch.memory_available() is available


def test_what_just_reaches_the_limit_is_not_available(watching):
    watch = watching(memory_limit=50)
    watch.history = [30.0, 50.0, 10.0]  # mean 30, spread 40
    assert not watch.memory_available()
    watch.history = [35.0, 45.0]  # mean 40, spread 10
    assert not watch.memory_available()


def test_without_a_history_what_is_in_use_now_counts(watching, world):
    watch = watching(memory_limit=50)
    assert watch.memory_available()
    world.used = 50.0
    assert not watch.memory_available()


@pytest.mark.parametrize("given", [80, 80.0, "80%", "80", " 80 %", "80GiB", "81920 MiB"])
def test_a_limit_is_per_cent_or_a_size(world, given):
    watch = memkit.MemoryMonitor(memory_limit=given)
    assert watch.headroom() == 40 * GIB
    assert watch.memory_available()
    world.used = 80.0
    assert not watch.memory_available()


def test_a_limit_may_be_in_bytes(world):
    watch = memkit.MemoryMonitor(memory_limit=40 * GIB)
    assert watch.headroom() == memkit.MemoryMonitor(memory_limit=40).headroom()


@pytest.mark.parametrize("given", [-1, 101, 2**20 - 1, "150%", None, True, [], "2 PB", "much", float("nan"), 10**400])
def test_a_limit_that_makes_no_sense_is_refused(world, given):
    with pytest.raises(memkit.UsageError, match="write"):
        memkit.MemoryMonitor(memory_limit=given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"interval": "auto"}, "is not a time: write seconds, such as 0.01, or 10ms$"),
        ({"interval": 0}, "the shortest is 0.0001 s$"),
        ({"of": "universe"}, "of='universe': a monitor watches system, cgroup or process"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, said):
    with pytest.raises(memkit.UsageError, match=said):
        memkit.MemoryMonitor(**arguments)


def test_headroom_ends_at_the_nearest_limit_of_all(world, monkeypatch):
    from memkit.model.recording import Limit

    watch = memkit.MemoryMonitor(memory_limit="60%")
    monkeypatch.setattr(monitor, "limit", lambda: Limit("cgroup /jobs", 4 * GIB, 3 * GIB, "cgroup"))
    assert watch.headroom() == GIB
    monkeypatch.setattr(monitor, "limit", lambda: Limit("cgroup /jobs", 64 * GIB, 3 * GIB, "cgroup"))
    assert watch.headroom() == 20 * GIB
    world.used = 62.0
    assert watch.headroom() == -2 * GIB


# -- crossings -----------------------------------------------------------------------------------------------------------


def levels(watch, world, *levels):
    for world.used in levels:
        pass_time(watch, world, world.now + 100 * MS)


def test_a_callback_is_called_once_for_each_crossing(watching, world):
    watch, calls = watching(memory_limit=60), []

    @watch.on_limit
    def crossed():
        calls.append(world.used)

    levels(watch, world, 59.9, 60.0, 65.0, 59.0, 61.0, 57.1, 62.0)
    assert calls == [60.0]  # 57 is a twentieth below it
    levels(watch, world, 56.9, 59.0, 63.0, 70.0)
    assert calls == [60.0, 63.0]


@pytest.mark.parametrize(("hysteresis", "expected"), [(0, 3), ("2%", 2), ("2GiB", 2), (10, 1)])
def test_the_hysteresis_can_be_chosen(watching, world, hysteresis, expected):
    watch, calls = watching(memory_limit=60), []
    watch.on_limit(lambda: calls.append(1), hysteresis=hysteresis)
    levels(watch, world, 61, 59, 61, 57, 61)
    assert len(calls) == expected


def test_where_memory_is_above_the_limit_already_the_next_reading_tells(watching, world):
    watch, calls = watching(memory_limit=30), []
    pass_time(watch, world, SECOND)
    watch.on_limit(lambda: calls.append(1))
    assert calls == []
    pass_time(watch, world, 2 * SECOND)
    assert calls == [1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_callback_that_raises_ends_neither_the_monitor_nor_the_others(watching, world, monkeypatch, error):
    watch, told, calls = watching(memory_limit=60), [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail():
        raise error("mine")

    watch.on_limit(fail)
    watch.on_limit(lambda: calls.append(1))
    levels(watch, world, 61, 10, 61)
    assert (told, calls) == ([error, error], [1, 1])


def test_what_cannot_be_called_is_refused(watching):
    with pytest.raises(memkit.UsageError, match="'print' cannot be called"):
        watching().on_limit("print")
    for given in (-1, 10**400):
        with pytest.raises(memkit.UsageError, match=f"hysteresis {given} is neither"):
            watching().on_limit(print, hysteresis=given)


@pytest.mark.parametrize("hysteresis", ["2GiB", "1GiB", 50])
def test_a_hysteresis_that_memory_cannot_fall_by_is_refused(watching, hysteresis):
    with pytest.raises(memkit.UsageError, match=f"hysteresis {hysteresis!r} is not less than the limit, 1.0 GiB"):
        watching(memory_limit="1GiB").on_limit(print, hysteresis=hysteresis)


def test_a_callback_may_stop_the_monitor_and_fork(tmp_path):
    code = """
import os, memkit
done = __import__("threading").Event()
watch = memkit.MemoryMonitor(0.001, memory_limit=0)
@watch.on_limit
def crossed():
    pid = os.fork()
    if not pid:
        os._exit(watch.is_running())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    watch.stop()
    done.set()
watch.start()
assert done.wait(60)
assert not watch.is_running() and watch.is_shutdown()
"""
    subprocess.run([sys.executable, "-W", "error", "-W", "ignore:This process", "-c", code], check=True, timeout=60)


# -- when ----------------------------------------------------------------------------------------------------------------


def readings(sizes, beat=100 * MS):
    return [(number * beat, size) for number, size in enumerate(sizes)]


def test_steady_growth_reaches_the_limit_when_it_is_due():
    found = trend.time_until(1000 * MIB, readings(range(0, 128 * MIB, MIB)))
    assert found.seconds == pytest.approx(100)
    assert 99 < found.earliest <= 100 <= found.latest < 101


def test_what_does_not_grow_never_does():
    assert trend.time_until(MIB, readings([5 * MIB] * 128)) is None
    assert trend.time_until(MIB, readings(range(128 * MIB, 0, -MIB))) is None


def test_a_few_readings_tell_nothing():
    assert trend.time_until(MIB, readings(range(15))) is None
    assert trend.time_until(MIB, readings(range(16))) is not None


def test_what_is_reached_already_takes_no_time():
    assert trend.time_until(0, []) == (0, 0, 0)
    assert trend.time_until(-5, readings([1] * 128)) == (0, 0, 0)


def test_growth_that_may_as_well_be_chance_has_no_latest():
    found = trend.time_until(10 * GIB, readings([number // 16 % 2 * GIB + number * MIB for number in range(128)]))
    assert found.latest is None
    assert 0 < found.earliest < found.seconds


def walk(chance):
    return lambda _: chance.gauss(1000, 3000)


def jumps(chance):
    return lambda _: 20_000 * (chance.random() < 0.1)


def noise(chance):
    errors = [0]

    def step(_):
        errors.append(chance.gauss(0, 20_000))
        return 1000 + errors[-1] - errors[-2]

    return step


def saw(chance):
    return lambda number: 1000 + (3000 if number % 17 else -48_000)


@pytest.mark.parametrize("process", [walk, jumps, noise, saw])
def test_the_bounds_hold_in_nine_cases_of_ten(process):
    chance, kept, told = random.Random(11), 0, 0
    for _ in range(200):
        step, size, sizes = process(chance), 0, []
        for number in itertools.count():
            size += step(number)
            sizes.append(size)
            if len(sizes) >= 128 and size - sizes[127] >= 100_000:
                break
        found = trend.time_until(100_000, readings(sizes[:128]))
        if found is not None:
            told += 1
            took = (len(sizes) - 128) / 10
            kept += found.earliest <= took and (found.latest is None or took <= found.latest)
    assert told > 190
    assert kept / told >= 0.9


def test_a_monitor_tells_when_its_headroom_will_be_used_up(watching, world):
    watch = watching(0.1, memory_limit=60)
    assert watch.time_to_limit() is None
    for number in range(100):
        world.used = 40 + number * 0.1
        pass_time(watch, world, world.now + 100 * MS)
    found = watch.time_to_limit()
    assert isinstance(found, memkit.TimeToLimit)
    assert found.seconds == pytest.approx(10.1, rel=0.01)
    assert found.earliest <= found.seconds <= found.latest
    watch.stop()
    assert watch.time_to_limit() is None


# -- of what -------------------------------------------------------------------------------------------------------------


class Group:
    def __init__(self, limit, used):
        self.limit, self.used = lambda: limit, lambda: used


def test_of_the_system_what_is_not_available_is_in_use(monkeypatch):
    monkeypatch.setattr(meminfo, "meminfo", lambda: {"MemTotal": 200, "MemAvailable": 150})
    watch = memkit.MemoryMonitor()
    assert (watch.total_mem, watch.current_usage) == (200, 25)


def test_of_control_groups_the_one_nearest_to_its_limit_is_watched(world, monkeypatch):
    groups = [Group(None, GIB), Group(4 * GIB, GIB), Group(8 * GIB, 6 * GIB), Group(1 << 63, 7 * GIB), Group(GIB, None)]
    monkeypatch.setattr(monitor.cgroup, "memory_groups", lambda: groups)
    watch = memkit.MemoryMonitor(of="cgroup")
    assert (watch.total_mem, watch.current_usage) == (8 * GIB, 75)


def test_a_control_group_without_a_limit_has_the_machines(world, monkeypatch):
    monkeypatch.setattr(monitor.cgroup, "memory_groups", lambda: [Group(None, None), Group(None, 10 * GIB)])
    watch = memkit.MemoryMonitor(of="cgroup")
    assert (watch.total_mem, watch.current_usage) == (100 * GIB, 10)


def test_without_a_control_group_there_is_nothing_to_watch(monkeypatch):
    monkeypatch.setattr(monitor.cgroup, "memory_groups", list)
    with pytest.raises(memkit.MeterError, match="no control group here"):
        memkit.MemoryMonitor(of="cgroup")


def test_of_this_process_it_is_resident_memory_of_what_it_may_have(world, monkeypatch):
    monkeypatch.setattr(monitor.cgroup, "memory_groups", lambda: [Group(4 * GIB, GIB), Group(None, 6 * GIB)])
    watch = memkit.MemoryMonitor(of="process")
    assert watch.total_mem == 4 * GIB
    assert watch.current_usage == pytest.approx(memkit.rss() / (4 * GIB) * 100, abs=1)


def test_a_group_that_is_gone_leaves_no_reading_and_an_error_for_who_asks(watching, world):
    watch = watching(0.1)
    watch.start_recording()
    watch._used = lambda: None
    pass_time(watch, world, SECOND)
    assert watch.history == []
    with pytest.raises(memkit.MeterError, match="what system uses can not be read any more"):
        watch.headroom()


@pytest.mark.parametrize("error", [memkit.MeterError("no descriptor is left"), OSError(24, "Too many open files")])
def test_a_failed_reading_is_left_out_and_the_monitor_goes_on(watching, world, error):
    def fail():
        raise error

    watch = watching(0.1)
    watch.start_recording()
    usual = watch._used
    pass_time(watch, world, SECOND // 2)
    watch._used = fail
    pass_time(watch, world, SECOND)
    watch._used = usual
    pass_time(watch, world, 2 * SECOND)
    assert watch.history == [40.0] * 15


# -- the thread ----------------------------------------------------------------------------------------------------------


def until(true):
    """Wait until something is."""
    for _ in range(60_000):
        if true():
            return True
        threading.Event().wait(0.001)
    return False


def test_in_a_with_block_it_runs():
    before = threading.active_count()
    with memkit.MemoryMonitor(0.001) as watch:
        assert watch.is_running()
        watch.start()  # harmless
        watch.start_recording()
        assert until(lambda: len(watch.history) >= 5)
    assert not watch.is_running()
    assert watch.is_shutdown()
    assert threading.active_count() == before
    assert 0 < watch.max_mem < 100
    assert watch.total_mem > 0


def test_it_can_be_stopped_at_any_time_and_started_again():
    watch = memkit.MemoryMonitor(3600)
    watch.stop()
    assert not watch.is_shutdown()
    for _ in range(3):
        watch.start()
        assert watch.is_running()
        watch.close()
        assert (watch.is_running(), watch.is_shutdown()) == (False, True)


def test_no_thread_to_be_had_is_one_error(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    watch = memkit.MemoryMonitor()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(memkit.MemkitError, match="cannot watch memory: can't start new thread"):
            watch.start()
    assert not watch.is_running()
    with watch:
        assert watch.is_running()


def test_a_monitor_that_nobody_stops_does_not_keep_the_interpreter():
    code = "import memkit; watch = memkit.MemoryMonitor(3600); watch.start(); print('done')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


FORKS = """
import os, memkit
with memkit.MemoryMonitor(0.001) as watch:
    watch.start_recording()
    for code in range(5):
        pid = os.fork()
        if not pid:
            assert not watch.is_running()
            watch.start()
            watch.stop()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    before = len(watch.history)
    while len(watch.history) < before + 3:
        pass
print("parent")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_finds_no_thread_and_the_parent_goes_on():
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "parent\n", "")


@pytest.mark.parametrize("given", [0.8, "0.8", 0.05])
def test_a_limit_that_is_meant_as_a_share_is_refused_with_two_ways(given):
    percent = f"{100 * float(given):g}"
    with pytest.raises(memkit.UsageError, match=f"write {percent} or '{percent}%', or '{given}%'"):
        memkit.MemoryMonitor(memory_limit=given)
    assert memkit.MemoryMonitor(memory_limit=f"{given}%").headroom() is not None
