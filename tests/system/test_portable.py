"""The machinery without compiled code, against clocks and meters whose values are known."""

import errno
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from memkit.base.errors import MeterError
from memkit.system import portable

MIB = 1 << 20
MS = 1_000_000


@pytest.fixture
def opened(tmp_path):
    """A journal and the path of its file."""
    path = tmp_path / "j"
    journal = portable.Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(path))
    yield journal, path
    journal.close()


def rows(path, tag):
    return [row[1:] for row in map(json.loads, path.read_text().splitlines()) if row[0] == tag]


class Clock:
    """Time that passes when it is told to."""

    now = cpu = 0

    def monotonic_ns(self):
        return self.now

    def thread_time_ns(self):
        return self.cpu


class Shelf:
    """A meter with the values it was given; each reading may cost CPU time."""

    name = "shelf"
    costly = False

    def __init__(self, clock, values, cost=0):
        self._clock, self._values, self._cost = clock, iter(values), cost
        self.costly = bool(cost)

    def read(self):
        self._clock.cpu += self._cost
        return next(self._values)


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(portable, "clocks", fake)
    return fake


def ticks(sampler, clock, times):
    """Let the sampler look at memory at these moments, as its thread would."""
    for moment in times:
        clock.now = moment
        if moment >= sampler._poll_due:
            sampler._keep(*sampler._read())


def started(journal, meter, interval):
    sampler = portable.Sampler(journal, meter, interval, 0, False)
    sampler.resume = lambda: None
    sampler.start()
    return sampler


def test_a_fixed_tick_has_absolute_deadlines_and_counts_late_ones(opened, clock):
    journal, path = opened
    sampler = started(journal, Shelf(clock, itertools.count(100)), 10 * MS)
    ticks(sampler, clock, [10 * MS, 19 * MS, 21 * MS, 30 * MS, 65 * MS, 69 * MS, 70 * MS])
    sampler._spend()
    journal.flush()
    assert rows(path, "sample") == [[0, 100], [10 * MS, 101], [21 * MS, 102], [30 * MS, 103], [65 * MS, 104], [70 * MS, 105]]
    assert rows(path, "cost") == [[6, 2, 0]]  # those due at 50 and 60


def test_an_automatic_tick_leaves_a_thousand_rows_for_each_factor_of_ten(opened, clock):
    journal, path = opened
    sampler = started(journal, Shelf(clock, itertools.repeat(100)), 0)
    moment = 0
    day = 86_400 * 1000 * MS
    while moment < day:
        moment = sampler._poll_due
        ticks(sampler, clock, [moment])
    journal.flush()
    times = [row[0] for row in rows(path, "sample")]
    for decade in (1, 10, 100, 1000, 8640):
        assert sum(decade * 1000 * MS <= each < decade * 10_000 * MS for each in times) == pytest.approx(1000, rel=0.02)
    assert len(times) < 20_000


def test_between_coarse_tick_a_new_height_is_written_at_once(opened, clock):
    journal, path = opened
    hour, rise = 3600 * 1000 * MS, 3605 * 1000 * MS

    class Rising(Shelf):
        def read(self):
            return 100 if clock.now < rise else 900 if clock.now < rise + 1000 * MS else 905

    sampler = started(journal, Rising(clock, ()), 0)
    while clock.now < rise + 1500 * MS:
        ticks(sampler, clock, [sampler._poll_due])
    journal.flush()
    found = rows(path, "sample")
    assert next(row[0] for row in found if row[0] > hour) - hour < 9000 * MS  # the tick is 8.3 seconds by now
    [high] = [row for row in found if row[1] > 100]
    assert high[1] == 900
    assert rise <= high[0] <= rise + 250 * MS


def test_a_costly_meter_takes_at_most_a_hundredth_of_a_core(opened, clock):
    journal, path = opened
    sampler = started(journal, Shelf(clock, itertools.repeat(5), cost=3 * MS), MS)
    ticks(sampler, clock, range(0, 1000 * MS, MS))
    journal.flush()
    assert [row[0] for row in rows(path, "sample")] == [0, 300 * MS, 600 * MS, 900 * MS]


def test_a_meter_that_is_gone_leaves_no_row(opened, clock):
    journal, path = opened
    sampler = started(journal, Shelf(clock, [5, None, 6]), MS)
    ticks(sampler, clock, [MS, 2 * MS])
    journal.flush()
    assert rows(path, "sample") == [[0, 5], [2 * MS, 6]]


def test_the_thread_tick_flushes_and_ends(opened):
    journal, path = opened
    sampler = portable.Sampler(journal, portable.Meter("rss"), MS, time.monotonic_ns(), True)
    before = threading.active_count()
    sampler.start()
    assert threading.active_count() == before + 1
    while not path.read_bytes().count(b"sample") > 10:
        time.sleep(0.01)
    sampler.stop()
    assert threading.active_count() == before
    sampler.stop()
    journal.close()
    last = rows(path, "sample")[-1]
    assert last[1] > MIB


def test_a_rise_of_the_systems_mark_is_a_peak(monkeypatch):
    marks = iter([50, 50, 70, 70])
    monkeypatch.setattr(portable, "_mark", lambda: next(marks))
    scope = portable.Scope()
    assert [scope.take(), scope.take(), scope.close()] == [None, 70, None]


def test_a_system_without_a_mark_has_peaks_from_samples(monkeypatch):
    monkeypatch.setattr(portable, "_mark", lambda: None)
    assert portable.peaks()[0] == "samples"
    assert portable.Scope().take() is None
    assert portable.peak_rss() is None


