"""memory_profiler's names: what they measure, and that they are the shape that its users and subclasses know."""

import asyncio
import inspect
import io
import logging
import re
import subprocess
import sys
import threading
import warnings

import pytest

import memkit
from memkit.base.errors import UsageError
from memkit.compat import memory_profiler
from memkit.compat.memory_profiler import CodeMap, LineProfiler, LogFile, TimeStamper, choose_backend, profile, show_results

CLOSE = 0.6  # MiB


@pytest.fixture(params=["compiled", "python"])
def profiler(request):
    """A profiler on memkit's compiled tracer, where there is one, and one on the tracer in Python."""
    made = LineProfiler(include_children=request.param == "python")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_children():
    """The Python tracer is chosen by asking for children: there must be none to count."""
    import psutil

    if psutil.Process().children():
        pytest.skip("this process has children")


def rows(profiler, function):
    """What was measured, by lines counted from the first of the function's text."""
    code = inspect.unwrap(function).__code__
    return {line - code.co_firstlineno: row for line, row in profiler.code_map[code].items()}


def near(*growths):
    return [pytest.approx(growth, abs=CLOSE) for growth in growths]


def growths(measured):
    return [growth for growth, _, _ in list(measured.values())[1:]]


def text_of(profiler, precision=1):
    stream = io.StringIO()
    show_results(profiler, stream, precision)
    return stream.getvalue()


# -- increments --------------------------------------------------------------------------------------------------------


def test_increments_are_signed_and_memory_is_the_latest(profiler, touched):
    """Memory was the highest ever seen, so that increments went wrong after each fall."""

    @profiler
    def work():
        block = touched(40)
        block.close()
        block = touched(20)
        return block

    kept = work()
    found = rows(profiler, work)
    assert list(found) == [0, 2, 3, 4, 5]
    assert growths(found) == near(40, -40, 20, 0)
    entry = found[0]
    assert entry[0] == entry[1] and entry[2] == 1
    assert [memory - entry[1] for _, memory, _ in found.values()] == near(0, 40, 0, 20, 20)
    kept.close()


def test_a_loop_adds_up_to_what_it_kept(profiler, touched):
    """Loops had large negative increments."""

    @profiler
    def work():
        kept = []
        for _ in range(4):
            block = touched(20)
            kept.append(touched(5))
            block.close()
        return kept

    kept = work()
    found = rows(profiler, work)
    assert found[4][0] == pytest.approx(80, abs=CLOSE)
    assert found[5][0] == pytest.approx(20, abs=CLOSE)
    assert found[6][0] == pytest.approx(-80, abs=CLOSE)
    assert [count for _, _, count in found.values()] == [1, 1, 5, 4, 4, 4, 1]
    for block in kept:
        block.close()


def test_recursion_counts_each_byte_once(profiler, touched):
    """Recursion had the whole memory, and negative increments."""

    @profiler
    def work(depth):
        if depth == 0:
            return []
        block = touched(10)
        return [block, *work(depth - 1)]

    kept = work(4)
    found = rows(profiler, work)
    assert found[4][0] == pytest.approx(40, abs=CLOSE)
    assert sum(growths(found)) == pytest.approx(40, abs=CLOSE)
    assert found[0][2] == 5 and found[4][2] == 4
    for block in kept:
        block.close()


def test_a_profiled_call_in_a_profiled_function_counts_its_growth(profiler, touched):
    """The line of a nested profiled call had the memory of the whole process."""

    @profiler
    def inner():
        return touched(10)

    @profiler
    def outer():
        first = touched(20)
        second = inner()
        return first, second

    kept = outer()
    assert growths(rows(profiler, outer)) == near(20, 10, 0)
    assert growths(rows(profiler, inner)) == near(10)
    for block in kept:
        block.close()


def test_inner_functions_share_the_table_and_count_each_byte_once(profiler, touched):
    @profiler
    def work():
        def inner(size):
            return touched(size)

        grow = lambda size: touched(size)  # noqa: E731
        return inner(10), grow(20)

    kept = work()
    found = rows(profiler, work)
    assert found[3][0] == pytest.approx(10, abs=CLOSE)
    assert found[5][0] == pytest.approx(20, abs=CLOSE)
    assert found[6][0] == pytest.approx(0, abs=CLOSE)
    assert found[5][2] == 1  # not once more for each call of the lambda
    for block in kept:
        block.close()


