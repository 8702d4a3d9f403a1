"""The peak since a moment, against transients of a known size."""

import os
import subprocess
import sys
import textwrap
import threading

import pytest

pytest.importorskip("memkit.native.peak", reason="the compiled modules are not built here")

from memkit.base.errors import MeterError
from memkit.native import peak
from memkit.native.meter import Meter

from engines import forks

MIB = 1 << 20


@pytest.fixture(autouse=True)
def resettable():
    """Exact peaks are what is tested here."""
    peak.allow_reset(True)
    if peak.peaks()[0] != "reset":
        pytest.skip(f"needs exact peaks: {peak.peaks()[1]}")
    yield
    peak.allow_reset(True)


def rise(scope, before):
    """How many MiB a scope rose above what was there before it."""
    return (scope.close() - before) / MIB


def now():
    return Meter("rss").read()


def test_a_transient_inside_a_scope_is_its_peak(spike):
    before, scope = now(), peak.Scope()
    spike(60)
    assert rise(scope, before) == pytest.approx(60, abs=0.5)


def test_a_scope_ignores_peaks_before_and_after_it(spike):
    spike(60)
    before, scope = now(), peak.Scope()
    spike(20)
    scope.close()
    spike(80)
    assert rise(scope, before) == pytest.approx(20, abs=0.5)


def test_a_scope_that_reads_memory_has_the_same_peak(spike, touched):
    meter = Meter("rss")
    for held, before_it, inside in [(0, 0, 20), (0, 60, 20), (30, 0, 5), (0, 0, 3), (0, 80, 0)]:
        memory = touched(held) if held else None
        spike(before_it or 1)
        scope = peak.Scope(meter)
        before = scope.memory
        if memory is not None:
            memory.close()
        spike(inside or 1)
        assert rise(scope, before) == pytest.approx(0 if held else max(inside, 1), abs=0.5)
        assert (scope.memory - before) / MIB == pytest.approx(-held, abs=0.5)


def test_scopes_that_read_memory_leave_others_their_peaks(spike):
    meter = Meter("rss")
    before, outer = now(), peak.Scope()
    spike(40)
    first = peak.Scope(meter)
    spike(10)
    second = peak.Scope(meter)
    spike(5)
    assert [rise(scope, before) for scope in (second, first, outer)] == pytest.approx([5, 10, 40], abs=0.5)


def test_an_inner_scope_leaves_the_outer_scopes_their_peaks(spike):
    before, outer = now(), peak.Scope()
    spike(40)
    inner = peak.Scope()
    spike(10)
    assert rise(inner, before) == pytest.approx(10, abs=0.5)
    assert rise(outer, before) == pytest.approx(40, abs=0.5)


def test_scopes_may_overlap(spike):
    before, first = now(), peak.Scope()
    spike(10)
    second = peak.Scope()
    spike(30)
    assert rise(first, before) == pytest.approx(30, abs=0.5)
    spike(50)
    assert rise(second, before) == pytest.approx(50, abs=0.5)


def test_scopes_of_many_threads_all_see_the_peak(spike):
    before = now()
    opened, spiked = threading.Barrier(9), threading.Barrier(9)
    rises = []

    def watch():
        scope = peak.Scope()
        opened.wait()
        spiked.wait()
        rises.append(rise(scope, before))

    threads = [threading.Thread(target=watch) for _ in range(8)]
    for thread in threads:
        thread.start()
    opened.wait()
    spike(30)
    spiked.wait()
    for thread in threads:
        thread.join()
    assert rises == pytest.approx([30] * 8, abs=2)


def test_the_peak_of_the_process_never_falls(spike):
    spike(70)
    highest = peak.peak_rss()
    with_scope = peak.Scope()
    with_scope.close()
    assert peak.peak_rss() >= highest >= now()


def test_the_peak_of_the_process_can_be_reset(spike):
    spike(70)
    assert peak.peak_rss(reset=True) >= now() + 69 * MIB
    before = now()
    spike(25)
    assert (peak.peak_rss() - before) / MIB == pytest.approx(25, abs=0.5)


