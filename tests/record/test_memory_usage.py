"""memory_usage: what it measures, what it returns, and the faults of memory_profiler's that it has not."""

import io
import os
import subprocess
import sys
import time

import psutil
import pytest

import memkit
from memkit.base.errors import MeterError, UsageError
from memkit.record import files, memory_reader, memory_usage
from memkit.system import engine

MIB = 1 << 20
CLOSE = 1.0  # MiB
WAITS = [sys.executable, "-c", "print(flush=True); input()"]
DIES = [sys.executable, "-c", "pass"]


@pytest.fixture
def waiting():
    """A process that waits for a line."""
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


# -- one sample --------------------------------------------------------------------------------------------------------


def test_without_arguments_it_is_one_sample_of_this_process():
    (memory,) = memkit.memory_usage()
    assert memory == pytest.approx(engine.rss() / MIB, abs=CLOSE)


def test_one_sample_does_not_sleep(monkeypatch):
    """0.1 s for one sample."""
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    assert len(memkit.memory_usage()) == len(memkit.memory_usage(os.getpid(), timestamps=True)) == 1


def test_numbers_of_processes_can_be_text(waiting):
    """A pid as text raised TypeError."""
    assert memkit.memory_usage(str(waiting.pid)) == [
        pytest.approx(psutil.Process(waiting.pid).memory_info().rss / MIB, abs=2)
    ]


@pytest.mark.parametrize("backend", ["psutil", "psutil_pss", "psutil_uss", "posix"])
def test_each_backend_reads_another_process(waiting, backend):
    if backend == "psutil_pss" and "pss" not in engine.METERS:
        pytest.skip("no pss here")
    memory = memkit.memory_usage(waiting.pid, backend=backend)[0]
    assert 0 < memory < 200


def test_posix_is_what_psutil_reads(touched):
    with touched(50):
        assert memkit.memory_usage(backend="posix")[0] == pytest.approx(memkit.memory_usage()[0], abs=CLOSE)


def test_a_process_that_is_not_there_is_an_error_of_both_kinds():
    with subprocess.Popen(DIES) as process:
        process.wait()
    with pytest.raises(MeterError, match=f"no process {process.pid}"):
        memkit.memory_usage(process.pid)
    with pytest.raises(psutil.NoSuchProcess):
        memkit.memory_usage(process.pid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "no call"),
        (((len, (), {}, 1),), "no call"),
        ((0,), "not the number of a process"),
        ((None,), "neither a process nor a function"),
        ((True,), "True is neither a process nor a function"),
        ((1.5,), r"1\.5 is neither a process nor a function"),
        ((-1, "soon"), "give seconds"),
        ((-1, 0.1, float("nan")), "timeout=nan: give seconds, from 0 up"),
        ((-1, 0.1, -1), "timeout=-1: give seconds, from 0 up"),
    ],
)
def test_nonsense_is_refused_in_a_line(arguments, message):
    with pytest.raises(UsageError, match=message):
        memkit.memory_usage(*arguments)


def test_nonsense_is_refused_before_a_function_is_called():
    with pytest.raises(UsageError, match="give seconds"):
        memkit.memory_usage(lambda: pytest.fail("called"), timeout=float("nan"))


def test_an_unknown_backend_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown backend 'psutl' \(did you mean 'psutil'\?\)"):
        memkit.memory_usage(backend="psutl")


# -- a process over time -----------------------------------------------------------------------------------------------


def test_a_timeout_makes_as_many_samples_as_intervals_fit_in():
    assert 1 <= len(memkit.memory_usage(-1, interval=0.01, timeout=0.03)) <= 3


