"""pymemtrace's reference tracing: what begins and ends, by type, and each of its faults that is mended here."""

import gc
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

import memkit

pytest.importorskip("memkit.native.tracing.references", reason="the compiled modules are not built here")

from memkit.compat.pymemtrace import cPyMemTrace, cpymemtrace_decs
from memkit.compat.pymemtrace.cPyMemTrace import ReferenceTracing, ReferenceTracingSimple

pytestmark = pytest.mark.usefixtures("native_only")
told = pytest.mark.skipif(sys.version_info < (3, 13), reason="Python tells of references from 3.13 on")

HEAD = "HDR: {:>12} {:>16} {:>16} {:<32} {:<80} {:>4} {:<40} {:>16} {:>16}".format(
    *("Clock", "Address", "LiveCnt", "Type", "File", "Line", "Function", "RSS", "dRSS")
)
ROW = re.compile(
    r"(?P<tag>NEW|DEL): +(?P<clock>\d+\.\d{6}) +(?P<address>0x[0-9a-f]+) +(?P<live>-?\d+) (?P<type>\S+) +"
    r"(?P<file>\S+) +(?P<line>\d+) (?P<function>\S+) +(?P<rss>\d+) +(?P<change>-?\d+)"
)


class A:
    pass


class B:
    pass


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Logs are written where the test runs, and no earlier garbage ends in them."""
    monkeypatch.chdir(tmp_path)
    gc.collect()
    return tmp_path


def lines_of(path):
    return Path(path).read_text(encoding="utf-8").splitlines()


def rows_of(path, *types):
    """The rows of some types; every line that claims to be a row has the shape of one."""
    rows = [ROW.fullmatch(line).groupdict() for line in lines_of(path) if line.startswith(("NEW", "DEL"))]
    for line, row in zip([line for line in lines_of(path) if line.startswith(("NEW", "DEL"))], rows):
        values = (
            float(row["clock"]),
            int(row["address"], 16),
            *(int(row[name]) for name in ("live", "line", "rss", "change")),
        )
        clock, address, live, number, rss, change = values
        assert line == (
            f"{row['tag']}: {clock:12.6f} {hex(address):>16} {live:16d} {row['type']:<32} {row['file']:<80} {number:4d} "
            f"{row['function']:<40} {rss:16d} {change:16d}"
        )
    return [row for row in rows if row["type"] in types] if types else rows


def messages_of(path):
    return [match[1] for line in lines_of(path) if (match := re.fullmatch(r"MSG: +\d+\.\d{6} # (.*)", line))]


def lives(path, *types):
    return [(row["tag"], row["type"], int(row["live"])) for row in rows_of(path, *types)]


@told
def test_a_log_has_a_row_for_each_object_created_or_destroyed():
    with ReferenceTracing("intro", "a.log") as log:
        line = sys._getframe().f_lineno + 1
        first, second, other = [A()], A(), B()
        address = id(first[0])
        first.clear()  # Python 3.13.0 does not tell of what ends by the del of a variable
        assert (log.count_new(), log.count_del()) == (3, 1)
        assert log.live_object_counts() == {"A": 1, "B": 1}
    assert lines_of("a.log")[:3] == ["intro", "SOF", HEAD]
    assert lines_of("a.log")[-1] == "EOF"
    assert lives("a.log", "A", "B")[:4] == [("NEW", "A", 1), ("NEW", "A", 2), ("NEW", "B", 1), ("DEL", "A", 1)]
    first_row = rows_of("a.log", "A")[0]
    assert (first_row["file"], first_row["line"]) == (__file__, str(line))
    assert first_row["function"] == sys._getframe().f_code.co_name
    assert int(first_row["address"], 16) == address
    assert second is not other


@told
def test_builtin_types_are_left_out_by_default():
    with ReferenceTracing(None, "a.log"):
        kept = [A(), [1], {1: 2}, {3}]
    assert {row["type"] for row in rows_of("a.log")} == {"A"}
    with ReferenceTracing(None, "b.log", True):
        kept = [A(), [1], {1: 2}, {3}]
    assert {"A", "list", "dict", "set"} <= {row["type"] for row in rows_of("b.log")}
    assert kept


@told
@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"include_tp_names": ["A"]}, {"A"}),
        ({"exclude_tp_names": ["A"]}, {"B"}),
        ({"include_tp_names": ["A", "B"], "exclude_tp_names": ("B",)}, {"A"}),
        ({"include_tp_names": ["set"]}, {"set"}),
        ({"include_tp_names": []}, set()),
    ],
)
def test_types_are_chosen_by_name_and_exclusion_wins(named, expected):
    with ReferenceTracing(filepath="a.log", **named):
        kept = [A(), B(), {1}]
    assert {row["type"] for row in rows_of("a.log")} == expected
    assert kept


@told
def test_frames_and_code_objects_are_never_logged():
    with ReferenceTracing(filepath="a.log", include_builtins=True):
        exec("def f(): return __import__('sys')._getframe()\nkept = f()")
    assert not {"frame", "code"} & {row["type"] for row in rows_of("a.log")}


@told
def test_garbage_is_collected_at_the_end_on_request():
    def cycle():
        found = A()
        found.itself = found

    gc.disable()
    try:
        for generation in (2, -1):
            with ReferenceTracing(filepath=f"{generation}.log", gc_collect_on_exit=generation):
                cycle()
    finally:
        gc.enable()
    assert lives("2.log", "A") == [("NEW", "A", 1), ("DEL", "A", 0)]
    assert lives("-1.log", "A") == [("NEW", "A", 1)]


@told
def test_nothing_is_written_or_counted_while_it_is_suspended():
    with ReferenceTracing(filepath="a.log") as log:
        log.suspend()
        hidden = A()
        log.resume()
        seen = A()
        assert log.count_new() == 1
    assert lives("a.log", "A")[0] == ("NEW", "A", 1)
    assert hidden is not seen


@told
def test_logs_nest_and_the_outer_one_waits():
    with ReferenceTracing(filepath="outer.log") as outer:
        kept = [A()]
        with ReferenceTracing(filepath="inner.log") as inner:
            kept.append(B())
            assert (outer.log_file_path(), inner.log_file_path()) == ("outer.log", "inner.log")
            assert cPyMemTrace.reference_tracing_wrapper_depth() == 2
            assert cPyMemTrace.reference_tracing_log_path() == "inner.log"
            assert cPyMemTrace.reference_tracing_live_object_counts() == {"B": 1}
            cPyMemTrace.reference_tracing_write_message_to_log("through the module")
        kept.append(A())
    assert lives("outer.log", "A", "B") == [("NEW", "A", 1), ("NEW", "A", 2)]
    assert lives("inner.log", "A", "B") == [("NEW", "B", 1)]
    assert messages_of("inner.log") == ["through the module"]
    assert messages_of("outer.log") == [
        "Detaching this Reference Tracing file wrapper. New file: inner.log",
        "Re-attaching this Reference Tracing file wrapper.",
    ]
    assert cPyMemTrace.reference_tracing_wrapper_depth() == 0


@told
def test_a_log_without_a_path_gets_a_name_that_is_known_after_the_block():
    log = ReferenceTracing()
    assert log.log_file_path() is None
    with log:
        pass
    name = os.path.basename(log.log_file_path())
    assert re.fullmatch(rf"\d{{8}}_\d{{6}}_\d+_{os.getpid()}_\d+_O_0_PY[\d.]+\S*\.log", name)


@told
def test_reference_tracing_simple_counts():
    with ReferenceTracingSimple() as simple:
        assert cPyMemTrace.reference_tracing_simple_wrapper_depth() == 1
        kept = [A(), A()]
        simple.suspend()
        kept.append(A())
        simple.resume()
        del kept[0]
        assert (simple.count_new(), simple.count_del()) == (2, 1)
    with pytest.raises(RuntimeError, match=r"count_new\(\): No reference tracing data is on the stack\."):
        simple.count_new()


@told
def test_a_decorated_function_is_logged():
    @cpymemtrace_decs.reference_tracing("of f", filepath="f.log")
    def f():
        return A()

    kept = f()
    assert lines_of("f.log")[0] == "of f"
    assert lives("f.log", "A") == [("NEW", "A", 1)]
    assert type(kept) is A


@told
@pytest.mark.parametrize("method", ["suspend", "resume", "count_new", "count_del", "live_object_counts"])
def test_outside_its_block_the_methods_raise(method):
    with pytest.raises(RuntimeError, match=rf"^{method}\(\): No reference tracing data is on the stack\.$"):
        getattr(ReferenceTracing(), method)()


@told
@pytest.mark.parametrize(
    ("given", "named", "kind", "said"),
    [
        ((1, 2, 3, 4, 5, 6, 7), {}, TypeError, "function takes at most 6 arguments (7 given)"),
        ((), {"foo": 1}, TypeError, "this function got an unexpected keyword argument 'foo'"),
        ((3,), {}, TypeError, "argument 1 must be str, not int"),
        ((), {"filepath": 3}, TypeError, "expected str, bytes or os.PathLike object, not int"),
        ((), {"gc_collect_on_exit": 3}, ValueError, "gc_collect_on_exit must be -1, 0, 1, 2 not 3."),
        ((), {"gc_collect_on_exit": -2}, ValueError, "gc_collect_on_exit must be -1, 0, 1, 2 not -2."),
        ((), {"include_tp_names": 3}, TypeError, "include_tp_names must be a sequence, not type int."),
        ((), {"exclude_tp_names": [1]}, TypeError, "exclude_tp_names must hold names of types, not 1."),
    ],
)
def test_wrong_arguments_are_refused(given, named, kind, said):
    with pytest.raises(kind, match=re.escape(said) + "$"):
        ReferenceTracing(*given, **named)


@told
def test_a_path_that_cannot_be_written_is_an_error_and_nothing_is_traced():
    with pytest.raises(OSError, match=r"Can not open log file no/a\.log"), ReferenceTracing(filepath="no/a.log"):
        pass
    assert cPyMemTrace.reference_tracing_wrapper_depth() == 0


@told
def test_without_a_log_the_functions_of_the_module_refuse():
    with pytest.raises(
        ValueError, match=r"^Trying to write to a reference tracing log file when no reference tracer is active\.$"
    ):
        cPyMemTrace.reference_tracing_write_message_to_log("x")
    with pytest.raises(RuntimeError, match="No reference tracing data is on the stack"):
        cPyMemTrace.reference_tracing_live_object_counts()
    assert cPyMemTrace.reference_tracing_log_path() is None
    with pytest.raises(OSError, match=r"^Log file is closed\.$"):
        ReferenceTracing().write_message_to_log("x")


# -- what was wrong ------------------------------------------------------------------------------------------------------


@told
def test_mended_the_first_change_is_nothing():
    with ReferenceTracing(filepath="a.log"):
        kept = [A(), A()]
    rows = rows_of("a.log")
    assert rows[0]["change"] == "0"
    assert sum(int(row["change"]) for row in rows) == int(rows[-1]["rss"]) - int(rows[0]["rss"])
    assert kept


@told
def test_mended_counts_do_not_drift():
    before = [A()]
    with ReferenceTracing(filepath="a.log") as log:
        seen = [A()]
        before.clear()  # was there before
        log.suspend()
        hidden = [A()]
        seen.clear()  # ends unseen
        log.resume()
        hidden.clear()  # began unseen
        kept = A()
        assert log.live_object_counts() == {"A": 1}
    assert [(tag, live) for tag, _, live in lives("a.log", "A")] == [("NEW", 1), ("DEL", 1), ("DEL", 0), ("NEW", 1)]
    assert kept


@told
def test_mended_a_message_of_resume_is_written_once():
    with ReferenceTracing(filepath="a.log") as log:
        log.suspend(), log.suspend(), log.resume(), log.resume()
    assert messages_of("a.log") == ["Suspending reference tracing.", "Resuming reference tracing."]


@told
def test_mended_a_type_with_a_blank_in_its_name_breaks_no_column():
    odd = type("two words\\", (), {})
    with ReferenceTracing(filepath="a.log"):
        kept = odd()
    assert {row["type"] for row in rows_of("a.log")} == {r"two\x20words\x5c"}
    assert kept


@told
def test_mended_another_reference_tracer_gets_its_events():
    tracemalloc.start()
    try:
        with ReferenceTracing(filepath="a.log"):
            kept = [A() for _ in range(100)]
        kept += [A() for _ in range(100)]
        assert tracemalloc.get_object_traceback(kept[50]) is not None
        assert tracemalloc.get_object_traceback(kept[150]) is not None
    finally:
        tracemalloc.stop()
    assert len(rows_of("a.log", "A")) == 100


@told
def test_mended_a_block_that_is_never_closed_does_not_crash_the_exit():
    code = "from memkit.compat.pymemtrace import cPyMemTrace as c\nclass A: pass\n"
    code += "c.ReferenceTracing(filepath='a.log', include_builtins=True).__enter__()\nkept = [A() for _ in range(10)]\n"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


REPLACED = """
import ctypes
from memkit.system.engine import Meter
from memkit.native.tracing.references import References

