"""The native sampling thread: it keeps its interval, sees every peak, and does not disturb the program."""

import ctypes
import itertools
import json
import mmap
import os
import subprocess
import sys
import threading
import time

import pytest

import memkit

from engines import threads_at_work

pytest.importorskip("memkit.native.sampling.sampler", reason="the compiled modules are not built here")

from memkit.native.journal import Journal
from memkit.native.meter import Meter
from memkit.native.sampling.sampler import Sampler

MIB = 1 << 20
MS = 1_000_000


class Bench:
    """A sampler and what it has written."""

    def __init__(self, path, interval, meter="rss", peaks=True):
        self.path = path
        self.journal = Journal(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), str(path))
        self.sampler = Sampler(self.journal, Meter(meter), interval, time.monotonic_ns(), peaks)

    def rows(self, tag):
        self.journal.flush()
        with open(self.path) as file:
            return [row[1:] for row in map(json.loads, file) if row[0] == tag]

    def wait_for(self, count):
        """Until so many samples are written."""
        while len(self.rows("sample")) < count:
            time.sleep(0.005)


@pytest.fixture
def bench(tmp_path):
    """A function that makes a ``Bench``; whatever it made is stopped at the end."""
    made = []

    def make(interval=MS, **settings):
        made.append(Bench(tmp_path / f"j{len(made)}", interval, **settings))
        return made[-1]

    yield make
    for each in made:
        each.sampler.stop()
        each.journal.close()


def test_start_takes_the_first_sample_and_stop_the_last(bench, touched):
    at = bench(interval=3600_000 * MS)
    at.sampler.start()
    assert len(at.rows("sample")) == 1
    memory = touched(20)
    at.sampler.stop()
    first, *_, last = at.rows("sample")  # one between them has the new height, if this took long enough to be looked at
    assert last[1] - first[1] == pytest.approx(20 * MIB, abs=MIB)
    memory.close()


def test_ticks_and_missed_ticks_add_up_to_the_time_elapsed(bench):
    at = bench(interval=2 * MS)
    at.sampler.start()
    at.wait_for(60)
    at.sampler.stop()
    ticks, missed, cpu = (sum(column) for column in zip(*at.rows("cost")))
    samples = at.rows("sample")
    assert ticks == len(samples)
    due = 1 + (samples[-1][0] - samples[0][0]) // (2 * MS)
    assert ticks + missed in (due, due + 1)  # the last is taken by stop, on a tick or between two
    assert 0 < cpu < samples[-1][0]


def test_times_rise_and_start_near_zero(bench):
    at = bench()
    at.sampler.start()
    at.wait_for(30)
    times = [row[0] for row in at.rows("sample")]
    assert times == sorted(set(times))
    assert 0 <= times[0] < 100 * MS


def test_a_transient_between_two_ticks_is_in_the_next_row(bench, spike):
    if not_exact():
        pytest.skip("needs exact peaks")
    at = bench(interval=3600_000 * MS)
    at.sampler.start()
    spike(50)
    at.sampler.stop()
    first, *others = at.rows("sample")  # more than one if this took long enough for the new height to be looked at
    assert max(sum(row[1:]) for row in others) - first[1] == pytest.approx(50 * MIB, abs=MIB)


def not_exact():
    from memkit.native import peak

    peak.allow_reset(True)
    return peak.peaks()[0] != "reset"


def test_two_samplers_take_no_peak_from_each_other(bench, spike):
    if not_exact():
        pytest.skip("needs exact peaks")
    coarse, fine = bench(interval=3600_000 * MS), bench(interval=MS)
    coarse.sampler.start()
    fine.sampler.start()
    base = coarse.rows("sample")[0][1]
    spike(50)
    fine.sampler.stop()
    coarse.sampler.stop()
    for each in (coarse, fine):
        highest = max(sum(row[1:]) for row in each.rows("sample"))
        assert highest - base == pytest.approx(50 * MIB, abs=MIB)


