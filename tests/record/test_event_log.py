"""The event log: it holds what profile and trace functions in Python see, and the program under it is left as it was."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import memkit

pytestmark = pytest.mark.usefixtures("native_only")

MIB = 1 << 20
FORMULAS = ["=1+1", "+1", "-1", "@a", "\t=1"]
HERE = Path(__file__).parents[1]
PROGRAMS = sorted(file.stem for file in (HERE / "programs" / "traced").glob("*.py"))

KEEP = """
import mmap

def keep(size):
    block = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for place in range(0, size, mmap.PAGESIZE):
        block[place] = 1
    return block
"""


@pytest.fixture
def process(tmp_path):
    """A function that runs a text of Python in a process of its own, in a folder where logs are called ``log.csv``."""

    def run(text, *, flags=(), warnings="error"):
        (tmp_path / "under_test.py").write_text(text, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-W", warnings, *flags, "under_test.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )

    return run


@pytest.fixture
def python(process, tmp_path):
    """The same for one that ends well; what it returns is what the text printed, and the rows of its log."""

    def run(text, **settings):
        done = process(text, **settings)
        assert (done.returncode, done.stderr) == (0, "")
        path = tmp_path / "log.csv"
        return done.stdout, rows_of(path) if path.exists() else None

    return run


def rows_of(path):
    log = memkit.read_log(path)
    rows = list(log)
    assert log.broken == 0
    return rows


def of(rows, function):
    return [(row.what, row.line) for row in rows if row.function == function]


# -- against the oracle ------------------------------------------------------------------------------------------------

_found = {}


def found(way):
    if way not in _found:
        done = subprocess.run(
            [sys.executable, str(HERE / "events_oracle.py"), way, str(HERE / "programs" / "traced")],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])},
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        _found[way] = json.loads(done.stdout)
    return _found[way]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_event_is_counted_as_often_as_a_tracer_in_python_sees_it(program):
    assert found("memkit")[program] == found("python")[program]


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [True, False])
def test_a_block_of_known_size_lands_on_the_row_of_the_call_that_took_it(python, lines):
    text = (
        KEEP
        + f"import memkit\nwith memkit.EventLog('log.csv', trigger='1MiB', lines={lines}):\n    block = keep({8 * MIB})\n"
    )
    _, rows = python(text)
    growth = [row for row in rows if row.function == "keep" and row.change]
    assert sum(row.change for row in growth) == pytest.approx(8 * MIB, abs=MIB)
    if not lines:
        assert [row.what for row in growth] == ["RETURN"]


def test_memory_that_a_c_function_takes_lands_on_its_return(python):
    text = f"import memkit, mmap\nblock = mmap.mmap(-1, {8 * MIB}); text = b'x' * {8 * MIB}\n"
    text += "with memkit.EventLog('log.csv', trigger='4MiB'):\n    block.write(text)\n"
    _, rows = python(text)
    assert [(row.what, row.function, row.line) for row in rows[1:]] == [("C_RETURN", "mmap.mmap.write", 4)]
    assert rows[1].change == pytest.approx(8 * MIB, abs=MIB / 4)


def test_rows_differ_by_the_trigger_and_their_changes_add_up(python):
    text = KEEP + "import memkit\nwith memkit.EventLog('log.csv', trigger=65536):\n"
    text += "    for size in (4096, 8192, 65536, 131072):\n        kept = [keep(size) for _ in range(20)]\n"
    _, rows = python(text)
    assert len(rows) > 20
    assert rows[0].change == 0
    assert all(abs(row.change) >= 65536 for row in rows[1:])
    assert all(after.memory - before.memory == after.change for before, after in itertools.pairwise(rows))
    assert all(before.time <= after.time and before.event < after.event for before, after in itertools.pairwise(rows))


def test_a_trigger_of_nothing_writes_every_event(python):
    text = "import memkit\ndef f(): return len([1])\nwith memkit.EventLog('log.csv', trigger=0) as log:\n    f()\n"
    printed, rows = python(text + "print(log.events)")
    assert [row.event for row in rows] == list(range(1, int(printed) + 1))
    assert [(row.what, row.line, row.function) for row in rows] == [
        ("LINE", 4, "<module>"),
        ("CALL", 2, "f"),
        ("LINE", 2, "f"),
        ("C_CALL", 2, "builtins.len"),
        ("C_RETURN", 2, "builtins.len"),
        ("RETURN", 2, "f"),
        ("LINE", 3, "<module>"),
    ]


def test_without_a_trigger_it_is_a_page(python):
    text = KEEP + "import memkit\nwith memkit.EventLog('log.csv'):\n    kept = [keep(mmap.PAGESIZE) for _ in range(50)]\n"
    _, rows = python(text)
    assert min(abs(row.change) for row in rows[1:]) >= 4096
    assert sum(row.change == 4096 for row in rows) > 10


def test_without_lines_there_are_calls_only(python):
    text = "import memkit\nwith memkit.EventLog('log.csv', trigger=0, lines=False):\n"
    text += "    try: [].pop()\n    except IndexError: pass\n"
    _, rows = python(text)
    assert [(row.what, row.function) for row in rows] == [("C_CALL", "list.pop"), ("C_EXCEPT", "list.pop")]


def test_a_c_function_has_its_module_or_the_type_whose_method_it_is(python):
    text = "import memkit, math\nclass Bag(list): pass\nbag = Bag()\nwith memkit.EventLog('log.csv', trigger=0):\n"
    _, rows = python(text + "    math.sqrt(2), bag.append(1), dict.fromkeys('a'), [].sort(), 'a'.upper()\n")
    names = [row.function for row in rows if row.what == "C_CALL"]
    assert names == ["math.sqrt", "Bag.append", "dict.fromkeys", "list.sort", "str.upper"]


@pytest.mark.parametrize(
    "name",
    [
        'a,b "c"',
        "two\nlines",
        "carriage\rreturn",
        '"',
        "ünï中😀",
        "a" * 20_000,
        "bytes \udcff\udc80",
        "",
        " ",
        *FORMULAS,
        "'",
        "'=1",
    ],
    ids=["comma", "newline", "return", "quote", "unicode", "long", "undecodable", "empty", "blank", *FORMULAS, "one", "two"],
)
def test_any_name_survives(python, name):
    text = f"import memkit\nname = {name!r}\ndef f(): return 1\n"
    text += "f.__code__ = f.__code__.replace(co_filename='/src/' + name, co_qualname=name)\n"
    _, rows = python(text + "with memkit.EventLog('log.csv', trigger=0):\n    f()\n")
    assert [(row.what, row.file) for row in rows if row.function == name] == [
        (what, "/src/" + name) for what in ("CALL", "LINE", "RETURN")
    ]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_is_no_formula_of_a_spreadsheet(python, tmp_path, name):
    text = f"import memkit\nname = {name!r}\ndef f(): return 1\n"
    text += "f.__code__ = f.__code__.replace(co_filename=name, co_qualname=name)\n"
    _, rows = python(text + "with memkit.EventLog('log.csv', trigger=0):\n    f()\n")
    assert (name, name) in {(row.file, row.function) for row in rows}
    with open(tmp_path / "log.csv", newline="") as file:
        cells = {row[key] for row in csv.DictReader(file) for key in ("file", "function")}
    assert f"'{name}" in cells
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))] == []


def test_a_name_that_no_encoding_takes_is_spelled_out(python):
    text = "import memkit\ndef f(): return 1\nf.__code__ = f.__code__.replace(co_qualname='a\\ud800b')\n"
    _, rows = python(text + "with memkit.EventLog('log.csv', trigger=0):\n    f()\n")
    assert of(rows, "a\\ud800b") == [("CALL", 2), ("LINE", 2), ("RETURN", 2)]


def test_code_without_lines_has_none(python):
    text = "import memkit\nspace = {}\nmade = compile('', '/src/made.py', 'exec').replace(co_linetable=b'')\n"
    _, rows = python(text + "with memkit.EventLog('log.csv', trigger=0, lines=False):\n    exec(made, space)\n")
    lines = [row.line for row in rows if row.file == "/src/made.py"]
    assert len(lines) == 2
    assert None in lines or sys.version_info < (3, 12)  # Python 3.11 reads behind the end of the table


def test_the_numbers_do_not_depend_on_the_locale(python):
    text = "import memkit, locale\ntry: locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\nexcept locale.Error: pass\n"
    _, rows = python(text + "with memkit.EventLog('log.csv', trigger=0):\n    pass\n")
    assert len(rows) > 0


# -- the file ----------------------------------------------------------------------------------------------------------


def test_any_reader_of_csv_reads_it(python, tmp_path):
    import csv

    _, rows = python("import memkit\nwith memkit.EventLog('log.csv', trigger=0):\n    len('')\n")
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [(int(row["event"]), row["function"], int(row["memory_bytes"]), int(row["change_bytes"])) for row in found] == [
        (row.event, row.function, row.memory, row.change) for row in rows
    ]
    assert [round(float(row["time_s"]) * 1e9) for row in found] == [row.time for row in rows]


def test_a_kill_leaves_whole_rows(process, tmp_path):
    text = "import memkit, os\ndef f(): pass\nmemkit.EventLog('log.csv', trigger=0).start()\n"
    text += "for number in range(20_000):\n    f()\nos.kill(os.getpid(), 9)\n"
    assert process(text).returncode == -signal.SIGKILL
    rows = rows_of(tmp_path / "log.csv")
    assert len(rows) > 10_000
    assert [row.event for row in rows] == list(range(1, len(rows) + 1))


def test_a_large_change_is_in_the_file_before_a_kill(process, tmp_path):
    text = KEEP + "import memkit, os\nmemkit.EventLog('log.csv').start()\n"
    text += f"block = keep({8 * MIB})\nos.kill(os.getpid(), 9)\n"
    assert process(text).returncode == -signal.SIGKILL
    rows = rows_of(tmp_path / "log.csv")
    assert sum(row.change for row in rows) == pytest.approx(8 * MIB, abs=MIB)


def test_a_program_that_exits_leaves_a_whole_log(process, tmp_path):
    text = "import memkit, sys\ndef deep(n):\n    return deep(n - 1) if n else sys.exit(3)\n"
    done = process(text + "memkit.EventLog('log.csv', trigger=0).start()\ndeep(50)\n")
    assert (done.returncode, done.stderr) == (3, "")
    rows = rows_of(tmp_path / "log.csv")
    counts = [of(rows, "deep").count((what, line)) for what, line in (("CALL", 2), ("RETURN", 3), ("EXCEPT", 3))]
    assert counts == [51, 51, 51]


def test_what_fails_at_the_exit_keeps_no_other_log_from_its_end(process, tmp_path):
    text = """
