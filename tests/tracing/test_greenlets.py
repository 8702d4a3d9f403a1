"""Greenlets: each has its own calls and lines, and the program's own trace function of greenlet is called as ever."""

import os

import pytest

from engines import CLOSE, MIB, PEAK_CLOSE

pytest.importorskip("greenlet", reason="needs greenlet: pip install greenlet")
pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import gc
from mmap import PAGESIZE as PAGE
import json
import sys
import memkit
from oracle import SWITCH, keep

sys.setswitchinterval(SWITCH)  # no thread loses the GIL between taking memory and the event that tells of it
blocks = []

def take(size):
    blocks.append(keep(size))

def path(recording, call):
    names = []
    while call.parent is not None:
        names.append(call.function.name)
        call = calls[call.parent]
    return "/".join(names[::-1])

def show(run, **more):
    global calls
    calls = {call.id: call for call in run.recording.calls}
    paths = {path(run, call): [call.calls, call.growth, call.own_growth, call.rise] for call in calls.values()}
    lines = {}
    for line in run.recording.lines:
        lines.setdefault(line.function.name, []).append([line.hits, line.growth, line.rise])
    print(json.dumps({"paths": paths, "lines": lines, "mixed": run.recording.greenlets, **more}))

with memkit.record(calls=path):  # what runs for the first time has its code mapped, up to a mebibyte at a time
    pass
"""
CALLS, GROWTH, OWN, RISE = range(4)

WITH_GREENLET = """
from greenlet import getcurrent, greenlet, gettrace, settrace

def spawn(function):
    return greenlet(function)

def pause():
    getcurrent().parent.switch()

def run(*greenlets):
    while greenlets:
        for each in greenlets:
            each.switch()
        greenlets = [each for each in greenlets if not each.dead]
"""
WITH_GEVENT = """
import gevent
from gevent import spawn

def pause():
    gevent.sleep(0)

def run(*greenlets):
    gevent.joinall(greenlets)
"""
WAYS = {"greenlet": WITH_GREENLET, "gevent": WITH_GEVENT}
TWO = """
def small():
    for _ in range(15):
        take(1)
        pause()

def large():
    for _ in range(15):
        take(4)
        pause()

def both():
    run(spawn(small), spawn(large))
"""


@pytest.fixture
def traced(python):
    """A function that runs a text after ``HEAD`` and returns what ``show`` printed."""
    return lambda text, *words, **more: python(HEAD + text, *words, **more)


@pytest.fixture(params=WAYS)
def way(request):
    """Functions ``spawn``, ``pause`` and ``run`` of a library."""
    pytest.importorskip(request.param)
    return WAYS[request.param]


def grown(paths, ending):
    """Of the one path that ends so."""
    found = [sums for path, sums in paths.items() if f"/{path}".endswith(f"/{ending}")]
    assert len(found) == 1, (ending, list(paths))
    return found[0]


# -- what greenlets that take turns took -------------------------------------------------------------------------------


@pytest.mark.parametrize("imported", ["before", "while"])
@pytest.mark.parametrize("gate", ["", "rusage", "always"])
def test_calls_of_each_greenlet_grow_by_what_it_took(traced, tracer, way, gate, imported):
    early, late = (way, "") if imported == "before" else ("", way)
    late = late.replace("\n", "\n    ")
    of = traced(
        early + TWO + f"with memkit.record(calls=True) as run_:\n    pass{late}\n    both()\nshow(run_)", tracer, gate
    )
    paths = of["paths"]
    assert grown(paths, "small/take")[GROWTH] == pytest.approx(15 * MIB, abs=CLOSE)
    assert grown(paths, "large/take")[GROWTH] == pytest.approx(60 * MIB, abs=CLOSE)
    assert grown(paths, "small")[GROWTH] == pytest.approx(15 * MIB, abs=2 * CLOSE)
    assert grown(paths, "large")[GROWTH] == pytest.approx(60 * MIB, abs=2 * CLOSE)
    assert (grown(paths, "small")[CALLS], grown(paths, "small/take")[CALLS]) == (1, 15)
    assert of["mixed"] is None


def test_lines_of_each_greenlet_grow_by_what_it_took(traced, tracer, way):
    of = traced(way + TWO + "with memkit.record(lines=[small, large, both]) as run_:\n    both()\nshow(run_)", tracer)
    lines = of["lines"]
    for name, size in (("small", 15), ("large", 60)):
        loop, takes, pauses = lines[name]
        assert (loop[0], takes[0], pauses[0]) == (16, 15, 15)
        assert takes[1] == pytest.approx(size * MIB, abs=CLOSE)
        assert (loop[1], pauses[1]) == (pytest.approx(0, abs=CLOSE), pytest.approx(0, abs=CLOSE))
    # What others took while it waited is theirs; but its own children return to it directly, as calls do.
    expected = 0 if way is WITH_GEVENT else 75 * MIB
    assert lines["both"][0][1] == pytest.approx(expected, abs=3 * MIB)  # gevent sets itself up
    assert of["mixed"] is None


RECURSION = """
def deep(n, size):
    if n:
        deep(n - 1, size)
        pause()
    take(size)