def test_it_samples_while_a_c_call_holds_the_gil(bench):
    at = bench(interval=2 * MS)
    at.sampler.start()
    before = len(at.rows("sample"))
    ctypes.PyDLL(None).usleep(300_000)
    during = len(at.rows("sample")) - before
    assert during > 50


def test_it_is_invisible_to_threading_and_takes_no_signal(bench):
    at = bench()
    before = threading.enumerate(), sys._current_frames().keys()
    ending = set(threads_at_work())  # a thread of a test before is a while in the system's list after its end
    at.sampler.start()
    assert (threading.enumerate(), sys._current_frames().keys()) == before
    [ours] = [tid for tid in threads_at_work() if tid not in ending and blocks_everything(tid)]
    assert int(ours) != threading.get_native_id()


def blocks_everything(tid):
    with open(f"/proc/self/task/{tid}/status") as file:
        [mask] = [int(line.split()[1], 16) for line in file if line.startswith("SigBlk:")]
    return bool(mask & 1 << 1) and bool(mask & 1 << 14)


def test_an_automatic_interval_grows_with_the_time_elapsed(bench, tmp_path):
    at = bench(interval=0)
    at.sampler = Sampler(at.journal, Meter("rss"), 0, time.monotonic_ns() - 434 * 40 * MS, True)  # as if 17 s had passed
    at.sampler.start()
    at.wait_for(6)
    times = [row[0] for row in at.rows("sample")]
    steps = [later - earlier for earlier, later in itertools.pairwise(times[1:])]
    assert sorted(steps)[len(steps) // 2] > 20 * MS  # 40, but for lateness; a fixed interval of the smallest would be 1


def test_between_distant_ticks_a_new_maximum_is_written_at_once(bench, touched):
    at = bench(interval=0)
    at.sampler = Sampler(
        at.journal, Meter("rss"), 0, time.monotonic_ns() - 434 * 3600_000 * MS, True
    )  # an interval of an hour
    at.sampler.start()
    assert len(at.rows("sample")) == 1
    memory = touched(50)
    at.wait_for(2)
    memory.close()
    assert at.rows("sample")[1][1] > 50 * MIB


def test_a_costly_meter_stretches_the_interval_to_1_percent_of_a_core(bench, touched):
    memory = touched(100)
    at = bench(interval=MS // 10, meter="pss", peaks=False)
    at.sampler.start()
    at.wait_for(8)
    at.sampler.stop()
    memory.close()
    cpu = sum(row[2] for row in at.rows("cost"))
    # Waking costs too, but far less than summing up 25,600 pages does.
    assert cpu < at.rows("sample")[-1][0] / 20


def test_a_pause_ends_the_thread_and_resuming_starts_another(bench):
    at = bench()
    threads = threads_at_work()
    at.sampler.start()
    at.wait_for(5)
    assert len(threads_at_work() - threads) == 1
    at.sampler.pause()
    at.sampler.pause()
    assert threads_at_work() == threads
    at.sampler.resume()
    at.wait_for(len(at.rows("sample")) + 5)


def test_stopping_twice_writes_one_last_sample(bench):
    at = bench()
    at.sampler.start()
    at.sampler.stop()
    count = len(at.rows("sample"))
    at.sampler.stop()
    assert len(at.rows("sample")) == count


def test_ten_thousand_starts_and_stops_leave_nothing_behind(tmp_path):
    code = f"""
import os, time
from memkit.native.journal import Journal
from memkit.native.meter import Meter
from memkit.native.sampling.sampler import Sampler
path = {str(tmp_path / "j")!r}
rss = Meter("rss")
def once():
    journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), path)
    sampler = Sampler(journal, Meter("rss"), 1_000_000, time.monotonic_ns(), True)
    sampler.start()
    sampler.stop()
    journal.close()
for _ in range(200): once()
before = rss.read(), len(os.listdir("/proc/self/fd"))
for _ in range(10_000): once()
after = rss.read(), len(os.listdir("/proc/self/fd"))
assert after[1] == before[1], (before, after)
assert after[0] - before[0] < 1 << 20, (before, after)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sampler_that_is_dropped_while_it_runs_ends(bench):
    at = bench()
    threads = threads_at_work()
    at.sampler.start()
    at.sampler = Sampler(at.journal, Meter("rss"), MS, time.monotonic_ns(), True)
    assert threads_at_work() == threads


def test_no_room_for_the_threads_stack_is_an_error_and_not_a_crash(tmp_path):
    code = f"""
import os, resource, time
from memkit.native.journal import Journal
from memkit.native.meter import Meter
from memkit.native.sampling.sampler import Sampler
path = {str(tmp_path / "j")!r}
journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path)
sampler = Sampler(journal, Meter("rss"), 1_000_000, time.monotonic_ns(), True)
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (Meter("vms").read() + 65536, hard))
try:
    sampler.start()
