"""``@memkit.profile`` and ``LineProfiler``: under memkit-run, inside a recording, and alone."""

import contextlib
import copy
import functools
import mmap
import os
import re
import subprocess
import sys
import threading
import time

import pytest

import memkit
from memkit.record import recorder

pytestmark = pytest.mark.usefixtures("native_only")

MIB = 1 << 20


@pytest.fixture
def alone(tmp_path):
    """A function that runs a text of Python by itself, and returns what it printed on stdout and stderr."""

    def run(text, code=0, **more):
        (tmp_path / "program.py").write_text(text)
        environment = {**os.environ, **more}
        done = subprocess.run(
            [sys.executable, "-W", "error", "program.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert sorted(os.listdir(tmp_path)) == ["program.py"]
        return done.stdout, done.stderr

    return run


def tables(text):
    """The functions that have a table in a report, with their lines: number and hits."""
    found = []
    for line in text.splitlines():
        if head := re.match(r"(\S+)  \S*program\.py:\d+  growth ", line):
            found.append((head[1], {}))
        elif found and (row := re.match(r" *(\d+) +([\d,]+) +[\d.]+ [nµm]?s ", line)):
            found[-1][1][int(row[1])] = int(row[2].replace(",", ""))
    return found


HEAD = "import memkit\n\n\n"


# -- where nothing is recorded -------------------------------------------------------------------------------------------


def test_alone_the_outermost_call_prints_its_table(alone):
    out, err = alone(HEAD + "@memkit.profile\ndef work(n):\n    return [0] * n\n\n\nprint(len(work(3)))\nwork(4)\n")
    assert out == "3\n"
    assert tables(err) == [("work", {6: 1}), ("work", {6: 1})]
    assert [line.split(None, 1)[0] for line in err.splitlines() if line] == 2 * ["work", "line", "4", "5", "6", "gate"]
    assert "return [0] * n" in err


def test_alone_an_exception_prints_the_table_and_goes_on(alone):
    out, err = alone(
        HEAD + "@memkit.profile\ndef work():\n    kept = 1\n    raise KeyError('mine')\n\n\n"
        "try:\n    work()\nexcept KeyError as error:\n    print(error)\n"
    )
    assert out == "'mine'\n"
    assert tables(err) == [("work", {6: 1, 7: 1})]


def test_alone_a_recursion_has_one_table(alone):
    out, err = alone(
        HEAD + "@memkit.profile\ndef work(n):\n    if n:\n        work(n - 1)\n    return n\n\n\nprint(work(4))\n"
    )
    assert out == "4\n"
    assert tables(err) == [("work", {6: 5, 7: 4, 8: 5})]


def test_alone_a_function_that_calls_another_has_one_report_with_both(alone):
    _, err = alone(
        HEAD + "@memkit.profile\ndef inner():\n    return 1\n\n\n"
        "@memkit.profile\ndef outer():\n    return inner() + inner()\n\n\nouter()\n"
    )
    assert tables(err) == [("inner", {6: 2}), ("outer", {11: 1})]


def test_alone_a_coroutine_is_recorded_to_its_end(alone):
    out, err = alone(
        "import asyncio\n" + HEAD + "@memkit.profile\nasync def work():\n    await asyncio.sleep(0.001)\n    return 5\n\n\n"
        "print(asyncio.run(work()))\n"
    )
    assert out == "5\n"
    assert tables(err) == [("work", {7: 1, 8: 1})]


def test_alone_a_generator_is_recorded_until_it_is_exhausted(alone):
    out, err = alone(
        HEAD + "@memkit.profile\ndef work(n):\n    for number in range(n):\n        yield number\n\n\nprint(list(work(3)))\n"
    )
    assert out == "[0, 1, 2]\n"
    assert tables(err) == [("work", {6: 4, 7: 3})]


def test_alone_an_asynchronous_generator_is_recorded_until_it_is_exhausted(alone):
    out, err = alone(
        "import asyncio\n" + HEAD + "@memkit.profile\nasync def work():\n    yield 1\n    yield 2\n\n\n"
        "async def main():\n    return [each async for each in work()]\n\n\nprint(asyncio.run(main()))\n"
    )
    assert out == "[1, 2]\n"
    assert tables(err) == [("work", {7: 1, 8: 1})]


def test_methods_of_every_kind_can_be_decorated(alone):
    out, err = alone(
        HEAD + "class Thing:\n"
        "    @memkit.profile\n    def method(self):\n        return 1\n\n"
        "    @classmethod\n    @memkit.profile\n    def made(cls):\n        return cls.__name__\n\n"
        "    @memkit.profile\n    @classmethod\n    def also(cls):\n        return cls.__name__\n\n"
        "    @staticmethod\n    @memkit.profile\n    def still():\n        return 2\n\n"
        "    @memkit.profile\n    @staticmethod\n    def stiller():\n        return 3\n\n"
        "    @property\n    @memkit.profile\n    def size(self):\n        return 4\n\n\n"
        "thing = Thing()\n"
        "print(thing.method(), Thing.made(), thing.also(), Thing.still(), thing.stiller(), thing.size)\n"
    )
    assert out == "1 Thing Thing 2 3 4\n"
    names = ["method", "made", "also", "still", "stiller", "size"]
    assert [name for name, _ in tables(err)] == [f"Thing.{name}" for name in names]
    assert [list(lines.values()) for _, lines in tables(err)] == [[1]] * 6


def test_a_property_stays_a_property():
    class Thing:
        def get(self):
            return self.kept

        def put(self, size):
            self.kept = size

        def drop(self):
            del self.kept

        size = memkit.profile(property(get, put, drop, "How large."))
        fixed = memkit.profile(property(get))

    thing = Thing()
    with memkit.record() as run:
        thing.size = 7
        assert (thing.size, thing.fixed) == (7, 7)
        del thing.size
    assert vars(thing) == {}
    assert (Thing.size.__doc__, Thing.fixed.fset) == ("How large.", None)
    found = [(line.function.name.rpartition(".")[2], line.hits) for line in run.recording.lines]
    assert sorted(found) == [("drop", 1), ("get", 2), ("put", 1)]


def test_what_was_wrapped_before_is_traced_and_not_its_wrapper(alone):
    _, err = alone(
        "import functools\n" + HEAD + "@memkit.profile\n@functools.lru_cache\ndef work(n):\n    return n\n\n\n"
        "work(1), work(1)\n"
    )
    assert tables(err)[0] == ("work", {8: 1})


def test_what_the_standard_library_makes_of_a_method_is_still_that():
    class Thing:
        @memkit.profile
        @functools.cached_property
        def table(self):
            return [0] * 10

        def add(self, one, other):
            return one + other

        plus = memkit.profile(functools.partialmethod(add, 5))

        @memkit.profile
        @functools.singledispatchmethod
        def kind(self, given):
            return "any"

        @kind.register
        def number(self, given: int):
            return "number"

        @kind.register(str)
        def text(self, given):
            return "text"

    thing = Thing()
    with memkit.record() as run:
        assert thing.table is thing.table
        assert (thing.plus(3), thing.kind(1), thing.kind("a"), thing.kind(None)) == (8, "number", "text", "any")
    assert [type(each) for each in (vars(Thing)["table"], vars(Thing)["plus"])] == [
        functools.cached_property,
        functools.partialmethod,
    ]
    names = ["table", "add", "kind", "number", "text"]
    assert [[name, *hits_of(run.recording, name)] for name in names] == [[name, 1] for name in names]


def test_what_a_decorator_below_has_added_stays():
    @memkit.profile
    @functools.lru_cache
    def cached(n):
        return n

    @memkit.profile
    @functools.singledispatch
    def kind(given):
        return "any"

    @kind.register
    def number(given: int):
        return "number"

    with memkit.record() as run:
        assert (cached(1), cached(1), kind(1), kind("a")) == (1, 1, "number", "any")
    assert cached.cache_info()[:2] == (1, 1)
    cached.cache_clear()
    assert cached.cache_info()[:2] == (0, 0)
    assert [hits_of(run.recording, name) for name in ("cached", "kind", "number")] == [[1], [1], [1]]
    assert memkit.record()(functools.lru_cache(work)).cache_info().misses == 0


def test_a_command_of_click_stays_one():
    click = pytest.importorskip("click")

    @memkit.profile
    @click.command()
    @click.option("--number", default=1)
    def command(number):
        return number + 1

    assert isinstance(command, click.Command)
    with memkit.record() as run, memkit.record(lines=command) as named:
        assert command(["--number", "4"], standalone_mode=False) == 5
    assert hits_of(run.recording, "command") == hits_of(named.recording, "command") == [1]


def test_the_decorated_function_looks_like_the_one_inside():
    def work(a: int, b=2) -> str:
        """What it does."""

    wrapped = memkit.profile(work)
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == ("work", "What it does.", work)
    assert wrapped.__annotations__ == work.__annotations__


def test_coroutine_functions_and_generators_stay_what_they_are():
    import inspect

    async def waits():
        pass

    async def yields():
        yield

    def generates():
        yield

    assert inspect.iscoroutinefunction(memkit.profile(waits))
    assert inspect.isasyncgenfunction(memkit.profile(yields))
    assert inspect.isgeneratorfunction(memkit.profile(generates))


def test_it_is_inert_where_the_environment_says_so(monkeypatch):
    def work():
        return 1

    monkeypatch.setenv("MEMKIT_PROFILE", "0")
    assert memkit.profile(work) is work
    assert memkit.profile(len) is len
    monkeypatch.setenv("MEMKIT_PROFILE", "1")
    assert memkit.profile(work) is not work


def test_what_has_no_python_code_is_refused():
    with pytest.raises(memkit.UsageError, match="True has no Python code to trace"):
        memkit.record(lines=True)
    with pytest.raises(memkit.UsageError, match="has no Python code to trace"):
        memkit.profile(len)


class Empty:
    pass


class Full:
    def method(self):
        pass


@pytest.mark.parametrize("given", [Empty, Full, Full.method.__code__, 5])
def test_what_is_no_function_is_refused(given):
    with pytest.raises(memkit.UsageError, match=f"{re.escape(repr(given))} is no function: decorate functions and methods"):
        memkit.profile(given)


LATE = """
import asyncio, contextlib, functools, memkit

def wrapping(function):
    @functools.wraps(function)
    def wrapper(*given):
        return function(*given)
    return wrapper

@memkit.profile
@wrapping
async def one():
    return [0] * 10

@memkit.profile
@contextlib.contextmanager
def two():
    yield

@memkit.profile
@functools.lru_cache
def three():
    return 1

asyncio.run(one())
with two():
    pass
three(), three()
"""


def test_a_body_that_runs_later_or_not_at_all_is_told_of(alone):
    _, err = alone(LATE)
    later = "its body runs after what wraps it has returned: put @profile next to def, below the other decorators"
    assert [line for line in err.splitlines() if line.startswith("memkit: ")] == [
        f"memkit: no line of one ran during the call; {later}",
        f"memkit: no line of two ran during the call; {later}",
        "memkit: no line of three ran during the call; what wraps it did not call it, or it runs as compiled code",
    ]
    assert tables(err) == [("three", {23: 1})]


# -- where lines cannot be traced ----------------------------------------------------------------------------------------

REFUSED = (
    "memkit: @profile traces nothing in this process: lines can be traced with the native engine only; this is the portable "
    "one: MEMKIT_ENGINE=portable; see memkit info, or set MEMKIT_PROFILE=0 to be rid of this line\n"
)
CALLS_OF_EVERY_KIND = """
@profile
def work(n):
    return n and work(n - 1)

@profile
def yields():
    yield 5

@profile
async def waits():
    return 7

@profile
def fails():
    raise KeyError("mine")

print(work(3), list(yields()), asyncio.run(waits()))
try:
    fails()
except KeyError as error:
    print(error)
"""


def test_without_tracing_a_decorated_function_says_so_once_and_runs(alone):
    text = "import asyncio\nfrom memkit import profile\n" + CALLS_OF_EVERY_KIND
    assert alone(text, MEMKIT_ENGINE="portable") == ("0 [5] 7\n'mine'\n", REFUSED)


@pytest.mark.parametrize("head", ["", "from memkit import profile\n"])
def test_without_tracing_memkit_run_says_so_once_and_runs_the_program(script, memkit_run, head):
    name = script("import asyncio\n" + head + CALLS_OF_EVERY_KIND)
    done = memkit_run(name, env={**os.environ, "MEMKIT_ENGINE": "portable"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 [5] 7\n'mine'\n", REFUSED)
    assert (done.recording.lines, done.recording.spans, str(done.recording.ending)) == ((), (), "finished")


def test_a_gate_that_cannot_be_had_does_not_end_the_program_either(alone):
    out, err = alone(HEAD + "@memkit.profile\ndef work():\n    return 1\n\n\nprint(work())\n", MEMKIT_GATE="nonsense")
    assert out == "1\n"
    assert err.startswith("memkit: @profile traces nothing in this process: MEMKIT_GATE is 'nonsense'")
    assert err.count("\n") == 1


def test_what_asks_for_lines_in_so_many_words_is_refused(alone):
    attempts = ["memkit.LineProfiler()", "memkit.LineProfiler(work)", "memkit.record(lines=work)"]
    text = HEAD + "def work():\n    pass\n\n\nwith memkit.record() as run:\n"
    for attempt in [*attempts, "run.trace(work)"]:
        text += f"    try:\n        {attempt}\n    except memkit.MeterError as error:\n        print(error)\n"
    out, _ = alone(text + "with run:\n    pass\n", MEMKIT_ENGINE="portable")
    assert out == 4 * ("lines can be traced with the native engine only; this is the portable one: MEMKIT_ENGINE=portable\n")


# -- inside a recording --------------------------------------------------------------------------------------------------


def work(turns):
    total = 0
    for number in range(turns):
        total += number
    return total


def hits_of(recording, name):
    return [line.hits for line in recording.lines if line.function.name.rpartition(".")[2] == name]


def test_inside_a_recording_its_lines_go_there_and_nothing_is_printed(capsys):
    profiled = memkit.profile(work)
    with memkit.record() as run:
        profiled(3)
        profiled(2)
    assert hits_of(run.recording, "work") == [2, 7, 5, 2]
    assert capsys.readouterr() == ("", "")
    assert run.recording.tracing.events == 16


def test_every_recording_that_goes_on_gets_them():
    profiled = memkit.profile(work)
    with memkit.record() as outer:
        profiled(1)
        with memkit.record() as inner:
            profiled(2)
        profiled(3)
    assert hits_of(outer.recording, "work") == [3, 9, 6, 3]
    assert hits_of(inner.recording, "work") == [1, 3, 2, 1]


def test_a_recording_that_is_used_again_gets_them_again():
    profiled, run = memkit.profile(work), memkit.record()
    for turns in (1, 4):
        with run:
            profiled(turns)
        assert hits_of(run.recording, "work") == [1, turns + 1, turns, 1]


def test_a_function_that_was_called_before_is_traced_all_the_same():
    profiled = memkit.profile(work)
    with memkit.record(lines=work):
        work(1)
    with memkit.record(lines=test_what_has_no_python_code_is_refused) as run:
        work(1)  # its start is met, and put aside
        profiled(2)
        profiled(2)
    assert hits_of(run.recording, "work") == [2, 6, 4, 2]


def test_only_calls_that_took_a_while_or_changed_memory_leave_a_span(touched):
    held = []

    @memkit.profile
    def short():
        return 1

    @memkit.profile
    def long():
        time.sleep(0.002)
        raise KeyError

    @memkit.profile
    def grows():
        held.append(touched(10))

    with memkit.record() as run:
        for _ in range(50):
            short()
        with pytest.raises(KeyError):
            long()
        grows()
    labels = [span.label.rpartition(".")[2] for span in run.recording.spans]
    assert labels.count("long") == 1
    assert labels.count("grows") == 1
    assert labels.count("short") < 10  # one that something else interrupted for a millisecond
    [span] = [span for span in run.recording.spans if span.label.endswith("grows")]
    assert span.growth == pytest.approx(10 * MIB, abs=MIB)


def test_of_a_recursion_only_the_outermost_call_leaves_a_span():
    @memkit.profile
    def deep(n):
        time.sleep(0.002)
        if n:
            deep(n - 1)

    with memkit.record() as run:
        deep(3)
    assert [span.label.rpartition(".")[2] for span in run.recording.spans] == ["deep"]


def test_the_span_of_a_call_has_the_exact_peak(exact_peaks):
    @memkit.profile
    def spikes():
        with mmap.mmap(-1, 64 * MIB) as pages:
            for page in range(0, 64 * MIB, mmap.PAGESIZE):
                pages[page] = 1

    with memkit.record(interval=60) as run:
        spikes()
    [span] = run.recording.spans
    assert span.peak - span.before == pytest.approx(64 * MIB, abs=MIB)
    assert span.peak == max(line.peak for line in run.recording.lines)


def test_the_span_of_a_call_of_another_meter_has_the_peak_of_samples():
    @memkit.profile
    def long():
        time.sleep(0.002)

    with memkit.record(meter=lambda: 5 * MIB) as run:
        long()
    [span] = run.recording.spans
    assert (span.before, span.after, span.peak) == (5 * MIB, 5 * MIB, 5 * MIB)


class Watched:
    """A scope that is counted while it is open."""

    now = made = 0

    def __init__(self):
        Watched.now, Watched.made = Watched.now + 1, Watched.made + 1

    def close(self):
        Watched.now -= 1


@pytest.fixture
def scopes(monkeypatch):
    """The class whose ``now`` is how many scopes are open, and ``made`` how many ever were."""
    monkeypatch.setattr(Watched, "now", 0)
    monkeypatch.setattr(Watched, "made", 0)
    monkeypatch.setattr(recorder.engine, "Scope", Watched)
    return Watched


def test_the_scope_of_a_call_is_closed_however_the_call_ends(scopes):
    run, again = memkit.record(), memkit.record()

    @memkit.profile
    def raises():
        assert scopes.now == 1
        raise KeyError

    @memkit.profile
    def ends_the_recording():
        run.stop()

    @memkit.profile
    def begins_another():
        run.stop()
        run.start()

    @memkit.profile
    def yields():
        yield

    for function in (raises, ends_the_recording, begins_another):
        with run, contextlib.suppress(KeyError):
            function()
        assert scopes.now == 0
    assert run.recording.spans == ()  # it began in the recording before
    with again:
        for _ in yields():
            break
    assert (scopes.now, scopes.made) == (0, 4)


# -- in several threads, coroutines and generators -----------------------------------------------------------------------


def test_every_thread_has_outermost_calls_of_its_own():
    both = threading.Barrier(2)

    @memkit.profile
    def meet():
        both.wait(30)
        time.sleep(0.002)
        both.wait(30)

    with memkit.record() as run:
        threads = [threading.Thread(target=meet) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    one, two = run.recording.spans
    assert one.thread != two.thread
    assert one.start < two.end
    assert two.start < one.end


def test_a_recursion_is_one_call_even_with_another_thread_inside():
    inside, done = threading.Event(), threading.Event()

    @memkit.profile
    def deep(n):
        time.sleep(0.002)
        if n:
            deep(n - 1)
        elif n == 0:
            inside.set()
            done.wait(30)

    with memkit.record() as run:
        thread = threading.Thread(target=deep, args=(0,))
        thread.start()
        inside.wait(30)
        done.set()
        deep(3)
        thread.join(30)
    assert len(run.recording.spans) == 2


def test_coroutines_that_take_turns_are_outermost_each():
    import asyncio

    @memkit.profile
    async def waits(turns):
        for _ in range(turns):
            await asyncio.sleep(0.002)
        if turns > 2:
            await waits(1)

    async def main():
        await asyncio.gather(waits(3), waits(2))

    with memkit.record() as run:
        asyncio.run(main())
    first, second = sorted(run.recording.spans, key=lambda span: span.start)
    assert first.start < second.start < second.end < first.end


def test_generators_that_take_turns_are_outermost_each():
    @memkit.profile
    def yields(n):
        time.sleep(0.002)
        yield n
        if n:
            yield from yields(n - 1)

    with memkit.record() as run:
        assert list(zip(yields(2), yields(1))) == [(2, 1), (1, 0)]
    assert len(run.recording.spans) == 2


OVERLAP = """
import threading
from memkit import profile

inside, gone = threading.Event(), threading.Event()

@profile
def work(first):
    if first:
        inside.wait(30)
        return
    inside.set()
    gone.wait(30)
    for turn in range(3):
        pass

def begin():
    work(True)
    gone.set()

thread = threading.Thread(target=begin)
thread.start()
work(False)
thread.join()
work(True)
"""


def test_overlapping_calls_share_a_recording_that_ends_with_the_last(alone):
    _, err = alone(OVERLAP)
    whole = {9: 2, 10: 1, 11: 1, 12: 1, 13: 1, 14: 4, 15: 3}
    assert tables(err) == [("work", whole), ("work", {9: 1, 10: 1, 11: 1})]


def test_alone_coroutines_that_take_turns_share_a_recording(alone):
    out, err = alone(
        "import asyncio\n" + HEAD + "@memkit.profile\nasync def work(turns):\n    for _ in range(turns):\n"
        "        await asyncio.sleep(0)\n    return turns\n\n\nasync def main():\n"
        "    return await asyncio.gather(work(1), work(3))\n\n\nprint(asyncio.run(main()))\n"
    )
    assert out == "[1, 3]\n"
    assert tables(err) == [("work", {7: 6, 8: 4, 9: 2})]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_table_to_its_parent_and_begins_its_own(alone):
    _, err = alone(
        "import os\n" + HEAD + "@memkit.profile\ndef work(n):\n    if n:\n        return n\n    return os.fork()\n\n\n"
        "ours, theirs = os.pipe()\n"
        "if (child := work(0)) == 0:\n    os.read(ours, 1)\n    work(1)\n    os._exit(0)\n"
        "os.write(theirs, b'x')\nos.waitpid(child, 0)\n"
    )
    assert tables(err) == [("work", {7: 1, 9: 1}), ("work", {7: 1, 8: 1})]


BESIDE = """
import threading
from memkit import profile

inside, never = threading.Event(), threading.Event()

@profile
def waits():
    inside.set()
    never.wait()

@profile
def yields():
    yield 1

@profile
async def suspended():
    await Later()

class Later:
    def __await__(self):
        yield

@profile
def inner():
    return 1

@profile
def work():
    return inner()

threading.Thread(target=waits, daemon=True).start()
inside.wait(30)
goes_on, also = yields(), suspended()
next(goes_on), also.send(None)
work()
work()
print("ran")
"""


def test_a_call_that_never_ends_holds_back_only_its_own_table(alone):
    out, err = alone(BESIDE)
    assert out == "ran\n"
    pair = [("inner", {26: 1}), ("work", {30: 1})]
    assert tables(err)[:4] == [*pair, *pair]
    # What goes on is printed as the program ends.
    assert sorted(tables(err)[4:]) == [("suspended", {18: 1}), ("waits", {9: 1, 10: 1}), ("yields", {14: 1})]
    assert "Traceback" not in err


def test_calls_of_the_same_code_share_a_recording(alone):
    text = HEAD + "made = []\nfor n in range(9):\n    @memkit.profile\n    def yields():\n        yield n\n"
    out, err = alone(text + "    made.append(yields())\n    next(made[-1])\nprint(len([list(each) for each in made]))\n")
    assert out == "9\n"
    assert tables(err) == [("yields", {8: 9})]


def test_of_many_functions_that_go_on_the_last_share_a_recording(alone):
    functions = "".join(f"@memkit.profile\ndef yields{n}():\n    yield\n\n" for n in range(7))
    out, err = alone(
        f"{HEAD}{functions}made = [{', '.join(f'yields{n}()' for n in range(7))}]\nprint([next(each) for each in made])\n"
    )
    assert out == f"{[None] * 7}\n"
    assert sorted(name for name, _ in tables(err)) == [f"yields{n}" for n in range(7)]
    assert err.count("\ngate ") == 4


AT_EXIT = """
import itertools, string
import memkit

def counts(manager):
    with manager:
        yield from itertools.count()

def cycle(generator):
    space = {"kept": generator}
    space["me"] = space
    next(generator)

@memkit.profile
def work():
    return 1

@memkit.profile
def yields():
    yield 1

class Late:
    def __del__(self):
        work()
        print("gone")

here = [memkit.record(), memkit.span("x"), memkit.LineProfiler(work), yields]
decorated = [yields(), memkit.record()(yields.__wrapped__)(), memkit.span("z")(yields.__wrapped__)()]
kept = [counts(memkit.record()), counts(memkit.span("x")), counts(memkit.LineProfiler(work)), *decorated]
for generator in kept:
    next(generator)
cycle(counts(memkit.span("y")))
cycle(counts(memkit.record()))
late, string.late, string.kept = Late(), Late(), kept
"""


def test_what_is_left_for_the_end_of_the_interpreter_complains_of_nothing(alone):
    assert alone(AT_EXIT) == ("gone\ngone\n", "")


def test_a_table_that_cannot_be_written_does_not_end_the_program(tmp_path):
    text = HEAD + "@memkit.profile\ndef work():\n    return sum([1] * 1000)\n\n\nprint('total', work())\n"
    (tmp_path / "program.py").write_text(text)
    broken = "import sys\nclass Broken:\n    def write(self, text):\n        raise RuntimeError('broken')\n"
    (tmp_path / "broken.py").write_text(f"{broken}    def flush(self):\n        pass\nsys.stderr = Broken()\n{text}")
    (tmp_path / "closed.py").write_text(f"import sys\nsys.stderr.close()\n{text}")
    ours, theirs = os.pipe()
    os.close(ours)  # nobody reads it
    with contextlib.ExitStack() as files:
        full = [files.enter_context(open("/dev/full", "w"))] if os.path.exists("/dev/full") else []
        for name, stream in [("broken.py", None), ("closed.py", None), *(("program.py", each) for each in [theirs, *full])]:
            done = subprocess.run([sys.executable, name], stdout=subprocess.PIPE, stderr=stream, cwd=tmp_path, timeout=60)
            assert (done.returncode, done.stdout) == (0, b"total 1000\n"), (name, stream)
    os.close(theirs)


def test_plugins_are_found_once_however_many_tables_are_printed(monkeypatch, capsys):
    found, profiled = [], memkit.profile(work)
    monkeypatch.setattr("memkit.base.entry_points.others", lambda: found.append(1) or [])
    monkeypatch.setattr(sys.modules["memkit.record.profile"], "_known", None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    profiled(1), profiled(1), profiled(1)
    assert (found, capsys.readouterr().err.count("gate ")) == ([1], 3)
    sys.path.append("elsewhere")
    profiled(1)
    assert found == [1, 1]


COUNTED = """
import io
import json
import os
import sys

import memkit
from memkit.tracing import choice


def count(event, given, going=(going := []), reads=(reads := [])):     # it is called as the interpreter ends, too
    if going and event in ("open", "import", "os.listdir", "os.scandir"):
        reads.append(event)


def gates():
    with open("/proc/self/maps") as maps:
        return maps.read().count("[perf_event]")


@memkit.profile
def step(number):
    return number + 1


@memkit.profile
def threads():
    return len(os.listdir("/proc/self/task"))


probes, probe = [], choice.gate.probe
choice.gate.probe = lambda wanted="": probes.append(wanted) or probe(wanted)
sys.stderr = io.StringIO()
sys.addaudithook(count)
step(0)
left = gates()
step(1)
probes.clear()
going.append(True)
for number in range(20):
    step(number)
going.clear()
tables = sys.stderr.getvalue().count("  return number + 1")
refused = choice.gate_in_use()[1] is not None      # it is asked for again then: it may be allowed by now
print(json.dumps([tables, threads(), reads, bool(probes) and not refused, left, gates() <= 1]))
"""


def test_a_further_call_starts_no_thread_opens_no_file_and_probes_nothing(python):
    assert python(COUNTED) == [22, 1, [], False, 0, True]


# -- under memkit-run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["", "from memkit import profile\n"])
def test_under_memkit_run_its_lines_are_in_the_report(script, memkit, tmp_path, head):
    script(head + "@profile\ndef work(n):\n    return [0] * n\n\n\nwork(3)\nwork(4)\nprint('done')\n")
    done = memkit("run", "-o", "a.memkit", "program.py")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert tables(done.stderr) == [("work", {3 + bool(head): 2})]


def test_under_python_m_memkit_run_too(script, tmp_path):
    script("@profile\ndef work(n):\n    return [0] * n\n\n\nwork(3)\n")
    words = [sys.executable, "-m", "memkit", "run", "-o", "a.memkit", "program.py"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    assert tables(done.stderr) == [("work", {3: 1})]


def test_under_memkit_run_it_joins_what_lines_names(script, memkit_run):
    script("def other():\n    return 1\n\n\n@profile\ndef work():\n    return other()\n\n\nwork()\n")
    done = memkit_run("program.py", options=("-q", "--lines=program.py:other"))
    assert {function.name for function in done.recording.functions} == {"other", "work"}


def test_under_memkit_run_it_can_be_inert(script, memkit_run):
    script("@profile\ndef work():\n    return 1\n\n\nwork()\n")
    done = memkit_run("program.py", env={**os.environ, "MEMKIT_PROFILE": "0"})
    assert done.returncode == 0
    assert done.recording.lines == ()


BESIDE_IT = [
    "token",
    "enum",
    "types",
    "opcode",
    "inspect",
    "json",
    "tempfile",
    "weakref",
    "linecache",
    "selectors",
    "resource",
]


@pytest.mark.parametrize("name", BESIDE_IT)
def test_a_file_with_the_name_of_a_standard_module_may_be_beside_it(script, memkit_run, plain, name):
    script("MINE = 1\n", f"{name}.py")
    text = "def work():\n    return [0] * 10\n\n\nwork()\nprint('done')\n"
    done = memkit_run(script(f"@profile\n{text}"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert [line.hits for line in done.recording.lines] == [1]
    alone = plain(script(f"import memkit\n\n\n@memkit.profile\n{text}import {name}\nprint('X', hasattr({name}, 'MINE'))\n"))
    assert alone.stdout.startswith("done\nX ") and alone.returncode == 0
    assert tables(alone.stderr) == [("work", {6: 1})]


@pytest.mark.parametrize("imports", ["", "import resource\n"])
def test_a_resource_module_of_the_program_leaves_the_end_recorded(script, memkit_run, imports):
    script("MINE = 1\n", "resource.py")
    done = memkit_run(script(f"{imports}print('done')\n"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert done.recording.ending.kind == "ok"


# -- LineProfiler -------------------------------------------------------------------------------------------------------


def test_a_line_profiler_traces_while_it_is_on():
    profiler = memkit.LineProfiler(work)
    work(9)
    with profiler:
        work(2)
    work(9)
    assert hits_of(profiler.recording, "work") == [1, 3, 2, 1]


def test_a_line_profiler_is_a_decorator():
    profiler = memkit.LineProfiler()

    @profiler
    def decorated(n):
        return decorated(n - 1) if n else 0

    decorated(3)
    assert hits_of(profiler.recording, "decorated") == [4]
    decorated(1)
    assert hits_of(profiler.recording, "decorated") == [2]


def test_a_line_profiler_takes_one_more_while_it_is_on():
    def later():
        return 1

    profiler = memkit.LineProfiler(work)
    with profiler:
        later()
        profiler.add(later)
        later()
        work(1)
    assert hits_of(profiler.recording, "later") == [1]
    assert hits_of(profiler.recording, "work") == [1, 2, 1, 1]


def test_a_line_profiler_takes_one_more_while_it_is_off():
    profiler = memkit.LineProfiler()
    profiler.add(work)
    with profiler:
        work(1)
    assert hits_of(profiler.recording, "work") == [1, 2, 1, 1]


def test_a_line_profiler_shows_its_tables(capsys):
    profiler = memkit.LineProfiler(work)
    profiler.show()
    assert capsys.readouterr() == ("", "")
    with profiler:
        work(1)
    profiler.show()
    out, err = capsys.readouterr()
    assert err == ""
    head, columns, *rows, blank, gate = out.splitlines()[1:]
    assert re.match(r"work  .*test_profile\.py:\d+  growth", head)
    assert columns.split() == ["line", "hits", "time", "growth", "memory", "rise", "peak", "source"]
    assert [row.rpartition("  ")[2].strip() for row in rows][2] == "for number in range(turns):"
    assert (blank, gate[:5]) == ("", "gate ")


def test_a_line_profiler_refuses_what_has_no_code_and_names_that_are_wrong():
    with pytest.raises(memkit.UsageError, match="has no Python code"):
        memkit.LineProfiler(len)
    profiler = memkit.LineProfiler(work)
    with pytest.raises(memkit.UsageError, match="has no Python code"):
        profiler.add(len)
    with profiler, pytest.raises(memkit.UsageError, match="has no Python code"):
        profiler.add(len)


def test_a_profile_that_cannot_be_read_leaves_the_function_its_result(alone):
    text = "import os, memkit\n@memkit.profile\ndef f():\n    os.closerange(3, 1000)\n    return 7\nprint(f())\n"
    out, err = alone(text)
    assert out == "7\n"
    assert "\nmemkit: the program closed the temporary file of the recording: " in err


def test_a_line_profiler_whose_tables_cannot_be_printed_says_so(monkeypatch):
    profiler = memkit.LineProfiler(work)
    with profiler:
        work(1)

    class Full:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            pass

    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(memkit.MemkitError, match="No space left"):
        profiler.show()


# -- in other processes ------------------------------------------------------------------------------------------------

SENT = """import pickle
import subprocess
import sys

import cloudpickle
{door}


@profile
def work(n):
    return len([0] * n)


@profile
def factorial(n):
    return n * factorial(n - 1) if n else 1


class Box:
    @profile
    def open(self):
        return 4

    @property
    @profile
    def size(self):
        return 5

    @staticmethod
    @profile
    def count(n):
        yield from range(n)


def outer():
    @profile
    def inner(n):
        return n + 1

    return inner


THERE = '''
import pickle, sys
work, factorial, box, inner = pickle.load(sys.stdin.buffer)
print(work(3), factorial(4), box.open(), box.size, list(box.count(3)), inner(1))
'''
if __name__ == "__main__":
    work(1), factorial(2), Box().open()
    data = cloudpickle.dumps([work, factorial, Box(), outer()])
    print(subprocess.run([sys.executable, "-c", THERE], input=data, capture_output=True, check=True))
"""
DOORS = {
    "memkit": "from memkit import profile",
    "dropin": "from memkit.compat.memory_profiler import profile",
    "builtin": "",
}
ANSWER = "stdout=b'3 24 4 5 [0, 1, 2] 2\\n', stderr=b'')"


@pytest.mark.parametrize("door", ["memkit", "dropin"])
def test_a_decorated_function_can_be_sent_by_value_and_does_nothing_there(alone, door):
    pytest.importorskip("cloudpickle")
    out, _ = alone(SENT.format(door=DOORS[door]))
    assert out.rstrip().endswith(ANSWER)


@pytest.mark.parametrize("door", DOORS)
def test_a_function_that_was_sent_measures_into_a_followed_recording(memkit_run, script, door):
    pytest.importorskip("cloudpickle")
    done = memkit_run(script(SENT.format(door=DOORS[door])), options=("-q", "--follow"))
    assert done.stdout.rstrip().endswith(ANSWER)
    hits = {line.function.name: line.hits for line in done.recording.lines}
    here = {"work": 1, "factorial": 3, "Box.open": 1} if door != "dropin" else {}
    there = {"work": 1, "factorial": 5, "Box.open": 1, "Box.size": 1, "Box.count": 1, "outer.<locals>.inner": 1}
    assert hits == {name: there[name] + here.get(name, 0) for name in there}
    files = {os.path.basename(line.function.file) for line in done.recording.lines}
    assert files == {"program.py"}


def test_functions_of_the_same_process_can_be_copied_and_pickled(capsys):
    cloudpickle = pytest.importorskip("cloudpickle")

    @memkit.profile
    def work(n):
        return n + 1

    assert copy.copy(work) is copy.deepcopy(work) is work
    again = cloudpickle.loads(cloudpickle.dumps(work))
    with memkit.record() as run:
        assert [again(1), again(2)] == [2, 3]
    assert [line.hits for line in run.recording.lines] == [2]


def test_what_a_worker_keeps_of_functions_that_are_sent_again_is_bounded(tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle")

    @memkit.profile
    def work(n):
        return n + 1

    data = cloudpickle.dumps(work)
    copies = [cloudpickle.loads(data) for _ in range(3)]
    assert len({id(each.__wrapped__.__code__) for each in copies}) == 1
    with memkit.record() as run:
        assert [each(1) for each in copies] == [2, 2, 2]
    assert [line.hits for line in run.recording.lines] == [3]


def test_a_recorded_function_is_sent_without_its_file(tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle")

    @memkit.record(tmp_path / "a.memkit", follow=True)
    def work(n):
        return n + 1

    again = cloudpickle.loads(cloudpickle.dumps(work))
    assert again(1) == 2
    assert again.recorder.path is None and again.recorder.recording.peak
    assert os.listdir(tmp_path) == []