def small():
    deep(20, 1)

def large():
    deep(20, 2)

with memkit.record(calls=True, lines=[deep, small, large]) as run_:
    run(spawn(small), spawn(large))
show(run_)
"""


def test_recursions_in_two_greenlets_count_each_byte_once(traced, tracer, way):
    of = traced(way + RECURSION, tracer)
    lines, paths = of["lines"], of["paths"]
    assert lines["small"][0][1] == pytest.approx(21 * MIB, abs=CLOSE)
    assert lines["large"][0][1] == pytest.approx(42 * MIB, abs=CLOSE)
    assert sum(growth for _, growth, _ in lines["deep"]) == pytest.approx(63 * MIB, abs=CLOSE)
    assert [hits for hits, *_ in lines["deep"]] == [42, 40, 40, 42]
    for depth in range(21):
        for name, size in (("small", 1), ("large", 2)):
            took = grown(paths, f"{name}{'/deep' * (depth + 1)}/take")
            assert (took[CALLS], took[GROWTH]) == (1, pytest.approx(size * MIB, abs=CLOSE))


def test_threads_have_greenlets_of_their_own(traced, tracer, way):
    of = traced(
        way
        + """
import threading

def turns(size):
    for _ in range(10):
        take(size)
        pause()

def one(): turns(1)
def two(): turns(2)
def three(): turns(3)
def four(): turns(4)

with memkit.record(calls=True) as run_:
    for pair in ((one, two), (three, four)):
        thread = threading.Thread(target=lambda: run(*map(spawn, pair)))
        thread.start()
        thread.join()
show(run_)
""",
        tracer,
    )
    for size, name in enumerate(("one", "two", "three", "four"), 1):
        assert grown(of["paths"], f"{name}/turns/take")[GROWTH] == pytest.approx(10 * size * MIB, abs=CLOSE)


def test_endpoints_of_a_gevent_server_are_told_apart(traced, tracer):
    pytest.importorskip("gevent")
    of = traced(
        """
import socket
import gevent
from gevent import pywsgi

def turns(size):
    for _ in range(10):
        take(size)
        gevent.sleep(0)

def small(): turns(1)
def large(): turns(4)

def app(environ, start_response):
    {"/small": small, "/large": large}[environ["PATH_INFO"]]()
    start_response("200 OK", [])
    return [b""]

def ask(path):
    from gevent import socket
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
        while connection.recv(4096):
            pass

server = pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)
with memkit.record(calls=True) as run_:
    server.start()
    gevent.joinall([gevent.spawn(ask, path) for path in ("/small", "/large")])
    server.stop()
show(run_)
""",
        tracer,
    )
    assert grown(of["paths"], "app/small")[GROWTH] == pytest.approx(10 * MIB, abs=CLOSE)
    assert grown(of["paths"], "app/large")[GROWTH] == pytest.approx(40 * MIB, abs=CLOSE)


GREENLETS = {
    "greenlet": "gevent.spawn(main).join()",
    "thread": "thread = Thread(target=main); thread.start(); thread.join()",
}


@pytest.mark.parametrize("begin", GREENLETS.values(), ids=GREENLETS)
def test_where_gevent_replaced_threads_the_main_thread_keeps_its_name(python, tracer, begin):
    pytest.importorskip("gevent")
    roots = python(
        f"""
from gevent import monkey
monkey.patch_all()
import gevent
import json
from threading import Thread
import memkit

def work():
    gevent.sleep(0)

