"""pymemtrace's tracers: its logs, names, messages and errors, and each of its faults that is mended here."""

import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

import memkit

pytest.importorskip("memkit.native.tracing.event_log", reason="the compiled modules are not built here")

from memkit.compat.pymemtrace import cPyMemTrace, cpymemtrace_decs
from memkit.compat.pymemtrace.cPyMemTrace import Profile, Trace

pytestmark = pytest.mark.usefixtures("native_only")

MIB = 1 << 20
HEAD = "HDR: %-12s %-6s  %-12s %-8s %-80s %4s %-32s %12s %12s" % (  # noqa: UP031  pymemtrace's own shape
    *("Event", "dEvent", "Clock", "What", "File", "Line", "Function", "RSS", "dRSS"),
)
ROW = re.compile(
    r"(?P<tag>FRST|NEXT|PREV|LAST): (?P<event>\d+) *\+(?P<since>\d+) *(?P<clock>\d+\.\d{6}) *(?P<what>\w+) *"
    r"(?P<file>\S+) +(?P<line>-?\d+) (?P<function>\S+) +(?P<rss>\d+) +(?P<change>-?\d+)"
)
MESSAGE = re.compile(r"MSG:  (?P<event>\d+) *\+(?P<since>\d+) *(?P<clock>\d+\.\d{6}) *# (?P<text>.*)")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Logs are written where the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(path):
    return Path(path).read_text(encoding="utf-8").splitlines()


def rows_of(path):
    """The rows of a log; every line that claims to be one has the shape of one."""
    lines = [line for line in lines_of(path) if re.match("(FRST|NEXT|PREV|LAST):", line)]
    rows = [ROW.fullmatch(line).groupdict() for line in lines]
    for line, row in zip(lines, rows):
        assert line == spelled(row)
    return rows


def spelled(row):
    """A row as pymemtrace's ``printf`` would write it."""
    texts = {name: int(row[name]) for name in ("event", "since", "line", "rss", "change")}
    values = {**row, **texts, "clock": float(row["clock"])}
    shape = (
        "%(event)-12d +%(since)-6d %(clock)-12.6f %(what)-8s %(file)-80s %(line)4d %(function)-32s %(rss)12d %(change)12d"
    )
    return f"{row['tag']}: " + shape % values


def whats(path, function):
    return [row["what"] for row in rows_of(path) if row["function"] == function]


def f():
    return abs(1)


# -- logs ----------------------------------------------------------------------------------------------------------------


def test_a_profile_logs_calls_and_returns_of_python_and_c():
    with Profile(0, None, "p.log"):
        f()
        with pytest.raises(IndexError):
            [].pop()
    assert whats("p.log", "f") == ["CALL", "RETURN"]
    assert whats("p.log", "abs") == ["C_CALL", "C_RETURN"]
    assert whats("p.log", "pop") == ["C_CALL", "C_EXCEPT"]


def test_a_trace_logs_lines_calls_returns_and_exceptions():
    def fails():
        raise KeyError

    with Trace(0, None, "t.log"):
        f()
        with pytest.raises(KeyError):
            fails()
    assert whats("t.log", "f") == ["CALL", "LINE", "RETURN"]
    assert whats("t.log", "fails") == ["CALL", "LINE", "EXCEPT", "RETURN"]
    assert whats("t.log", "abs") == []


def test_a_log_has_the_message_the_start_the_head_the_rows_and_the_end():
    with Trace(0, "hello\nworld", "t.log"):
        f()
    lines = lines_of("t.log")
    assert lines[:4] == ["hello", "world", "SOF", HEAD]
    assert [lines[4][:6], lines[-2][:6], lines[-1]] == ["FRST: ", "LAST: ", "EOF"]
    assert {line[:6] for line in lines[5:-2]} == {"NEXT: "}


def test_without_a_message_there_is_no_line_for_one():
    with Profile(0, filepath="p.log"):
        pass
    assert lines_of("p.log")[0] == "SOF"


