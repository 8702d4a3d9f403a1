"""Tracing lines: what the compiled tracer finds is what a tracer in Python and the known sizes of blocks of memory say."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import memkit
from memkit.model import file_format

from engines import CLOSE, ENGINES, GATES, MIB, NOISE, PEAK_CLOSE, PROGRAMS, allowed, environment, found

pytestmark = pytest.mark.usefixtures("native_only")

# -- against the oracles -----------------------------------------------------------------------------------------------


@pytest.fixture(params=ENGINES, ids=["-".join(engine) for engine in ENGINES])
def by_memkit(request):
    """What memkit finds out about all programs, by each of its engines, with the name of the engine of tracing."""
    tracer, gate = request.param
    allowed(gate)
    return tracer, found("oracle", "memkit", tracer, gate)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_hits_of_each_line_are_those_of_a_tracer_in_python(by_memkit, program):
    # The engines differ in what they are told: sys.settrace tells of each turn of a loop on one line, sys.monitoring of the
    # first only. So each is held against a tracer of its own kind.
    tracer, of = by_memkit
    assert of[program]["hits"] == found("oracle", tracer)[program]["hits"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_line_grew_by_what_was_taken_while_it_ran(by_memkit, program):
    _, of = by_memkit
    booked, growth = growths(of[program])
    assert set(booked) <= set(growth)
    for place in growth:
        assert growth[place] == pytest.approx(booked.get(place, 0), abs=NOISE), place


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_growths_of_a_function_add_up_to_exit_less_entry(by_memkit, program):
    _, of = by_memkit
    booked, growth = growths(of[program])
    for function in {place[:2] for place in growth}:
        total, expected = (sum(each[place] for place in each if place[:2] == function) for each in (growth, booked))
        assert total == pytest.approx(expected, abs=NOISE), function


def growths(of):
    """By function and line, what was booked and what memkit says."""
    booked, growth = {}, {}
    for name, first, lines in of["booked"]:
        for line, size in lines:
            booked[name, first, line] = booked.get((name, first, line), 0) + size
    for name, first, line, _, _, grown, *_ in of["columns"]:
        growth[name, first, line] = grown
    return booked, growth


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_line_has_no_impossible_time_or_peak(by_memkit, program):
    _, of = by_memkit
    threads = 3 if program == "threads" else 1
    for name, _, number, hits, took, _, memory, peak, rise, rises, about, own_rise, *_ in of[program]["columns"]:
        place = (name, number)
        assert 0 <= own_rise <= rise <= rises, place
        assert rise <= peak, place
        assert about >= 0, place
        assert hits >= 0, place  # none of a generator that is thrown into before it began
        assert 0 <= took <= of[program]["wall"] * threads, place
        assert 0 <= memory <= peak, place


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_lines_of_a_function_take_no_longer_than_there_was_time(by_memkit, program):
    _, of = by_memkit
    sums = {}
    for name, first, _, _, took, *_ in of[program]["columns"]:
        sums[name, first] = sums.get((name, first), 0) + took
    # Three threads at a time, and modules in a module.
    assert max(sums.values()) <= of[program]["wall"] * {"threads": 3, "made": 2}.get(program, 1)


def test_the_engines_that_were_asked_for_were_in_use(by_memkit):
    tracer, of = by_memkit
    gates = {(each["tracing"]["tracer"], each["tracing"]["gate"]) for each in of.values()}
    assert len(gates) == 1
    assert gates <= {(tracer, gate) for gate in GATES}


def test_all_engines_give_the_same_growths():
    tables = []
    for tracer, gate in ENGINES:
        try:
            allowed(gate)
        except pytest.skip.Exception:
            continue
        tables.append({name: growths(of)[1] for name, of in found("oracle", "memkit", tracer, gate).items()})
    assert len(tables) > 1
    for program in PROGRAMS:
        for table in tables[1:]:
            assert table[program] == {place: pytest.approx(size, abs=NOISE) for place, size in tables[0][program].items()}


def test_functions_of_the_same_place_and_name_are_one_however_often_made(by_memkit):
    _, of = by_memkit
    twins = [lines for name, _, lines in of["twins"]["hits"] if name == "twin"]
    assert [dict(lines)[4] for lines in twins] == [2 + 4]


# -- rows that are known ----------------------------------------------------------------------------------------------

KNOWN = """
import ctypes
import mmap
import numpy

MIB = 1 << 20
PAGES = b"x" * (64 * MIB // mmap.PAGESIZE)
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages, of which one more than was touched may be half empty
memset = ctypes.PyDLL(None).memset  # which holds the GIL
memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)


def work():
    kept = b"x" * 80_000_000                                           # grows 80_000_000
    len(b"x" * 400_000_000)                                            # grows 0, rises 400_000_000
    empty = numpy.empty(200_000_000, "u1")                             # grows 0
    empty[:100_000_000] = 1                                            # grows 100_000_000
    ones = numpy.ones(10_000_000)                                      # grows 80_000_000
    ones + ones                                                        # grows 0, rises 80_000_000
    memset(empty.ctypes.data + 100_000_000, 1, 50_000_000)             # grows 50_000_000
    block = mmap.mmap(-1, 64 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)     # grows 0
    block[:: mmap.PAGESIZE] = PAGES                                    # grows 64 * MIB
    block.madvise(mmap.MADV_DONTNEED, 0, 32 * MIB)                     # grows -32 * MIB
    numbers = [0] * 10**6                                              # grows 8_000_000
    del numbers                                                        # grows -8_000_000
    del kept, empty                                                    # grows -230_000_000
    for _ in range(20):                                                # grows 0
        block[:: mmap.PAGESIZE] = PAGES                                # grows 20 * 32 * MIB
        block.madvise(mmap.MADV_DONTNEED, 0, 32 * MIB)                 # grows 20 * -32 * MIB, rises 32 * MIB
    block.close()                                                      # grows -32 * MIB