import memkit
class Broken(memkit.EventLog):
    def stop(self):
        super().stop()
        raise OSError("lost")
first = Broken("first.csv")
first.start()
last = memkit.EventLog("log.csv", trigger=0)
last.start()
def f(): pass
f()
"""
    done = process(text)
    assert (done.returncode, done.stderr) == (0, "memkit: OSError: lost\n")
    assert of(rows_of(tmp_path / "log.csv"), "f") != []


def test_a_full_disk_is_told_at_the_end_and_the_program_goes_on(python):
    text = """
import memkit, resource
log = memkit.EventLog("log.csv", trigger=0)
log.start()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
total = sum(number for number in range(2000))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
try:
    log.stop()
except memkit.JournalError as error:
    print(total, "rows did not reach" in str(error), "File too large" in str(error), log.running)
"""
    printed, _ = python(text.replace('"log.csv"', '"full.csv"'))
    assert printed == "1999000 True True False\n"


def test_the_error_of_the_program_matters_more_than_lost_rows(python):
    text = """
import memkit, resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
try:
    with memkit.EventLog("full.csv", trigger=0):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        list(map(abs, range(2000)))
        raise KeyError("the program's")
except KeyError as error:
    print(error)
"""
    assert python(text)[0] == '"the program\'s"\n'


def test_a_file_that_takes_nothing_is_refused():
    with pytest.raises(memkit.JournalError, match="cannot write '/dev/full': No space left"):
        memkit.EventLog("/dev/full").start()


def test_a_start_that_failed_is_no_obstacle_to_the_next(python):
    text = """