def test_the_first_row_has_all_memory_at_entry(profiler, touched):
    @profiler
    def work():
        return None

    before = memkit.rss() / 2**20
    work()
    entry = rows(profiler, work)[0]
    assert entry == (pytest.approx(before, abs=2), entry[0], 1)
    with touched(30):
        work()
        increment, memory, count = rows(profiler, work)[0]
    assert (increment, count) == (entry[0], 2)
    assert memory == pytest.approx(entry[1] + 30, abs=CLOSE + 1)


def test_lines_are_in_the_order_of_their_first_execution(profiler):
    @profiler
    def work():
        def last():
            return 1

        for number in range(2):
            if number == 0:
                continue
            number += 1
        return last()

    work()
    assert list(rows(profiler, work)) == [0, 2, 5, 6, 7, 8, 9, 3]


def test_a_function_that_raises_has_its_table(profiler, touched):
    @profiler
    def work(kept):
        kept.append(touched(20))
        raise KeyError("gone")

    kept = []
    with pytest.raises(KeyError):
        work(kept)
    assert growths(rows(profiler, work)) == near(20, 0)
    kept[0].close()


def test_all_threads_are_measured(profiler):
    """Only the thread that switched measuring on was."""

    @profiler
    def work():
        return 1

    ready = threading.Barrier(3)

    def run():
        ready.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(profiler, work)[2][2] == 3


def test_generators_are_measured_and_not_charged_while_suspended(profiler, touched):
    """Generators had no table."""

    @profiler
    def work():
        first = touched(10)
        yield first
        second = touched(20)
        yield second

    kept = []
    for block in work():
        kept += [block, touched(30)]
    found = rows(profiler, work)
    assert growths(found) == near(10, 0, 20, 0)
    assert found[0][2] == 1
    for block in kept:
        block.close()


def test_coroutines_stay_coroutine_functions_and_are_measured(profiler, touched):
    """asyncio.run refused what the decorator made of a coroutine function."""

    @profiler
    async def work():
        block = touched(10)
        await asyncio.sleep(0)
        return block

    assert inspect.iscoroutinefunction(work)
    kept = asyncio.run(work())
    assert growths(rows(profiler, work)) == near(10, 0, 0)
    kept.close()


def test_asynchronous_generators_are_measured(profiler, touched):
    @profiler
    async def work():
        block = touched(10)
        yield block

    async def first():
        return [block async for block in work()]

    assert inspect.isasyncgenfunction(work)
    (kept,) = asyncio.run(first())
    assert growths(rows(profiler, work)) == near(10, 0)
    kept.close()


def test_another_trace_function_gets_its_events_and_is_restored(profiler):
    seen = []

    def theirs(frame, event, argument):
        if frame.f_code.co_name == "work":
            seen.append(event)
        return theirs

    @profiler
    def work():
        return 1

    before = sys.gettrace()
    sys.settrace(theirs)
    try:
        work()
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is theirs
    assert seen == ["call", "line", "return"]


# -- tracemalloc -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 1000, 10_000, 100_000, 10**6, 10**7, 10**8])
def test_the_increment_of_a_bytearray_under_tracemalloc(size):
    """The backend measured what a source file had allocated in all, by snapshots of everything."""
    profiler = LineProfiler(backend="tracemalloc")

    @profiler
    def work(count):
        block = bytearray(count)
        return block

    kept = work(size)
    increment, _, count = rows(profiler, work)[2]
    assert increment == pytest.approx(sys.getsizeof(kept) / 2**20, abs=1e-4)
    assert rows(profiler, work)[3][0] == pytest.approx(0, abs=1e-4)
    assert count == 1
    _stop_tracemalloc()


def test_a_thousand_lines_under_tracemalloc_do_not_drift():
    profiler = LineProfiler(backend="tracemalloc")

    @profiler
    def work():
        total = 0
        for number in (1, 2, 3, 4) * 250:
            total = number
        return total

    work()
    assert growths(rows(profiler, work)) == [pytest.approx(0, abs=1e-3)] * 4
    _stop_tracemalloc()


def _stop_tracemalloc():
    import tracemalloc

    tracemalloc.stop()


