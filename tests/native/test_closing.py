"""A tracer may be stopped, closed and dropped whenever Python runs for it, and the traced program goes on."""

import subprocess
import sys

import pytest

from engines import environment

pytest.importorskip("memkit.native.tracing.tracer", reason="the compiled modules are not built here")

pytestmark = pytest.mark.usefixtures("native_only")

KINDS = ("lines", "calls")

# Each block of memory is mapped by itself, and gone once it is freed: whoever still reads it crashes.
GONE = {"MALLOC_MMAP_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}
# What is freed is filled with bytes that stand for nothing.
FILLED = {"MALLOC_MMAP_THRESHOLD_": "1024", "MALLOC_PERTURB_": "165"}

BEGIN = """
import gc, json, sys, threading, time, weakref
from memkit.system.engine import Meter
from memkit.native.tracing.call_events import Calls
from memkit.native.tracing.line_events import Lines
from memkit.tracing.tracers import CallTracer, Functions, LineTracer, check, engine
check()

class Nowhere:
    def text(self, rows):
        pass

def work():
    return [str(i) for i in range(3)]

def end():
    tracer = tracers.pop()
    tracer.stop()
    tracer.close()
    del tracer
    gc.collect()

def end_in_a_thread():
    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
"""

# Tracers without ``memkit.tracing``, so that nothing but the callback that runs keeps one.
NATIVE = """
class Native:
    def __init__(self, callbacks, events, make):
        self.tool = 3 if engine() == "monitoring" else None
        self.native = make(sys.monitoring.DISABLE if self.tool else None)
        self.native.start()
        if self.tool is None:
            return self.native.take_all()
        sys.monitoring.use_tool_id(self.tool, "test")
        for name, place in callbacks.items():
            sys.monitoring.register_callback(self.tool, getattr(sys.monitoring.events, name), self.native.callbacks()[place])
        sys.monitoring.set_events(self.tool, sum(getattr(sys.monitoring.events, name) for name in events))

    def stop(self):
        self.native.stop()
        if self.tool is not None:
            sys.monitoring.set_events(self.tool, 0)
            for place in range(14):
                sys.monitoring.register_callback(self.tool, 1 << place, None)
            sys.monitoring.free_tool_id(self.tool)

    def close(self):
        self.native.close()

class Ending:
    def __init__(self, value):
        self.value = value
    def __len__(self):
        end()
        return len(self.value)
    def __iter__(self):
        end()
        return iter(self.value)
    def __getitem__(self, place):
        return self.value[place]

def native_lines(wanted):
    return Native({"PY_START": 0, "PY_RESUME": 1}, ("PY_START",), lambda disable: Lines(Meter("rss"), wanted, disable))

def native_calls(describe, describe_builtin, describe_thread):
    def make(disable):
        return Calls(Meter("rss"), describe, describe_builtin, describe_thread, 9, True, disable)
    callbacks = {"PY_START": 0, "PY_RESUME": 1, "PY_RETURN": 3, "CALL": 4, "C_RETURN": 5, "C_RAISE": 5}
    return Native(callbacks, ("PY_START", "PY_RETURN", "CALL") if describe_builtin else ("PY_START", "PY_RETURN"), make)
"""


@pytest.fixture
def runs(tmp_path):
    """A function that runs a text of Python where memory that is freed cannot be used on, and returns what it printed."""

    def run(text, tracer="", freed=GONE):
        (tmp_path / "under_test.py").write_text(text)
        command = [sys.executable, "-W", "error", "under_test.py"]
        settings = environment(tracer, **freed)
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=settings, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


MAKE = {
    "lines": "tracers = [LineTracer(Functions(Nowhere()), Meter('rss'), wanted)]",
    "calls": "tracers = [CallTracer(Functions(Nowhere()), Meter('rss'), wanted, True)]",
}
RUN = """
tracers[0].start()
print(*work(), len(tracers))
"""


@pytest.mark.parametrize("end", ["end", "end_in_a_thread"])
@pytest.mark.parametrize("wish", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_who_is_asked_what_is_wanted_may_close_the_tracer(runs, tracer, kind, wish, end):
    wanted = f"""
def wanted(code):
    if code is work.__code__:
        {end}()
    return {wish}
"""
    assert runs(BEGIN + wanted + MAKE[kind] + RUN, tracer) == "0 1 2 0\n"


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_the_programs_comes_through_a_close(runs, tracer, kind):
    text = """
def wanted(code):
    if code is work.__code__:
        end()
        raise KeyboardInterrupt
    return True

def begin():
    tracers[0].start()
    try:
        work()
    except KeyboardInterrupt:
        print("interrupted", *work())
"""
    assert runs(BEGIN + text + MAKE[kind] + "\nbegin()", tracer) == "interrupted 0 1 2\n"


@pytest.mark.parametrize("asked", ["describe", "describe_builtin", "describe_thread", "unpack", "refuse"])
def test_a_call_tracer_may_lose_its_last_reference_in_its_callback(runs, tracer, asked):
    text = f"""
asked = {asked!r}
answer = 1, True, 0, (0, None, -1)

def end_if(who):
    if who == asked and tracers:
        end()

def describe(code):
    if code is work.__code__:
        end_if("describe")
        end_if("refuse")
        return None if asked == "refuse" else Ending(answer) if asked == "unpack" and tracers else answer

def describe_builtin(function):
    end_if("describe_builtin")
    return 2

def describe_thread():
    if threading.current_thread() is not threading.main_thread():
        end_if("describe_thread")
    return 3, 4, 0, 5

def wait_and_work():
    begun.wait()
    work()

begun = threading.Event()
thread = threading.Thread(target=wait_and_work)
thread.start()
tracers = []
tracers.append(native_calls(describe, describe_builtin, describe_thread))
begun.set()
thread.join()
print(*work(), len(tracers))
"""
    assert runs(BEGIN + NATIVE + text, tracer) == "0 1 2 0\n"


@pytest.mark.parametrize("answer", ["(0, 1, 9, [0] * 99, None)", "None", "(0, 1, 9, Ending([0] * 99), None)"])
def test_a_line_tracer_may_lose_its_last_reference_in_its_callback(runs, tracer, answer):
    text = f"""
def wanted(code):
    if code is work.__code__ and tracers:
        {"pass" if "Ending" in answer else "end()"}
        return {answer}

tracers = [native_lines(wanted)]
print(*work(), len(tracers))
"""
    assert runs(BEGIN + NATIVE + text, tracer, FILLED) == "0 1 2 0\n"


def test_a_closed_tracer_leaves_the_one_alone_that_has_its_place(runs, tracer):
    text = """
def wanted(code):
    return code is work.__code__

def both():
    made = [LineTracer(Functions(Nowhere()), Meter("rss"), wanted), CallTracer(Functions(Nowhere()), Meter("rss"))]
    for tracer in made:
        tracer.start()
    return made

def end_all(made):
    for tracer in reversed(made):
        tracer.stop()
        tracer.close()

old = both()
work()
lines, calls = old[0]._native, old[1]._native
end_all(old)
new = both()
for _ in range(10):
    work()
    for closed in lines, calls:
        closed.start()
        closed.take()
        closed.read_cost()
        closed.gate
    lines.trace(work.__code__)
    lines.pause()
    lines.resume()
    assert lines.sums() == []
    calls.enter(work.__code__)
    calls.settle()
    old[0].close()
    old[1].close()
(_, times, _, rows), = [each for each in new[0].sums() if each[0] is work.__code__]
end_all(new)
print(times, sum(hits for _, hits, *_ in rows) > 0)
"""
    assert runs(BEGIN + text, tracer) == "10 True\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_daemon_thread_in_a_callback_does_not_upset_the_exit(runs, tracer, kind):
    text = """
import atexit

asked = threading.Event()

def wanted(code):
    if code is work.__code__:
        asked.set()
        time.sleep(60)
    return True

def daemon():
    work()

def sleeps(thread):     # in the system call: CPython crashes if it ends while a daemon thread is just giving the GIL up
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        return file.read().split()[0] in ("230", "115")  # clock_nanosleep, on x86 and elsewhere

def end_at_exit():
    end()
    print("ended")

atexit.register(end_at_exit)
"""
    text += MAKE[kind] + "\ntracers[0].start()\nthread = threading.Thread(target=daemon, daemon=True)\nthread.start()\n"
    text += "asked.wait()\nwhile not sleeps(thread):\n    time.sleep(0.01)\n"
    assert runs(BEGIN + text, tracer) == "ended\n"


CHURN = """
import os, sys, threading, time
import memkit

sys.setswitchinterval(1e-6)
stop = False

def churn():
    while not stop:
        space = {}
        exec(compile("def f():\\n    return 1\\n", "made.py", "exec"), space)
        for _ in range(3):
            space["f"]()

threads = [threading.Thread(target=churn) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(25):
    with memkit.record("made.memkit", %s):
        time.sleep(0.002)
stop = True
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.parametrize("traced", ["calls=True", "lines='made.py'"])
def test_recordings_begin_and_end_while_other_threads_meet_new_code(runs, tracer, traced):
    assert runs(CHURN % traced, tracer, FILLED) == "done\n"


# -- hooks -------------------------------------------------------------------------------------------------------------


def native_of(kind):
    """Program text that installs the hook of a tracer which nothing but a list refers to."""
    make = {
        "lines": "Lines(Meter('rss'), wanted)",
        "calls": "Calls(Meter('rss'), wanted, None, lambda: (1, 1, 0, 2), 9, True)",
    }
    return f"tracers = [{make[kind]}]\ntracers[0].start()\ntracers[0].take()"


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_hook_may_close_the_tracer_that_installs_its_hook(runs, kind):
    text = """
def wanted(code):
    return True

def end_at(event, arguments):
    if event in ("sys.settrace", "sys.setprofile") and tracers:
        end()

sys.addaudithook(end_at)
"""
    assert runs(BEGIN + text + native_of(kind) + "\nprint(*work(), len(tracers))", "settrace") == "0 1 2 0\n"


def test_an_old_hook_that_runs_python_when_it_goes_does_not_upset_take_all(runs):
    text = """
from memkit.native.tracing.hook_chain import HookChain

class Hook:
    ends = went = False
    def __call__(self, *event):
        pass
    def __del__(self):
        if Hook.ends:
            Hook.went = True
            go_on.set()
            for thread in others:
                thread.join()
            time.sleep(0.05)

def run_until(told):
    begun.release()
    told.wait()

def run_with_hook():
    sys.setprofile(Hook())
    run_until(now)

def run_many(target, told):
    threads = [threading.Thread(target=target, args=(told,) if told is go_on else ()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        begun.acquire()
    return threads

begun, go_on, now = threading.Semaphore(0), threading.Event(), threading.Event()
chain = HookChain()
for _ in range(3):
    now.clear()
    threads = run_many(run_with_hook, now)
    chain.take_all()
    now.set()
    for thread in threads:
        thread.join()
Hook.ends = True
while not Hook.went:        # until the state of a thread is at the address of an earlier one, whose hook is let go then
    go_on.clear()
    others = run_many(run_until, go_on)
    chain.take_all()
    go_on.set()
    for thread in others:
        thread.join()
chain.stop()
print(Hook.went)
"""
    assert runs(BEGIN + text, freed={"MALLOC_PERTURB_": "165"}) == "True\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_sampler_keeps_the_tracer_whose_sums_it_writes(runs, kind):
    text = """
import os
from memkit.system.engine import Journal, Sampler

def wanted(code):
    return None

sampler = Sampler(Journal(os.open("rows", os.O_WRONLY | os.O_CREAT), None), Meter("rss"), 10**9, 0, False)
"""
    text += native_of(kind)
    text += """
told = weakref.ref(wanted)
sampler.flush_also([tracers[0].writer()])
tracers.pop().stop()
del wanted
print(told() is not None)
sampler.flush_also([])
print(told())
"""
    assert runs(BEGIN + text, "settrace") == "True\nNone\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracer_may_be_closed_while_another_thread_writes_its_sums(runs, tracer, kind):
    text = """
import os
from memkit.native.journal import Journal

def wanted(code):
    return True

sys.setswitchinterval(1e-6)
space = {}
exec("\\n".join(f"def f{i}(n):\\n  if n: return f{(i * 7 + 1) % 500}(n - 1)" for i in range(500)), space)
names = [space[f"f{i}"] for i in range(500)]

def write(native):
    began.set()
    while not closed:
        native.flush(journal)

for turn in range(8):
    journal = Journal(os.open("rows", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), None)
    began, closed = threading.Event(), []
"""
    text += "    " + MAKE[kind].strip().replace("\n", "\n    ")
    text += """
    tracers[0].start()
    for function in names:
        function(20)
    writer = threading.Thread(target=write, args=(tracers[0]._native,))
    writer.start()
    began.wait()
    end()
    closed.append(True)
    writer.join()
print("done")
"""
    assert runs(BEGIN + text, tracer) == "done\n"


def test_an_event_log_lets_go_of_the_last_code_when_it_stops(runs):
    text = """
import os
from memkit.native.journal import Journal
from memkit.native.tracing.event_log import EventLog

def end_log(_):
    ended.append(log.events)
    log.stop()
    log.close()

space, ended = {}, []
exec(compile("def traced():\\n    return 1\\n", "traced.py", "exec"), space)
told = weakref.ref(space["traced"].__code__, end_log)
journal = Journal(os.open("log", os.O_WRONLY | os.O_CREAT), None)
own = (end_log.__code__.co_filename,)
log = EventLog(journal, Meter("rss"), trigger=0, calls=True, lines=False, padded=True, own=own)
log.start(False)
space.pop("traced")()
before = list(ended)
log.stop()
print(before, ended)
"""
    assert runs(BEGIN + text, freed=FILLED) == "[] [2]\n"