def main():
    with memkit.record(calls=work) as run:
        gevent.joinall([gevent.spawn(work) for _ in range(2)])
    print(json.dumps([call.function.name for call in run.recording.calls if call.parent is None]))

{begin}
""",
        tracer,
    )
    assert roots == ["<thread MainThread>"]


def test_a_greenlet_of_sqlalchemy_hangs_under_the_coroutine_that_awaits_it(traced, tracer):
    pytest.importorskip("sqlalchemy")
    of = traced(
        """
import asyncio
from sqlalchemy.util.concurrency import await_only, greenlet_spawn

def query(size):
    for _ in range(10):
        take(size)
        await_only(asyncio.sleep(0))

async def small(): await greenlet_spawn(query, 1)
async def large(): await greenlet_spawn(query, 4)
async def both(): await asyncio.gather(small(), large())

async def nothing(): await greenlet_spawn(int)  # what is imported at the first time
asyncio.run(nothing())
with memkit.record(calls=True, lines=[small, large]) as run_:
    asyncio.run(both())
show(run_)
""",
        tracer,
    )
    assert grown(of["paths"], "small/greenlet_spawn/query/take")[GROWTH] == pytest.approx(10 * MIB, abs=CLOSE)
    assert grown(of["paths"], "large/greenlet_spawn/query/take")[GROWTH] == pytest.approx(40 * MIB, abs=CLOSE)
    assert of["lines"]["small"][0][1] == pytest.approx(10 * MIB, abs=CLOSE)
    assert of["lines"]["large"][0][1] == pytest.approx(40 * MIB, abs=CLOSE)


SPAWNS = """
def runs(size):
    take(size)
    pause()
    drop(keep(20))
    pause()

def resumes(other):
    other.switch()

def begins(size):
    other = spawn(lambda: runs(size))
    resumes(other)
    return other

with memkit.record(calls=True, lines=[begins, resumes, runs]) as run_:
    first = begins(1)
    second = begins(2)
    resumes(first)
show(run_)
"""


def test_a_switch_to_a_child_and_back_is_like_a_call(traced, tracer):
    of = traced(WITH_GREENLET + "from oracle import drop" + SPAWNS, tracer)
    lines, paths = of["lines"], of["paths"]
    assert lines["begins"][1] == [2, pytest.approx(3 * MIB, abs=CLOSE), pytest.approx(2 * MIB, abs=CLOSE)]
    assert lines["resumes"][0] == [3, pytest.approx(3 * MIB, abs=CLOSE), pytest.approx(20 * MIB, abs=CLOSE)]
    assert lines["runs"][0] == [2, pytest.approx(3 * MIB, abs=CLOSE), pytest.approx(2 * MIB, abs=CLOSE)]
    assert lines["runs"][2] == [1, pytest.approx(0, abs=CLOSE), pytest.approx(20 * MIB, abs=CLOSE)]
    assert grown(paths, "begins/resumes")[RISE] == pytest.approx(2 * MIB, abs=PEAK_CLOSE)
    resumed = [sums for path, sums in paths.items() if path == "resumes"]
    assert [sums[RISE] for sums in resumed] == [pytest.approx(20 * MIB, abs=PEAK_CLOSE)]
    assert paths[""][RISE] == pytest.approx(23 * MIB, abs=3 * CLOSE)


RISES = """
def small():
    for _ in range(3):
        take(2)
        pause()
    drop(blocks.pop())

def large():
    first = keep(20)
    pause()
    drop(first)
    twice(5)

def twice(size):
    once(size)
    once(size)

def once(size):
    take(size)
    pause()

def both():
    run(spawn(small), spawn(large))

with memkit.record(calls=True, lines=[large, twice, once, small]) as run_:
    both()
show(run_)
"""


def test_a_rise_is_over_all_that_a_greenlet_does(traced, tracer, way):
    of = traced(way + "from oracle import drop" + RISES, tracer)
    lines, paths = of["lines"], of["paths"]
    for name, size in (("small", 6), ("large", 20), ("large/twice", 10), ("large/twice/once", 5)):
        assert grown(paths, name)[RISE] == pytest.approx(size * MIB, abs=PEAK_CLOSE), name
    assert [rise for *_, rise in lines["large"]] == [pytest.approx(mib * MIB, abs=PEAK_CLOSE) for mib in (20, 0, 0, 10)]
    assert [rise for *_, rise in lines["twice"]] == [pytest.approx(5 * MIB, abs=PEAK_CLOSE)] * 2
    assert paths[""][RISE] == pytest.approx(26 * MIB, abs=4 * MIB)


# -- stacks ------------------------------------------------------------------------------------------------------------

AT_RANDOM = """
import random

