"""What the tracers make of answers about code: neither nonsense nor exceptions change what the program does."""

import pytest

pytest.importorskip("memkit.native.line_events", reason="the compiled modules are not built here")

pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import json
import os
from memkit.engine import Journal, Meter
from memkit.native.call_events import Calls
from memkit.native.line_events import Lines
from memkit.tools import last_instruction_at_start

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
def test_a_function_whose_lines_make_no_sense_is_not_traced(python, rows):
    assert python(HEAD + LINES % rows) == [["first", 1], ["third", 1]]


CALLS = """
def describe(code):
    begins = last_instruction_at_start(code)
    answers = {first.__code__: (0, False, begins), second.__code__: %s, third.__code__: (2, False, begins)}
    return answers.get(code)

calls = Calls(Meter("rss"), describe, None, lambda: (9, 1), 8, True, 1 << 21)
run(calls)
journal = Journal(os.open("rows", os.O_WRONLY | os.O_CREAT | os.O_APPEND), None)
calls.flush(journal)
journal.close()
calls.close()
with open("rows") as file:
    rows = [json.loads(line) for line in file]
print(json.dumps(sorted((row[3], row[5]) for row in rows if row[0] == "call" and row[3] < 8)))
"""


@pytest.mark.parametrize("answer", ["(10**20, False, begins)", "(1, False)", "1", "(1, False, None)"])
def test_a_function_whose_answer_makes_no_sense_is_no_call(python, answer):
    assert python(HEAD + CALLS % answer) == [[0, 1], [2, 1]]


def test_a_thread_whose_answer_makes_no_sense_has_no_calls(python):
    text = HEAD + CALLS % "None"
    assert python(text.replace("lambda: (9, 1)", "lambda: (10**20, 1)")) == []