import memkit, resource
log = memkit.EventLog("log.csv")
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
try:
    log.start()
except memkit.JournalError as error:
    print(str(error).partition(": ")[2], log.running)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
def refuse():
    raise RuntimeError("there is no thread left")
log._hook_new_threads = refuse
try:
    log.start()
except RuntimeError as error:
    print(error, log.running)
del log._hook_new_threads
with log:
    print(log.running)
"""
    assert python(text)[0] == "File too large False\nthere is no thread left False\nTrue\n"


def test_a_forked_child_holds_nothing_of_the_file(python):
    text = """
import memkit, os
read, write = os.pipe()
log = memkit.EventLog("log.csv")
log.start()
pid = os.fork()
if not pid:
    os.close(write)
    os.read(read, 1)  # it lives as long as the parent has it
    os._exit(0)
log.stop()
log.start()
log.stop()
os.close(write)
print(os.waitpid(pid, 0)[1])
"""
    assert python(text, warnings="error")[0] == "0\n"


def test_a_new_log_takes_the_place_of_an_old_one_and_of_nothing_else(python, tmp_path):
    text = "import memkit\nfor _ in range(2):\n    with memkit.EventLog('log.csv', trigger=0):\n        abs(1)\n"
    _, rows = python(text)
    assert len([row for row in rows if row.event == 1]) == 1
    (tmp_path / "program.py").write_text("print()\n")
    with pytest.raises(memkit.UsageError, match=r"program.py' is not an event log, so it is left alone"):
        memkit.EventLog(tmp_path / "program.py").start()
    assert (tmp_path / "program.py").read_text() == "print()\n"


@pytest.mark.parametrize(
    ("path", "said"), [("", "it is a folder"), ("no/where.csv", "there is no folder"), ("/proc/nowhere", "cannot write")]
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, path, said):
    with pytest.raises(memkit.UsageError, match=said):
        memkit.EventLog(tmp_path / path).start()


@pytest.mark.parametrize("trigger", [-1, "much", "1 XB", 0.5, "-4KiB", float("nan")])
def test_a_trigger_that_is_no_size_is_refused(trigger):
    with pytest.raises(memkit.UsageError, match="is not a size"):
        memkit.EventLog("log.csv", trigger=trigger)


def test_a_log_that_is_being_written_cannot_be_started_again(tmp_path):
    with memkit.EventLog(tmp_path / "log.csv") as log:
        assert log.running
        with pytest.raises(memkit.UsageError, match="is being written"):
            log.start()
    assert not log.running
    log.stop()


def test_two_logs_at_once_say_the_same(python):
    text = "import memkit\ndef f(): return abs(1)\nwith memkit.EventLog('log.csv', trigger=0):\n"
    text += "    with memkit.EventLog('inner.csv', trigger=0):\n        f()\n    f()\n"
    text += "print(*[row.what for row in memkit.read_log('inner.csv') if row.function == 'f'])"
    printed, rows = python(text)
    assert printed.split() == ["CALL", "LINE", "RETURN"]
    assert [row.what for row in rows if row.function == "f"] == ["CALL", "LINE", "RETURN"] * 2


def test_the_log_does_not_grow_the_program(python):
    text = "import memkit\ndef f(): pass\nwith memkit.EventLog('log.csv', trigger=0):\n"
    text += "    for _ in range(1000): f()\n    before = memkit.rss()\n    for _ in range(30_000): f()\n"
    printed, rows = python(text + "    after = memkit.rss()\nprint(after - before)")
    assert len(rows) > 100_000
    assert int(printed) < MIB / 4


# -- threads and processes ---------------------------------------------------------------------------------------------


def test_all_threads_are_logged_those_before_and_those_after(python):
    text = """