# What these do for the first time brings in pages of numpy's code, a mebibyte at a time where the kernel has it so.
few = numpy.ones(10)
few + few
numpy.empty(10, "u1")[:5] = 1
memset(few.ctypes.data, 1, 10)
work()
"""


@pytest.mark.parametrize(("tracer", "gate"), ENGINES)
def test_rows_of_a_program_whose_answer_is_known(script, memkit_run, tracer, gate, exact_peaks):
    allowed(gate)
    pytest.importorskip("numpy")
    script(KNOWN)
    done = memkit_run("program.py", options=("-q", "--lines=program.py:work"), env=environment(tracer, gate))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.recording.tracing[:3] == (tracer, gate, None)
    [(function, lines)] = done.recording.functions.items()
    assert function.name == "work"
    known = {line.number: line for line in lines}
    before = None
    for number, text in enumerate(KNOWN.splitlines(), 1):
        remark = re.search(r"# grows ([^,]+)(, rises (.*))?$", text)
        if remark is None:
            continue
        assert known[number].growth == pytest.approx(eval(remark[1]), abs=CLOSE), text
        assert known[number].peak >= known[number].memory, text
        if remark[2]:
            rise = known[number].peak - min(before, known[number].memory)
            assert -PEAK_CLOSE <= rise - eval(remark[3]) <= CLOSE, text
        if known[number].hits == 1 and eval(remark[1]) >= 0:
            rise = eval(remark[3]) if remark[2] else eval(remark[1])
            assert -PEAK_CLOSE <= known[number].rise - rise <= CLOSE, text
            assert known[number].rises == known[number].rise == known[number].own_rise, text
        before = known[number].memory


# -- threads -----------------------------------------------------------------------------------------------------------

BEGUN_BEFORE = """
import json
import threading
import memkit
from oracle import keep

begun, go, done, end = (threading.Event() for _ in range(4))
blocks = []


def work():
    begun.set()
    go.wait()
    for size in range(3):
        blocks.append(keep(size + 1))
    done.set()
    end.wait()


thread = threading.Thread(target=work)
thread.start()
begun.wait()
with memkit.record(lines=TARGET) as run:
    go.set()
    done.wait()
end.set()
thread.join()
print(json.dumps({line.number: [line.hits, line.growth] for line in run.recording.lines}))
"""


@pytest.mark.parametrize("target", ["work", "__file__"])
def test_a_thread_that_began_before_is_traced(python, tracer, target):
    lines = python(BEGUN_BEFORE.replace("TARGET", target), tracer)
    number = str(number_of("blocks.append", BEGUN_BEFORE))
    assert lines[number] == [3, pytest.approx(6 * MIB, abs=CLOSE)]


def number_of(text, source):
    """The line in which a text stands first."""
    return 1 + next(place for place, line in enumerate(source.splitlines()) if text in line)


def test_a_thread_that_goes_on_is_traced_no_more(python, tracer):
    text = """
import sys
import threading
import memkit

def work():
    return 1

def loop():
    while not end.is_set():
        work()
        traced.append(sys.gettrace())
        step.release()
        go.acquire()

end, step, go, traced = threading.Event(), threading.Semaphore(0), threading.Semaphore(0), []
thread = threading.Thread(target=loop)
with memkit.record(lines=work) as run:
    thread.start()
    step.acquire()
for _ in range(3):
    go.release()
    step.acquire()
end.set()
go.release()
thread.join()
assert traced[-1] is None, traced
print(sum(line.hits for line in run.recording.lines))
"""
    assert python(text, tracer) == 1


def test_a_generator_that_began_before_is_traced(python, tracer):
    text = """
import json
import memkit
from oracle import keep

def numbers():
    yield 1
    block = keep(2)
    yield block

source = numbers()
next(source)
with memkit.record(lines=numbers) as run:
    next(source)
print(json.dumps({line.number: [line.hits, line.growth] for line in run.recording.lines}))
"""
    lines = python(text, tracer)
    assert lines[str(number_of("keep(2)", text))] == [1, pytest.approx(2 * MIB, abs=CLOSE)]


@pytest.mark.parametrize("gate", ["perf", "rusage"])
def test_thousands_of_short_threads_leave_nothing_behind(python, tracer, gate):
    allowed(gate)
    text = """
import os
import threading
import time
import memkit

def work():
    return 1