class A:
    pass

counted = References(None, Meter("rss"), (b"A",), (), False, ())
counted.start()
kept = A()
data, get = ctypes.c_void_p(), ctypes.pythonapi.PyRefTracer_GetTracer
get.restype = ctypes.c_void_p
tracer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(get(ctypes.byref(data)))
assert tracer(None, 2, data) == 0
kept = [kept, A()]
assert counted.live() == {"A": 2}
counted.stop()
"""


@told
def test_the_event_of_python_314_for_a_replaced_tracer_crashes_nothing():
    done = subprocess.run([sys.executable, "-c", REPLACED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@told
def test_many_objects_are_distinguished():
    with ReferenceTracing(filepath="a.log") as log:
        kept = [A() for _ in range(20_000)]
        del kept[::2]
        assert log.live_object_counts() == {"A": 10_000}
        kept += [A() for _ in range(5000)]
        assert log.live_object_counts() == {"A": 15_000}
        kept.clear()
        assert log.live_object_counts() == {}


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python tells of references from 3.13 on")
def test_earlier_versions_of_python_get_an_error_message():
    for tracing in (ReferenceTracing, ReferenceTracingSimple, cpymemtrace_decs.reference_tracing()(lambda: 1)):
        with pytest.raises(memkit.MeterError, match=r"references can be traced from Python 3\.13 on"):
            tracing()
