"""How fresh lines and calls are after a death: what changed most is in the file, and a call that may end it writes all."""

import os
import signal
import sys

import pytest

from memkit.model.reader import read

from engines import MIB, environment

pytestmark = pytest.mark.usefixtures("native_only")

LARGE = """
import mmap
import os
import signal
import time

COUNT = {count}
space = {{}}
exec("".join(f"def f{{i}}():\\n    pass\\n" for i in range(COUNT)), space)
functions = [space[f"f{{i}}"] for i in range(COUNT)]


def each(depth):
    for function in functions:
        function()
    if depth:
        each(depth - 1)


def grow(size):
    kept.append(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    kept[-1][:: mmap.PAGESIZE] = b"x" * (size // mmap.PAGESIZE)


kept = []
grow(200 << 20)
end = time.monotonic() + 1
while time.monotonic() < end:
    each({depth})
for _ in range(5):
    grow(1 << 20)
end = time.monotonic() + 1
while time.monotonic() < end:
    each(0)
os.kill(os.getpid(), signal.SIGKILL) if {kill} else time.sleep(0)
"""


@pytest.mark.parametrize("option", ["--calls", "--lines"])
@pytest.mark.parametrize(("count", "depth"), [(10, 1), (5000, 10)])
def test_what_grew_before_a_kill_is_in_the_file(script, memkit_run, tracer, option, count, depth):
    done = memkit_run(option, script(LARGE.format(count=count, depth=depth, kill=True)), env=environment(tracer))
    assert done.returncode == 128 + signal.SIGKILL
    recording = done.recording
    if option == "--calls":
        [grow] = [call for call in recording.called if call.function.name == "grow"]
        assert (grow.calls, grow.growth) == (6, pytest.approx(205 * MIB, abs=MIB))
        tracing = recording.call_tracing
    else:
        lines = [line for line in recording.lines if line.function.name == "grow"]
        assert sum(line.growth for line in lines) == pytest.approx(205 * MIB, abs=MIB)
        assert {line.hits for line in lines} == {6}
        tracing = recording.tracing
    assert tracing.as_of is not None
    assert tracing.whole_as_of is not None


def test_the_report_says_how_old_its_sums_are(script, memkit_run):
    done = memkit_run("--calls", script(LARGE.format(count=10, depth=1, kill=True)), options=())
    [said] = [line for line in done.stderr.splitlines() if line.startswith("sums ")]
    assert said.startswith("sums     lines and calls are as of ")
    assert " before the end" in said


def test_of_a_program_that_ended_in_order_the_sums_are_complete(script, memkit_run):
    done = memkit_run("--calls", script("def f():\n    pass\nf()\n"), options=())
    assert (done.recording.call_tracing.as_of, done.recording.call_tracing.whole_as_of) == (None, None)
    assert not [line for line in done.stderr.splitlines() if line.startswith("sums ")]


def test_a_row_of_sums_tells_whether_small_changes_were_left(tmp_path):
    about = '["memkit",1,{"argv":["a"],"pid":1,"began":1.0,"clock":5,"engine":"native","meter":"rss"}]'
    how = '["call_tracing","monitoring","perf",null,1.0,1.0]'
    path = tmp_path / "a.memkit"
    ages = {}
    for name, rows in {"none": [], "whole": ['["sums",70]'], "left": ['["sums",70]', '["sums",90,1]']}.items():
        path.write_text("\n".join([about, how, *rows, ""]))
        tracing = read(path).call_tracing
        ages[name] = tracing.as_of, tracing.whole_as_of
    path.write_text("\n".join([about, how, '["sums",70]', '["end",99,"ok"]', ""]))
    assert ages == {"none": (None, None), "whole": (70, 70), "left": (90, 70)}
    assert read(path).call_tracing.as_of is None
    assert read(path).unread == 0


STEADY = """
import time


def work():
    return sum(range(50))


end = time.monotonic() + {seconds}
while time.monotonic() < end:
    work()
"""


@pytest.mark.parametrize("option", ["--calls", "--lines"])
def test_the_file_grows_little_while_the_same_goes_on(script, memkit_run, tmp_path, option):
    sizes = []
    for seconds in (2, 6):
        memkit_run(option, script(STEADY.format(seconds=seconds)))
        rows = (tmp_path / "run.memkit").read_text().splitlines()
        sizes.append(sum(row.startswith(('["line"', '["call",')) for row in rows))
    assert sizes[1] - sizes[0] < 16 * 8  # flushes in four seconds, times nodes or lines


# -- calls that may end the process ------------------------------------------------------------------------------------


def test_a_signal_to_another_process_is_not_the_end():
    from memkit.tracing.last_calls import LastCalls

    before = []
    last = LastCalls(None)
    last.before = lambda: before.append(1)
    for pid in (os.getpid() + 1, 1):
        last.on_call(compile("", "", "exec"), 0, os.kill, pid)
    assert not before
    for pid in (os.getpid(), 0, -1, -os.getpgrp()):
        last.on_call(compile("", "", "exec"), 0, os.kill, pid)
    last.on_call(compile("", "", "exec"), 0, os._exit, 3)
    assert len(before) == 5


ENDS = {
    "raise": "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n    signal.raise_signal(signal.SIGTERM)",
    "kill": "os.kill(os.getpid(), signal.SIGTERM)",
    "exit": "os._exit(3)",
    "abort": "os.abort()",
    "alias": "leave = os._exit\n    leave(3)",
}
CODES = {"raise": 128 + 15, "kill": 128 + 15, "exit": 3, "abort": 128 + 6, "alias": 3}
LAST = """
import os
import signal


def count():
    return 1


def leave():
    for _ in range(1000):
        count()
    {end}


signal.signal(signal.SIGTERM, lambda number, frame: None) if {handled} else None
leave()
"""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("options", [("--calls",), ("--calls", "--c-calls"), ("--lines",)], ids="".join)
def test_all_is_written_before_a_call_that_ends_the_process(script, memkit_run, tracer, end, options):
    if options == ("--lines",) and tracer == "settrace":
        pytest.skip("the trace function is told of no calls of C functions")
    text = LAST.format(end=ENDS[end], handled=end == "raise")
    done = memkit_run(*options, script(text), env=environment(tracer))
    assert done.returncode == CODES[end], done.stderr
    if options == ("--lines",):
        assert [line.hits for line in done.recording.lines if line.function.name == "count"][-1] == 1000
    else:
        assert [call.calls for call in done.recording.called if call.function.name == "count"] == [1000]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the profile hook is not told with what a function in C is called")
@pytest.mark.parametrize(("handled", "lost"), [(True, False), (False, True)])
def test_nothing_is_lost_where_a_program_ends_itself_by_a_signal(script, memkit_run, handled, lost):
    raises = "    signal.raise_signal(signal.SIGTERM)\n    os.kill(os.getpid(), signal.SIGKILL)"
    first = "signal.signal(signal.SIGTERM, signal.SIG_DFL)" if handled else "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    done = memkit_run("--calls", script(LAST.format(end=f"{first}\n{raises}", handled=True)), options=())
    assert done.recording.ending.kind == "killed"
    assert done.recording.ending.complete is not lost
    assert ("were lost" in done.stderr, "sums  " in done.stderr) == (lost, lost)


def test_a_signal_that_is_handled_changes_nothing(script, same, tracer):
    text = """
import os
import signal

seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
for _ in range(5):
    signal.raise_signal(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
print(seen, signal.getsignal(signal.SIGTERM).__name__, signal.raise_signal.__name__)
"""
    done = same(script(text), options=("-q", "--calls"), env=environment(tracer))
    assert done.recording.ending.kind == "ok"