import memkit, threading
go = threading.Event()
def f(): pass
def early():
    go.wait()
    f()
first = threading.Thread(target=early)
first.start()
with memkit.EventLog("log.csv", trigger=0):
    go.set(), first.join()
    second = threading.Thread(target=f)
    second.start(), second.join()
    f()
print(first.native_id, second.native_id, threading.get_native_id())
"""
    printed, rows = python(text)
    assert [row.thread for row in rows if row.function == "f" and row.what == "CALL"] == [
        int(word) for word in printed.split()
    ]


def test_every_thread_gets_its_place_back(python):
    text = """
import memkit, sys, threading
def seen(frame, event, argument): events.append(event)
events, places = [], []
begun, stopped = threading.Event(), threading.Event()
def work():
    begun.set()
    stopped.wait()
    abs(1)
    places.append((sys.getprofile(), sys.gettrace()))
def profiled():
    sys.setprofile(seen)
    work()
threads = [threading.Thread(target=target) for target in (work, profiled)]
for thread in threads: thread.start()
begun.wait()
with memkit.EventLog("log.csv", trigger=0):
    late = threading.Thread(target=work)
    late.start()
    threads.append(late)
stopped.set()
for thread in threads: thread.join()
assert sorted(map(str, places)) == sorted(map(str, [(None, None), (seen, None), (None, None)])), places
assert "c_call" in events
assert (sys.getprofile(), sys.gettrace(), threading.getprofile(), threading.gettrace()) == (None,) * 4
"""
    python(text)


def test_a_forked_child_writes_nothing_and_runs_free(python):
    text = """