@pytest.mark.parametrize("backend", ["psutil_pss", "psutil_uss", "posix"])
def test_each_backend_measures_lines(backend, touched):
    if choose_backend(backend) != backend:
        pytest.skip(f"{backend} is not to be had here")
    found = []
    for _ in range(3):  # what this process shares with another becomes its own when that one ends: the median leaves it out
        profiler = LineProfiler(backend=backend)

        @profiler
        def work():
            return touched(20)

        kept = work()
        profiler.close()
        found.append(rows(profiler, work)[2][0])
        kept.close()
    assert sorted(found)[1] == pytest.approx(20, abs=CLOSE + 1)


# -- LineProfiler ------------------------------------------------------------------------------------------------------


def test_it_decorates_with_and_without_parentheses_and_keeps_metadata():
    profiler = LineProfiler()

    def work(a, b=2):
        """Work."""

    for made in (profiler(work), profiler()(work), profiler(precision=4)(work)):
        assert (made.__name__, made.__doc__, inspect.signature(made)) == ("work", "Work.", inspect.signature(work))


def test_methods_of_every_kind_are_measured():
    """A decorator above a classmethod failed when it was called."""
    profiler = LineProfiler()

    class Thing:
        @profiler
        @classmethod
        def of_class(cls):
            return cls

        @profiler
        @staticmethod
        def of_nobody():
            return 1

        @profiler
        @property
        def of_thing(self):
            return 2

    assert (Thing.of_class(), Thing.of_nobody(), Thing().of_thing) == (Thing, 1, 2)
    assert sum(bool(lines) for lines in profiler.code_map.values()) == 3


def test_counts_nest_and_with_is_the_same():
    profiler = LineProfiler()

    def work():
        return 1

    profiler.add_function(work)
    with profiler as nothing:
        profiler.enable_by_count()
        profiler.disable_by_count()
        assert profiler.enable_count == 1
        work()
    work()
    assert nothing is None and profiler.enable_count == 0
    assert rows(profiler, work)[1][2] == 1


def test_runctx_runs_a_text():
    profiler = LineProfiler()

    def work():
        return 1

    profiler.add_function(work)
    space = {"work": work}
    assert profiler.runctx("result = work()", space, space) is profiler
    assert space["result"] == 1 and rows(profiler, work)[1][2] == 1


def test_a_function_that_is_added_later_is_measured():
    profiler = LineProfiler()

    def first():
        return second()

    def second():
        return 2

    profiler.add_function(first)
    with profiler:
        first()
    profiler.add_function(second)
    with profiler:
        first()
    assert rows(profiler, first)[1][2] == 2 and rows(profiler, second)[1][2] == 1


@pytest.mark.parametrize("what", [len, int])
def test_a_target_without_lines_is_warned_about(what):
    with pytest.warns(UserWarning, match="Could not extract a code object for the object"):
        LineProfiler().add_function(what)


def test_more_profilers_than_monitoring_tool_ids_still_measure():
    profilers = [LineProfiler() for _ in range(10)]

    def work():
        return 1

    for profiler in profilers:
        profiler.add_function(work)
        profiler.enable_by_count()
    work()
    for profiler in profilers:
        profiler.disable_by_count()
        profiler.close()
    assert [rows(profiler, work)[1][2] for profiler in profilers] == [1] * 10


IDLE = """
import json, sys
from memkit.compat.memory_profiler import LineProfiler
def taken():
    return [number for number in range(6) if sys.monitoring.get_tool(number)]
def make():
    def f():
        return 1
    return f
profilers = [LineProfiler() for _ in range(7)]
decorated = [profiler(make()) for profiler in profilers]
for _ in range(2):
    for each in decorated:
        each()
found = [taken()]
with profilers[0], profilers[1]:
    decorated[2]()
found.append(taken())
for number in (3, 4):
    if number not in taken():
        sys.monitoring.use_tool_id(number, "another")
decorated[3]()
decorated[4]()
found.append(taken())
hits = [[row[2] for row in lines.values()] for each in profilers for lines in each.code_map.values()]
print(json.dumps([found, hits]))
"""


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="tools have numbers from Python 3.12 on")
def test_idle_profilers_leave_the_interpreter_to_other_tools(python):
    """Six of them had all its numbers, and cProfile none."""
    (many, after_nesting, beside_others), hits = python(IDLE)
    assert [len(many), len(after_nesting)] == [1, 1] or [many, after_nesting] == [[], []]
    assert {*many, *after_nesting, *beside_others} <= {3, 4}
    assert hits == [[3, 3]] * 5 + [[2, 2]] * 2