class Stop(Exception):
    pass

def hop():
    try:
        pause()
    except Stop:
        pass

def work(depth):
    if depth:
        work(depth - 1)
    else:
        hop()

def inner():
    for _ in range(chance.randrange(1, 6)):
        work(chance.randrange(100))

def outer():
    other = spawn(inner)
    other.switch()
    while not other.dead and chance.random() < 0.7:
        other.switch()
    work(2)

def main(turns):
    live = []
    for _ in range(turns):
        what = chance.random()
        each = chance.choice(live) if live else None
        if what < 0.3 or each is None:
            live.append(spawn(chance.choice((inner, outer))))
            live[-1].switch()
        elif what < 0.7:
            each.switch()
        elif what < 0.8:
            each.throw(Stop)
        elif what < 0.9:
            live.remove(each)  # collected while it is suspended
        else:
            gc.collect()
        each = None
        live = [one for one in live if not one.dead]

chance = random.Random(7)
with memkit.record(calls=True, lines=[hop, work, inner, outer]) as run_:
    main(3000)
show(run_)
"""
CALLERS = {"hop": {"work"}, "work": {"work", "inner", "outer"}, "pause": {"hop"}, "spawn": {"main", "outer"}}


def test_no_call_is_counted_under_another_greenlets(traced, tracer):
    paths = traced(WITH_GREENLET + AT_RANDOM, tracer)["paths"]
    steps = {tuple(path.split("/")[-2:]) for path in paths if "/" in path}
    for name, callers in CALLERS.items():
        assert {caller for caller, called in steps if called == name} == callers, name
    assert {name for name, *_ in steps if name in ("hop", "pause")} <= {"hop"}
    assert not [path for path in paths if path.split("/").count("outer") > 1 or path.split("/").count("main") > 1]


def test_greenlets_that_come_and_go_cost_no_memory_for_ever(traced, tracer):
    of = traced(
        WITH_GREENLET
        + """
def deep(n):
    return deep(n - 1) if n else pause()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE

def many(count):
    for _ in range(count):
        each = spawn(deep)
        each.switch(20)
        each.switch()

with memkit.record(calls=True, lines=[deep]) as run_:
    many(1000)
    before = resident()
    many(20000)
    grown = resident() - before
show(run_, grown=grown)
""",
        tracer,
    )
    assert of["grown"] < MIB


def test_a_greenlet_that_never_ends_keeps_what_it_did(traced, tracer):
    of = traced(
        WITH_GREENLET
        + """
def waits():
    take(5)
    pause()

with memkit.record(calls=True, lines=[waits]) as run_:
    left = spawn(waits)
    left.switch()
show(run_)
""",
        tracer,
    )
    assert grown(of["paths"], "waits/take")[GROWTH] == pytest.approx(5 * MIB, abs=CLOSE)
    assert of["lines"]["waits"][0][1] == pytest.approx(5 * MIB, abs=CLOSE)


def test_a_target_is_in_force_below_where_a_greenlet_began(traced, tracer):
    of = traced(
        WITH_GREENLET
        + """
def begins():
    take(3)
    pause()
    take(4)

def target():
    run(spawn(begins))

with memkit.record(calls=[target]) as run_:
    target()
    take(5)
show(run_)
""",
        tracer,
    )
    assert grown(of["paths"], "target/run/begins/take")[:2] == [2, pytest.approx(7 * MIB, abs=CLOSE)]
    assert not [path for path in of["paths"] if path == "take"]


# -- greenlet's trace function -----------------------------------------------------------------------------------------

PROGRAMS_OWN = """
heard = []

def listen(event, pair):
    heard.append([event, pair[0] is main, pair[1] is main, len(pair)])

def trace():
    return {None: "none", listen: "listen"}.get(gettrace(), "another")

def nothing():
    pause()

def fails():
    pause()
    raise KeyError

main = getcurrent()
settrace(listen)
found = [trace()]
"""


@pytest.mark.parametrize("recorded", [True, False])
def test_the_programs_own_trace_function_hears_everything(traced, tracer, recorded):
    text = """