def test_the_first_and_last_rows_are_lines_of_the_block():
    line = sys._getframe().f_lineno + 1
    with Profile(0, None, "p.log"):
        f()
    first, *_, last = rows_of("p.log")
    assert [first[key] for key in ("tag", "event", "since", "what", "line", "change")] == [
        "FRST",
        "0",
        "+0"[1:],
        "LINE",
        str(line),
        "0",
    ]
    assert [last[key] for key in ("tag", "what", "line")] == ["LAST", "LINE", str(line)]
    assert first["function"] == last["function"] == sys._getframe().f_code.co_name
    assert (first["file"], int(last["event"])) == (__file__, len(rows_of("p.log")) - 1)


def test_events_are_numbered_in_their_order():
    with Profile(0, None, "p.log"):
        f(), f()
    rows = rows_of("p.log")
    assert [int(row["event"]) for row in rows] == list(range(len(rows)))
    assert {row["since"] for row in rows[1:]} == {"1"}
    clocks = [float(row["clock"]) for row in rows]
    assert clocks == sorted(clocks)


KEEP = """
import mmap
from memkit.compat.pymemtrace.cPyMemTrace import Profile, Trace
def keep(size):
    block = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for place in range(0, size, mmap.PAGESIZE): block[place] = 1
    return block
def still(): pass
"""