# -- subclasses, as PySpark has them -----------------------------------------------------------------------------------


class MapOfCalls(CodeMap):
    """Keeps only measured lines, and takes the source's place from whoever adds."""

    def add(self, code, toplevel_code=None, *, sub_lines=None, start_line=None):
        if code in self:
            return
        if toplevel_code is None:
            toplevel_code = code
            self._toplevel.append((code.co_filename, code))
            self[code] = {}
        else:
            self[code] = self[toplevel_code]
        for constant in filter(inspect.iscode, code.co_consts):
            self.add(constant, toplevel_code=toplevel_code)

    def items(self):
        for filename, code in self._toplevel:
            measured = self[code]
            if measured:
                yield filename, ((line, measured[line]) for line in measured)


class ProfilerOfCalls(LineProfiler):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.code_map = MapOfCalls(kw.get("include_children", False), kw.get("backend", "psutil"))

    def __call__(self, func=None, precision=1, *, sub_lines=None, start_line=None):
        self.add_function(func, sub_lines=sub_lines, start_line=start_line)
        made = self.wrap_function(func)
        made.__module__, made.__name__, made.__doc__ = func.__module__, func.__name__, func.__doc__
        made.__dict__.update(getattr(func, "__dict__", {}))
        return made

    def add_function(self, func, *, sub_lines=None, start_line=None):
        self.code_map.add(func.__code__, sub_lines=sub_lines, start_line=start_line)


def test_a_profiler_with_a_map_of_its_own_fills_it_each_time():
    def work(count):
        numbers = [number for number in range(count)]
        return sum(number for number in numbers)

    for _ in range(2):
        profiler = ProfilerOfCalls()
        made = profiler(work, sub_lines=["def"], start_line=1)
        assert made(10) == 45
        ((filename, lines),) = profiler.code_map.items()
        first = work.__code__.co_firstlineno
        found = dict(lines)
        assert filename == __file__
        assert list(found) == [first, first + 1, first + 2]
        assert all(len(row) == 3 and isinstance(row[2], int) for row in found.values())


def test_a_map_can_be_filled_by_hand():
    def work():
        return 1

    code = work.__code__
    code_map = CodeMap(False, "psutil")
    code_map.add(code)
    first = code.co_firstlineno
    code_map.trace(code, first, None)
    code_map.trace(code, first + 1, first)
    increment, memory, count = code_map[code][first]
    assert increment == memory and count == 1
    assert code_map[code][first + 1][0] == pytest.approx(0, abs=2)
    ((filename, lines),) = code_map.items()
    assert filename == __file__ and [line for line, _ in lines] == [first, first + 1]
    assert [(name, source, list(lines)) for name, source, lines in code_map._toplevel] == [
        (__file__, code, [first, first + 1])
    ]


def test_code_without_source_is_refused_with_memory_profilers_message(capsys):
    code_map = CodeMap(False, "psutil")
    code_map.add(compile("1", "<ipython-input-1>", "exec"))
    assert not code_map
    assert capsys.readouterr().out == (
        "ERROR: Could not find file <ipython-input-1>\n"
        "NOTE: %mprun can only be used on functions defined in physical files, and not in the IPython environment.\n"
    )


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made_up_map(tmp_path):
    """A profiler with what was measured by hand."""
    file = tmp_path / "ex.py"
    file.write_text("@profile\ndef f():\n    a = 1\n    return a\n")
    space = {"profile": lambda function: function}
    exec(compile(file.read_text(), str(file), "exec"), space)
    code = space["f"].__code__
    profiler = LineProfiler()
    profiler.code_map.add(code)
    profiler.code_map[code].update({1: (28.207, 28.207, 1), 3: (-7.6331, 35.84, 1000), 4: (0.0, 135.84, 1)})
    return profiler, file


def test_the_table_is_exactly_that_of_memory_profiler(made_up_map):
    profiler, file = made_up_map
    assert text_of(profiler, 3) == (
        f"Filename: {file}\n"
        "\n"
        "Line #    Mem usage    Increment  Occurrences   Line Contents\n"
        "=============================================================\n"
        "     1   28.207 MiB   28.207 MiB           1   @profile\n"
        "     2                                         def f():\n"
        "     3   35.840 MiB   -7.633 MiB        1000       a = 1\n"
        "     4  135.840 MiB    0.000 MiB           1       return a\n"
        "\n"
        "\n"
    )
    assert "     3     35.8 MiB     -7.6 MiB        1000       a = 1\n" in text_of(profiler)