def wave(count):
    for _ in range(count // 10):
        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

def held():
    return memkit.rss(), len(os.listdir("/proc/self/fd"))

with memkit.record(lines=work) as run:
    wave(500)
    before = held()
    wave(3_000)
    for _ in range(500):  # join() returns a little before the system's thread ends
        after = held()
        if after[1] <= before[1]:
            break
        time.sleep(0.01)
[line] = [line for line in run.recording.lines]
print([line.hits, after[0] - before[0], after[1] - before[1]])
"""
    hits, memory, descriptors = python(text, tracer, gate)
    assert hits == 3_500
    assert memory < MIB
    assert descriptors <= 0


@pytest.mark.parametrize("gate", ["perf", "rusage"])
def test_however_many_threads_are_traced_the_program_has_its_descriptors(python, tracer, gate):
    allowed(gate)
    text = """
import json
import os
import threading
import memkit

ready, done = threading.Barrier(101), threading.Event()

def work():
    ready.wait()
    done.wait()

def held():  # the least of several, since the recorder opens a file now and then
    return min(map(len, map(os.listdir, ["/proc/self/fd"] * 100)))

with memkit.record(lines=[work, held], calls=True) as run:
    held()
    threads = [threading.Thread(target=work) for _ in range(100)]
    before = held()
    for thread in threads:
        thread.start()
    ready.wait()
    during = held()
    done.set()
    for thread in threads:
        thread.join()
print(json.dumps([during - before, run.recording.tracing.gate, sum(line.hits for line in run.recording.lines)]))
"""
    assert python(text, tracer, gate) == [0, gate, 203]


def test_recording_may_begin_and_end_inside_what_is_traced(python, tracer):
    text = """
import json
import memkit
from oracle import keep

def work():
    before = keep(1)
    recorder.start()
    during = keep(2)
    recorder.stop()
    after = keep(3)

recorder = memkit.record(lines=work)
work()
first = recorder.recording
work()
both = first, recorder.recording
print(json.dumps([[[line.number, line.hits, line.growth] for line in each.lines] for each in both]))
"""
    runs = python(text, tracer)
    for lines in runs:
        rows = {number: (hits, growth) for number, hits, growth in lines}
        assert rows[number_of("keep(2)", text)] == (1, pytest.approx(2 * MIB, abs=CLOSE))
        assert number_of("keep(1)", text) not in rows
        assert number_of("keep(3)", text) not in rows


def test_several_threads_may_begin_and_end_recordings_at_once(python, tracer):
    text = """
import threading
import memkit

def work(number):
    return number

def again():
    for _ in range(15):
        with memkit.record(lines=work) as run:
            for number in range(5):
                work(number)
        hits.append(sum(line.hits for line in run.recording.lines))

hits = []
threads = [threading.Thread(target=again) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([len(hits), min(hits)])
"""
    count, least = python(text, tracer)
    assert count == 60
    assert least >= 5  # and what the other threads ran meanwhile


def test_two_recordings_at_once_trace_each_its_own(python, tracer):
    text = """
import json
import memkit
from oracle import keep

def first(size):
    return keep(size)

def second(size):
    return keep(size), first(1)

kept = []
with memkit.record(lines=first) as outer:
    kept.append(first(1))
    with memkit.record(lines=second) as inner:
        kept.append(second(2))
        kept.append(first(3))
    kept.append(second(4))
    kept.append(first(2))
both = outer.recording, inner.recording
print(json.dumps([[[line.function.name, line.hits, line.growth] for line in each.lines] for each in both]))
"""
    outer, inner = python(text, tracer)
    assert outer == [["first", 5, pytest.approx(8 * MIB, abs=CLOSE)]]
    assert inner == [["second", 1, pytest.approx(3 * MIB, abs=CLOSE)]]


@pytest.mark.parametrize("order", ["first", "last"])
def test_recordings_may_end_in_any_order(python, tracer, order):
    text = f"""
import json
import sys
import memkit

def work():
    return 1

one, other = memkit.record(lines=work), memkit.record(lines=work)
one.start(), work(), other.start(), work()
first, last = (one, other) if {order == "first"} else (other, one)
first.stop()
work()
last.stop()
work()
assert sys.gettrace() is None
print(json.dumps([sum(line.hits for line in each.recording.lines) for each in (one, other)]))
"""
    assert python(text, tracer) == ([2, 2] if order == "first" else [3, 1])


def test_one_recording_more_than_fits_is_one_clear_error(python, tracer):
    text = """
import memkit

def work():
    return 1

recorders = []
try:
    for _ in range(20):
        recorder = memkit.record(lines=work)
        recorder.start()
        recorders.append(recorder)
except memkit.MeterError as error:
    text = str(error)
else:
    text = ""
work()
for each in recorders:
    each.stop()
with memkit.record(lines=work) as run:
    work()
import json
hits = [[line.hits for line in each.recording.lines] for each in (*recorders, run)]
print(json.dumps([text, len(recorders), hits]))
"""
    said, count, hits = python(text, tracer)
    assert "stop one of the recordings" in said
    assert "\n" not in said
    assert count >= 6
    assert hits == [[1]] * (count + 1)


def test_code_that_one_recording_did_not_want_is_traced_by_the_next(python, tracer):
    text = """
import json
import memkit

def first():
    return 1

def second():
    return 2

found = []
for target in (first, second, first):
    with memkit.record(lines=target) as run:
        first()
        second()
    found.append([line.function.name for line in run.recording.lines])
print(json.dumps(found))
"""
    assert python(text, tracer) == [["first"], ["second"], ["first"]]


@pytest.mark.parametrize("kind", ["LineTracer", "CallTracer"])
def test_a_tracer_may_be_closed_while_another_thread_is_asked_about_code(python, tracer, kind):
    text = f"""
import threading
from memkit.system import engine
from memkit.tracing import tracers

class Rows:
    def text(self, rows):
        pass

entered, go = threading.Event(), threading.Event()

def work():
    return 1

def wanted(code):
    if code is work.__code__:
        entered.set()
        go.wait()           # the GIL may be lost anywhere in here
    return True

tracer = tracers.{kind}(tracers.Functions(Rows()), engine.Meter("rss"), wanted)
thread = threading.Thread(target=work)
tracer.start()
thread.start()
entered.wait()
tracer.stop()
tracer.close()
again = tracers.{kind}(tracers.Functions(Rows()), engine.Meter("rss"), lambda code: True)
again.start()           # it has the same place, and with sys.monitoring the same number
go.set()
thread.join()
work()
again.stop()
again.close()
print(1)
"""
    assert python(text, tracer, PYTHONMALLOC="debug") == 1


def test_an_exception_ends_tracing(python, tracer):
    text = """
import sys
import threading
import memkit

def work():
    raise KeyError

run = memkit.record(lines=work)
try:
    with run:
        work()
except KeyError:
    pass
assert run.recording.ending.kind == "error"
[raised] = [line for line in run.recording.lines]
assert sys.gettrace() is None and threading.gettrace() is None
if hasattr(sys, "monitoring"):
    assert [sys.monitoring.get_tool(number) for number in range(6)] == [None] * 6
print(raised.hits)
"""
    assert python(text, tracer) == 1


# -- fork ----------------------------------------------------------------------------------------------------------------

FORKED = """
import json
import os
import sys
import memkit
from oracle import drop, keep

def work(turns):
    for _ in range(turns):
        drop(keep(1))

def fork():
    pid = FORK()
    if pid == 0:
        try:
            work(100)
            END(0)
        except Exception as error:
            os._exit(7)
    return os.waitpid(pid, 0)[1]

with memkit.record(lines=work) as run:
    work(2)
    statuses = [fork() for _ in range(3)]
    work(3)
    statuses.append(fork())
hits = {line.number: line.hits for line in run.recording.lines}
print(json.dumps([statuses, hits, run.recording.unread]))
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("end", ["os._exit", "sys.exit"])
@pytest.mark.parametrize(
    "fork", ["os.fork", "__import__('ctypes').CDLL(None).fork", "__import__('ctypes').PyDLL(None).fork"]
)
@pytest.mark.parametrize("gate", ["perf", "rusage"])
def test_a_forked_child_runs_on_and_leaves_its_parents_lines_alone(python, tracer, gate, fork, end):
    allowed(gate)
    text = FORKED.replace("FORK()", f"{fork}()").replace("END(", f"{end}(")
    statuses, hits, unread = python(text, tracer, gate)
    assert statuses == [0] * 4
    assert unread == 0
    number = number_of("drop(keep(1))", text)
    assert hits == {str(number - 1): 7, str(number): 5}


def test_a_forked_child_is_not_traced_and_can_record_for_itself(python, tracer):
    text = """
import json
import os
import sys
import threading
import memkit

def work():
    return 1

with memkit.record(lines=work) as run:
    pid = os.fork()
    if pid == 0:
        work()
        assert sys.gettrace() is None and threading.gettrace() is None
        if hasattr(sys, "monitoring"):
            assert [sys.monitoring.get_tool(number) for number in range(6)] == [None] * 6
        with memkit.record(lines=work) as mine:
            work(), work()
        os._exit(40 + sum(line.hits for line in mine.recording.lines))
    status = os.waitpid(pid, 0)[1]
    work()
print([os.waitstatus_to_exitcode(status), [line.hits for line in run.recording.lines][0]])
"""
    assert python(text, tracer) == [42, 1]


def test_children_of_multiprocessing_run_on_untraced(python, tracer):
    text = """
import multiprocessing
import memkit

def work(number):
    return number * 2

with memkit.record(lines=work) as run:
    work(1)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map(work, range(20))
    work(1)
print([sum(results), [line.hits for line in run.recording.lines][0]])
"""
    assert python(text, tracer) == [380, 2]


# -- beside others -----------------------------------------------------------------------------------------------------

TOOLS = """
import cProfile
import json
import pstats
import sys
import threading
from collections import Counter
import memkit

def leaf(number):
    if number % 3:
        return number
    raise ValueError(number)

def work(count):
    total = 0
    for number in range(count):
        try:
            total += leaf(number)
        except ValueError:
            total += sum(value for value in range(3))
    return total

def in_thread():
    thread = threading.Thread(target=work, args=(5,))
    thread.start()
    thread.join()

def counted_by_trace():
    events = Counter()
    def trace(frame, event, argument):
        if frame.f_code.co_filename == __file__ and frame.f_code not in ours:
            events[f"{event} {frame.f_code.co_name} {frame.f_lineno}"] += 1
        return trace
    sys.settrace(trace)
    threading.settrace(trace)
    between(lambda: sys.gettrace() is not None)
    assert sys.gettrace() is trace and threading.gettrace() is trace
    sys.settrace(None)
    threading.settrace(None)
    return events

def counted_by_profile():
    events = Counter()
    def profile(frame, event, argument):
        if frame.f_code.co_filename == __file__ and frame.f_code not in ours:
            events[f"{event} {frame.f_code.co_name}"] += 1
    sys.setprofile(profile)
    threading.setprofile(profile)
    between(lambda: sys.getprofile() is profile)
    assert sys.getprofile() is profile
    sys.setprofile(None)
    threading.setprofile(None)
    return events

def counted_by_cprofile():
    profile = cProfile.Profile()
    profile.enable()
    between(lambda: True)
    profile.disable()
    stats = pstats.Stats(profile).stats
    return {f"{name} {line}": [calls, all] for (file, line, name), (calls, all, *_) in stats.items() if file == __file__}

def plainly(check):
    assert check()
    work(10), in_thread()

def traced(check):
    recorder = memkit.record(lines=[work, leaf])
    recorder.start()
    assert check()
    work(10), in_thread()
    recorder.stop()
    recordings.append(recorder.recording)

recordings = []
ours = {plainly.__code__, traced.__code__}
ours |= {code for code in plainly.__code__.co_consts + traced.__code__.co_consts if hasattr(code, "co_name")}
results = []
for count in (counted_by_trace, counted_by_profile, counted_by_cprofile):
    both = []
    for between in (plainly, traced):
        ours |= {code for code in count.__code__.co_consts if hasattr(code, "co_name")}
        counts = count()
        mine = {name for name in counts if any(word in name for word in ("plainly", "traced", "lambda"))}
        both.append({name: counts[name] for name in counts if name not in mine})
    results.append(both)
work(1)
traced(lambda: True)
found = [{line.number: line.hits for line in recording.lines} for recording in recordings]
print(json.dumps([results, found]))
"""


def test_tools_beside_see_what_they_would_without_memkit(python, tracer):
    results, found = python(TOOLS, tracer)
    assert len(results) == 3
    for without, beside in results:
        assert sum(map(str.__len__, without)) > 0
        assert beside == without
    # And memkit sees what it does without them.
    assert found[0] == found[1] == found[2] == found[3]


def test_a_tool_that_comes_and_goes_while_lines_are_traced_is_left_alone(python, tracer):
    text = """
import json
import sys
import memkit

def work():
    return 1

events = []
def trace(frame, event, argument):
    if frame.f_code is work.__code__:
        events.append(event)
    return trace

with memkit.record(lines=work) as run:
    work()
    sys.settrace(trace)
    work()
    sys.settrace(None)
    work()
assert sys.gettrace() is None
work()
print(json.dumps([events, sum(line.hits for line in run.recording.lines)]))
"""
    events, hits = python(text, tracer)
    assert events == ["call", "line", "return"]
    assert hits == (3 if tracer == "monitoring" else 1)  # PyEval_SetTrace has one place for all


def test_a_tool_that_stays_when_tracing_ends_is_left_alone(python, tracer):
    text = """
import sys
import threading
import memkit

def work():
    return 1

def trace(frame, event, argument):
    return trace

with memkit.record(lines=work) as run:
    sys.settrace(trace)
    threading.settrace(trace)
assert sys.gettrace() is trace
assert threading.gettrace() is trace
"""
    assert python(text, tracer) is None


def test_a_trace_function_of_a_frame_that_runs_is_kept(python, tracer):
    # What debuggers do: they set f_trace of frames that run already.
    text = """
import json
import sys
import memkit

events = []

def trace(frame, event, argument):
    if frame.f_code is work.__code__:
        events.append((event, frame.f_lineno - work.__code__.co_firstlineno))
    return trace

def work():
    a = 1
    sys.settrace(trace)
    sys._getframe().f_trace = trace
    b = 2
    return 3

with memkit.record(lines=work) as run:
    work()
    sys.settrace(None)
print(json.dumps(events))
"""
    assert python(text, tracer) == [["line", 4], ["line", 5], ["return", 5]]


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring came with Python 3.12")
class TestToolNumbers:
    def test_where_all_are_taken_settrace_is_used(self, python):
        text = """
import json
import sys
import memkit

def work():
    return 1

for number in range(6):
    sys.monitoring.use_tool_id(number, f"other {number}")
with memkit.record(lines=work) as run:
    work()
assert [sys.monitoring.get_tool(number) for number in range(6)] == [f"other {number}" for number in range(6)]
assert sys.gettrace() is None
print(json.dumps([run.recording.tracing.tracer, sum(line.hits for line in run.recording.lines)]))
"""
        assert python(text) == ["settrace", 1]

    def test_those_of_others_are_left_to_them(self, python):
        text = """
import json
import sys
import memkit

def work():
    return 1

lines = []
monitoring = sys.monitoring
monitoring.use_tool_id(monitoring.COVERAGE_ID, "coverage")
monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, lambda code, line: lines.append(line))
monitoring.set_local_events(monitoring.COVERAGE_ID, work.__code__, monitoring.events.LINE)
with memkit.record(lines=work) as run:
    names = [monitoring.get_tool(number) for number in range(6)]
    work(), work()
work()
print(json.dumps([names.count("memkit"), names[monitoring.COVERAGE_ID], names[monitoring.DEBUGGER_ID], len(lines)]))
"""
        assert python(text) == [1, "coverage", None, 3]

    def test_code_that_is_not_traced_keeps_no_events(self, python):
        text = """
import sys
import memkit

def work():
    return 1

def other():
    return 2

with memkit.record(lines=work):
    work(), other()
    tool = [sys.monitoring.get_tool(number) for number in range(6)].index("memkit")
    assert sys.monitoring.get_local_events(tool, other.__code__) == 0
    assert sys.monitoring.get_local_events(tool, work.__code__) & sys.monitoring.events.LINE
    of_all = sys.monitoring.get_events(tool) & sys.monitoring.events.PY_UNWIND
    assert bool(of_all) == (sys.version_info < (3, 15))  # before, single code objects cannot have it
sys.monitoring.use_tool_id(tool, "mine")
assert sys.monitoring.get_events(tool) == 0
assert sys.monitoring.get_local_events(tool, work.__code__) == 0
"""
        assert python(text) is None


@pytest.mark.parametrize("kind", ["LineTracer", "CallTracer"])
def test_ten_thousand_starts_and_stops_leave_nothing_behind(python, tracer, kind):
    text = f"""
import os
import sys
import memkit
from memkit.system import engine
from memkit.tracing import tracers

def work():
    return 1

meter = engine.Meter("rss")

class Nowhere:
    def text(self, rows):
        pass

def once():
    tracer = tracers.{kind}(tracers.Functions(Nowhere()), meter, lambda code: code is work.__code__)
    tracer.start()
    work()
    tracer.stop()
    tracer.close()

def held():
    return memkit.rss(), len(os.listdir("/proc/self/fd"))

for _ in range(300):
    once()
before = held()
for _ in range(10_000):
    once()
after = held()
if hasattr(sys, "monitoring"):
    assert [sys.monitoring.get_tool(number) for number in range(6)] == [None] * 6
assert sys.gettrace() is None and sys.getprofile() is None
print([after[0] - before[0], after[1] - before[1]])
"""
    memory, descriptors = python(text, tracer)
    assert memory < MIB
    assert descriptors == 0


def test_a_recording_leaves_nothing_to_the_garbage_collector(python, tracer):
    text = """
import gc
import memkit

def work():
    return 1

def once():
    with memkit.record(lines=work) as run:
        work()
    assert run.recording.lines

for _ in range(3):
    once()
gc.collect()
gc.disable()
once()
print(gc.collect())
"""
    assert python(text, tracer) == 0


def test_a_hundred_recordings_leave_nothing_behind(python, tracer):
    text = """
import gc
import os
import memkit

def work():
    return 1

def once():
    with memkit.record(lines=work) as run:
        work()
    assert run.recording.lines[0].hits == 1

def held():
    gc.collect()
    return memkit.rss(), len(os.listdir("/proc/self/fd"))

for _ in range(30):
    once()
before = held()
for _ in range(100):
    once()
after = held()
print([after[0] - before[0], after[1] - before[1]])
"""
    memory, descriptors = python(text, tracer)
    assert memory < MIB
    assert descriptors == 0


def test_a_debugger_in_a_traced_program_works(script, same, tracer):
    # Not by breakpoint(), after which Python 3.13.0 stops a line later where any tool of sys.monitoring is at work.
    script("""
def work(number):
    number += 1
    number += 2
    return number

import pdb
print(pdb.Pdb().runcall(work, 1))
print(pdb.Pdb().runcall(work, 2))
""")
    words = "n\np number\nb 4\nc\np number\nc\np number\nn\nn\np number\nc\nc\n"
    done = same("program.py", input=words, options=("-q", "--lines=program.py:work"), env=environment(tracer))
    assert "(Pdb) 2" in done.stdout
    assert done.recording.tracing.tracer == tracer


# -- the journal ---------------------------------------------------------------------------------------------------------


def test_a_program_that_was_killed_has_its_lines_in_the_report(script, memkit_run, tracer):
    text = """
import os
import signal
import time

def work():
    kept = []
    while True:
        kept.append(b"x" * 100_000)
        time.sleep(0.001)
        if len(kept) == 600:
            os.kill(os.getpid(), signal.SIGKILL)

work()
"""
    script(text)
    done = memkit_run("program.py", options=("--lines",), env=environment(tracer))
    assert done.returncode == 128 + signal.SIGKILL
    assert "killed by SIGKILL" in done.stderr
    assert "kept.append" in done.stderr
    assert done.recording.ending.signal == signal.SIGKILL
    [line] = [line for line in done.recording.lines if line.number == number_of("kept.append", text)]
    assert 100 <= line.hits <= 600  # all but the last 250 ms or so
    assert line.growth == pytest.approx(line.hits * 100_000, rel=0.05)


def test_the_journal_of_millions_of_lines_is_a_few_kilobytes_of_sums(script, memkit_run, tmp_path, tracer):
    text = """
def work(turns):
    total = 0
    for number in range(turns):
        total += number
    return total

work(1_000_000)
work(1_000_000)
"""
    script(text)
    done = memkit_run("program.py", options=("-q", "--lines", "--interval=10"), env=environment(tracer))
    assert done.recording.tracing.events > 4_000_000
    rows = list(map(json.loads, (tmp_path / "run.memkit").read_text().splitlines()))
    assert (tmp_path / "run.memkit").stat().st_size < 20_000
    number = number_of("total += number", text)
    hits = [row[3] for row in rows if row[0] == "line" and row[2] == number]
    assert hits == sorted(hits)
    assert hits[-1] == 2_000_000
    assert len({row[1] for row in rows if row[0] == "function"}) == len([row for row in rows if row[0] == "function"])


def test_the_last_row_of_a_line_holds(tmp_path):
    path = tmp_path / "a.memkit"
    with memkit.record(path):
        pass
    file_format.append(path, "function", 0, "a.py", "work", 3)
    file_format.append(path, "line", 0, 4, 2, 10, 100, 5000, 9000)
    file_format.append(path, "line", 0, 4, 5, 30, 60, 4000, 9000)
    file_format.append(path, "line", 1, 9, 1, 1, 1, 1, 1)  # of a function whose row was lost
    file_format.append(path, "function", 2, "a.py", "work", 3)
    file_format.append(path, "line", 2, 4, 1, 5, 7, 3000, 9500)
    file_format.append(path, "line", 2, 5, 1)
    recording = memkit.read(path)
    function = memkit.Function("a.py", "work", 3)
    assert recording.lines == (memkit.Line(function, 4, 6, 35, 67, 3000, 9500),)
    assert recording.unread == 1
    assert recording.tracing is None


def test_lines_that_run_when_the_program_is_killed_have_what_they_did(script, memkit_run, tracer):
    text = """
import mmap
import os
import signal
import time

def inner():
    take(64)
    take(32)

def take(size):
    kept.append(mmap.mmap(-1, size << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    for place in range(0, size << 20, mmap.PAGESIZE):
        kept[-1][place] = 1
    if size == 32:
        kept[-1].close()
        wait()

def wait():
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)

kept = []
inner()
"""
    script(text)
    options = ("-q", "--lines=program.py:inner", "--lines=program.py:wait")
    done = memkit_run("program.py", options=options, env=environment(tracer))
    assert done.returncode == 128 + signal.SIGKILL
    lines = {line.number: line for line in done.recording.lines}
    ended, running, innermost = (lines[number_of(each, text)] for each in ("take(64)", "take(32)", "time.sleep(1)"))
    assert (ended.hits, running.hits, innermost.hits) == (1, 1, 1)
    assert ended.growth == pytest.approx(64 * MIB, abs=CLOSE)
    assert running.growth == pytest.approx(0, abs=CLOSE)
    assert running.peak - running.memory == pytest.approx(32 * MIB, abs=PEAK_CLOSE)
    assert [line.rise for line in (ended, running, innermost)] == [
        pytest.approx(size * MIB, abs=PEAK_CLOSE) for size in (64, 32, 0)
    ]
    assert innermost.growth == pytest.approx(0, abs=CLOSE)
    assert 250_000_000 <= innermost.time <= running.time


def test_each_run_of_a_line_rises_and_what_it_called_is_not_its_own(python, tracer, exact_peaks):
    text = """
import json
import memkit
from oracle import drop, keep

def outer():
    inner(30)                       # passes on 30
    for _ in range(4):
        block = keep(20)            # rises 20, four times
        drop(block)
    inner(10), keep(50)             # rises 60, of which 50 are its own

def inner(size):
    blocks.append(keep(size))       # rises 30, then 10

blocks = []
outer()
with memkit.record(lines=[outer, inner]) as run:
    outer()
print(json.dumps({line.number: [line.rise >> 20, line.rises >> 20, line.own_rise >> 20] for line in run.recording.lines}))
"""
    found = python(text.replace(">> 20", "/ 2**20"), tracer)

    def rises(remark):
        return [round(size) for size in found[str(number_of(remark, text))]]

    assert rises("passes on 30") == [30, 30, 0]
    assert rises("rises 20, four times") == [20, 80, 20]
    assert rises("rises 60") == [60, 60, 50]
    assert rises("rises 30, then 10") == [30, 40, 30]


def test_a_recursion_that_runs_counts_each_byte_once(python, tracer):
    text = """
import json
import memkit
from oracle import keep

def deep(n):
    kept.append(keep(n))
    if n > 1:
        deep(n - 1)
    else:
        found.extend(run.recording.lines)

kept, found = [], []
with memkit.record(lines=deep) as run:
    deep(4)
print(json.dumps([{line.number: line.growth for line in lines} for lines in (found, run.recording.lines)]))
"""
    while_running, after = python(text, tracer)
    for lines in (while_running, after):
        assert lines[str(number_of("keep(n)", text))] == pytest.approx(10 * MIB, abs=CLOSE)
        assert lines[str(number_of("deep(n - 1)", text))] == pytest.approx(0, abs=CLOSE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_traced_program_forks_whoever_else_has_hooks_of_forks(python, tracer):
    text = """
import json
import os
import warnings
import memkit

def work():
    import logging              # which has hooks that run after memkit's
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return logging

warnings.simplefilter("error")
with memkit.record(lines=work) as run:
    work()
print(json.dumps([[line.number, line.hits] for line in run.recording.lines]))
"""
    lines = dict(python(text, tracer))
    assert lines == {number: 1 for number in lines}
    assert number_of("return logging", text) in lines and number_of("os._exit(0)", text) not in lines


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring came with Python 3.12")
def test_a_function_that_has_not_come_to_its_first_line_has_no_line_yet(python):
    text = """
import json
import sys
import memkit

def work():
    return 1

def look(code, offset):
    begun.append([line.number for line in run.recording.lines])

begun, start = [], sys.monitoring.events.PY_START
sys.monitoring.use_tool_id(0, "one that is told after memkit")
sys.monitoring.register_callback(0, start, look)
with memkit.record(lines=work) as run:
    sys.monitoring.set_local_events(0, work.__code__, start)
    work()
print(json.dumps([begun, [[line.number, line.hits] for line in run.recording.lines]]))
"""
    assert python(text, "monitoring") == [[[]], [[number_of("return 1", text), 1]]]


def test_lines_are_known_while_they_run(python, tracer):
    text = """
import time
import memkit

def work(run):
    for _ in range(100):
        time.sleep(0.01)
        lines = run.recording.lines
        if lines and lines[0].hits:
            return lines[0].hits

with memkit.record(lines=work) as run:
    print(work(run))
"""
    assert python(text, tracer) >= 1


# -- what is refused -------------------------------------------------------------------------------------------------------


def test_a_wrong_name_of_an_engine_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("MEMKIT_TRACER", "setrace")
    with pytest.raises(
        memkit.UsageError, match=r"^MEMKIT_TRACER is 'setrace': write monitoring or settrace, or leave it out$"
    ):
        memkit.record(lines=test_a_wrong_name_of_an_engine_is_one_clear_error).start()


@pytest.mark.skipif(hasattr(sys, "monitoring"), reason="this Python has sys.monitoring")
def test_an_engine_that_this_python_has_not_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("MEMKIT_TRACER", "monitoring")
    with pytest.raises(memkit.MeterError, match=r"Python 3\.11\.\d+ has not"):
        memkit.record(lines=test_an_engine_that_this_python_has_not_is_one_clear_error).start()


@pytest.mark.parametrize(("name", "value"), [("MEMKIT_TRACER", "nonsense"), ("MEMKIT_GATE", "nonsense")])
def test_a_start_that_was_refused_leaves_nothing_on(python, name, value):
    text = """
import os
import sys
import memkit
from engines import threads_at_work

def work():
    return 1

def held():
    return len(os.listdir("/proc/self/fd")), len(threads_at_work())

os.environ.pop(NAME)
with memkit.record(lines=work):
    pass
before = held()
os.environ[NAME] = "nonsense"
for _ in range(20):
    try:
        memkit.record(lines=work).start()
    except memkit.UsageError:
        pass
after = held()
os.environ.pop(NAME)
with memkit.record(lines=work) as run:
    work()
print([after[0] - before[0], after[1] - before[1], len(run.recording.lines)])
""".replace("NAME", repr(name))
    assert python(text, **{name: value}) == [0, 0, 1]


# -- memkit-run --lines --------------------------------------------------------------------------------------------------

OWN = "def work():\n    return [1] * 1000\n\n\nwork()\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--lines", "program.py"], {"<module>", "work"}),
        (["--lines=program.py:work", "program.py"], {"work"}),
        (["--lines=program:work", "program.py"], {"work"}),
        (["--lines=program.py:work", "--lines=other.py", "program.py"], {"work"}),
        (["--lines=*.py", "program.py"], {"<module>", "work"}),
        (["--lines", "-m", "program"], {"<module>", "work"}),
        (["--lines", "-m", "package"], {"<module>", "main", "deep"}),
        (["--lines=package.inner:deep", "-m", "package"], {"deep"}),
        (["--lines", "-c", OWN], {"<module>", "work"}),
        (["--lines", "package"], {"<module>", "main", "deep"}),
        (["program.py"], set()),
    ],
)
def test_lines_are_those_of_the_target(script, memkit_run, words, names):
    script(OWN)
    script("")
    script(OWN)
    script("", "other.py")
    script("", "package/__init__.py")
    script("def deep():\n    return 1\n", "package/inner.py")
    script(
        "import sys, os\nsys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))\n"
        "from package.inner import deep\n\n\ndef main():\n    deep()\n\n\nmain()\n",
        "package/__main__.py",
    )
    place = next(place for place, word in enumerate(words) if not word.startswith("--"))
    done = memkit_run(*words[place:], options=("-q", *words[:place]))
    assert (done.returncode, done.stderr) == (0, "")
    assert {function.name for function in done.recording.functions} == names