def run(text):
    done = subprocess.run([sys.executable, "-W", "error", "-c", KEEP + text], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_event_is_written_where_memory_differs_by_the_trigger():
    run(f"with Profile({MIB}, None, 'p.log'):\n    for _ in range(50): still()\n    kept = keep({8 * MIB})\n")
    [row] = [row for row in rows_of("p.log") if row["tag"] == "NEXT"]
    assert (row["what"], row["function"]) == ("RETURN", "keep")
    assert int(row["change"]) == pytest.approx(8 * MIB, abs=MIB / 4)


@pytest.mark.parametrize("trigger", ["", "-1, ", f"{os.sysconf('SC_PAGESIZE')}, "])
def test_without_a_trigger_or_with_minus_one_it_is_a_page(trigger):
    run(f"with Profile({trigger}filepath='p.log'):\n    kept = [keep(mmap.PAGESIZE) for _ in range(40)]\n")
    changes = [abs(int(row["change"])) for row in rows_of("p.log") if row["tag"] == "NEXT"]
    assert len(changes) > 10
    assert min(changes) >= os.sysconf("SC_PAGESIZE")


def test_messages_are_between_the_rows_and_change_none():
    with Profile(0, None, "p.log") as log:
        f()
        log.write_message_to_log("here")
        log.write_to_log("as it is")
        f()
    lines = lines_of("p.log")
    place = next(place for place, line in enumerate(lines) if line.startswith("MSG"))
    message = MESSAGE.fullmatch(lines[place]).groupdict()
    before = ROW.fullmatch(lines[place - 1]).groupdict()
    assert lines[place] == "MSG:  {event:<12} +{since:<6} {clock:<12} # here".format(**message)
    assert (int(message["event"]), message["since"]) == (int(before["event"]) + 1, "1")
    assert lines[place + 1] == "as it is"
    assert ROW.fullmatch(lines[place + 2])["since"] == "1"


# -- names and paths -----------------------------------------------------------------------------------------------------


def test_a_log_without_a_path_gets_a_generated_name(here):
    before = datetime.now(UTC).replace(microsecond=0)
    with Profile() as first, Trace() as second:
        paths = first.log_file_path(), second.log_file_path()
    names = [os.path.basename(path) for path in paths]
    assert sorted(names) == sorted(os.listdir(here))
    assert {os.path.dirname(path) for path in paths} == {str(here)}
    ordinals = []
    for name, letter in zip(names, "PT"):
        version = sys.version.split()[0]
        form = rf"(\d{{8}}_\d{{6}})_(\d+)_{os.getpid()}_{threading.get_native_id()}_{letter}_0_PY{re.escape(version)}\.log"
        match = re.fullmatch(form, name)
        assert before <= datetime.strptime(match[1] + "+0000", "%Y%m%d_%H%M%S%z") <= datetime.now(UTC)
        ordinals.append(int(match[2]))
    assert ordinals[1] == ordinals[0] + 1


def test_the_path_is_known_while_the_log_is_written():
    log = Profile(0, None, "p.log")
    assert log.log_file_path() is None
    with log as entered:
        assert entered is log
        assert log.log_file_path() == "p.log"
    assert log.log_file_path() is None


def test_the_functions_of_the_module_use_the_innermost_log():
    for kind, tracer in (("profile", Profile), ("trace", Trace)):
        depth, path, write = (
            getattr(cPyMemTrace, f"{kind}_{name}") for name in ("wrapper_depth", "log_path", "write_message_to_log")
        )
        assert (depth(), path()) == (0, None)
        with tracer(0, None, "outer.log"), tracer(0, None, "inner.log"):
            assert (depth(), path()) == (2, "inner.log")
            write("through the module")
        assert (depth(), path()) == (0, None)
        assert [MESSAGE.fullmatch(line)["text"] for line in lines_of("inner.log") if line.startswith("MSG")] == [
            "through the module"
        ]


def test_rss_and_its_peak_are_bytes():
    assert cPyMemTrace.rss() == pytest.approx(memkit.rss(), abs=MIB)
    assert cPyMemTrace.rss_peak() >= cPyMemTrace.rss() - MIB


# -- nesting -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tracer", "word"), [(Profile, "profile"), (Trace, "trace")])
def test_the_outer_log_waits_while_the_inner_one_is_written(tracer, word):
    with tracer(0, None, "outer.log") as outer:
        f()
        with tracer(0, None, "inner.log"):
            f(), f()
            assert outer.log_file_path() == "inner.log"
            outer.write_message_to_log("to the outer")
        f()
    assert whats("outer.log", "f").count("CALL") == 2
    assert whats("inner.log", "f").count("CALL") == 2
    assert [MESSAGE.fullmatch(line)["text"] for line in lines_of("outer.log") if line.startswith("MSG")] == [
        f"Detaching this {word} file wrapper. New file:inner.log",
        "to the outer",
        f"Re-attaching this {word} file wrapper.",
    ]
    assert lines_of("outer.log")[-1] == lines_of("inner.log")[-1] == "EOF"


def test_a_profile_and_a_trace_run_side_by_side():
    with Profile(0, None, "p.log"), Trace(0, None, "t.log"):
        f()
    assert whats("p.log", "f") == ["CALL", "RETURN"]
    assert whats("t.log", "f") == ["CALL", "LINE", "RETURN"]


def test_a_log_that_is_closed_out_of_order_is_complete():
    outer, inner = Profile(0, None, "outer.log"), Profile(0, None, "inner.log")
    outer.__enter__(), inner.__enter__()
    outer.__exit__(None, None, None)
    f()
    inner.__exit__(None, None, None)
    assert whats("inner.log", "f") == ["CALL", "RETURN"]
    assert lines_of("outer.log")[-1] == lines_of("inner.log")[-1] == "EOF"
    assert sys.getprofile() is None


def test_opening_and_closing_a_log_causes_no_events_in_another():
    with Profile(0, None, "p.log") as log, Trace(0, None, "t.log"):
        log.write_message_to_log("one")
        with Trace(0, None, "inner.log"):
            pass
        cPyMemTrace.rss()
    files = {row["file"] for name in ("p.log", "t.log", "inner.log") for row in rows_of(name)}
    assert files == {__file__}


def test_a_log_can_be_written_again_but_not_twice_at_once():
    log = Profile(0, None, "p.log")
    with log, pytest.raises(RuntimeError, match=r"'p.log' is being written already"):
        log.__enter__()
    with log:
        f()
    assert whats("p.log", "f") == ["CALL", "RETURN"]


# -- decorators ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decorator", "expected"), [("profile", ["CALL", "RETURN"]), ("trace", ["CALL", "LINE", "RETURN"])])
def test_a_decorated_function_is_logged_call_by_call(decorator, expected):
    @getattr(cpymemtrace_decs, decorator)(0, message="of g", filepath="g.log")
    def g(number, *, more):
        """What g does."""
        return number + more

    assert (g.__name__, g.__doc__) == ("g", "What g does.")
    assert g(1, more=2) == 3
    assert lines_of("g.log")[0] == "of g"
    assert whats("g.log", "g") == expected


def test_an_exception_propagates_and_its_log_is_complete():
    with pytest.raises(KeyError, match="mine"), Profile(0, None, "p.log"):
        raise KeyError("mine")
    assert lines_of("p.log")[-1] == "EOF"


# -- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracer", [Profile, Trace])
@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        ((1, "m", "f", 4), {}, "function takes at most 3 arguments (4 given)"),
        ((), {"foo": 1}, "this function got an unexpected keyword argument 'foo'"),
        ((1,), {"d_rss_trigger": 1}, "argument 'd_rss_trigger' given by name and by position"),
        (("x",), {}, "'str' object cannot be interpreted as an integer"),
        ((1, 2), {}, "argument 2 must be str, not int"),
        ((1, "m", 3), {}, "expected str, bytes or os.PathLike object, not int"),
    ],
)
def test_wrong_arguments_are_type_errors(tracer, given, named, said):
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        tracer(*given, **named)


