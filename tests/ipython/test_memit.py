"""What a statement takes: run once for each repeat, and measured exactly."""

import mmap
import os
import subprocess
import sys
import threading

import pytest

from memkit.ipython import settle
from memkit.ipython.memit import MemitResult, memit

MIB = 1 << 20


def test_a_result_prints_as_that_of_memory_profiler():
    result = MemitResult([80.0, 85.614], 78.4, 2, None, 0.1, False)
    assert str(result) == "peak memory: 85.61 MiB, increment: 7.21 MiB"
    assert repr(result) == "<MemitResult : peak memory: 85.61 MiB, increment: 7.21 MiB>"
    assert (result.peak, result.baseline, result.repeats) == (85.614, 78.4, 2)
    assert result.increment == pytest.approx(7.214)


def test_a_transient_is_measured(exact_peaks, spike):
    result = memit(lambda: spike(90))
    assert result.increment == pytest.approx(90, abs=1)
    assert result.exact


def test_a_list_of_a_million_takes_eight_megabytes_each_time(exact_peaks):
    # The C library would serve the later ones from memory that is resident still.
    for _ in range(4):
        assert memit(lambda: [0] * 10**6).increment == pytest.approx(7.63, abs=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts on each CPU")
def test_per_cpu_counters_cause_no_error_of_the_peak(exact_peaks, spike):
    found = []
    for _ in range(9):
        kept = [_pages_on(cpu, 24) for cpu in os.sched_getaffinity(0)]  # so few that a CPU keeps them to itself
        found.append(memit(lambda: _on_one_cpu(spike, 32)).increment)
        del kept
    assert sorted(found)[4] == pytest.approx(32, abs=0.06)


def _on_one_cpu(act, *values):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # or it would leave some pages where it is taken away from
    try:
        act(*values)
    finally:
        os.sched_setaffinity(0, allowed)


def _pages_on(cpu, number):
    memory = []

    def touch():
        os.sched_setaffinity(0, {cpu})
        memory.append(mmap.mmap(-1, number * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        for place in range(0, number * mmap.PAGESIZE, mmap.PAGESIZE):
            memory[0][place] = 1

    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
    return memory[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts on each CPU")
def test_no_data_file_of_the_program_is_mapped_for_that(tmp_path):
    with open(tmp_path / "table", "wb+") as file:
        file.truncate(1 << 34)  # larger than any file of code
        with mmap.mmap(file.fileno(), 1 << 20):
            assert settle._largest_mapped_file() != os.fsencode(file.name)


def test_it_runs_once_for_each_repeat():
    calls = []
    assert memit(lambda: calls.append(1), repeat=3).repeats == 3
    assert len(calls) == 3
    memit(lambda: calls.append(1))
    assert len(calls) == 4


def test_no_repeat_begins_after_the_timeout():
    calls = []
    result = memit(lambda: calls.append(1), repeat=9, timeout=1e-9)
    assert len(calls) == result.repeats == 1
    assert result.repeat == 9


def test_an_error_of_the_statement_propagates():
    with pytest.raises(ZeroDivisionError):
        memit(lambda: 1 / 0)


def test_the_memory_of_children_is_added(spike):
    words = (
        "import mmap, sys; m = mmap.mmap(-1, 60 << 20); m[::4096] = b'x' * (len(m) // 4096); print(1, flush=True); input()"
    )
    child = []

    def start():
        child.append(subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        child[0].stdout.readline()

    try:
        result = memit(start, include_children=True, interval=60)  # looked at when it ends, at the latest
    finally:
        child[0].communicate(b"\n")
    assert 60 < result.increment < 120
    assert not result.exact


# Other tests may have left children to this process, those of multiprocessing for instance.


def test_without_children_the_peak_is_that_of_this_process(python):
    text = """
import json
import memkit
from memkit.ipython.memit import Children
with Children(60) as children:
    pass
print(json.dumps([children.most, children.peak, memkit.rss()]))
"""
    most, peak, now = python(text)
    assert most == 0
    assert peak >= now - 5 * MIB


def test_with_children_counted_a_peak_is_exact_if_there_were_none(python, exact_peaks):
    text = """
import json, subprocess, sys
from memkit.ipython.memit import memit
alone = memit(lambda: None, include_children=True)
came_and_went = memit(lambda: subprocess.run([sys.executable, "-c", ""]), include_children=True, interval=60)
print(json.dumps([alone.exact, came_and_went.exact]))
"""
    assert python(text) == [True, False]


@pytest.mark.parametrize("include_children", [False, True])
def test_a_sampled_peak_is_not_exact_with_or_without_children(include_children):
    code = (
        "from memkit.ipython.memit import memit; kept = b'x' * (60 << 20); del kept; "
        f"print(memit(lambda: b'x' * (6 << 20), include_children={include_children}).exact)"
    )
    environment = {**os.environ, "MEMKIT_ENGINE": "portable"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_psutil_is_imported_before_the_measurement():
    code = (
        "import sys; from memkit.ipython.memit import Children, memit; found = []; "
        "memit(lambda: found.append('psutil' in sys.modules), include_children=True); "
        "del sys.modules['psutil']; children = Children(60); found.append('psutil' in sys.modules); print(found)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[True, True]\n", "")


def test_the_first_poll_of_children_is_not_the_statements(exact_peaks):
    code = "from memkit.ipython.memit import memit; print(memit(lambda: None, include_children=True).increment)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(done.stdout) < 0.7  # to import what looks takes 1.4 MiB


def test_without_the_kernels_peak_the_highest_sample_is_the_peak():
    code = "from memkit.ipython.memit import memit; result = memit(lambda: None); print(result.exact, result.peak > 1)"
    environment = {**os.environ, "MEMKIT_ENGINE": "portable"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("False True\n", "")
