"""The gate: which engine is in use, why, and what is done without the best one."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("memkit.native.tracing.gate", reason="the compiled modules are not built here")

import memkit
from memkit.native.tracing import gate

pytestmark = pytest.mark.usefixtures("native_only")

MIB = 1 << 20


@pytest.fixture(autouse=True)
def the_best_again():
    """Probe again afterwards: the choice is the whole process's."""
    yield
    gate.probe()


@pytest.fixture
def python(tmp_path):
    """A function that runs a text of Python in a process of its own, and returns what it printed as JSON."""

    def run(text, **more):
        (tmp_path / "under_test.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "under_test.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **more},
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("name", gate.NAMES)
def test_a_requested_gate_is_chosen_and_named(name):
    try:
        gate.probe(name)
    except memkit.MeterError as error:
        assert name == "perf"
        pytest.skip(str(error))
    assert gate.chosen() == (name, None)


def test_the_best_gate_that_works_is_chosen_and_says_why_not_better():
    gate.probe()
    name, reason = gate.chosen()
    assert (name == "perf") == (reason is None)
    assert name in ("perf", "rusage")


@pytest.mark.parametrize("word", ["nonsense", "Perf", "perf ", "-1"])
def test_an_unknown_gate_is_one_clear_error(word):
    with pytest.raises(memkit.UsageError) as caught:
        gate.probe(word)
    assert str(caught.value) == f"MEMKIT_GATE is {word!r}: write perf, rusage or always, or leave it out"


def test_memkit_run_reports_an_unknown_gate_in_one_line(script, memkit_run):
    script("print('ran')")
    done = memkit_run("program.py", options=("--lines",), env={**os.environ, "MEMKIT_GATE": "nonsense"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "memkit-run: MEMKIT_GATE is 'nonsense': write perf, rusage or always, or leave it out\n"


TRACED = """
import json
import mmap
import os
import resource
import threading
import memkit
from memkit.native.tracing import gate

MIB = 1 << 20

def work(size):
    block = mmap.mmap(-1, size * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:: mmap.PAGESIZE] = b"x" * (len(block) // mmap.PAGESIZE)
    block.close()

def rows(run):
    first = work.__code__.co_firstlineno
    return {line.number - first: [line.hits, line.growth / MIB] for line in run.recording.lines}

def tracing(run):
    return list(run.recording.tracing[1:3])
"""


@pytest.mark.parametrize("name", ["rusage", "always"])
def test_the_gate_in_use_is_named_in_the_recording(python, name):
    text = TRACED + "with memkit.record(lines=work) as run:\n    work(2)\nprint(json.dumps([tracing(run), rows(run)]))\n"
    tracing, rows = python(text, MEMKIT_GATE=name)
    assert tracing == [name, None]
    assert rows["2"] == [1, pytest.approx(2, abs=0.3)]


def test_without_a_free_descriptor_the_next_best_gate_says_why(python):
    text = (
        TRACED
        + """
with memkit.record() as run:        # what is needed besides is open already
    from memkit.tracing import choice
    probe = gate.probe
    def full(wished=""):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            probe(wished)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    choice.gate.probe = full
    with memkit.record(lines=work) as inner:
        work(2)
print(json.dumps([tracing(inner), rows(inner)]))
"""
    )
    tracing, rows = python(text, MEMKIT_GATE="")
    assert tracing[0] == "rusage"
    assert tracing[1].startswith("perf_event_open: ")
    assert rows["2"] == [1, pytest.approx(2, abs=0.3)]
    assert rows["3"] == [1, pytest.approx(-2, abs=0.3)]


def test_a_thread_without_a_perf_event_still_counts_right(python):
    # The first thread has one; then no descriptor is left.
    text = (
        TRACED
        + """
with memkit.record(lines=work) as run:
    work(1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
    threads = [threading.Thread(target=work, args=(2,)) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
print(json.dumps(rows(run)))
"""
    )
    rows = python(text, MEMKIT_GATE="")
    assert rows["2"] == [4, pytest.approx(7, abs=0.3)]
    assert rows["3"] == [4, pytest.approx(-7, abs=0.3)]


def test_a_requested_gate_that_is_refused_is_one_clear_error(python):
    text = """
import json
import resource
import memkit
from memkit.native.tracing import gate
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
try:
    gate.probe("perf")
except memkit.MeterError as error:
    text = str(error)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
print(json.dumps(text))
"""
    assert python(text).startswith("MEMKIT_GATE is 'perf', but perf_event_open is refused here: ")


def test_gates_read_seldom_but_always_reads_at_every_boundary(python):
    text = (
        TRACED
        + """
def spin():
    total = 0
    for number in range(20_000):
        total += number
    return total

with memkit.record(lines=spin) as run:
    spin()
print(json.dumps([run.recording.tracing.events, run.recording.tracing.reads]))
"""
    )
    events, reads = python(text, MEMKIT_GATE="always")
    assert events == 40_003
    assert reads >= events
    events, gated = python(text, MEMKIT_GATE="rusage")
    assert events == 40_003
    assert gated < reads / 4


def test_memkit_info_names_the_gate(memkit):
    done = memkit("info", env={**os.environ, "MEMKIT_GATE": "always"})
    assert done.returncode == 0
    assert any(line.split()[:1] == ["gate"] for line in done.stdout.splitlines())