with memkit.record(calls=RECORDED or path, lines=[nothing]) as run_:
    take(1)
    run(spawn(nothing))
    try:
        run(spawn(fails))
    except KeyError:
        found.append(True)
    else:
        found.append(False)
found.append(trace())
show(run_, heard=heard, found=found)
""".replace("RECORDED", str(recorded))
    of = traced(WITH_GREENLET + PROGRAMS_OWN + text, tracer)
    assert of["found"] == ["listen", True, "listen"]
    there, back = ["switch", True, False, 2], ["switch", False, True, 2]
    assert of["heard"] == [there, back, there, back, there, back, there, ["throw", False, True, 2]]
    assert of["mixed"] is None


def test_a_trace_function_that_raises_does_so_as_without_memkit(traced, tracer):
    of = traced(
        WITH_GREENLET
        + PROGRAMS_OWN
        + """
def fall(event, pair):
    raise LookupError(event)

settrace(fall)
with memkit.record(calls=True) as run_:
    try:
        run(spawn(nothing))
    except LookupError as error:
        found.append(str(error))
    run(spawn(nothing))
found.append(trace())
show(run_, found=found)
""",
        tracer,
    )
    assert of["found"] == ["listen", "switch", "none"]


def test_a_trace_function_that_takes_over_is_told_of(traced, tracer):
    of = traced(
        WITH_GREENLET
        + PROGRAMS_OWN
        + """
with memkit.record(calls=True) as run_:
    run(spawn(nothing))
    settrace(listen)
    run(spawn(nothing))
show(run_, trace=trace())
""",
        tracer,
    )
    assert of["mixed"] == "something else took over greenlet.settrace"
    assert of["trace"] == "listen"


def test_gevents_own_trace_function_passes_switches_on(traced, tracer):
    pytest.importorskip("gevent")
    of = traced(
        WITH_GEVENT
        + TWO
        + """
from gevent._tracer import GreenletTracer

with memkit.record(calls=True) as run_:
    gevent.sleep(0)
    tracer = GreenletTracer()
    both()
    tracer.kill()
show(run_)
""",
        tracer,
    )
    assert grown(of["paths"], "small/take")[GROWTH] == pytest.approx(15 * MIB, abs=CLOSE)
    assert of["mixed"] is None


def test_other_threads_give_the_trace_function_back_at_their_next_switch(traced, tracer):
    of = traced(
        WITH_GREENLET
        + PROGRAMS_OWN
        + """
import threading

def work():
    run(spawn(nothing))
    ready.set()
    go.wait()
    found.append(trace())
    run(spawn(nothing))
    found.append(trace())

settrace(None)
ready, go = threading.Event(), threading.Event()
thread = threading.Thread(target=work)
with memkit.record(calls=True) as run_:
    thread.start()
    ready.wait()
go.set()
thread.join()
with memkit.record(calls=True) as run_:
    run(spawn(nothing))
found.append(trace())
show(run_, found=found)
""",
        tracer,
    )
    assert of["found"] == ["listen", "another", "none", "none"]
    assert grown(of["paths"], "run/nothing")[CALLS] == 1


def test_two_recordings_one_after_the_other_hear_each_switch_once(traced, tracer):
    of = traced(
        WITH_GREENLET
        + TWO
        + """
with memkit.record(lines=[small, large]) as first:
    run(spawn(small))
with memkit.record(calls=True, lines=[small, large]) as run_:
    both()
show(run_, trace=gettrace())
""",
        tracer,
    )
    assert grown(of["paths"], "large/take")[GROWTH] == pytest.approx(60 * MIB, abs=CLOSE)
    assert of["lines"]["small"][1][1] == pytest.approx(15 * MIB, abs=CLOSE)
    assert of["trace"] is None


def test_a_forked_child_runs_greenlets_on(traced, tracer):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    of = traced(
        WITH_GREENLET
        + TWO
        + """
import os, warnings
warnings.simplefilter("ignore")
with memkit.record(calls=True) as run_:
    both()
    pid = os.fork()
    if not pid:
        both()
        os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
show(run_, code=code)
""",
        tracer,
    )
    assert of["code"] == 7
    assert grown(of["paths"], "small/take")[GROWTH] == pytest.approx(15 * MIB, abs=CLOSE)