def test_a_process_that_ends_ends_the_list():
    """NoSuchProcess where a process vanished, and a last sample of 0."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"]) as process:
        found = memkit.memory_usage(process, interval=0.01)
    assert process.returncode == 0
    assert found and all(memory > 0 for memory in found)


@pytest.mark.parametrize("waited_for", [False, True])
@pytest.mark.parametrize("backend", ["psutil", "posix"])
def test_a_popen_that_has_ended_has_an_empty_list(waited_for, backend):
    with subprocess.Popen(DIES, stdout=subprocess.PIPE) as process:
        process.stdout.read()
        if waited_for:
            process.wait()
        else:
            while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        assert memkit.memory_usage(process, backend=backend) == []
        assert memkit.memory_usage(process, backend=backend, max_usage=True) is None


def test_a_number_whose_process_ends_while_it_is_watched_ends_the_list():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.2)"]) as process:
        found = memkit.memory_usage(process.pid, interval=0.01, timeout=100)
    assert found and all(memory > 0 for memory in found)


def test_a_popen_is_left_running_after_the_timeout(waiting):
    assert memkit.memory_usage(waiting, interval=0.01, timeout=0.02)
    assert waiting.poll() is None


def test_multiprocess_has_a_value_for_each_child(waiting):
    (row,) = memkit.memory_usage(multiprocess=True)
    children = psutil.Process().children(recursive=True)
    assert len(row) == 1 + sum(child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert row[0] == pytest.approx(engine.rss() / MIB, abs=CLOSE)
    assert all(memory > 0 for memory in row[1:])


def test_a_child_that_has_ended_has_no_value():
    with subprocess.Popen(DIES, stdout=subprocess.PIPE) as process:
        process.stdout.read()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        (row,) = memkit.memory_usage(multiprocess=True)
        assert all(memory > 0 for memory in row)


def test_children_are_added(waiting):
    alone, together = memkit.memory_usage()[0], memkit.memory_usage(include_children=True)[0]
    theirs = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / MIB
    assert together - alone == pytest.approx(theirs, abs=2)


def test_the_children_after_one_that_vanished_are_still_counted(monkeypatch):
    """Counting stopped at the first child that was gone."""

    class Child:
        def __init__(self, pid):
            self.pid = pid

        def memory_info(self):
            if self.pid == 1:
                raise psutil.NoSuchProcess(1)
            return type("Memory", (), {"rss": self.pid})

    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [Child(7), Child(1), Child(9)])
    assert memory_reader.children_of(None) == [(7, 7), (9, 9)]


def test_the_highest_alone():
    assert isinstance(memkit.memory_usage(-1, 0.01, 0.02, max_usage=True), float)
    assert isinstance(memkit.memory_usage(-1, 0.01, 0.02, max_usage=True, timestamps=True), float)


def test_a_stream_gets_the_lines_of_a_profile(waiting):
    stream = io.StringIO()
    assert memkit.memory_usage(-1, 0.01, 0.02, stream=stream, multiprocess=True) is None
    words = [line.split() for line in stream.getvalue().splitlines()]
    assert {word[0] for word in words} == {"MEM", "CHLD"}
    assert all(len(word) == (3 if word[0] == "MEM" else 4) for word in words)
    assert float(words[0][1]) > 1 and abs(float(words[0][2]) - time.time()) < 3600


# -- a call ------------------------------------------------------------------------------------------------------------


def test_a_function_runs_exactly_once():
    """A fast function ran seven times."""
    calls = []
    memkit.memory_usage((calls.append, (1,)))
    assert calls == [1]


def test_a_list_begins_and_ends_with_memory_as_it_was_at_the_call(touched):
    found, kept = memkit.memory_usage((touched, (60,)), retval=True)
    assert found[-1] - found[0] == pytest.approx(60, abs=CLOSE)
    kept.close()


def test_the_peak_of_a_call_is_exact_however_short(spike, exact_peaks):
    """A transient between two samples was not seen."""
    before = memkit.rss() / MIB
    assert max(memkit.memory_usage((spike, (80,)))) - before == pytest.approx(80, abs=CLOSE + 1)
    assert memkit.memory_usage((spike, (80,)), max_usage=True) - before == pytest.approx(80, abs=CLOSE + 1)


def test_arguments_keywords_and_the_return_value():
    _, returned = memkit.memory_usage((lambda a, b, c=0: (a, b, c), (1, 2), {"c": 3}), retval=True)
    assert returned == (1, 2, 3)


@pytest.mark.parametrize("more", [{}, {"max_iterations": 1}, {"include_children": True}])
def test_the_call_that_galleries_and_benchmarks_make(more):
    found = memkit.memory_usage((lambda n: n + 1, (1,)), max_usage=True, retval=True, multiprocess=True, **more)
    assert isinstance(found, tuple) and isinstance(found[0], float) and found[1] == 2


def test_timestamps_are_seconds_since_the_epoch_in_order():
    began = time.time()
    found = memkit.memory_usage((time.sleep, (0.03,)), interval=0.01, timestamps=True)
    times = [when for _, when in found]
    assert times == sorted(times) and began - 1 <= times[0] and times[-1] <= time.time() + 1
    memory, when = memkit.memory_usage((int, ()), timestamps=True, max_usage=True)
    assert memory > 0 and when >= began - 1


def test_a_timeout_is_of_the_clock_and_lets_the_function_finish():
    """A timeout bounded how often a function ran again."""
    done = []

    def work():
        for _ in range(20):
            time.sleep(0.01)
        done.append(True)

    found = memkit.memory_usage(work, interval=0.01, timeout=0.05, timestamps=True)
    assert done == [True]
    assert found[-1][1] - found[0][1] <= 0.05


def test_an_exception_passes_and_nobodys_children_are_killed(waiting):
    """An exception sent SIGKILL to every child of the caller."""
    with pytest.raises(ZeroDivisionError):
        memkit.memory_usage((lambda: 1 / 0), include_children=True)
    assert waiting.poll() is None


def test_an_exception_leaves_what_was_measured_in_the_stream():
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError):
        memkit.memory_usage((lambda: 1 / 0), stream=stream)
    assert stream.getvalue().startswith("MEM ")


FULL = """
import json, os, resource, time, memkit
def is_full(fd):
    try:
        return os.fstat(fd).st_size == 3000
    except OSError:
        return False
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
def gives():
    any(time.sleep(0.05) or any(map(is_full, map(int, os.listdir("/dev/fd")))) for _ in range(600))
    return 42
