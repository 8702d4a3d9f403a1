"""Limits that are set: when memory reaches one, all that is known goes to the file, and then it is acted upon."""

import os
import sys

import pytest

import memkit
from memkit.base.errors import UsageError
from memkit.model import reader
from memkit.model.limit_events import SetLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.record import limit_guard
from memkit.system import engine

MIB = 1 << 20
# The portable engine has to wait for the GIL, several times for one look where psutil reads a file: programs let go of it.
PAUSE = 0 if engine.NAME == "native" else 0.002
GROWS = f"""
import mmap
from time import monotonic as clock, sleep as pause
began = clock()
def take(mib):
    memory = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[::4096] = b"x" * (mib << 8)
    return memory
def spin():
    while clock() < began + 60:
        pass
def grow(mib, step=4):
    return [take(step) for _ in range(mib // step){f" if not pause({PAUSE})" if PAUSE else ""}]
"""


def limited(limit, action="report", *more):
    return ["-q", f"--limit={limit}", f"--on-limit={action}", *more]


def functions(stack):
    """Up to Python 3.11 a comprehension has a frame of its own."""
    return [frame.function for frame in stack.frames if not frame.function.endswith("<listcomp>")]


def main_stack(crossing):
    (stack,) = [stack for stack in crossing.stacks if stack.name == "MainThread"]
    return stack


# -- what is done ------------------------------------------------------------------------------------------------------