import memkit, os, sys
def child(): return [sys.getprofile(), sys.gettrace()]
def parent(): pass
with memkit.EventLog("log.csv", trigger=0) as log:
    pid = os.fork()
    if not pid:
        places = child()
        log.stop()
        os._exit(places != [None, None] or log.running)
    status = os.waitpid(pid, 0)[1]
    parent()
print(status)
"""
    printed, rows = python(text, warnings="error")
    assert printed == "0\n"
    assert of(rows, "child") == []
    assert of(rows, "parent") == [("CALL", 4), ("LINE", 4), ("RETURN", 4)]


# -- the program is left as it was ---------------------------------------------------------------------------------------


def test_a_program_behaves_as_without_a_log(process):
    program = """
import sys, signal, os
def deep(n): return deep(n + 1)
def depth():
    try: deep(0)
    except RecursionError as error:
        count, trace = 0, error.__traceback__
        while trace is not None: count, trace = count + 1, trace.tb_next
        return count
class Loud:
    def __del__(self): print("gone", sys.exc_info()[0])
def failing():
    loud = Loud()
    try: raise KeyError("first")
    finally: {}["second"]
def numbers():
    try: yield 1
    finally: print("closed")
signal.signal(signal.SIGUSR1, lambda *_: print("signalled"))
os.kill(os.getpid(), signal.SIGUSR1)
print(depth())
for number in numbers(): break
del number
try: failing()
except KeyError as error: print(repr(error), repr(error.__context__))
print(sys.exc_info())
signal.signal(signal.SIGINT, signal.default_int_handler)
try: os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt: print("interrupted")
def outer(): inner()
def inner(): raise ValueError("the end") from LookupError()
outer()
"""
    without = process("import memkit" + program)
    under = process("import memkit; memkit.EventLog('log.csv', trigger=0).start()" + program)
    assert (under.stdout, under.returncode) == (without.stdout, without.returncode)
    assert under.stderr == without.stderr
    assert "ValueError: the end" in under.stderr


SEEN = """
import memkit, sys
def seen(frame, event, argument):
    events.append(event)
    return seen
events = []
def f(): return abs(1)
"""


def test_a_profile_and_a_trace_function_go_on_beside_it_and_are_put_back(python):
    text = SEEN + "sys.setprofile(seen), sys.settrace(seen)\nf()\nwith memkit.EventLog('log.csv', trigger=0):\n    f()\n"
    text += "assert (sys.getprofile(), sys.gettrace()) == (seen, seen)\nsys.setprofile(None), sys.settrace(None)\n"
    text += "print(events.count('c_call'), events.count('line'))"
    printed, rows = python(text)
    calls, lines = map(int, printed.split())
    assert calls >= 2
    assert lines >= 2
    assert of(rows, "f") == [("CALL", 7), ("LINE", 7), ("RETURN", 7)]


def test_a_tool_that_restores_the_trace_function_does_not_stop_the_log(python):
    text = (
        SEEN
        + """