def raises():
    gives()
    raise KeyError("its own")
usage, returned = memkit.memory_usage(gives, interval=0.001, retval=True)
try:
    memkit.memory_usage(raises, interval=0.001)
except Exception as error:
    raised = repr(error)
print(json.dumps([returned, raised, len(usage) > 2, min(usage) > 1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_costs_a_call_neither_its_result_nor_its_exception(plain, script):
    done = plain(script(FULL))
    assert done.stdout == "[42, \"KeyError('its own')\", true, true]\n"
    complaints = done.stderr.splitlines()
    assert len(complaints) == 2
    assert all(line.startswith("memkit: memory_usage has not all samples of a call: ") for line in complaints)


def test_a_call_that_cannot_be_recorded_has_memory_at_both_ends(monkeypatch, touched, capsys):
    def refuse(in_memory):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(files, "opened_unnamed", refuse)
    found, kept = memkit.memory_usage((touched, (30,)), retval=True)
    assert found[1] - found[0] == pytest.approx(30, abs=CLOSE) and len(found) == 2
    kept.close()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "closerange"), reason="needs descriptors")
def test_a_call_may_close_all_descriptors_that_it_did_not_open(plain, script):
    text = "import os, memkit\nprint(memkit.memory_usage((os.closerange, (3, 200)), retval=True)[1])\n"
    done = plain(script(text))
    assert (done.returncode, done.stdout) == (0, "None\n")
    assert "Traceback" not in done.stderr


def test_memkits_own_helpers_are_not_counted():
    """The process that sampled was counted as a child."""
    before = len(psutil.Process().children(recursive=True))
    seen = []
    alone = memkit.memory_usage(lambda: seen.append(len(psutil.Process().children(recursive=True))), include_children=True)
    assert seen == [before]
    if not before:
        assert alone[0] == pytest.approx(memkit.memory_usage()[0], abs=5)


def test_it_can_be_used_in_a_daemonic_process(python):
    """Daemonic processes are not allowed to have children."""
    # In a program of its own: a process that is spawned may not find the module of a test.
    program = """
import multiprocessing, memkit

def measure(pipe):
    pipe.send(memkit.memory_usage((int, (42,)), retval=True)[1])

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe()
    process = context.Process(target=measure, args=(send,), daemon=True)
    process.start()
    print(receive.recv())
    process.join()
"""
    assert python(program) == 42


def test_tracemalloc_counts_what_python_allocates_and_is_off_afterwards():
    import tracemalloc

    found = memkit.memory_usage((bytearray, (30 * MIB,)), backend="tracemalloc", retval=True)[0]
    assert max(found) - found[0] == pytest.approx(30, abs=0.1)
    assert not tracemalloc.is_tracing()


def test_tracemalloc_counts_no_children(waiting):
    alone, together = (
        max(memkit.memory_usage((bytearray, (MIB,)), backend="tracemalloc", include_children=children))
        for children in (False, True)
    )
    assert together == pytest.approx(alone, abs=0.1)
    with_rows = memkit.memory_usage(backend="tracemalloc", multiprocess=True)
    assert [len(row) for row in with_rows] == [1]


def test_tracemalloc_cannot_look_into_another_process(waiting):
    with pytest.raises(UsageError, match="within this process only"):
        memkit.memory_usage(waiting.pid, backend="tracemalloc")


def test_a_text_of_code_is_run():
    """Code as text raised TypeError."""
    assert memkit.memory_usage("6 * 7", retval=True)[1] == 42
    assert memkit.memory_usage("a = 1\nb = a + 1", retval=True)[1] is None


# -- how the samples of a call become a list ---------------------------------------------------------------------------


def points(recording, interval=0.1, timeout=None, highest=0):
    options = memory_usage._Options(interval, timeout, True, False, False)
    return [round(memory) for memory, _ in memory_usage._points(recording.samples, 0, options, highest * MIB)]


def test_each_value_is_the_highest_since_the_one_before(made_up):
    recording = made_up((0, 10), (50, 20, 90), (100, 30), (150, 40), (200, 35), (230, 12))
    assert points(recording) == [10, 90, 40, 12]


def test_a_fall_just_before_the_end_is_shown(made_up):
    assert points(made_up((0, 10), (50, 20, 90), (60, 12))) == [10, 90, 12]
    assert points(made_up((0, 10))) == [10]


def test_nothing_after_the_timeout_counts(made_up):
    assert points(made_up((0, 10), (50, 20), (200, 500), (300, 500)), timeout=0.1) == [10, 20]


def test_a_peak_known_from_elsewhere_is_in_it(made_up):
    assert points(made_up((0, 10), (50, 20)), highest=70) == [10, 70, 20]