def test_what_a_script_is_given_is_its_own_even_if_it_is_called_lines(script, memkit_run):
    script("import sys\nprint(sys.argv[1:])\n")
    done = memkit_run("program.py", "--lines", "--lines=nonsense:x")
    assert done.stdout == "['--lines', '--lines=nonsense:x']\n"
    assert done.recording.tracing is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("program.py:wrok", "there is no 'wrok' in program.py (did you mean 'work'?)"),
        ("program:wrok", "there is no 'wrok' in program.py (did you mean 'work'?)"),
        ("missing.py", "there is no file"),
        (":work", "write file.py, file.py:name, folder/, package.module or package.module:name"),
        ("program.py:", "write file.py, file.py:name, folder/, package.module or package.module:name"),
        ("not a module", "is neither a file nor the name of a module"),
    ],
)
def test_a_wrong_target_is_said_in_a_line_and_nothing_is_run(script, memkit_run, tmp_path, target, said):
    script("print('ran')\n" + OWN)
    done = memkit_run("program.py", options=("-q", f"--lines={target}"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("memkit-run: ")
    assert sorted(os.listdir(tmp_path)) == ["program.py"]


def test_the_report_of_a_run_has_the_tables_after_the_summary(script, memkit_run):
    script(OWN)
    done = memkit_run("program.py", options=("--lines",))
    assert re.search(r"finished\n(.*\n)*.*work  \S*program.py:1  growth", done.stderr)
    assert "return [1] * 1000" in done.stderr
    assert re.search(r"gate \w+.*: [\d,]+ reads for [\d,]+ lines; resident memory, ±0.1 MiB; tracing by", done.stderr)


def test_the_reading_of_time_is_of_the_lines_themselves(python, tracer):
    text = """
import time
import memkit

def inner():
    time.sleep(0.02)

def work():
    inner()
    time.sleep(0.01)

with memkit.record(lines=[work, inner]) as run:
    began = time.monotonic_ns()
    work()
    wall = time.monotonic_ns() - began
times = {(line.function.name, line.number - line.function.line): line.time for line in run.recording.lines}
print([wall, times["work", 1], times["work", 2], times["inner", 1]])
"""
    wall, calling, sleeping, inside = python(text, tracer)
    assert 20_000_000 <= inside <= calling * 1.01
    assert sleeping >= 10_000_000 * 0.99
    assert calling + sleeping <= wall * 1.01


def test_time_of_a_recursion_counts_once(python, tracer):
    text = """
import time
import memkit

def deep(n):
    if n:
        deep(n - 1)
    time.sleep(0.002)

with memkit.record(lines=deep) as run:
    began = time.monotonic_ns()
    deep(10)
    wall = time.monotonic_ns() - began
print([sum(line.time for line in run.recording.lines), wall])
"""
    total, wall = python(text, tracer)
    assert 22_000_000 * 0.99 <= total <= wall * 1.01


def test_while_a_generator_is_suspended_its_lines_take_no_time(python, tracer):
    text = """
import time
import memkit

def numbers():
    yield 1
    yield 2

with memkit.record(lines=numbers) as run:
    for _ in numbers():
        time.sleep(0.02)
print(sum(line.time for line in run.recording.lines))
"""
    assert python(text, tracer) < 20_000_000


def test_a_portable_engine_refuses_lines_in_one_clear_line(tmp_path):
    text = """
import memkit
def work(): pass
try:
    memkit.record(lines=work)
except memkit.MeterError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=environment(MEMKIT_ENGINE="portable"), cwd=tmp_path
    )
    assert done.stdout == (
        "lines can be traced with the native engine only; this is the portable one: MEMKIT_ENGINE=portable\n"
    )


def test_memkit_run_with_a_portable_engine_refuses_lines_in_one_clear_line(script, memkit_run):
    script("print('ran')")
    done = memkit_run("program.py", options=("--lines",), env=environment(MEMKIT_ENGINE="portable"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "memkit-run: lines can be traced with the native engine only; this is the portable one: MEMKIT_ENGINE=portable\n"
    )


def test_started_is_when_the_recording_began():
    recorder = memkit.record()
    before = time.monotonic_ns()
    with recorder:
        assert before <= recorder.started <= time.monotonic_ns()


def test_a_costly_meter_is_read_seldom_where_nothing_changes(tracer, monkeypatch):
    monkeypatch.setenv("MEMKIT_TRACER", tracer)

    def count(turns):
        total = 0
        for number in range(turns):
            total += number
        return total

    try:
        with memkit.record(lines=count, meter="uss") as run:
            count(20_000)
    except memkit.MeterError as error:
        pytest.skip(str(error))
    assert sum(line.hits for line in run.recording.lines) == 40_003
    # It was read at each of them, and most of the time went by with that.
    assert run.recording.tracing.reads < 10_000