def test_a_file_that_shrank_does_not_end_the_table(made_up_map):
    """A source that was shorter than its code raised IndexError."""
    profiler, file = made_up_map
    file.write_text("@profile\n")
    __import__("linecache").checkcache()
    assert text_of(profiler, 3).splitlines()[-3] == "     4  135.840 MiB    0.000 MiB           1   "


def test_a_log_file_of_increments_has_table_heads_and_no_rules(caplog):
    caplog.set_level(logging.INFO)
    profiler = LineProfiler()
    profiler(lambda: None)()
    show_results(profiler, LogFile("grown", reportIncrementFlag=True))
    assert [record.getMessage()[:9] for record in caplog.records][:2] == ["Filename:", "Line #   "]
    assert not any("====" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("decorate", [lambda wrong: LineProfiler()(wrong), lambda wrong: profile(wrong)])
def test_the_warning_for_an_unmeasurable_target_names_the_users_file(decorate):
    with pytest.warns(UserWarning, match="Could not extract a code object") as warned:
        decorate(type("Empty", (), {}))
    assert [each.filename for each in warned] == [__file__]


@pytest.mark.parametrize(
    "settings, said",
    [({"precision": "x"}, "precision='x': it is a number of decimals"), ({"stream": 3}, "stream=3 cannot be written to")],
)
def test_a_decorator_refuses_wrong_arguments_at_once(settings, said):
    with pytest.raises(UsageError, match=said):
        profile(**settings)


def test_a_function_that_never_ran_has_no_table():
    profiler = LineProfiler()
    profiler(lambda: None)
    assert text_of(profiler) == ""


def test_a_log_file_is_a_stream_over_logging(caplog):
    caplog.set_level(logging.INFO)
    everything, grown = LogFile("all"), LogFile("grown", reportIncrementFlag=True)
    for stream in (everything, grown):
        for line in (
            "Filename: ex.py\n",
            "     3     35.8 MiB      7.6 MiB           1       a\n",
            "     4     35.8 MiB      0.0 MiB           1       b\n",
            "\n",
        ):
            stream.write(line)
        stream.flush()
    by_name = [(record.name, record.getMessage()[:9]) for record in caplog.records]
    assert [text for name, text in by_name if name == "all"] == ["Filename:", "     3   ", "     4   ", "\n"]
    assert [text for name, text in by_name if name == "grown"] == ["Filename:", "     3   "]


# -- the decorator -----------------------------------------------------------------------------------------------------


def test_the_decorator_prints_a_table_after_each_call(capsys):
    @profile
    def work():
        return 1

    work()
    work()
    assert capsys.readouterr().out.count("Filename: ") == 2


def test_the_decorator_has_a_stream_precision_and_children():
    stream = io.StringIO()

    @profile(stream=stream, precision=4, include_children=True)
    def work():
        return 1

    work()
    assert re.search(r" -?0\.\d{4} MiB           1           return 1", stream.getvalue())


def test_psutil_is_loaded_before_anything_is_measured(python):
    """psutil came within the first line, and was taken for the function's."""
    assert python("""
import io, json
from memkit.compat.memory_profiler import profile
stream = io.StringIO()
@profile(stream=stream, precision=3, include_children=True)
def f():
    kept = 1
    return 1
f()
rows = [line.split() for line in stream.getvalue().splitlines() if " MiB " in line]
print(json.dumps(float(rows[-1][1]) - float(rows[0][1]) < 0.3))
""")


def test_the_table_is_printed_when_a_function_raises():
    """Nothing was printed after an exception."""
    stream = io.StringIO()

    @profile(stream=stream)
    def work():
        raise KeyError

    with pytest.raises(KeyError):
        work()
    assert "raise KeyError" in stream.getvalue()


def test_the_table_of_a_generator_is_printed_when_it_is_exhausted():
    stream = io.StringIO()

    @profile(stream=stream)
    def work():
        yield 1

    values = work()
    assert next(values) == 1 and stream.getvalue() == ""
    assert list(values) == []
    assert stream.getvalue().count("yield 1") == 1


def test_a_recursion_has_one_table():
    stream = io.StringIO()

    @profile(stream=stream)
    def work(depth):
        if depth:
            work(depth - 1)

    work(3)
    assert stream.getvalue().count("Filename") == 1
    assert "           4           if depth:" in stream.getvalue()


def test_overlapping_coroutines_share_a_table():
    stream = io.StringIO()

    @profile(stream=stream)
    async def work():
        await asyncio.sleep(0)

    async def both():
        await asyncio.gather(work(), work())

    asyncio.run(both())
    assert stream.getvalue().count("Filename") == 1


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("MEMKIT_PROFILE", "0")

    def work():
        return 1

    assert profile(work) is work and profile(stream=None)(work) is work


def test_decorated_functions_are_pickled_by_name():
    import pickle

    assert pickle.loads(pickle.dumps(module_level)) is module_level


@profile
def module_level():
    return 1


# -- TimeStamper -------------------------------------------------------------------------------------------------------


def test_calls_are_recorded_with_their_depth_through_exceptions():
    """An exception let the depth of all later calls drift."""
    stamps = TimeStamper("psutil")

    @stamps
    def inner():
        raise KeyError

    @stamps
    def outer():
        inner()

    for _ in range(2):
        with pytest.raises(KeyError):
            outer()
    assert stamps.current_stack_level == -1
    outer_function, inner_function = inspect.unwrap(outer), inspect.unwrap(inner)
    assert stamps.stack == {inner_function: [1, 1], outer_function: [0, 0]}
    assert all(len(call) == 2 and call[0][1] <= call[1][1] for calls in stamps.functions.values() for call in calls)


def test_coroutines_and_generators_last_until_they_end():
    """Only the creation of a coroutine was timed."""
    stamps = TimeStamper("psutil")

    @stamps
    async def work():
        await asyncio.sleep(0.02)

    @stamps
    def values():
        yield 1

    asyncio.run(work())
    going_on = values()
    next(going_on)
    (((_, began), (_, ended)),) = stamps.functions[inspect.unwrap(work)]
    assert ended - began >= 0.01
    assert len(stamps.functions[inspect.unwrap(values)][0]) == 1
    going_on.close()
    assert len(stamps.functions[inspect.unwrap(values)][0]) == 2


def test_blocks_are_written_as_functions_without_a_module_even_if_open():
    """A block that was open still raised IndexError."""
    stamps, stream = TimeStamper("psutil"), io.StringIO()
    with stamps.timestamp("my block"):
        stamps.show_results(stream)
    words = stream.getvalue().split()
    assert words[:2] == ["FUNC", ".my_block"] and words[-1] == "0" and len(words) == 7
    with pytest.raises(ValueError, match="must be callable"):
        stamps(3)


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_backend_is_chosen_as_by_memory_profiler(monkeypatch):
    assert choose_backend() == "psutil" and choose_backend("tracemalloc") == "tracemalloc"
    with pytest.raises(KeyError):
        choose_backend("guess")
    monkeypatch.setattr(memory_profiler.backends, "_works", lambda name: name != "psutil_pss")
    with pytest.warns(UserWarning, match="psutil_pss can not be used, psutil used instead"):
        assert choose_backend("psutil_pss") == "psutil"


def test_get_memory_and_get_child_memory_return_single_readings():
    memory, when = memory_profiler._get_memory(-1, "psutil", timestamps=True)
    assert memory > 1 and when > 0
    assert list(memory_profiler._get_child_memory(-1)) == []


def test_memory_usage_is_memkits():
    assert memory_profiler.memory_usage is memkit.memory_usage
    assert memory_profiler.psutil.__name__ == "psutil" and memory_profiler.__version__ == "0.61.0"


def test_importing_it_loads_no_distutils_and_no_heavy_module():
    """distutils is gone from Python 3.12 on."""
    text = (
        "import sys; before = set(sys.modules); from memkit.compat.memory_profiler import profile, memory_usage;"
        "print({'distutils', 'IPython', 'psutil', 'multiprocessing', 'pdb', 'tracemalloc'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_measuring_causes_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LineProfiler()(lambda: None)()


def test_a_trace_function_gets_its_events_under_max_mem_and_is_restored():
    profiler, seen = LineProfiler(max_mem=1 << 40), []

    def tracer(frame, event, argument):
        seen.append((frame.f_code.co_name, event))
        return tracer

    @profiler
    def work():
        kept = 1
        return kept

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work()
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is tracer
    assert [event for name, event in seen if name == "work"] == ["call", "line", "line", "return"]