@pytest.mark.parametrize(("tracer", "word"), [(Profile, "profile"), (Trace, "trace")])
@pytest.mark.parametrize("path", ["no/where.log", "/dev/full"])
def test_a_path_that_cannot_be_written_is_reported_and_nothing_is_traced(tracer, word, path, capsys):
    with (
        pytest.raises(RuntimeError, match=rf"py_attach_{word}_function\(\): Could not attach {word} function."),
        tracer(0, None, path),
    ):
        pass
    assert capsys.readouterr().err == f"Can not open writable file for cpyTraceFileWrapper at {path}\n"
    assert (sys.getprofile(), sys.gettrace(), cPyMemTrace.profile_wrapper_depth()) == (None, None, 0)


def test_after_its_block_a_log_is_closed():
    with Profile(0, None, "p.log") as log:
        pass
    for write in (log.write_to_log, log.write_message_to_log):
        with pytest.raises(OSError, match=r"^Log file is closed\.$"):
            write("late")


def test_a_message_is_text():
    with Profile(0, None, "p.log") as log:
        for name in ("write_to_log", "write_message_to_log"):
            with pytest.raises(ValueError, match=rf"{name}\(\) requires a single string, not type int"):
                getattr(log, name)(3)


@pytest.mark.parametrize("kind", ["profile", "trace"])
def test_the_functions_of_the_module_refuse_to_write_where_there_is_no_log(kind):
    with pytest.raises(ValueError, match=f"Trying to write to a {kind} log file when no reference tracer is active."):
        getattr(cPyMemTrace, f"{kind}_write_message_to_log")("x")


# -- what was wrong ------------------------------------------------------------------------------------------------------


def test_mended_before_its_block_a_log_is_closed_and_nothing_crashes():
    for tracer in (Profile, Trace):
        for name in ("write_to_log", "write_message_to_log"):
            with pytest.raises(OSError, match=r"^Log file is closed\.$"):
                getattr(tracer(), name)("early")
        assert tracer().__exit__(None, None, None) is False


def test_mended_prev_is_the_event_just_before():
    run(f"with Profile({MIB}, None, 'p.log'):\n    for _ in range(5): still()\n    kept = keep({8 * MIB})\n    still()\n")
    rows = rows_of("p.log")
    place = next(place for place, row in enumerate(rows) if row["tag"] == "NEXT")
    before, after = rows[place - 1], rows[place]
    assert before["tag"] == "PREV"
    assert int(before["event"]) == int(after["event"]) - 1
    assert (before["what"], before["function"], after["what"]) == ("CALL", "keep", "RETURN")
    assert abs(int(before["change"])) < MIB
    assert float(before["clock"]) <= float(after["clock"])


def test_mended_prev_after_a_message_is_complete():
    text = f"with Profile({MIB}, None, 'p.log') as log:\n    log.write_message_to_log('here')\n    still()\n"
    run(text + f"    kept = keep({8 * MIB})\n")
    assert [row["tag"] for row in rows_of("p.log")][:3] == ["FRST", "PREV", "NEXT"]


