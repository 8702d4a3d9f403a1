"""Code that a program makes while it runs: it is not kept in memory, and a function stays one however often it is made."""

import json
import os

import pytest

from engines import MIB, environment

pytestmark = pytest.mark.usefixtures("native_only")

PROGRAM = """
import json
import sys


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * {page}


RULE = " + ".join(f"x * {{i}}" for i in range(40))
DEFINITION = "def double(x):\\n    y = x\\n    return y + y\\nz = double(x)"


def evaluate(turns):
    for turn in range(turns):
        eval(RULE, {{"x": turn}})


def execute(turns):
    for turn in range(turns):
        exec(DEFINITION, {{"x": turn}})


def make(turns):
    for turn in range(turns):
        eval("lambda x: x + 1")(turn)


def generate(turns):
    for turn in range(turns):
        space = {{}}
        exec("def each():\\n    yield 1\\n    yield 2\\n", space)
        assert list(space["each"]()) == [1, 2]


grown = {{}}
for work in evaluate, execute, make, generate:
    work(200)
    before = memory()
    work({turns})
    grown[work.__name__] = memory() - before
print(json.dumps(grown))
"""
TURNS = 10_000
"""Code objects of any of these would take 5 MiB and more."""


@pytest.mark.parametrize("options", [("--calls",), ("--calls", "--c-calls"), ("--lines=<string>",)], ids="".join)
def test_code_that_is_made_anew_is_not_kept(script, memkit_run, tracer, options):
    text = PROGRAM.format(page=os.sysconf("SC_PAGE_SIZE"), turns=TURNS)
    done = memkit_run(*options, script(text), env=environment(tracer))
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert {work: size for work, size in grown.items() if size > 1.5 * MIB} == {}
    if "--calls" in options:
        counts = {call.function.name: call.calls for call in done.recording.called}
        assert counts["double"] == counts["<lambda>"] == counts["each"] == TURNS + 200
        paths = [call for call in done.recording.calls if call.function.name == "double"]
        assert len(paths) == 1
    else:
        hits = {(line.function.name, line.number): line.hits for line in done.recording.lines}
        assert hits["double", 2] == hits["double", 3] == TURNS + 200
        assert hits["each", 2] == hits["each", 3] == TURNS + 200


DISTINCT = """
import json

import memkit
from memkit.tracing import functions

functions.MOST_FUNCTIONS = 300
with memkit.record({path!r}, {option}) as run:
    for turn in range(1000):
        exec(f"def name_{{turn}}():\\n    return 1\\nname_{{turn}}()", {{}})
recording = run.recording
calls = {{call.function.name: call.calls for call in recording.called}}
hits = {{}}
for line in recording.lines:
    hits[line.function.name] = hits.get(line.function.name, 0) + line.hits
said = [fact.text for fact in memkit.facts(recording) if fact.label == "sums"]
print(json.dumps([calls or hits, said]))
"""


@pytest.mark.parametrize("option", ["calls=True", "lines='<string>'"])
def test_further_functions_are_counted_together_and_said(python, memkit, tmp_path, tracer, option):
    path = str(tmp_path / "run.memkit")
    counts, said = python(DISTINCT.format(path=path, option=option), tracer)
    made = {name: count for name, count in counts.items() if name.startswith("name_")}
    assert 250 < len(made) <= 300
    assert sum(made.values()) + counts["<more functions>"] == 1000
    assert ["too many functions to tell all apart" in words for words in said] == [True]
    shown = memkit("report", path)
    assert shown.returncode == 0, shown.stderr
    assert "<more functions>" in shown.stdout


def test_a_function_has_one_number_by_its_place():
    from memkit.tracing.functions import Functions

    rows = []

    class Rows:
        def text(self, text):
            rows.append(json.loads(text))

    functions = Functions(Rows())
    one, other = functions.number("a.py", "f", 1), functions.number("a.py", "f", 9)
    assert functions.number("a.py", "f", 1) == one != other
    assert functions.number("a.py", "f", 1, 2) not in (one, other)
    assert [row[2:] for row in rows] == [["a.py", "f", 1], ["a.py", "f", 9], ["a.py", "f", 1]]
    assert not functions.is_more(one)


@pytest.mark.parametrize("ask", [lambda all: all.number("a.py", "f", 1), lambda all: all.named("<thread pool>")])
def test_two_threads_that_number_one_function_get_one_number(ask):
    from memkit.tracing.functions import Functions

    others = []

    class Rows:
        def text(self, text):
            if not others:  # another thread asks while this one is about to write
                others.append(None)
                others.append(ask(functions))

    functions = Functions(Rows())
    assert ask(functions) == others[1] == ask(functions)


CHURN = """
import gc
import threading


def churn(name, turns):
    for turn in range(turns):
        space = {}
        exec(f"def {name}(x):\\n    def inner(y):\\n        return y\\n    return inner(x)\\nz = {name}({turn})", space)
        assert space["z"] == turn


threads = [threading.Thread(target=churn, args=(name, 3000)) for name in ("one", "two", "three")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
"""


def test_a_freed_code_objects_address_is_not_taken_for_its_function(script, memkit_run, tracer):
    done = memkit_run("--calls", script(CHURN), env=environment(tracer))
    assert done.returncode == 0, done.stderr
    counts = {call.function.name: call.calls for call in done.recording.called}
    for name in ("one", "two", "three"):
        assert counts[name] == counts[f"{name}.<locals>.inner"] == 3000
