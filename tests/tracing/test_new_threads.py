"""Threads that start later are traced by every recording that runs, in whichever order recordings begin and end."""

import pytest

pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import json
import sys
import threading
import memkit

def work():
    return 1

def in_thread():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def recorder():
    return memkit.record({how})

def found(run):
    recording = run.recording
    calls = [call.calls for call in recording.calls if call.function.name == "work"]
    return sum(calls) + sum(line.hits for line in recording.lines if line.function.name == "work")

def hooks():
    return [each for each in (threading.gettrace(), threading.getprofile()) if each is not None]

first, second, third = recorder(), recorder(), recorder()
"""


@pytest.fixture(params=["lines=work", "calls=True"])
def head(request):
    return HEAD.format(how=request.param)


def test_recordings_inside_each_other_trace_new_threads(python, tracer, head):
    text = """
with first, second, third:
    in_thread()
print(json.dumps([[found(each) for each in (first, second, third)], len(hooks())]))
"""
    assert python(head + text, tracer) == [[1, 1, 1], 0]


def test_one_that_ends_before_a_later_one_takes_no_thread_from_it(python, tracer, head):
    text = """
first.start(), second.start(), third.start()
second.stop()
in_thread()
first.stop()
in_thread()
third.stop()
print(json.dumps([[found(each) for each in (first, second, third)], len(hooks())]))
"""
    assert python(head + text, tracer) == [[1, 0, 2], 0]


def test_recordings_that_ended_in_any_order_leave_no_hook(python, tracer, head):
    text = """
first.start(), second.start()
first.stop(), second.stop()
left = len(hooks())
with third:
    in_thread()
print(json.dumps([left, found(third)]))
"""
    assert python(head + text, tracer) == [0, 1]


def test_a_tool_that_installs_its_own_hook_in_new_threads_is_chained(python, tracer, head):
    # As coverage does: its hook of threading takes itself out and puts a tracer in its place, which is then asked.
    text = """
events = []
def tracer(frame, event, argument):
    events.append(frame.f_code.co_name)
    return tracer
def of_threading(kind):
    def start(frame, event, argument):
        getattr(sys, f"set{kind}")(tracer)
        return tracer(frame, event, argument)
    return start
for kind in ("trace", "profile"):
    getattr(threading, f"set{kind}")(of_threading(kind))
with first:
    in_thread()
print(json.dumps([found(first), events.count("work") >= 2]))
"""
    assert python(head + text, tracer) == [1, True]


def test_a_tool_that_passes_events_on_keeps_its_hook(python, tracer, head):
    text = """
seen = []
def above(below):
    def function(frame, event, argument):
        if frame.f_code is work.__code__:
            seen.append(event)
        below(frame, event, argument)
        return function
    return function
def events():
    in_thread()
    found, seen[:] = list(seen), []
    return found
def install(after=lambda: None):
    for below in (lambda kind: lambda frame, event, argument: None, lambda kind: getattr(threading, f"get{kind}")()):
        for kind in ("trace", "profile"):
            getattr(threading, f"set{kind}")(above(below(kind)))
        after()
        after = lambda: None
install()
plain = events()
install(first.start)
recorded = [events(), events()]
first.stop()
print(json.dumps([found(first), len(plain) > 5, recorded == [plain, plain], events() == plain]))
"""
    assert python(head + text, tracer) == [2, True, True, True]


LOGS = """
def events(path):
    return sum(row.function == "work" for row in memkit.read_log(path))

logs = [memkit.EventLog(f"{number}.csv", trigger=0) for number in range(2)]
"""


def test_an_event_log_has_new_threads_beside_a_recording(python, tracer, head):
    text = """
with first, logs[0], second:
    in_thread()
print(json.dumps([found(first), found(second), events("0.csv"), len(hooks())]))
"""
    assert python(head + LOGS + text, tracer) == [1, 1, 3, 0]


def test_event_logs_may_end_in_any_order(python):
    text = """
logs[0].start(), logs[1].start()
logs[0].stop()
in_thread()
logs[1].stop()
print(json.dumps([events("0.csv"), events("1.csv"), len(hooks())]))
"""
    assert python(HEAD.format(how="") + LOGS + text) == [0, 3, 0]