def test_mended_the_first_change_is_nothing_and_changes_add_up():
    run(f"with Profile(0, None, 'p.log'):\n    kept = keep({8 * MIB})\n")
    rows = rows_of("p.log")
    assert rows[0]["change"] == "0"
    assert sum(int(row["change"]) for row in rows) == int(rows[-1]["rss"]) - int(rows[0]["rss"])


def test_mended_names_with_blanks_break_no_column():
    def g():
        return 1

    g.__code__ = g.__code__.replace(co_filename="/src/my code\\x\t.py", co_name="two words")
    with Profile(0, None, "p.log"):
        g()
    [row, _] = [row for row in rows_of("p.log") if row["file"].startswith("/src")]
    assert (row["file"], row["function"]) == (r"/src/my\x20code\x5cx\x09.py", r"two\x20words")
    assert ("/src/my code\\x\t.py", "two words") in [(row.file, row.function) for row in memkit.read_log("p.log")]


@pytest.mark.parametrize("text", ["ünï中😀", "\ud800", "\udcff", "100 %s %n"])
def test_mended_any_text_survives(text):
    with Profile(0, text, "p.log") as log:
        log.write_to_log(text)
        log.write_message_to_log(text)
    content = Path("p.log").read_text(encoding="utf-8", errors="surrogateescape")
    assert content.count(text if text != "\ud800" else "\\ud800") == 3


def test_mended_a_message_of_several_lines_is_several_messages():
    with Profile(0, None, "p.log") as log:
        log.write_message_to_log("one\ntwo")
        log.write_message_to_log("")
    assert [MESSAGE.fullmatch(line)["text"] for line in lines_of("p.log") if line.startswith("MSG")] == ["one", "two", ""]


def test_mended_every_thread_has_logs_of_its_own():
    begun, go = threading.Event(), threading.Event()

    def other():
        with Profile(0, None, "other.log"):
            begun.set(), go.wait()
            inner()

    def inner():
        return cPyMemTrace.profile_wrapper_depth(), cPyMemTrace.profile_log_path()

    thread = threading.Thread(target=other)
    thread.start(), begun.wait()
    with Profile(0, None, "mine.log"):
        go.set(), thread.join()
        f()
        assert inner() == (1, "mine.log")
    assert whats("other.log", "inner") == whats("mine.log", "inner") == ["CALL", "RETURN"]
    assert (whats("other.log", "f"), whats("mine.log", "f")) == ([], ["CALL", "RETURN"])


@pytest.mark.parametrize(("tracer", "word"), [(Profile, "profile"), (Trace, "trace")])
def test_mended_another_tool_gets_its_events_and_is_restored(tracer, word):
    events = []

    def seen(frame, event, argument):
        events.append((event, frame.f_code.co_name))
        return seen

    put, get = getattr(sys, f"set{word}"), getattr(sys, f"get{word}")
    before = get()
    put(seen)
    try:
        with tracer(0, None, "a.log"):
            f()
        assert get() is seen
    finally:
        put(before)
    assert ("call", "f") in events


def test_mended_lost_rows_are_reported_when_the_block_ends():
    code = """
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
import memkit
try:
    with Profile(0, None, "p.log"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        total = sum(map(abs, range(2000)))
        for _ in range(1000): still()
except memkit.JournalError as error:
    print(total, "rows did not reach 'p.log'" in str(error))
"""
    assert run(code) == "1999000 True\n"


def test_mended_a_forked_child_writes_nothing():
    code = """
import os
with Profile(0, None, "p.log") as log:
    pid = os.fork()
    if not pid: keep(8192), log.write_message_to_log("from the child")
    else: os.waitpid(pid, 0)
"""
    run(code)
    assert whats("p.log", "keep") == []
    assert [line[:4] for line in lines_of("p.log")[-2:]] == ["LAST", "EOF"]
    assert [line for line in lines_of("p.log") if line.startswith("MSG")] == []
