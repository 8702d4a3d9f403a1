"""Tracking a block into a CSV file, and what the file says of its end."""

import asyncio
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import memkit
from memkit.record import active, tracker
from memkit.system import engine, meminfo, portable, processes

GIB = 1 << 30
MIB = 1 << 20
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
ENDINGS = (memkit.has_completed_successfully, memkit.has_crashed_gracefully, memkit.has_crashed_ungracefully)
COMPLETED, RAISED, BROKEN_OFF = (True, False, False), (False, True, False), (False, False, True)


def ended(path):
    return tuple(ask(path) for ask in ENDINGS)


def rows(path):
    """The rows of a tracker's file as nanoseconds and bytes, without its markers, and the markers."""
    head, *lines = path.read_text().splitlines()
    assert head == "delta,ram"
    markers = [line for line in lines if line in ("0,0", "-1,-1")]
    found = [line.split(",") for line in lines if line not in markers]
    assert all(re.fullmatch(r"\d+\.\d{9}", time) and re.fullmatch(r"-?\d+\.\d{10}", size) for time, size in found)
    assert lines[len(found) :] == markers
    return [(round(float(time) * SECOND), round(float(size) * GIB)) for time, size in found], markers


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


# -- the file ------------------------------------------------------------------------------------------------------------


def test_a_block_that_returns_leaves_rows_and_an_end(path, touched):
    with memkit.Tracker(path):
        memory = touched(40)
    found, markers = rows(path)
    assert markers == ["0,0"]
    assert ended(path) == COMPLETED
    assert found[-1][1] - found[0][1] == pytest.approx(40 * MIB, abs=2 * MIB)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    memory.close()


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), SystemExit(0), MemoryError()])
def test_whatever_the_block_raises_passes_through_and_is_marked(path, error):
    with pytest.raises(type(error)) as found, memkit.Tracker(path):
        raise error
    assert found.value is error
    assert rows(path)[1] == ["0,0", "-1,-1"]
    assert ended(path) == RAISED


@pytest.mark.parametrize("scope", ["process", "system", "tree"])
def test_the_first_row_is_there_before_the_block_begins(path, scope):
    with memkit.Tracker(path, scope=scope, interval="1 h"):
        ((time, size),), markers = rows(path)
        assert markers == []
        assert ended(path) == BROKEN_OFF
    assert time < 60 * SECOND
    assert size > MIB


def test_a_file_of_a_tracker_is_replaced_and_any_other_left_alone(path, tmp_path):
    for _ in range(2):
        with memkit.Tracker(path):
            pass
    assert path.read_text().count("delta,ram") == 1
    other = tmp_path / "precious.csv"
    other.write_text("a,b\n")
    with pytest.raises(memkit.UsageError, match=r"precious.csv' is not a tracker's file, so it is left alone"):
        memkit.Tracker(other).start()
    assert other.read_text() == "a,b\n"