def test_without_resets_only_new_maxima_are_known(spike):
    spike(30)
    peak.allow_reset(False)
    assert peak.peaks() == ("mark", "switched off")
    before, scope = now(), peak.Scope()
    spike(10)
    assert scope.close() is None
    scope = peak.Scope()
    spike(200)
    assert rise(scope, before) == pytest.approx(200, abs=0.5)
    with pytest.raises(MeterError, match="cannot be reset"):
        peak.peak_rss(reset=True)


def test_without_resets_the_high_water_mark_is_left_alone():
    code = """
import mmap, resource
from memkit.native import peak
peak.allow_reset(False)
with mmap.mmap(-1, 100 << 20) as memory:
    for place in range(0, 100 << 20, 4096):
        memory[place] = 1
peak.Scope().close()
"""
    # By way of a small process: what wait4 tells has a floor, what the parent had when it started the child.
    parent = "import os, sys\n" + textwrap.dedent("""
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", sys.argv[1]], os.environ)
        print(os.wait4(pid, 0)[2].ru_maxrss * 1024)
    """)
    marks = []
    for text in (code, code.replace("peak.allow_reset(False)", "")):
        marks.append(int(subprocess.run([sys.executable, "-c", parent, text], capture_output=True, check=True).stdout))
    assert marks[0] > 100 * MIB > marks[1]


@forks
def test_a_forked_child_begins_its_own_peak(spike):
    spike(90)
    outer = peak.Scope()
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        before, scope = now(), peak.Scope()
        spike(20)
        text = f"{rise(scope, before)} {(peak.peak_rss() - before) / MIB} {outer.close() is None or True}"
        os.write(there, text.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    inner, whole, _ = os.read(here, 200).split()
    os.close(here)
    os.close(there)
    assert float(inner) == pytest.approx(20, abs=0.5)
    assert float(whole) < 60
    outer.close()


def test_memory_before_an_exec_is_not_the_peak():
    code = """
import sys
from memkit.native import peak
print(peak.peak_rss())
"""
    again = f"""
import os, sys
big = bytearray(300 << 20)
os.execv(sys.executable, [sys.executable, "-c", {code!r}])
"""
    said = subprocess.run([sys.executable, "-c", again], capture_output=True, check=True).stdout
    assert int(said) < 100 * MIB


def test_a_scope_survives_the_closing_of_its_kernel_files():
    code = """
import mmap, os
from memkit.native import peak
peak.Scope().close()
os.closerange(3, 4096)
scope = peak.Scope()
before = peak.peak_rss()
with mmap.mmap(-1, 100 << 20) as memory:
    for place in range(0, 100 << 20, 4096):
        memory[place] = 1
assert scope.close() > 100 << 20
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_hundred_thousand_scopes_leave_nothing_behind():
    descriptors, start = len(os.listdir("/proc/self/fd")), now()
    for _ in range(100_000):
        peak.Scope()
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # fewer, where what earlier tests left is found meanwhile
    assert now() - start < MIB


AT_ONCE = """
import json
import os
import signal
import threading
from memkit.native.peak import Scope

def work():
    together.wait()
    scopes.append(Scope())

ends = set()
for _ in range(200):
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends one that hangs
        together, scopes = threading.Barrier(4), []
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peaks = [scope.close() for scope in scopes]
        os._exit(None in peaks)
    ends.add(os.waitpid(child, 0)[1])
    if ends != {0}:
        break
print(json.dumps(sorted(ends)))
"""


def test_several_threads_may_make_the_first_scopes_at_once(python):
    assert python(AT_ONCE) == [0]


FORKED = """
import json
import os
import signal
import threading
from memkit.native.peak import Scope, peak_rss

def work():
    while not done:
        Scope().close()

done, ends = False, set()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(100):
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(Scope().close() is None or peak_rss() is None)
    ends.add(os.waitpid(child, 0)[1])
done = True
for thread in threads:
    thread.join()
print(json.dumps(sorted(ends)))
"""


def test_a_child_forked_while_threads_read_peaks_has_its_own(python):
    assert python(FORKED, flags=("-W", "ignore::DeprecationWarning")) == [0]