@pytest.mark.parametrize("name", portable.METERS)
def test_every_meter_gives_bytes(name):
    assert portable.Meter(name).read() >= 0


def test_resident_memory_moves_with_what_is_touched(touched):
    meter = portable.Meter("rss")
    before = meter.read()
    block = touched(40)
    assert meter.read() - before == pytest.approx(40 * MIB, abs=MIB)
    block.close()


def test_a_process_that_is_not_there_is_refused_by_its_number():
    with pytest.raises(MeterError, match="no process 4194999"):
        portable.Meter("rss", 4194999)


@pytest.mark.parametrize(("closed", "found"), [(1, 7 * MIB), (1000, None)])
def test_a_program_may_close_what_psutil_reads_from(monkeypatch, closed, found):
    meter, left = portable.Meter("rss"), [closed]

    def value():
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EBADF, "Bad file descriptor")
        return 7 * MIB

    monkeypatch.setattr(meter, "_value", value)
    assert meter.read() == found


LEADERLESS = """
import ctypes, os, threading, time
from memkit.system.portable import Meter
meters = [Meter(name) for name in ("vms", "rss", "anon")]
block = bytearray(b"x") * (20 << 20)
main = f"/proc/self/task/{os.getpid()}/stat"
def read():
    while open(main).read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    print(*(meter.read() for meter in meters), flush=True)
    os._exit(0)
threading.Thread(target=read).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_the_memory_of_this_process_is_what_psutil_says_of_it():
    for name in portable._STATM:
        own = portable.Meter(name)
        other = portable.Meter(name, os.getpid())
        assert own.read() == pytest.approx(other.read(), abs=MIB)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil tells of a process, not of its main thread")
def test_memory_is_known_after_the_main_thread_has_ended():
    done = subprocess.run([sys.executable, "-c", LEADERLESS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    vms, rss, anon = map(int, done.stdout.split())
    assert vms > rss > anon > 20 * MIB


@pytest.mark.parametrize("named", [True, False])
def test_a_reused_descriptor_is_neither_written_to_nor_closed(tmp_path, named):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    journal = portable.Journal(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(mine) if named else None)
    number, other = journal._fd, os.open(theirs, os.O_WRONLY | os.O_CREAT)
    os.dup2(other, number)
    os.close(other)
    assert journal.duplicate() is None
    journal.row("row", 1)
    journal.close()
    assert (journal.error, journal.lost) == ((None, 0) if named else (errno.EBADF, 1))
    os.write(number, b"theirs")
    os.close(number)
    assert mine.read_text() == ('["row",1]\n' if named else "")
    assert theirs.read_text() == "theirs"


DAEMON = """
import os, sys
from memkit.system.portable import Journal
os.closerange(0, 3)
journal = Journal(os.open("mine", os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.path.abspath("mine"))
for number in range(2):
    null = os.open("/dev/null", os.O_RDWR)
    assert null == 0
    os.dup2(null, 1)
    os.dup2(null, 2)
    journal.row("row", number)
    os.write(1, b"theirs")
    journal.flush()
    os.closerange(0, 4096)
    journal.row("again", number)
    journal.flush()
journal.close()
os._exit(journal.error or 0)
"""


def test_the_output_of_a_daemon_does_not_go_into_the_file(tmp_path):
    assert subprocess.run([sys.executable, "-c", DAEMON], cwd=tmp_path).returncode == 0
    assert (tmp_path / "mine").read_text() == "".join(f'["row",{each}]\n["again",{each}]\n' for each in range(2))


def test_a_file_that_got_the_number_of_a_nameless_one_is_left_alone(tmp_path):
    # Which number a file is given cannot be chosen: here it is the same file, and only its names tell the two apart.
    path = tmp_path / "j"
    journal = portable.Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    os.link(path, tmp_path / "another")
    number = journal._fd
    journal.row("row", 1)
    assert journal.duplicate() is None
    journal.close()
    assert (journal.error, journal.lost) == (errno.EBADF, 1)
    os.close(number)
    assert path.read_text() == ""


def test_another_file_of_the_name_is_not_written_to(opened, tmp_path):
    journal, path = opened
    path.rename(tmp_path / "moved")
    path.write_text("theirs")
    journal.row("row", 1)
    journal.flush()
    assert (tmp_path / "moved").read_text() == '["row",1]\n'
    os.close(journal._fd)
    journal.row("row", 2)
    journal.close()
    assert (journal.error, journal.lost) == (errno.EBADF, 1)
    assert path.read_text() == "theirs"


def test_rows_reach_the_file_at_a_flush(opened):
    journal, path = opened
    journal.row("a", 1, -2)
    journal.text(b'["b"]\n')
    assert path.read_bytes() == b""
    journal.flush()
    assert path.read_text() == '["a",1,-2]\n["b"]\n'


def test_a_failing_write_is_kept_and_lost_rows_are_counted(opened, monkeypatch):
    journal, path = opened
    room = [7]

    def write(fd, text):
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        taken, room[0] = min(len(text), room[0]), 0
        return os_write(fd, text[:taken])

    os_write = os.write
    monkeypatch.setattr(portable.os, "write", write)
    journal.row("a", 1)
    journal.row("a", 2)
    journal.flush()
    assert (journal.error, journal.lost) == (errno.ENOSPC, 2)
    room[0] = 100
    journal.row("a", 3)
    journal.flush()
    assert path.read_text() == '["a",1]\n["a",3]\n'


def test_closing_twice_is_harmless(opened):
    opened[0].close()
    opened[0].close()