with memkit.EventLog("log.csv", trigger=0) as log:
    before = sys.getprofile(), sys.gettrace()
    sys.setprofile(seen), sys.settrace(seen)
    f()
    sys.setprofile(before[0]), sys.settrace(before[1])
    f()
    f()
assert (sys.getprofile(), sys.gettrace()) == (None, None)
assert events.count("line") == 1
"""
    )
    _, rows = python(text)
    assert of(rows, "f").count(("CALL", 7)) == 2
    assert of(rows, "f").count(("LINE", 7)) == 2


def test_a_tool_that_takes_the_place_and_keeps_it_is_left_there(python):
    text = SEEN + "with memkit.EventLog('log.csv', trigger=0):\n    sys.setprofile(seen)\n    f()\n"
    python(text + "assert sys.getprofile() is seen\nsys.setprofile(None)\nassert 'c_call' in events\n")


@pytest.mark.parametrize("place", ["profile", "trace"])
def test_a_chained_function_that_raises_is_dropped_and_the_log_goes_on(python, place):
    text = f"""
import memkit, sys
def fails(frame, event, argument):
    if frame.f_code is f.__code__: raise KeyError(event)
    return fails
def f(): pass
def g(): pass
sys.set{place}(fails)
with memkit.EventLog("log.csv", trigger=0):
    try: f()
    except KeyError as error: print(error)
    g()
assert sys.get{place}() is None
"""
    printed, rows = python(text)
    assert printed == "'call'\n"
    assert of(rows, "g") == [("CALL", 7), ("LINE", 7), ("RETURN", 7)]


def test_a_chained_function_that_removes_itself_leaves_the_log(python):
    text = """
import memkit, sys
def once(frame, event, argument): sys.settrace(None)
def f(): pass
sys.settrace(once)
with memkit.EventLog("log.csv", trigger=0):
    f()
    f()
assert sys.gettrace() is None
"""
    _, rows = python(text)
    assert of(rows, "f") == [("CALL", 4), ("LINE", 4), ("RETURN", 4)] * 2


def test_functions_for_new_threads_go_on_beside_it_and_are_put_back(python):
    text = (
        SEEN
        + """
import threading
threading.setprofile(seen), threading.settrace(seen)
with memkit.EventLog("log.csv", trigger=0):
    thread = threading.Thread(target=f)
    thread.start(), thread.join()
assert (threading.getprofile(), threading.gettrace()) == (seen, seen)
assert {"call", "return", "c_call", "line"} <= set(events), events
"""
    )
    _, rows = python(text)
    assert of(rows, "f") == [("CALL", 7), ("LINE", 7), ("RETURN", 7)]


def test_lines_can_be_traced_and_logged_at_once(python):
    text = SEEN + "with memkit.record(lines=[f]) as run, memkit.EventLog('log.csv', trigger=0):\n    f()\n"
    printed, rows = python(text + "print([(line.number, line.hits) for line in run.recording.lines])")
    assert printed == "[(7, 1)]\n"
    assert ("CALL", 7) in of(rows, "f")


def test_logs_leave_no_descriptors_behind(python):
    text = """
import memkit, os
from memkit.compat.pymemtrace import cPyMemTrace
def f(): return abs(1)
def log():
    with memkit.EventLog("many.csv", trigger=0), cPyMemTrace.Profile(0, None, "p.log"):
        with cPyMemTrace.Trace(0, None, "t.log"):
            f()
    return len(os.listdir("/proc/self/fd"))