@pytest.mark.parametrize(
    ("name", "said"), [("no/t.csv", "there is no folder"), (".", "it is a folder"), ("", "it is a folder|is empty")]
)
def test_a_path_that_cannot_be_written_is_refused_before_the_block_begins(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(memkit.UsageError, match=said), memkit.Tracker(name, start_delay=3600):
        pytest.fail("it ran")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scope": []}, r"unknown scope \[\]"),
        ({"calibration_seconds": 1}, "calibration_seconds=1 goes with calibrate=True"),
        ({"scope": "universe"}, "unknown scope 'universe': write process, system, tree"),
        ({"interval": "soon"}, "interval 'soon' is not a time"),
        ({"end_delay": -1}, "-1 is no time to wait"),
        ({"start_delay": "long"}, "'long' is not a time"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(path, arguments, said):
    with pytest.raises(memkit.UsageError, match=said):
        memkit.Tracker(path, **arguments)


# -- how rows are spelled ------------------------------------------------------------------------------------------------


def journals():
    yield pytest.param(portable.Journal, id="portable")
    if engine.NAME == "native":
        yield pytest.param(engine.Journal, id="native")


@pytest.fixture(params=journals())
def table(request, path):
    """A function that opens a table, with so many bytes less in each size; and what stands in its file."""

    def make(offset=0):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        made.append(request.param(fd, str(path), offset))
        return made[-1]

    made = []
    yield make
    for each in made:
        each.close()


def test_a_row_is_seconds_and_gib_less_the_offset_and_in_the_file_at_once(table, path):
    journal = table(offset=5)
    journal.row("sample", 7, GIB + 5)
    assert path.read_text() == "0.000000007,1.0000000000\n"
    journal.row("sample", DAY + 1, 0)
    journal.row("sample", 2 * DAY, 10 * GIB - 1 + 5)
    journal.row("sample", 2 * DAY, 10 * GIB - 2 + 5)
    assert path.read_text().splitlines()[1:] == [
        "86400.000000001,-0.0000000047",
        "172800.000000000,9.9999999991",
        "172800.000000000,9.9999999981",
    ]


def test_every_number_of_bytes_can_be_read_back(table, path):
    journal = table()
    sizes = [0, 1, 4095, 4096, GIB - 1, GIB, GIB + 1, 123_456_789_012, 16 << 40]
    for size in sizes:
        journal.row("sample", 0, size)
    assert [round(float(line.split(",")[1]) * GIB) for line in path.read_text().splitlines()] == sizes


def test_a_peak_above_both_its_neighbours_is_a_row_before_the_second(table, path):
    journal = table()
    for memory, rise in ((1000, 0), (1000, 1), (1000, 2), (3000, 0), (1000, 2003), (1000, 2004)):
        journal.row("sample", 1, memory * MIB, rise * MIB)
    found = [round(float(line.split(",")[1]) * 1024) for line in path.read_text().splitlines()]
    assert found == [1000, 1000, 1002, 1000, 3000, 1000, 3004, 1000]


def test_a_table_has_no_other_rows(table, path):
    journal = table()
    journal.row("cost", 1, 2, 3)
    journal.flush()
    assert path.read_text() == ""


def test_what_a_full_disk_has_no_room_for_leaves_no_half_row(table, path):
    import resource

    journal = table()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal.row("sample", 1, GIB)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        journal.row("sample", 2, GIB)
        journal.text(b"0,0\n-1,-1\n\n")
        journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "0.000000001,1.0000000000\n"
    assert journal.lost == 4
    journal.row("sample", 3, GIB)
    assert path.read_text().splitlines()[1:] == ["0.000000003,1.0000000000"]


# -- days ------------------------------------------------------------------------------------------------------------------


class Day:
    """A clock that is set, memory that follows it, and its high-water mark."""

    def __init__(self, spikes):
        self.now = self.taken = self.cpu = 0
        self.spikes = spikes  # when -> how high, each shorter than any beat

    def monotonic_ns(self):
        return self.now

    def thread_time_ns(self):
        return self.cpu

    def memory(self):
        """A program that fills up for half an hour, and then lets go, over and over."""
        return 500 * MIB + self.now % (1800 * SECOND) // SECOND * MIB

    def take(self):
        """The highest since this was last asked."""
        within = [high for when, high in self.spikes.items() if self.taken < when <= self.now]
        self.taken = self.now
        return max([*within, self.memory()])


def a_day_of(day, path, monkeypatch, scoped):
    """The file that the sampler in Python leaves behind after a day."""
    monkeypatch.setattr(portable, "clocks", day)
    monkeypatch.setattr(portable, "Scope", lambda: day)
    journal = portable.Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(path), 0)
    journal.text(b"delta,ram\n")
    meter = portable.CalledMeter(day.memory, "day")
    meter.costly = False
    sampler = portable.Sampler(journal, meter, 0, 0, scoped)
    sampler.resume = lambda: None
    sampler.start()
    while day.now < DAY:
        day.now = min(sampler._poll_due, DAY)
        sampler._keep(*sampler._read(), must=day.now == DAY)
    journal.close()
    return rows(path)[0]


def test_a_day_leaves_few_rows_and_every_peak(path, monkeypatch):
    moments = [3 * SECOND // 1000, SECOND // 2, *range(77 * SECOND + 12_345, DAY, 997 * SECOND)]
    day = Day({when: (4000 + number) * MIB for number, when in enumerate(moments)})
    found = a_day_of(day, path, monkeypatch, scoped=True)
    assert len(found) < 20_000
    assert found[-1][0] == DAY
    for when, high in day.spikes.items():
        number, time = next((number, time) for number, (time, size) in enumerate(found) if size == high)
        assert found[number - 1][0] < when <= time == found[number + 1][0]  # between the row before and the one after
    assert max(size for _, size in found) == max(day.spikes.values())


def test_a_poll_between_two_rows_finds_a_peak_without_the_kernel(path, monkeypatch):
    day = Day({})
    memory, high = day.memory, range(80_000 * SECOND, 80_001 * SECOND)
    day.memory = lambda: 2000 * MIB if day.now in high else 2500 * MIB if day.now < SECOND else memory() // 8
    found = a_day_of(day, path, monkeypatch, scoped=False)
    [time] = [time for time, size in found if time > SECOND and size == 2000 * MIB]
    assert 0 < time - high.start < 200 * SECOND


# -- calibration and delays ----------------------------------------------------------------------------------------------


def test_calibration_takes_off_what_was_there_before(path, touched):
    before = touched(30)
    with memkit.Tracker(path, calibrate=True) as run:
        memory = touched(20)
    found, _ = rows(path)
    assert found[0][1] == pytest.approx(0, abs=MIB)
    assert found[-1][1] == pytest.approx(20 * MIB, abs=2 * MIB)
    assert run.calibration[0] > 30 * MIB
    assert run.calibration[1] == 0  # one reading does not scatter
    assert run.afterwards[0] == pytest.approx(found[-1][1], abs=MIB)
    before.close(), memory.close()


class Waiting:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def monotonic_ns(self):
        return int(self.seconds * SECOND)

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.fixture
def waiting(monkeypatch):
    clock = Waiting()
    monkeypatch.setattr(tracker, "clocks", clock)
    monkeypatch.setattr(tracker, "time", clock)
    return clock


def test_by_default_nothing_waits(path, waiting):
    with memkit.Tracker(path):
        assert waiting.seconds == 0
    assert waiting.seconds == 0


def test_delays_and_calibration_take_the_time_that_was_asked_for(path, waiting, monkeypatch):
    sizes = itertools.chain([100, 200, 300], itertools.repeat(250))
    monkeypatch.setitem(tracker._SCOPES, "system", lambda: next(sizes))
    with memkit.Tracker(
        path, scope="system", calibrate=True, calibration_seconds=0.2, start_delay="3s", end_delay=0.1
    ) as run:
        assert waiting.seconds == pytest.approx(3.2)
        assert run.calibration == pytest.approx((200, 100))
        assert run.afterwards is None
    assert waiting.seconds == pytest.approx(3.3)
    assert run.afterwards == (50, 0)


# -- used in all ways ----------------------------------------------------------------------------------------------------


def test_a_tracker_can_be_used_again(path):
    run = memkit.Tracker(path)
    with pytest.raises(ValueError, match="first"), run:
        raise ValueError("first")
    with run:
        assert run.running
    assert ended(path) == COMPLETED
    assert not run.running


def test_trackers_nest_and_each_is_whole(tmp_path, touched):
    outer, inner = tmp_path / "outer.csv", tmp_path / "inner.csv"
    with memkit.Tracker(outer):
        with pytest.raises(ValueError, match="boom"), memkit.Tracker(inner):
            memory = touched(20)
            raise ValueError("boom")
        memory.close()
    assert (ended(outer), ended(inner)) == (COMPLETED, RAISED)
    assert rows(inner)[0][-1][1] - rows(inner)[0][0][1] == pytest.approx(20 * MIB, abs=2 * MIB)
    assert rows(outer)[0][-1][1] - rows(outer)[0][0][1] == pytest.approx(0, abs=2 * MIB)


def test_two_trackers_do_not_share_a_file(path):
    with memkit.Tracker(path) as run:
        for other in (run, memkit.Tracker(path)):
            with pytest.raises(memkit.UsageError, match="being written already"):
                other.start()
    assert ended(path) == COMPLETED


def test_a_tracker_and_a_recording_do_not_meet(path, touched):
    with memkit.record() as recording, memkit.Tracker(path), memkit.span("both"):
        memory = touched(10)
    assert [span.label for span in recording.recording.spans] == ["both"]
    assert ended(path) == COMPLETED
    memory.close()


def test_trackers_of_many_threads_do_not_meet(tmp_path):
    def work(number):
        with memkit.Tracker(tmp_path / f"{number}.csv", interval="1ms"):
            done.wait()

    done = threading.Event()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    done.set()
    for thread in threads:
        thread.join()
    assert [ended(tmp_path / f"{number}.csv") for number in range(16)] == [COMPLETED] * 16


def test_as_a_decorator_it_tracks_each_outermost_call(path):
    @memkit.Tracker(path)
    def down(depth):
        assert ended(path) == BROKEN_OFF
        return depth and down(depth - 1)

    assert down(3) == 0
    assert ended(path) == COMPLETED
    with pytest.raises(memkit.UsageError, match=r"write @memkit.Tracker\('file.csv'\)"):
        memkit.Tracker(down)


def test_as_a_decorator_it_tracks_coroutines_and_generators_to_their_ends(path):
    @memkit.Tracker(path)
    async def later():
        await asyncio.sleep(0)
        assert ended(path) == BROKEN_OFF

    asyncio.run(later())
    assert ended(path) == COMPLETED

    @memkit.Tracker(path)
    def numbers():
        yield 1

    assert list(numbers()) == [1]
    assert ended(path) == COMPLETED
    given = numbers()
    next(given)
    given.close()
    assert ended(path) == COMPLETED


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_daemonic_process_can_track(python, path, method):
    # In a program of its own: a process that is spawned may not find the module of a test.
    program = f"""
import multiprocessing, memkit

def track():
    with memkit.Tracker({str(path)!r}):
        pass

if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=track, daemon=True)
    process.start()
    process.join()
    print(process.exitcode)
"""
    assert python(program) == 0
    assert ended(path) == COMPLETED


# -- scopes --------------------------------------------------------------------------------------------------------------


def test_the_system_is_what_the_kernel_says_of_it(monkeypatch):
    text = (
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 300 kB\nBuffers: 10 kB\nCached: 200 kB\nShmem: 50 kB\nSlab: 40 kB"
    )
    monkeypatch.setattr(meminfo, "lines_of", lambda path: [*text.splitlines(), "HugePages_Total: 0"])
    assert meminfo.used() == (1000 - 100 - 10 - 200 - 40 + 50) * 1024
    assert (meminfo.total(), meminfo.available()) == (1000 * 1024, 300 * 1024)


def test_where_there_is_no_meminfo_the_system_is_what_psutil_says(monkeypatch):
    import psutil

    monkeypatch.setattr(meminfo, "lines_of", lambda path: [])
    assert meminfo.total() == psutil.virtual_memory().total
    assert 0 < meminfo.used() < meminfo.total()


@pytest.mark.parametrize("scope", [{}, None, "universe"])
def test_used_ram_of_what_is_no_scope_is_refused(scope):
    with pytest.raises(memkit.UsageError, match=f"unknown scope {scope!r}"):
        memkit.get_used_ram(scope)


def test_used_ram_is_in_gib(monkeypatch):
    monkeypatch.setitem(tracker._SCOPES, "system", lambda: GIB * 3 // 2)
    assert memkit.get_used_ram() == 1.5
    assert memkit.get_used_ram("process") == pytest.approx(memkit.rss() / GIB, abs=0.01)
    with pytest.raises(memkit.UsageError, match="unknown scope 'all'"):
        memkit.get_used_ram("all")


GRANDCHILD = """
import mmap, subprocess, sys
memory = mmap.mmap(-1, 30 << 20)
memory[::4096] = b"x" * (len(memory) // 4096)
child = len(sys.argv) > 1 and subprocess.Popen([sys.executable, sys.argv[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
if child:
    child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
if child:
    child.communicate()
"""


@pytest.mark.parametrize("children_file", [True, False])
def test_the_tree_is_this_process_and_all_its_descendants(tmp_path, path, monkeypatch, children_file):
    if not children_file:
        monkeypatch.setattr(processes.Proc, "_knows_children", lambda self: False)
    (tmp_path / "family.py").write_text(GRANDCHILD)
    with memkit.Tracker(path, scope="tree", interval="1 h"):
        words = [sys.executable, str(tmp_path / "family.py"), "one more"]
        family = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert family.stdout.readline() == b"ready\n"
        both = memkit.get_used_ram("tree")
    family.communicate()
    found, _ = rows(path)
    assert found[-1][1] - found[0][1] > 60 * MIB
    assert both - memkit.get_used_ram("tree") > 60 / 1024


def test_where_shares_are_refused_resident_memory_counts(monkeypatch):
    def refuse(self, pid):
        raise processes.Refused("no")

    monkeypatch.setattr(processes.Proc, "shares", refuse)
    assert memkit.get_used_ram("tree") >= memkit.get_used_ram("process") / 2 > 0


# -- bad luck ------------------------------------------------------------------------------------------------------------

BODY = """
import ctypes, mmap, os, signal, sys, time, memkit
def touch():
    memory = mmap.mmap(-1, 40 << 20)
    memory[::4096] = b"x" * (len(memory) // 4096)
    return memory
def rows():
    return open("t.csv").read().count("\\n")
def wait_for_more():
    before = rows()
    while rows() < before + 3:
        time.sleep(0.001)
with memkit.Tracker("t.csv", scope=sys.argv[1]):
    {body}
"""
SCOPES = ["process", "system", "tree"]


@pytest.fixture
def body(plain, script):
    """A function that runs a body of ``with`` in a process of its own."""
    return lambda text, scope="process", **settings: plain(
        script(BODY.replace("{body}", text.replace("\n", "\n    "))), scope, **settings
    )


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("death", "number"),
    [("os.kill(os.getpid(), 9)", signal.SIGKILL), ("ctypes.string_at(0)", signal.SIGSEGV), ("os.abort()", signal.SIGABRT)],
)
def test_a_death_leaves_all_rows_so_far_and_no_end(body, path, scope, death, number):
    run = body(f"wait_for_more(); print(rows(), flush=True); {death}", scope)
    assert run.returncode == -number
    found, markers = rows(path)
    assert markers == []
    assert len(found) + 1 >= int(run.stdout) >= 5
    assert ended(path) == BROKEN_OFF


def test_a_row_is_in_the_file_even_while_a_c_call_holds_the_gil(body, path, native_only):
    # The sampler's thread goes on; what it wrote is there when the program is killed without having let go of the GIL.
    text = """
before = rows()
held = ctypes.PyDLL(None)
held.usleep(100_000)
print(before, flush=True)
os.kill(os.getpid(), 9)"""
    run = body(text)
    assert len(rows(path)[0]) + 1 > int(run.stdout)


@pytest.mark.parametrize("scope", SCOPES)
def test_an_exit_without_an_end_of_the_block_ends_as_for_a_recording(body, path, scope):
    # The main thread ends while a daemon thread is inside a block of its own.
    text = """
import threading
inside = threading.Event()
def work():
    with memkit.Tracker("other.csv", scope=sys.argv[1]):
        inside.set()
        time.sleep(3600)
threading.Thread(target=work, daemon=True).start()
inside.wait()"""
    run = body(text, scope)
    assert (run.returncode, run.stderr) == (0, "")
    assert ended(path) == ended(path.with_name("other.csv")) == COMPLETED


def test_a_failed_reading_after_the_block_is_no_error_of_the_block(path):
    def refuse():
        raise memkit.MeterError("no descriptor is left")

    run = memkit.Tracker(path)
    with run:
        run._read = refuse
    assert run.afterwards is None
    assert ended(path) == COMPLETED


def test_what_fails_at_the_exit_keeps_no_other_from_its_end(plain, script, path):
    text = """
import memkit
class Broken(memkit.Tracker):
    def end(self, *ending):
        self.stop()
        raise {error}
first = Broken("first.csv")
first.start()
run = memkit.record("r.memkit")
run.start()
last = memkit.Tracker("t.csv")
last.start()
"""
    for error, said in (("OSError('lost')", "OSError: lost"), ("memkit.JournalError('lost')", "lost")):
        run = plain(script(text.replace("{error}", error)))
        assert (run.returncode, run.stdout, run.stderr) == (0, "", f"memkit: {said}\n")
        assert ended(path) == COMPLETED
        assert memkit.has_completed_successfully(path.with_name("r.memkit"))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_forked_child_writes_nothing(body, path, scope):
    text = """
for code in range(5):
    pid = os.fork()
    if not pid:
        kept = touch()
        time.sleep(0.01)
        sys.exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
wait_for_more()
print("parent")"""
    run = body(text, scope)
    assert (run.returncode, run.stdout, run.stderr) == (0, "parent\n", "")
    found, markers = rows(path)
    assert markers == ["0,0"]
    assert [time for time, _ in found] == sorted(time for time, _ in found)


def test_a_program_may_stop_and_go_on(body, path):
    text = """
wait_for_more()
if not os.fork():
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(0.05)
    os.kill(os.getppid(), signal.SIGCONT)
    os._exit(0)
os.wait()
wait_for_more()"""
    run = body(text)
    assert (run.returncode, run.stderr) == (0, "")
    found, markers = rows(path)
    assert markers == ["0,0"]
    assert [time for time, _ in found] == sorted(time for time, _ in found)


def test_a_program_may_go_elsewhere_and_close_every_descriptor(body, path, native_only):
    text = """
wait_for_more()
os.chdir("/")
os.closerange(3, 4096)
own = os.open("/dev/null", os.O_WRONLY)
kept = touch()
time.sleep(0.05)
os.write(own, b"mine")"""
    run = body(text)
    assert (run.returncode, run.stderr) == (0, "")
    found, markers = rows(path)
    assert markers == ["0,0"]
    assert found[-1][1] - found[0][1] > 35 * MIB


def test_a_clock_that_is_set_back_changes_nothing(path, monkeypatch):
    import time

    monkeypatch.setattr(time, "time", lambda: 0.0)
    with memkit.Tracker(path):
        pass
    assert all(time >= 0 for time, _ in rows(path)[0])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error_before_the_block_begins():
    with pytest.raises(memkit.JournalError, match="cannot write '/dev/full': No space left"), memkit.Tracker("/dev/full"):
        pytest.fail("it ran")
    assert active.others == []


def test_a_start_that_failed_is_no_obstacle_to_the_next(plain, script, path):
    text = """
import memkit, resource
tracker = memkit.Tracker("t.csv")
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
try:
    tracker.start()
except memkit.JournalError as error:
    print(str(error).partition(": ")[2], tracker.running)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
with tracker:
    print(tracker.running)
"""
    run = plain(script(text))
    assert (run.stdout, run.stderr) == ("File too large False\nTrue\n", "")
    assert ended(path) == COMPLETED


FILLS = """
import resource
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize("t.csv") + 100, before[1]))
time.sleep(0.1)
"""


def test_a_disk_that_fills_up_costs_rows_and_an_error_after_the_block(body, path):
    run = body(FILLS + "print('result', flush=True)")
    assert (run.returncode, run.stdout) == (1, "result\n")
    assert re.search(r"JournalError: \d+ rows did not reach '.*t.csv': File too large; what was written before", run.stderr)
    assert len(rows(path)[0]) >= 3
    assert ended(path) == BROKEN_OFF


def test_a_full_disk_does_not_hide_what_the_block_raises(body):
    run = body(FILLS + "raise ValueError('mine')")
    assert run.stderr.splitlines()[-1] == "ValueError: mine"
    assert "JournalError" not in run.stderr


def test_a_folder_that_vanishes_is_told_after_the_block(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    done = []
    with pytest.raises(memkit.JournalError, match=r"t.csv' is gone: somebody removed it"), memkit.Tracker(folder / "t.csv"):
        (folder / "t.csv").unlink()
        folder.rmdir()
        done.append(True)
    assert done == [True]


def test_no_thread_to_be_had_is_one_error_before_the_block(path, monkeypatch):
    def refuse(self):
        raise OSError("the sampling thread cannot be started")

    with monkeypatch.context() as patch:
        patch.setattr(portable.Sampler, "resume", refuse)
        with pytest.raises(memkit.MemkitError, match="cannot track"), memkit.Tracker(path, scope="system"):
            pytest.fail("it ran")
    with memkit.Tracker(path):
        pass
