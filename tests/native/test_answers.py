"""What the tracers make of answers about code: neither nonsense nor exceptions change what the program does."""

import pytest

pytest.importorskip("memkit.native.tracing.line_events", reason="the compiled modules are not built here")

pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import json
import os
from memkit.system.engine import Journal, Meter
from memkit.native.tracing.call_events import Calls
from memkit.native.tracing.line_events import Lines
from memkit.tracing.monitoring_ids import last_instruction_at_start

def first():
    return 1

def second():
    return 2

def third():
    return 3

def run(tracer):
    tracer.start()
    tracer.take()
    first()
    second()
    second()
    third()
    tracer.stop()
"""
LINES = """
def wanted(code):
    units = len(code.co_code) // 2
    answers = {first.__code__: (0, 4, 3, [0] * units, None), second.__code__: (1, 4, 3, %s, None)}
    answers[third.__code__] = 2, 4, 3, [0] * units, None
    return answers.get(code)

lines = Lines(Meter("rss"), wanted)
run(lines)
found = [(code.co_name, calls) for code, calls, _, _ in lines.sums()]
lines.close()
print(json.dumps(sorted(found)))
"""


@pytest.mark.parametrize("rows", ["[10**20] * units", "None", "[None] * units"])
def test_a_function_with_invalid_line_numbers_is_not_traced(python, rows):
    assert python(HEAD + LINES % rows) == [["first", 1], ["third", 1]]


CALLS = """
NONE = 0, None, -1

def describe(code):
    begins = last_instruction_at_start(code)
    answers = {first.__code__: (0, False, begins, NONE), second.__code__: %s, third.__code__: (2, False, begins, NONE)}
    return answers.get(code)

calls = Calls(Meter("rss"), describe, None, lambda: (9, 1, 0, 10), 8, True, 1 << 21)
run(calls)
journal = Journal(os.open("rows", os.O_WRONLY | os.O_CREAT | os.O_APPEND), None)
calls.flush(journal)
journal.close()
calls.close()
with open("rows") as file:
    rows = [json.loads(line) for line in file]
print(json.dumps(sorted((row[3], row[5]) for row in rows if row[0] == "call" and row[3] < 8)))
"""


@pytest.mark.parametrize(
    "answer", ["(10**20, False, begins, NONE)", "(1, False)", "1", "(1, False, None, NONE)", "(1, False, begins, None)"]
)
def test_a_function_with_an_invalid_description_is_not_a_call(python, answer):
    assert python(HEAD + CALLS % answer) == [[0, 1], [2, 1]]


def test_a_thread_with_an_invalid_description_has_no_calls(python):
    text = HEAD + CALLS % "None"
    assert python(text.replace("lambda: (9, 1, 0, 10)", "lambda: (10**20, 1, 0, 10)")) == []


SIGNALLED = """
import json
import os
import signal
from memkit.system.engine import Meter
from memkit.tracing.tracers import CallTracer, Functions, LineTracer

class Late(Exception):
    pass

def too_late(*given):
    raise Late("a time limit of the program's own")

class Rows:
    def text(self, row):
        if about in row:
            happen()

def happen():
    told.append(1)
    if len(told) == 1:
        {happens}

def work():
    return 1

def wanted(code):
    return code is work.__code__

told, arrived = [], []
about = b'{about}'
signal.signal(signal.SIGUSR1, too_late)
tracer = {tracer}(Functions(Rows()), Meter("rss"), wanted)
for does in tracer.start, work, work, tracer.stop:
    try:
        does()
    except BaseException as error:
        arrived.append([does.__name__, type(error).__name__])
tracer.close()
print(json.dumps([arrived, len(told)]))
"""
HAPPENS = {
    "KeyboardInterrupt": "signal.raise_signal(signal.SIGINT)",
    "Late": "signal.raise_signal(signal.SIGUSR1)",
    "SystemExit": "raise SystemExit",
}
TRACERS_OF = ["LineTracer", "CallTracer"]


@pytest.mark.parametrize("of", TRACERS_OF)
@pytest.mark.parametrize("name", HAPPENS)
def test_an_exception_of_a_signal_handler_reaches_the_program(python, tracer, of, name):
    # And the code is asked about again.
    text = SIGNALLED.format(happens=HAPPENS[name], about='"work"', tracer=of)
    assert python(text, tracer) == [[["work", name]], 2]


@pytest.mark.parametrize("of", TRACERS_OF)
@pytest.mark.parametrize("happens", ["raise ValueError", "raise MemoryError", "happen.no_such_thing"])
def test_an_error_of_memkits_own_does_not_reach_the_program(python, tracer, of, happens):
    text = SIGNALLED.format(happens=happens, about='"work"', tracer=of)
    assert python(text, tracer) == [[], 1]


@pytest.mark.parametrize("name", HAPPENS)
def test_an_exception_of_a_signal_handler_ends_the_start_of_tracing(python, tracer, name):
    text = SIGNALLED.format(happens=HAPPENS[name], about='"<thread', tracer="CallTracer")
    assert python(text, tracer) == [[["start", name]], 1]


@pytest.mark.parametrize("name", HAPPENS)
def test_an_exception_as_a_new_thread_is_met_reaches_the_program(python, tracer, name):
    begins = """
import _thread
import threading  # has the names of threads

def begin():
    tracer.start()
    begun.append(1)

def from_another_thread():
    _thread.start_new_thread(begin, ())
    while not begun:
        pass
    work()

begun = []
for does in from_another_thread, work"""
    text = SIGNALLED.format(happens=HAPPENS[name], about='"<thread MainThread', tracer="CallTracer")
    text = text.replace("for does in tracer.start, work, work", begins)
    assert python(text, tracer) == [[["from_another_thread", name]], 2]


FROM_C = """
import json
import signal
from memkit.system.engine import Meter
from memkit.tracing.tracers import CallTracer, Functions

class Rows:
    def text(self, row):
        if b'"math.sqrt"' in row:
            told.append(1)
            if len(told) == 1:
                signal.raise_signal(signal.SIGINT)

import math

told, arrived = [], []
tracer = CallTracer(Functions(Rows()), Meter("rss"), builtins=True)
tracer.start()
for _ in range(2):
    try:
        arrived.append(math.sqrt(4))
    except KeyboardInterrupt:
        arrived.append("interrupted")
tracer.stop()
tracer.close()
print(json.dumps([arrived, len(told)]))
"""


def test_ctrl_c_as_a_c_function_is_met_reaches_the_program(python, tracer):
    assert python(FROM_C, tracer) == [["interrupted", 2.0], 2]