log()
before, after = log(), [log() for _ in range(20)][-1]
assert before == after, (before, after)
"""
    python(text)


@pytest.mark.parametrize("gate", ["rusage", "always"])
def test_every_gate_lets_a_known_block_through(python, monkeypatch, gate):
    monkeypatch.setenv("MEMKIT_GATE", gate)
    text = KEEP + "import memkit\nwith memkit.EventLog('log.csv', trigger='64KiB'):\n"
    _, rows = python(
        text + f"    for _ in range(1000): abs(1)\n    block = keep({8 * MIB})\n    block.close()\n    abs(1)\n"
    )
    assert sum(row.change for row in rows if row.change > 0) == pytest.approx(8 * MIB, abs=MIB / 2)
    assert sum(row.change for row in rows if row.change < 0) == pytest.approx(-8 * MIB, abs=MIB / 2)


def test_the_portable_engine_has_no_log():
    code = "import memkit\ntry: memkit.EventLog('a.csv')\nexcept memkit.MeterError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "MEMKIT_ENGINE": "portable"}
    )
    assert done.stdout.startswith("events can be logged with the native engine only")


# -- memkit-run --call-log -----------------------------------------------------------------------------------------------


def test_a_program_under_memkit_run_is_logged_from_its_first_event(memkit_run, script, tmp_path):
    script(KEEP + f"kept = keep({8 * MIB})\n")
    done = memkit_run("program.py", options=["-q", "--call-log", "log.csv", "--trigger", "4MiB"])
    assert (done.returncode, done.stderr) == (0, "")
    rows = rows_of(tmp_path / "log.csv")
    assert [(row.what, row.function) for row in rows[:1]] == [("CALL", "<module>")]
    assert {row.file for row in rows} == {str(tmp_path / "program.py")}
    assert sum(row.change for row in rows) == pytest.approx(8 * MIB, abs=4.5 * MIB)
    assert done.recording.growth > 7 * MIB


@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"], ["-c", "import program"]])
def test_what_memkit_does_itself_is_not_logged(memkit_run, script, tmp_path, words):
    script("def f(): return abs(1)\nf()\n")
    memkit_run(*words, options=["-q", "--call-log", "log.csv", "--trigger", "0"])
    rows = rows_of(tmp_path / "log.csv")
    assert of(rows, "f") == [("CALL", 1), ("LINE", 1), ("RETURN", 1)]
    ours = os.path.dirname(memkit.__file__) + os.sep
    assert [row for row in rows if row.file.startswith(ours)] == []


def test_a_killed_program_leaves_its_log(memkit_run, script, tmp_path):
    script(KEEP + f"kept = keep({8 * MIB})\nimport os; os.kill(os.getpid(), 9)\n")
    done = memkit_run("program.py", options=["-q", "--call-log", "log.csv"])
    assert done.returncode == 128 + signal.SIGKILL
    assert sum(row.change for row in rows_of(tmp_path / "log.csv")) > 7 * MIB


def test_a_program_with_a_log_is_as_without_one(same, script):
    script("import sys\nprint(sys.argv, __file__, sys.getprofile is None)\nraise KeyError(*sys.argv[1:])\n")
    same("program.py", "a", "b", options=["-q", "--call-log", "log.csv"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trigger", "4096"], "--trigger goes with --call-log FILE"),
        (["--call-log", "log.csv", "--trigger", "3XB"], "'3XB' is not a size"),
        (["--call-log", "program.py"], "program.py' is not an event log, so it is left alone"),
        (["--call-log", "no/log.csv"], "there is no folder 'no'"),
        (["--call-log", "-"], "an event log is a file, not '-'"),
        (["--call-log", "run.memkit"], "that file is in use already"),
        (["--call-log", "same.csv", "--csv", "same.csv"], "that file is in use already"),
        (["--call-log", "/dev/full"], "cannot write '/dev/full': No space left on device"),
    ],
)
def test_a_log_that_cannot_be_written_is_refused_before_the_program_runs(memkit_run, script, tmp_path, options, said):
    script("open('ran', 'w')\n")
    done = memkit_run("program.py", options=["-q", *options])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "program.py").read_text() == "open('ran', 'w')\n"


def test_rows_that_did_not_reach_the_log_are_told_when_the_program_ends(memkit_run, script):
    script(
        "import resource\nhard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))\ntotal = sum(number for number in range(2000))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\nprint(total)\n"
    )
    done = memkit_run("program.py", options=["-q", "--call-log", "log.csv", "--trigger", "0"])
    assert (done.returncode, done.stdout) == (0, "1999000\n")
    assert "rows did not reach" in done.stderr
    assert "log.csv': File too large" in done.stderr