def test_a_crossing_is_recorded_with_where_the_program_was(memkit_run, script):
    name = script(GROWS + "kept = grow(400)\nprint('done')")
    run = memkit_run(name, options=limited("120MiB"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
    (crossing,) = run.recording.crossings
    assert (crossing.limit, crossing.name, crossing.action) == (120 * MIB, "rss", "report")
    assert 120 * MIB <= crossing.memory <= run.recording.peak
    (stack,) = crossing.stacks
    assert functions(stack)[-1] == "<module>" and set(functions(stack)[:-1]) <= {"grow", "take"}
    assert stack.frames[-1].file.endswith(name) and stack.frames[-1].line == GROWS.count("\n") + 1
    times = [sample.time for sample in run.recording.samples if sample.memory >= 120 * MIB]
    assert sum(time < crossing.time for time in times) <= 1  # the one that it was noticed by


def test_below_the_limit_nothing_happens(memkit_run, script):
    run = memkit_run(script(GROWS + "kept = grow(20)"), options=limited("4GiB", "stop"))
    assert (run.returncode, run.recording.crossings, str(run.recording.ending)) == (0, (), "finished")


def test_a_limit_below_what_is_used_already_is_crossed_at_once(memkit_run):
    run = memkit_run("-c", "import time; time.sleep(0.5)", options=limited("1MiB"))
    (crossing,) = run.recording.crossings
    assert crossing.limit == MIB and main_stack(crossing).frames


def test_raise_is_a_memory_error_in_the_main_thread(memkit_run, script):
    run = memkit_run(script(GROWS + "kept = grow(4000)"), options=limited("120MiB", "raise"))
    assert run.returncode == 1
    *_, last = run.stderr.splitlines()
    soon = "1" if engine.NAME == "native" else ""  # the portable one has to wait for the GIL to look
    assert last.startswith(f"MemoryError: memory reached {soon}")
    assert last.endswith(" MiB: the limit that was set is 120.0 MiB")
    assert "memkit" not in run.stderr
    ending = run.recording.ending
    assert (ending.kind, ending.out_of_memory) == ("error", OutOfMemory("limit", set=SetLimit(120 << 20)))
    assert [crossing.action for crossing in run.recording.crossings] == ["raise"]


def test_the_error_is_raised_again_after_memory_has_fallen_and_risen(memkit_run, script):
    text = """
import time
for _ in range(3):
    try:
        kept = grow(4000)
    except MemoryError as error:
        print(type(error).__name__)
    kept = None
    time.sleep(0.3)
"""
    run = memkit_run(script(GROWS + text), options=limited("120MiB", "raise"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "MemoryError\n" * 3, "")
    assert len(run.recording.crossings) == 3
    assert all(main_stack(crossing).frames for crossing in run.recording.crossings)


def test_a_program_that_stays_above_is_told_once(memkit_run, script):
    text = """
import time
try:
    kept = grow(4000)
except MemoryError:
    pass
kept = grow(160)
for _ in range(50):
    time.sleep(0.01)
    more = grow(8)
print("alive")
"""
    run = memkit_run(script(GROWS + text), options=limited("120MiB", "report"), timeout=120)
    assert len(run.recording.crossings) == 1
    run = memkit_run(script(GROWS + text), options=limited("120MiB", "raise"))
    assert (run.returncode, run.stdout) == (0, "alive\n") or "MemoryError" in run.stderr  # it may have fallen below between


def test_stop_ends_the_program_with_code_86_and_keeps_the_recording(memkit_run, script):
    text = """
import atexit, memkit
atexit.register(print, "at exit")
try:
    with memkit.span("growing"):
        kept = grow(4000)
finally:
    print("finally")
"""
    run = memkit_run(script(GROWS + text), options=["--limit=120MiB", "--on-limit=stop"])
    assert (run.returncode, run.stdout) == (86, "")
    assert run.stderr.splitlines()[0] == "memkit   program.py: stopped at the limit that was set, 120.0 MiB"
    ending = run.recording.ending
    assert (ending.kind, ending.code, ending.finished, ending.complete) == ("stopped", 86, False, True)
    (crossing,) = run.recording.crossings
    assert functions(main_stack(crossing))[-1] == "<module>"
    assert run.recording.unseen == 0 and run.recording.unread == 0
    assert run.recording.samples[-1].time <= crossing.time or run.recording.samples[-1].memory >= 120 * MIB
    (span,) = run.recording.spans
    assert span.end is None


def test_the_exit_code_of_a_program_stays_its_own(memkit_run, script):
    run = memkit_run(script(GROWS + "kept = grow(200)\nraise SystemExit(5)"), options=limited("120MiB"))
    assert (run.returncode, str(run.recording.ending)) == (5, "exited with code 5")


# -- threads and C calls -----------------------------------------------------------------------------------------------

HOLDS_THE_GIL = """
import ctypes, mmap, sys, time
memory = mmap.mmap(-1, 1024 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.PyDLL(None)
def hold():
    libc.memset(ctypes.c_void_p(place), 1, 1024 << 20)      # one call, which never lets go of the GIL
try:
    before = time.monotonic_ns()
    hold()
    after = time.monotonic_ns()
    for _ in range(1000):
        pass
except MemoryError:
    print("raised when Python ran again", "after" in globals())
"""


def test_a_crossing_within_a_c_call_that_holds_the_gil_is_recorded_at_once(native_only, memkit_run, script):
    run = memkit_run(script(HOLDS_THE_GIL), options=limited("300MiB", "stop"))
    assert (run.returncode, run.stderr) == (86, "")
    (crossing,) = run.recording.crossings
    assert functions(main_stack(crossing)) == ["hold", "<module>"]
    assert main_stack(crossing).frames[0].line == 7
    assert run.recording.peak < 1000 * MIB  # it did not wait for the end of the call


def test_an_error_waits_for_the_end_of_a_c_call(native_only, memkit_run, script):
    run = memkit_run(script(HOLDS_THE_GIL), options=limited("300MiB", "raise"))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("raised when Python ran again")
    (crossing,) = run.recording.crossings
    assert functions(main_stack(crossing)) == ["hold", "<module>"]
    assert run.recording.peak > 1000 * MIB


WORKER = """
import threading
lock, begin = threading.Lock(), threading.Lock()
lock.acquire()
begin.acquire()
def work():
    begin.acquire()
    grow(400)
    lock.release()
threading.Thread(target=work, name='a "wörker"').start()
"""


def test_stacks_show_the_worker_while_the_main_thread_waits_for_a_lock(memkit_run, script):
    text = GROWS + WORKER + "begin.release()\nlock.acquire()\nfor _ in range(1000): pass\nprint('done')"
    run = memkit_run(script(text), options=limited("150MiB"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
    (crossing,) = run.recording.crossings
    assert len(crossing.stacks) == 2
    assert functions(main_stack(crossing)) == ["<module>"]
    (worker,) = [stack for stack in crossing.stacks if stack.name != "MainThread"]
    assert {"work", "grow"} <= set(functions(worker))


def test_threads_are_named_as_soon_as_python_runs(memkit_run, script):
    text = """
import threading, time
leave = threading.Event()
thread = threading.Thread(target=leave.wait, name='a "wörker"')
thread.start()
kept = grow(200)
time.sleep(0.2)
for _ in range(1000):
    pass
leave.set()
"""
    run = memkit_run(script(GROWS + text), options=limited("120MiB"))
    (crossing,) = run.recording.crossings
    assert {stack.name for stack in crossing.stacks} == {"MainThread", 'a "wörker"'}


def test_a_main_thread_that_waits_for_a_lock_raises_when_it_has_it(memkit_run, script):
    text = """
try:
    begin.release()
    lock.acquire()
    spin()
except MemoryError:
    print("raised")
"""
    run = memkit_run(script(GROWS + WORKER + text), options=limited("150MiB", "raise"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "raised\n", "")


def test_the_error_names_the_memory_at_the_crossing(memkit_run, script):
    text = """
import threading, time
go = threading.Event()
def work():
    go.wait()
    kept = grow(200)
thread = threading.Thread(target=work)
thread.start()
try:
    go.set()
    thread.join()
    spin()
except MemoryError as error:
    print(error)
"""
    run = memkit_run(script(GROWS + text), options=limited("150MiB", "raise"))
    (crossing,) = run.recording.crossings
    assert run.stdout == f"memory reached {memkit.units.show_bytes(crossing.memory)}: the limit that was set is 150.0 MiB\n"


# -- other processes ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_nothing_of_its_parents(memkit_run, script):
    text = """
import os, sys, warnings
warnings.simplefilter("ignore")
child = os.fork()
if not child:
    kept = grow(300)
    for _ in range(100000): pass
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = memkit_run(script(GROWS + text), options=limited("120MiB", "raise"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "3\n", "")
    assert run.recording.crossings == ()


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and C functions by their names")
def test_what_a_parent_is_still_to_be_told_its_child_is_not(native_only, memkit_run, script):
    """The process forks in C, where Python has not run since the crossing."""
    text = """
import ctypes, functools, mmap, operator, os
memory = mmap.mmap(-1, 300 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
place = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
libc = ctypes.PyDLL(None)
parent = os.getpid()
calls = [functools.partial(libc.memset, place, 1, 300 << 20), functools.partial(libc.usleep, 200_000), libc.fork]
try:
    list(map(operator.call, calls))
    for _ in range(100_000):
        pass
    what = b"nothing happens"
except MemoryError:
    what = b"raised"
os.write(1, what + (b" in the parent\\n" if os.getpid() == parent else b" in the child\\n"))
if os.getpid() != parent:
    os._exit(3)
os.wait()
"""
    run = memkit_run(script(text), options=limited("120MiB", "raise"))
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(run.stdout.splitlines()) == ["nothing happens in the child", "raised in the parent"]


def test_a_program_that_becomes_another_is_watched_until_then(memkit_run, script):
    text = "import os, time\nkept = grow(200)\ntime.sleep(0.3)\nos.execv('/bin/sh', ['sh', '-c', 'exit 7'])"
    run = memkit_run(script(GROWS + text), options=limited("120MiB"))
    assert run.returncode == 7 and len(run.recording.crossings) == 1


def test_a_crossing_just_before_the_end_is_written_without_an_action(tmp_path, touched):
    limit = memkit.rss() + 8 * MIB
    with memkit.record(tmp_path / "own.memkit", limit=limit, on_limit="raise") as run:
        run._sampler.pause()  # so that nobody looks before
        block = touched(16)
    block.close()
    (crossing,) = run.recording.crossings
    assert (crossing.limit, crossing.action, crossing.stacks) == (limit, "report", ())
    assert crossing.memory >= limit
    assert str(run.recording.ending) == "finished"


# -- at the end --------------------------------------------------------------------------------------------------------

AT_THE_END = """
import json, mmap, sys
import memkit

def take(mib):
    memory = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[::4096] = b"x" * (mib << 8)
    return memory

raised = crossed = 0
limit = memkit.rss() + (6 << 20)
for turn in range(200):
    run = memkit.record(sys.argv[1], limit=limit, on_limit="raise")
    try:
        with run:
            kept = take(8)
            for _ in range(turn * 40):
                pass
    except MemoryError:
        raised += 1
    kept = None
    crossings = len(run.recording.crossings)
    assert crossings <= 1, crossings
    assert not run.running
    crossed += crossings
    ending = run.recording.ending
    assert ending.kind in ("ok", "error"), ending
assert raised <= crossed, (raised, crossed)
print(json.dumps([raised, crossed]))
"""


def test_a_recording_that_ends_while_its_limit_is_crossed_ends_in_order(native_only, python, tmp_path):
    raised, crossed = python(AT_THE_END.replace("sys.argv[1]", repr(str(tmp_path / "own.memkit"))))
    assert 0 <= raised <= crossed <= 200


def test_a_process_that_ends_while_its_limit_is_crossed_ends_as_it_would(plain, script, tmp_path):
    text = """
import sys, memkit
limit = memkit.rss() + (6 << 20)
run = memkit.record("own.memkit", limit=limit, on_limit=sys.argv[1])
run.start()
kept = take(8)
for _ in range(int(sys.argv[2])):
    pass
"""
    name = script(GROWS + text)
    for action in ("report", "raise"):
        for turn in range(8):
            done = plain(name, action, str(turn * 5000))
            recording = reader.read(tmp_path / "own.memkit")
            assert recording.ending.kind in ("ok", "error"), done.stderr
            assert done.returncode == 0 or (done.returncode == 1 and "MemoryError" in done.stderr)
            assert recording.unread == 0


# -- with what else there is -------------------------------------------------------------------------------------------


def test_a_stopped_program_leaves_the_sums_of_lines_and_calls(native_only, memkit_run, script):
    name = script(GROWS + "kept = grow(4000)")
    run = memkit_run(name, options=limited("150MiB", "stop", "--lines", "--calls"))
    assert run.returncode == 86
    growth = {line.function.name: line.growth for line in run.recording.lines if line.growth > 100 * MIB}
    assert "grow" in growth and "<module>" in growth
    assert {"grow", "take"} <= {call.function.name for call in run.recording.calls}
    assert sum(call.own_growth for call in run.recording.calls) > 100 * MIB


def test_descriptors_that_the_program_closes_are_missed_by_nobody(native_only, memkit_run, script):
    run = memkit_run(script(GROWS + "import os\nos.closerange(3, 2000)\nkept = grow(200)"), options=limited("120MiB"))
    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.recording.crossings) == 1


def test_many_crossings_do_not_fill_the_disk(memkit_run, script, tmp_path):
    text = """
import time
base = take(90)
for _ in range(130):
    kept = take(40)
    time.sleep(0.012)
    kept.close()
    time.sleep(0.012)
"""
    run = memkit_run(script(GROWS + text), options=limited("100MiB"))
    assert 1 <= len(run.recording.crossings) <= 100
    assert (tmp_path / "run.memkit").stat().st_size < MIB


@pytest.mark.parametrize(
    ("meter", "of", "scope"),
    [
        ("rss", None, "process"),
        ("a_plugins", None, "process"),
        ("cgroup", None, "cgroup"),
        ("rss", ("cgroup", "cgroup /jobs", 10_000), "cgroup"),
        ("rss", ("machine", "memory of this machine", 10_000), "machine"),
        ("rss", ("commit", "commit limit of this machine", 10_000), "machine"),
        ("rss", ("address space", "RLIMIT_AS", 10_000), "process"),
        ("cgroup", ("data", "RLIMIT_DATA", 10_000), "process"),
    ],
)
def test_a_limit_knows_whose_memory_is_compared_with_it(meter, of, scope):
    assert limit_guard.Bound(5000, meter, "report", of and 0.5, of).scope == scope


def test_the_recording_has_the_limit_that_was_set(memkit_run):
    about = memkit_run("-c", "pass", options=limited("300MiB")).recording.about
    assert (about.set_limit, about.set_limit_scope) == (300 * MIB, "process")
    about = memkit_run("-c", "pass").recording.about
    assert (about.set_limit, about.set_limit_scope) == (None, None)


@pytest.mark.parametrize("options", [(), ("--children",), ("--follow",)])
def test_a_program_with_children_says_that_the_limit_did_not_watch_them(memkit_run, script, options):
    name = script("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])\n")
    done = memkit_run(name, options=("--limit=300MiB", *options))
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("watched "))
    assert "for the limit of 300.0 MiB, and not" in line and "--meter cgroup" in line


# -- shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
def test_a_share_is_of_the_limit_that_really_holds(plain, script, tmp_path):
    text = """
import resource, memkit
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
assert memkit.limit().name == "RLIMIT_AS", memkit.limits()
with memkit.record("own.memkit", limit="80%", on_limit="raise"):
    try:
        kept = [mmap.mmap(-1, 16 << 20) for _ in range(55)]
        for _ in range(10 ** 7):
            pass
    except MemoryError as error:
        print(error)
"""
    done = plain(script(GROWS + text))
    assert (done.returncode, done.stderr) == (0, "")
    recording = reader.read(tmp_path / "own.memkit")
    (crossing,) = recording.crossings
    assert (crossing.name, crossing.limit) == ("RLIMIT_AS", int(0.8 * (1 << 30)))
    assert crossing.memory >= crossing.limit > recording.peak  # address space, not memory
    assert done.stdout.startswith("RLIMIT_AS reached ")
    assert done.stdout.endswith(" MiB: the limit that was set is 80% of RLIMIT_AS (1.0 GiB)\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
def test_a_share_of_private_memory_is_measured_as_the_kernel_does(plain, script, tmp_path):
    text = """
import resource, time, memkit
resource.setrlimit(resource.RLIMIT_DATA, (1 << 29, resource.getrlimit(resource.RLIMIT_DATA)[1]))
with memkit.record("own.memkit", limit="50%"):
    kept = [take(16) for _ in range(24)]
    time.sleep(0.5)
"""
    done = plain(script(GROWS + text))
    assert (done.returncode, done.stderr) == (0, "")
    (crossing,) = reader.read(tmp_path / "own.memkit").crossings
    assert (crossing.name, crossing.limit) == ("RLIMIT_DATA", 1 << 28)
    assert crossing.memory >= crossing.limit


def test_what_others_use_of_the_machine_counts_too():
    used = memkit.limit()
    share = max(1, int(used.used / used.size * 100) - 1)
    with memkit.record(limit=f"{share}%") as run:
        sum(range(10**6))
    assert [crossing.name for crossing in run.recording.crossings] in ([used.name], [])


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit", ["much", "", "0", -1, 0, "0%", "101%", "x%", "%", "2PB", "-5%", "nan%", True, "1e30", 1 << 63, "8388608TiB"]
)
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(UsageError, match=f"^limit {limit!r} is no (size|share): "):
        memkit.record(limit=limit)


def test_an_action_without_a_limit_or_of_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="on_limit='raise' goes with a limit, which says when"):
        memkit.record(on_limit="raise")
    with pytest.raises(UsageError, match="on_limit='explode' is none of report, raise, stop"):
        memkit.record(limit="1GiB", on_limit="explode")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit=much"], "memkit-run: limit 'much' is no size: write bytes, a size such as 2GiB, or a share such as 80%"),
        (["--on-limit=stop"], "memkit-run: --on-limit goes with --limit SIZE, which says when"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(memkit_run, options, said):
    run = memkit_run("-c", "pass", options=options)
    assert (run.returncode, run.stderr, run.recording) == (2, f"{said}\n", None)


def test_a_share_of_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(limit_guard.limits, "find", lambda *_: [])
    with pytest.raises(UsageError, match="limit '80%' is a share of nothing"):
        memkit.record(limit="80%").start()


# -- without a limit of one's own --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files are Linux's")
@pytest.mark.parametrize("room", [320, 4000])
def test_where_threads_are_is_written_as_memory_rises_near_what_limits_it(python, tmp_path, room):
    text = f"""
import mmap, resource, time
import memkit

def load():
    block = mmap.mmap(-1, 200 << 20)
    for place in range(0, 200 << 20, 4096):
        block[place] = 1
    time.sleep(0.3)

resource.setrlimit(resource.RLIMIT_AS, (1 << 40, resource.RLIM_INFINITY))
used = {{limit.name: limit for limit in memkit.limits()}}["RLIMIT_AS"].used
resource.setrlimit(resource.RLIMIT_AS, (used + ({room} << 20), resource.RLIM_INFINITY))
with memkit.record("near.memkit", interval="1ms"):
    load()
"""
    python(text)
    glance = memkit.read(tmp_path / "near.memkit").glance
    if room > 1000:
        assert glance is None
    else:
        assert "load" in [frame.function for stack in glance.stacks for frame in stack.frames]


def crossing(tmp_path, counter, key):
    """The rows that the guard writes for a counter of the kernel that is beyond its bound."""
    from memkit.native.sampling.limit_guard import Guard

    bound = limit_guard.Bound(5000, "rss", "report", 0.5, ("cgroup", "a group", 10000), [(counter, key, 1, False)])
    rows = engine.Journal(os.open(tmp_path / "rows", os.O_WRONLY | os.O_CREAT | os.O_APPEND), None)
    Guard(rows, engine.Meter("rss"), bound, 0).end()
    rows.close()
    return (tmp_path / "rows").read_text()


def test_a_file_of_the_kernel_may_have_any_name(native_only, tmp_path):
    counter = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff"))
    with open(counter, "w") as file:
        file.write("7000\n")
    assert '7000,5000,"a group","report"]' in crossing(tmp_path, counter, "")


@pytest.mark.parametrize(
    ("text", "key", "number"),
    [
        ("anon 1\nfile:\t  7000 kB\n", "file", 7000),
        (f"{2**63 - 1}\n", "", 2**63 - 1),
        (f"{2**63}\n", "", 2**63 - 1),  # v1 writes such numbers for what is unlimited
        (f"{2**64 - 1}\n", "", 2**63 - 1),
        ("9" * 40, "", 2**63 - 1),
    ],
)
def test_numbers_of_the_kernel_are_read_whatever_their_size(text, key, number, native_only, tmp_path):
    (tmp_path / "counter").write_text(text)
    assert f'{number},5000,"a group","report"]' in crossing(tmp_path, str(tmp_path / "counter"), key)


@pytest.mark.parametrize(
    ("limit", "ways"),
    [
        ("80", "a share such as 80%, or a size such as 80MiB"),
        (80, "a share such as 80%, or a size such as 80MiB"),
        ("512", "a share such as 80%, or a size such as 512MiB"),
        ("5kB", "a share such as 80%, or a size such as 512MiB"),
    ],
)
def test_a_limit_below_what_any_program_has_was_not_meant(limit, ways):
    with pytest.raises(UsageError, match=f"^limit {limit!r} is .*, which every program has: write {ways}$"):
        limit_guard.parse(limit)


@pytest.mark.parametrize(("limit", "size"), [("5GB", 5 * 10**9), ("5G", 5 << 30), ("5GiB", 5 << 30), ("5e9", 5 * 10**9)])
def test_a_limit_is_understood_however_it_is_written(limit, size):
    assert limit_guard.parse(limit) == (size, None)