except OSError as error:
    print(error)
sampler.stop()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sampling thread cannot be started" in done.stdout


def test_the_high_water_mark_of_another_process_gives_its_peaks(tmp_path):
    spikes = "import mmap\nfor line in iter(input, ''):\n    m = mmap.mmap(-1, int(line) << 20, flags=34)\n"
    spikes += "    m[::4096] = b'x' * (len(m) // 4096)\n    m.close()\n    print('done', flush=True)"
    words = [sys.executable, "-c", spikes]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:

        def spike(size):
            child.stdin.write(f"{size}\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"

        spike(50)
        journal = Journal(os.open(tmp_path / "j", os.O_RDWR | os.O_CREAT | os.O_APPEND), str(tmp_path / "j"))
        meter = Meter("rss", child.pid)
        with open(f"/proc/{child.pid}/status") as file:
            (mark,) = (int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
        sampler = Sampler(journal, meter, 3600_000 * MS, time.monotonic_ns(), True, mark, 2 * MIB)
        sampler.start()
        spike(30)
        spike(90)
        sampler.stop()
        assert not sampler.hwm_was_reset
        journal.close()
        child.stdin.write("\n")
    rows = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    heights = [row[2] + (row[3] if len(row) > 3 else 0) for row in rows if row[0] == "sample"]
    assert abs(max(heights) - heights[0] - 90 * MIB) < 2 * MIB


FLUSHING = """
import json
import os
import signal
import threading
import memkit

os.register_at_fork(after_in_child=lambda: signal.alarm(20))  # ends a child that hangs in the hooks after this one

def work():
    return [0]

def flush():
    while not done:
        run.flush()

done = False
ends = set()
with memkit.record(lines=work) as run:
    work()
    thread = threading.Thread(target=flush)
    thread.start()
    for _ in range(100):
        child = os.fork()
        if not child:
            os._exit(0)
        ends.add(os.waitpid(child, 0)[1])
        if ends != {0}:
            break
    done = True
    thread.join()
print(json.dumps(sorted(ends)))
"""


def test_a_child_forked_while_another_thread_flushes_runs_on(python, native_only):
    assert python(FLUSHING, flags=("-W", "ignore::DeprecationWarning")) == [0]


def test_how_much_of_memory_are_files_is_written_as_it_changes(tmp_path, native_only):
    (tmp_path / "big").write_bytes(b"x" * (64 * MIB))
    with memkit.record() as run:
        with open(tmp_path / "big", "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        until = run.recording.samples[-1].time
        while run.recording.samples[-1].time == until:
            pass
        during = run.recording
        mapped.close()
    assert 64 * MIB <= during.mapped[-1][1] - during.mapped[0][1] < 70 * MIB
    assert run.recording.mapped[-1][1] - during.mapped[0][1] < 6 * MIB
    assert {time for time, _ in during.mapped} <= {sample.time for sample in during.samples}
    assert run.recording.unread == 0
