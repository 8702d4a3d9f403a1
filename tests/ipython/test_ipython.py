"""The extension and its magics, in a shell of IPython: what they measure, what they refuse, what they leave behind."""

import ast
import builtins
import os
import re
import sys
import textwrap

import pytest

import memkit
from memkit.report.reporters import flame, plot_lines
from memkit.system import engine

import profile_proto

pytest.importorskip("IPython", reason="needs IPython: pip install ipython")
from IPython.core.error import InputRejected

MIB = 1 << 20
WATCHED = re.compile(r"^In \[\d+\].* used ", re.MULTILINE)
traced = pytest.mark.skipif(engine.NAME != "native", reason="lines and calls are traced by the native engine only")


def rows(text):
    """Of the tables of lines in a text: function -> {line number: (hits, source)}."""
    found = {}
    for line in text.splitlines():
        if head := re.match(r"(\S+)  .*:\d+  growth", line):
            found[head[1]] = table = {}
        elif found and re.match(r" *\d+ [ \d,]{11} ", line):
            table[int(line[:6])] = int(line[7:18].replace(",", "").strip() or 0), line[80:].strip()
    return found


# -- the extension -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memkit.ipython", "memkit"])
def test_unloading_the_extension_removes_everything(shell, name):
    before = shell.state
    shell(f"%load_ext {name}")
    assert {"memwatch", "memit", "mprun", "imu_start", "imu_stop"} <= shell.state[0]["line"]
    assert {"memkit", "memit", "mprun"} <= shell.state[0]["cell"]
    shell("%memwatch on")
    shell(f"%unload_ext {name}")
    assert shell.state == before
    assert shell("1") == "Out[4]: 1\n"


def test_magics_registered_later_survive_the_unloading(shell):
    shell("%load_ext memkit")
    shell("from IPython.core.magic import register_line_magic\n@register_line_magic\ndef mine(line): return 5")
    shell("get_ipython().events.register('pre_run_cell', print)")
    shell("%unload_ext memkit")
    assert "<ExecutionInfo" in shell("%mine")
    assert shell.result.result == 5


def test_the_extension_can_be_reloaded_and_prints_nothing_twice(loaded):
    loaded("%memwatch on")
    loaded("%reload_ext memkit.ipython")
    loaded("%load_ext memkit")  # it is there under another name
    loaded("%memwatch on")
    assert len(WATCHED.findall(loaded("1"))) == 1
    loaded("%unload_ext memkit")


def test_a_plugin_can_add_a_magic_which_leaves_with_the_extension(shell, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger_module.py").write_text(
        textwrap.dedent("""
            import memkit

            def peak(line):
                return memkit.peak_rss()

            @memkit.hookimpl
            def memkit_load_ipython(shell):
                shell.register_magic_function(peak, "line")
        """)
    )
    info = tmp_path / "stranger-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[memkit]\nstranger = stranger_module\n")
    shell("%load_ext memkit.ipython")
    shell("found = %peak")
    assert shell.ip.user_ns["found"] > MIB
    shell("%unload_ext memkit.ipython")
    shell("%peak")
    assert "not found" in shell.complaint
    sys.modules.pop("stranger_module")


# -- %memwatch ---------------------------------------------------------------------------------------------------------


def test_memwatch_is_switched_on_off_and_toggled(loaded):
    on = [bool(WATCHED.search(loaded(f"%memwatch {word}"))) for word in ("on", "on", "toggle", "toggle", "off", "off")]
    assert on == [True, True, False, True, False, False]


def test_the_names_of_ipython_memory_usage_are_aliases(loaded):
    assert WATCHED.search(loaded("%imu_start"))
    assert len(WATCHED.findall(loaded("kept = touched(1)"))) == 1
    assert loaded("%imu_stop") == ""
    assert loaded("1") == "Out[5]: 1\n"


@pytest.mark.parametrize("name", ["imu_start", "imu_stop"])
def test_the_aliases_take_no_arguments(loaded, name):
    other = "imu_stop" if name == "imu_start" else "imu_start"
    before = bool(WATCHED.search(loaded(f"%{other}")))
    loaded(f"%{name} some junk")
    alias = "on" if name == "imu_start" else "off"
    assert loaded.complaint == f"UsageError: %{name} 'some junk': write %{name} alone, which is %memwatch {alias}\n"
    assert bool(WATCHED.search(loaded("1"))) == before  # nothing has changed


# -- %memit ------------------------------------------------------------------------------------------------------------


def increment(text):
    found = re.fullmatch(r"peak memory: \d+\.\d\d MiB, increment: (-?\d+\.\d\d) MiB( \(sampled\))?\n", text)
    return float(found[1])


def test_memit_measures_a_transient(loaded, exact_peaks):
    assert increment(loaded("%memit [0]*10**6")) == pytest.approx(7.63, abs=0.5)
    assert increment(loaded("%memit spike(64)")) == pytest.approx(64, abs=1)


def test_memit_runs_once_for_each_repeat_in_the_users_namespace(loaded):
    loaded("runs = []")
    loaded("%memit runs.append(1)")
    assert loaded.ip.user_ns["runs"] == [1]
    loaded("%memit -r 3 -q runs.append(2)")
    assert loaded.ip.user_ns["runs"] == [1, 2, 2, 2]
    loaded("%memit kept = 5")
    assert loaded.ip.user_ns["kept"] == 5


def test_memit_returns_a_result_and_can_be_silent(loaded):
    assert loaded("found = %memit -o -q -r 2 -t 60 -i 0.5 touched(30)") == ""
    found = loaded.ip.user_ns["found"]
    assert isinstance(found, memkit.MemitResult)
    assert (found.repeats, found.timeout, found.interval, found.include_children) == (2, 60, 0.5, False)
    assert found.peak == found.baseline + found.increment
    assert loaded("%memit pass") != ""
    assert loaded.result.result is None


def test_the_setup_of_a_cell_is_run_and_not_measured(loaded, exact_peaks):
    assert increment(loaded("%%memit kept = touched(50)\nmore = touched(20)")) == pytest.approx(20, abs=1)
    loaded("kept.close(); more.close()")


def test_memit_counts_children(loaded):
    child = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])"
    assert increment(loaded(f"%%memit -c -i 0.01\n{child}")) >= 0


def test_an_error_in_a_statement_is_the_users(loaded):
    lines = ["%%mprun\n1 / 0"] if engine.NAME == "native" else []
    for statement in ("%memit 1 / 0", "%%memit\n1 / 0", "%%memkit -q\n1 / 0", *lines):
        shown = loaded(statement)
        assert isinstance(loaded.error, ZeroDivisionError)
        assert "1 / 0" in shown
        assert os.path.dirname(memkit.__file__) not in shown  # no frames of memkit's own


class Doubled(ast.NodeTransformer):
    """What rewrites the code that is typed: numbers are twice as high, and one name may not be used."""

    def visit_Constant(self, node):
        return ast.Constant(2 * node.value) if isinstance(node.value, int) else node

    def visit_Name(self, node):
        if node.id == "forbidden":
            raise InputRejected("that name")
        return node


@pytest.fixture
def doubling(loaded):
    """A shell with such a transformer."""
    loaded.ip.ast_transformers.append(Doubled())
    yield loaded
    loaded.ip.ast_transformers.clear()


MAGICS = ["%memit -q", "%%memit -q\n", pytest.param("%%mprun\n", marks=traced), "%%memkit -q\n"]


@pytest.mark.parametrize("magic", MAGICS)
def test_ipythons_transformers_see_the_code(doubling, magic):
    doubling(f"{magic} kept = 4")
    assert doubling.ip.user_ns["kept"] == 8


@pytest.mark.parametrize("magic", MAGICS)
def test_code_that_a_transformer_refuses_is_not_run(doubling, magic):
    doubling(f"{magic} kept = forbidden")
    name = re.match(r"%%?(\w+)", magic)[1]
    assert re.fullmatch(f"UsageError: %+{name}: a transformer of IPython refuses it: that name\n", doubling.complaint)


# -- %mprun ------------------------------------------------------------------------------------------------------------

DOUBLE = "def double(size):\n    kept = touched(size)\n    return kept"


@traced
def test_a_function_of_a_cell_is_measured_line_by_line(loaded):
    loaded(DOUBLE)
    text = loaded("%mprun -f double double(40)")
    assert rows(text)["double"] == {1: (0, DOUBLE.splitlines()[0]), 2: (1, "kept = touched(size)"), 3: (1, "return kept")}
    assert re.search(r"double  In \[2\]:1  growth \+40\.\d MiB", text)


@traced
def test_a_redefined_function_is_shown_with_its_new_source(loaded):
    loaded(DOUBLE)
    loaded("%mprun -f double double(1)")
    loaded("# now otherwise\n" + DOUBLE.replace("touched(size)", "[size]"))
    assert rows(loaded("%mprun -f double double(1)"))["double"][3] == (1, "kept = [size]")


@traced
@pytest.mark.parametrize(
    ("words", "functions"),
    [
        ("-f shapes.area", {"area"}),
        ("-f shapes.Box", {"Box.__init__", "Box.size"}),
        ("-f shapes.Box.size", {"Box.size"}),
        ("-f shapes.area -f shapes.Box.size", {"area", "Box.size"}),
        ("-f shapes", {"area", "Box.__init__", "Box.size"}),
        ("-f shapes:area", {"area"}),
    ],
)
def test_functions_methods_classes_and_modules_of_files_are_measured(loaded, tmp_path, monkeypatch, words, functions):
    monkeypatch.syspath_prepend(tmp_path)
    source = """
        def area(box):
            return box.size() ** 2


        class Box:
            def __init__(self):
                self.side = 3

            def size(self):
                return self.side
    """
    (tmp_path / "shapes.py").write_text(textwrap.dedent(source))
    loaded("import shapes")
    assert set(rows(loaded(f"%mprun {words} shapes.area(shapes.Box())"))) == functions
    sys.modules.pop("shapes")


@traced
def test_without_a_function_a_cell_is_measured_itself(loaded):
    text = loaded("%%mprun\nfor number in range(5):\n    kept = [number]\ndef inner():\n    return kept\ninner()")
    table = rows(text)
    assert table["<module>"][2] == (5, "kept = [number]")
    assert table["inner"][4] == (1, "return kept")


@traced
def test_with_a_function_a_cell_is_what_runs(loaded):
    loaded(DOUBLE)
    text = loaded("%%mprun -f double first = double(1)\nsecond = double(2)")
    assert set(rows(text)) == {"double"}
    assert rows(text)["double"][2][0] == 2
    assert loaded.ip.user_ns["second"].close() is None


@traced
def test_the_tables_can_be_saved_and_the_profiler_returned(loaded, tmp_path):
    loaded(DOUBLE)
    printed = loaded(f'profiler = %mprun -r -T "{tmp_path / "a table.txt"}" -f double double(1)')
    assert printed.endswith(f"\n*** Profile printout saved to text file {tmp_path / 'a table.txt'}. \n")
    assert rows((tmp_path / "a table.txt").read_text()) == rows(printed)
    profiler = loaded.ip.user_ns["profiler"]
    assert repr(profiler) == "<memkit.LineProfiler ended, no file>"
    assert {line.function.name for line in profiler.recording.lines} == {"double"}


@traced
@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt"])
def test_a_system_exit_is_reported_after_the_tables(loaded, error):
    loaded(DOUBLE)
    printed = loaded(f"%%mprun -f double\ndouble(1)\nraise {error}")
    assert set(rows(printed)) == {"double"}
    assert printed.endswith(f"*** {error} exception caught in code being profiled.\n")
    assert loaded.error is None


@traced
def test_an_error_is_the_users_and_the_tables_are_shown(loaded):
    loaded(DOUBLE)
    printed = loaded("%%mprun -f double\ndouble(1)\n1 / 0")
    assert set(rows(printed)) == {"double"}
    assert isinstance(loaded.error, ZeroDivisionError)


@traced
def test_children_are_reported_below_the_tables(loaded):
    loaded(DOUBLE)
    assert re.search(r"^children: at most .* together, polled every 0.1 s$", loaded("%mprun -c -f double double(1)"), re.M)


@traced
def test_profile_is_a_builtin_only_while_the_code_runs(loaded):
    loaded("%%mprun\n@profile\ndef inner():\n    return 1\ninner()")
    assert loaded.error is None
    assert not hasattr(builtins, "profile")


@traced
def test_showing_the_tables_is_not_in_the_tables(loaded):
    loaded("import memkit.units")
    printed = loaded("%%mprun -f memkit.units.show_bytes\n@profile\ndef inner():\n    return 1\ninner()")
    assert set(rows(printed)) == {"inner"}
    assert loaded.complaint == ""


@pytest.mark.parametrize(
    ("cell", "left"), [("del builtins.profile", False), ("builtins.profile = 5", 5), ("builtins.profile", False)]
)
def test_a_value_that_the_program_assigns_to_profile_stays(loaded, cell, left):
    loaded(f"%%memkit -q\nimport builtins\n{cell};")
    assert loaded.error is None
    assert vars(builtins).pop("profile", False) == left


# -- %%memkit ----------------------------------------------------------------------------------------------------------

CELL = "%%memkit --out run\ndef load(size):\n    return touched(size)\nkept = load(30)\nkept.close()\n'done'"


def test_a_limit_holds_in_a_cell(loaded):
    loaded("%%memkit --limit 1MiB --out limited\nimport time\ntime.sleep(0.5)")
    (crossing,) = loaded.ip.user_ns["limited"].crossings
    assert (crossing.limit, crossing.action) == (1 << 20, "report")


def test_a_cell_that_is_recorded_again_says_that_it_replaced_a_recording(loaded, tmp_path):
    saved = f"saved    {tmp_path / 'a.memkit'}"
    shown = [loaded(f"%%memkit -o {tmp_path / 'a.memkit'}\npass").splitlines() for _ in range(2)]
    assert saved in shown[0] and f"{saved}, in place of an earlier recording" in shown[1]


@traced
@pytest.mark.parametrize("options", ["--heap", "--heap --calls", "--heap --lines=load"])
def test_a_cell_tells_its_heap(loaded, options):
    loaded("def load():\n    return bytes(9 << 20)")
    printed = loaded(f"%%memkit {options} --out run\nkept = load()")
    run = loaded.ip.user_ns["run"]
    assert 9 * MIB <= run.heap.alive < 10 * MIB
    assert "heap: 9." in printed and " alive at the end" in printed
    assert ">heap</b>" in memkit.mimebundle(run)["text/html"]
    if options != "--heap --lines=load":
        assert re.search(r"^ +9\.0 MiB +\d+% +\d+  load ", printed, re.M)
    assert max(line.alive for line in run.lines) >= 9 * MIB


@traced
def test_a_cell_tells_what_its_heap_is_by_estimate(loaded):
    loaded("def load():\n    return list(map(bytes, [1000] * 9000))")
    printed = loaded("%%memkit --heap=sampled:16KiB --out run\nkept = load()")
    run = loaded.ip.user_ns["run"]
    assert abs(run.heap.alive - 9000 * 1033) < 5 * run.heap.alive_error
    assert re.search(r"^ +[89]\.\d MiB ±\d+\.\d KiB +\d+%  load ", printed, re.M)
    assert "sampled, one in 16.0 KiB; ± is one standard error" in memkit.mimebundle(run)["text/html"]


@traced
@pytest.mark.parametrize("key", ["heap", "allocated"])
def test_a_cell_lists_functions_by_heap(loaded, key):
    loaded("def load():\n    return bytes(9 << 20)")
    printed = loaded(f"%%memkit --heap --sort {key} --out run\nkept = load()")
    assert "the functions that allocated most" in printed
    assert "the functions that allocated most" in memkit.mimebundle(loaded.ip.user_ns["run"], sort=key)["text/html"]


HOLD = "import time\ndef hold():\n    kept = touched(60)\n    while True:\n        time.sleep(0.01)\nhold()"


def test_the_stack_at_a_limit_has_only_frames_of_the_cell(loaded):
    limit = memkit.rss() + 20 * MIB
    printed = loaded(f"%%memkit --limit {limit} --on-limit raise --out run\n{HOLD}")
    assert isinstance(loaded.error, MemoryError)
    (crossing,) = loaded.ip.user_ns["run"].crossings
    (main,) = [stack for stack in crossing.stacks if stack.name == "MainThread"]
    assert [frame.function for frame in main.frames][-2:] == ["hold", "<module>"]
    assert re.search(r"^    In \[2\]:6 <module> +hold\(\)$", printed, re.M)
    assert not any("IPython" in frame.file for stack in crossing.stacks for frame in stack.frames)


@traced
def test_a_cell_has_one_name_in_all_that_is_shown(loaded, tmp_path):
    words = f"--calls --folded {tmp_path / 'folded'} --speedscope {tmp_path / 'scope'} --pprof {tmp_path / 'pprof'}"
    loaded(f"%%memkit -q {words} --out run\nimport time\ndef load(size):\n    return touched(size)\nload(9)")
    assert ";load (In [2]:2)" in (tmp_path / "folded").read_text()
    assert '"file": "In [2]"' in (tmp_path / "scope").read_text()
    assert any(("load", "In [2]", 2) in each.stack for each in profile_proto.read(tmp_path / "pprof").samples)
    run = loaded.ip.user_ns["run"]
    assert any(text == "load  In [2]:2" for text, _, heading in plot_lines.rows_of(run) if heading)
    assert "In [2]:2" in {flame._place(call.function) for call in run.calls if call.function.name == "load"}


def test_a_cell_is_recorded_and_its_value_is_returned(loaded, exact_peaks):
    printed = loaded(CELL)
    assert loaded.result.result == "done"
    assert printed.startswith("memkit   In [2]: finished\n")
    run = loaded.ip.user_ns["run"]
    assert isinstance(run, memkit.Recording)
    assert run.about.argv == ("In [2]",)
    assert run.peak - run.start == pytest.approx(30 * MIB, abs=MIB)


def test_a_cell_without_history_is_recorded_without_a_number(loaded):
    assert loaded("%%memkit\n1", store_history=False).startswith("memkit   In [ ]: finished\n")
    assert loaded("%%memkit\n1").startswith("memkit   In [2]: finished\n")


@traced
def test_the_lines_of_the_cell_and_of_the_functions_in_it_are_traced(loaded):
    table = rows(loaded(CELL))
    assert set(table) == {"<module>", "load"}
    assert table["<module>"][3] == (1, "kept = load(30)")
    assert table["load"][2] == (1, "return touched(size)")


@traced
def test_calls_are_traced_on_request(loaded):
    assert "calls grew memory by" not in loaded(CELL)
    printed = loaded(CELL.replace("--out", "--calls --lines=json --out"))
    assert re.search(r"<module>  In \[3\]:1$", printed, re.M)
    assert {call.function.name for call in loaded.ip.user_ns["run"].calls} >= {"<module>", "load"}


@traced
@pytest.mark.parametrize("word", ["--lines=load", "--lines=__main__:load", "--lines=Shelf.put", "--calls=load"])
def test_functions_of_other_cells_are_named_as_they_are_called(loaded, word):
    loaded("def load(size):\n    return [0] * size\nclass Shelf:\n    def put(self):\n        return 1")
    loaded(f"%%memkit -q {word} --out run\nload(9), Shelf().put()")
    run = loaded.ip.user_ns["run"]
    name = word.rpartition("=")[2].rpartition(":")[2]
    assert name in {found.function.name for found in (run.calls if "calls" in word else run.lines)}


def test_a_name_that_no_cell_has_made_is_refused(loaded):
    loaded("def load(size):\n    pass")
    loaded("%%memkit --lines=__main__:laod\npass")
    assert "target '__main__:laod': no cell has made 'laod' (did you mean 'load'?)" in str(loaded.error)
    loaded("%%memkit --lines=load.size\npass")
    assert "target 'load.size': 'function' object has no attribute 'size'" in str(loaded.error)


def test_a_cell_that_fails_is_shown_and_kept(loaded):
    printed = loaded("%%memkit --out run\nbefore = 1\n1 / 0")
    assert isinstance(loaded.error, ZeroDivisionError)
    assert "In [2]: ended by an exception: ZeroDivisionError" in printed
    assert loaded.ip.user_ns["run"].ending.kind == "error"


def test_what_a_cell_assigns_stays_and_nothing_else_does(loaded):
    before = set(loaded.ip.user_ns)
    loaded("%%memkit -q\nkept = 7\nkept + 1")
    assert loaded.result.result == 8
    assert {name for name in set(loaded.ip.user_ns) - before if not name.startswith("_")} == {"kept"}


def test_the_options_and_reports_are_those_of_memkit_run(loaded, tmp_path):
    words = f"-q -o {tmp_path / 'a.memkit'} --interval 5ms --csv {tmp_path / 'a.csv'} --json {tmp_path / 'a.json'}"
    assert loaded(f"%%memkit {words}\nkept = 1") == ""
    assert loaded.error is None
    assert memkit.read(tmp_path / "a.memkit").about.interval == 5_000_000
    assert (tmp_path / "a.csv").read_text().startswith("time_s,")
    assert (tmp_path / "a.json").stat().st_size > 100


@traced
def test_every_event_of_a_cell_can_be_logged(loaded, tmp_path):
    loaded(f"%%memkit -q --call-log {tmp_path / 'log.csv'} --trigger 1MiB\nkept = touched(8)\nkept.close()")
    assert loaded.error is None
    assert any(row.line for row in memkit.read_log(tmp_path / "log.csv"))


@traced
@pytest.mark.parametrize("last", ["made.append(3)", "1 / 0"])
def test_only_the_events_of_the_cell_are_logged(loaded, tmp_path, last):
    loaded(f"%%memkit -q --call-log {tmp_path / 'log.csv'} --trigger 0\ndef make():\n    return [1]\nmade = make()\n{last}")
    rows = [(row.what, row.function, row.line) for row in memkit.read_log(tmp_path / "log.csv") if row.file]
    assert rows[:6] == [
        ("CALL", "<module>", None),
        ("LINE", "<module>", 1),
        ("LINE", "<module>", 3),
        ("CALL", "make", 1),
        ("LINE", "make", 2),
        ("RETURN", "make", 2),
    ]
    assert rows[-1] == ("RETURN", "<module>", 4)
    assert {function for _, function, _ in rows} <= {"<module>", "make", "list.append"}
    assert loaded("%%memkit -q\n6") == "Out[3]: 6\n"


@pytest.mark.parametrize(
    "cell",
    ["%%memkit -q\n5;", "%%memkit -q\n5; # five\n", "%memit -o -q 1;", "%%memit -o -q kept = 1\n2 ;"],
)
def test_a_semicolon_suppresses_the_value(loaded, cell):
    assert loaded(cell) == ""
    assert loaded.result.result is None
    assert loaded.error is None


@pytest.mark.parametrize("cell", ["%%memkit -q\n'5;'", "%%memkit -q\n7; 5", "%%memkit -q\n!echo it\\'s\n5"])
def test_a_semicolon_elsewhere_suppresses_nothing(loaded, cell):
    loaded(cell)
    assert loaded.result.result in (5, "5;")


@traced
def test_a_semicolon_suppresses_the_profiler(loaded):
    loaded(DOUBLE)
    assert "Out[" not in loaded("%mprun -r -f double double(1).close();")


@pytest.mark.parametrize("asked", ["%%memkit --help\nran = 1", "%memkit --help"])
def test_help_is_shown_and_nothing_is_run(loaded, asked):
    shown = loaded(asked)
    assert shown.startswith("usage: %%memkit [options]\n")
    assert "--lines" in shown and "--out NAME" in shown
    assert not any(word in shown for word in ("--program", "--live", "-m MODULE", "-c CODE", "positional"))
    words = " ".join(shown.split())
    assert not any(word in words for word in (" program ", "program's", "stop", "and the time"))
    assert "--on-limit {report,raise} " in words
    assert "ran" not in loaded.ip.user_ns


PARTS = {
    "console": r"In \[\d+\]: finished",
    "lines": r"^load  In \[\d+\]:1  growth",
    "paths": "calls grew memory by|memory was highest|calls took",
}


@traced
@pytest.mark.parametrize("disabled", [("console",), ("lines",), ("paths",), ("console", "paths"), tuple(PARTS)])
def test_disabled_plugins_add_nothing_to_what_is_shown(loaded, disabled):
    words = " ".join(f"-p no:{name}" for name in disabled)
    printed = loaded(CELL.replace("--out", f"--calls {words} --out"))
    assert loaded.complaint == ""
    assert loaded.result.result == "done"
    assert {name for name, words in PARTS.items() if re.search(words, printed, re.M)} == set(PARTS) - set(disabled)
    assert not printed.startswith("\n")
    assert loaded.ip.user_ns["run"].calls


@pytest.mark.parametrize(("last", "error"), [("7", None), ("1 / 0", ZeroDivisionError)])
def test_an_error_in_showing_keeps_the_result_of_the_cell(loaded, monkeypatch, last, error):
    def fail(*words, **more):
        raise AttributeError("no such thing")

    monkeypatch.setattr(memkit, "mimebundle", fail, raising=False)
    loaded(f"%%memkit --out run\n{last}")
    assert loaded.result.result == (None if error else 7)
    assert type(loaded.error) is (error or type(None))
    assert "memkit: the recording cannot be shown: AttributeError: no such thing\n" in loaded.complaint
    assert isinstance(loaded.ip.user_ns["run"], memkit.Recording)


@traced
def test_an_error_in_showing_tables_keeps_the_result_of_the_statement(loaded, monkeypatch):
    monkeypatch.setattr("memkit.ipython.html.line_tables", lambda recording: 1 / 0)
    loaded(DOUBLE)
    loaded("found = %mprun -r -f double double(1).close()")
    assert loaded.error is None
    assert "memkit: no tables can be shown: ZeroDivisionError: division by zero\n" in loaded.complaint
    assert loaded.ip.user_ns["found"].recording.lines


def test_where_lines_cannot_be_traced_the_rest_is_recorded(loaded, monkeypatch):
    monkeypatch.setattr(engine, "NAME", "portable")
    monkeypatch.setattr(engine, "REASON", "for a test")
    printed = loaded("%%memkit\nkept = 1")
    assert "In [2]: finished" in printed
    assert printed.rstrip().endswith(
        "no lines: lines can be traced with the native engine only; this is the portable one: for a test"
    )


# -- memkit.record -----------------------------------------------------------------------------------------------------


def test_a_recording_is_named_after_the_cell_that_made_it(shell):
    shell("import memkit\nwith memkit.record() as run: pass")
    assert shell.ip.user_ns["run"].recording.about.argv == ("In [1]",)
    shell("with run: pass", store_history=False)
    assert shell.ip.user_ns["run"].recording.about.argv == ("In [ ]",)


def test_a_recording_of_a_program_has_the_name_of_the_program(shell, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import memkit\nwith memkit.record() as run: pass\n")
    shell(f"%run {program} 5")
    assert shell.ip.user_ns["run"].recording.about.argv == (str(program), "5")
    with memkit.record() as run:  # a shell is there, and runs nothing
        pass
    assert run.recording.about.argv == tuple(sys.argv)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%memwatch", "%memwatch '': write %memwatch on, off or toggle"),
        ("%memwatch maybe", "%memwatch 'maybe': write %memwatch on, off or toggle"),
        ("%memit", "%memit: there is nothing to measure: add a statement"),
        ("%%memit ran = 1\n ", "%memit: there is nothing to measure: add a statement"),
        ("%memit -z ran = 1", "%memit has no option -z"),
        (
            "%memit --heap ran = 1",
            "%memit has no option --heap; it has -c, -o, -q, -r, -t, -i; %%memkit has those of memkit-run",
        ),
        ("%%memit --heap\nran = 1", "%memit has no option --heap; "),
        ("%mprun --heap -f touched ran = 1", "%mprun has no option --heap; it has -r, -c, -f, -T; %%memkit has"),
        ("%%mprun --heap\nran = 1", "%mprun has no option --heap; "),
        ("%%memkit --calls --sort heap\nran = 1", "--sort heap is made of the heap that was counted: add --heap"),
        ("%memit -r 0 ran = 1", "%memit -r '0': write a whole number greater than 0"),
        ("%memit -i x ran = 1", "%memit -i 'x': write a number greater than 0"),
        ("%memit ran = 1; 3 +", "%memit: that is not Python in line 1: invalid syntax"),
        ("%memit x = = 2", "%memit: that is not Python in line 1: invalid syntax"),
        ("%%memit x = = 2\nran = 1", "%memit: that is not Python in line 1: invalid syntax"),
        ("%%memit ran = 1\nawait other()", "%memit: await cannot be measured by a magic"),
        ("%mprun", "%mprun: there is nothing to run"),
        ("%mprun ran = 1", "%mprun: no lines are measured without -f FUNCTION"),
        ("%mprun -f nosuch ran = 1", "%mprun -f nosuch: NameError: name 'nosuch' is not defined"),
        ("%mprun -f len ran = 1", "%mprun -f len: <built-in function len> has no Python code to trace"),
        ("%mprun -f 3 ran = 1", "%mprun -f 3: 3 has no Python code to trace"),
        ("%mprun -f touched ran = = 1", "%mprun: that is not Python in line 1"),
        (
            "%mprun -f json:nosuch ran = 1",
            "%mprun -f json:nosuch: target 'json:nosuch': there is no 'nosuch'",
        ),
        ("%mprun -f nosuch.mod:f ran = 1", "target 'nosuch.mod:f': there is no module 'nosuch.mod'"),
        ("%%memkit --lines=json:nosuch\nran = 1", "%%memkit: target 'json:nosuch': there is no 'nosuch'"),
        ("%mprun -f touched -T /nowhere/at/all ran = 1", "there is no folder '/nowhere/at'"),
        ("%%memkit --lin\nran = 1", "%%memkit: unknown option '--lin' (did you mean '--lines'?)"),
        ("%%memkit --heapp\nran = 1", "%%memkit: unknown option '--heapp' (did you mean '--heap'?); see %%memkit --help"),
        ("%%memkit script.py\nran = 1", "%%memkit: the cell is what is run"),
        ("%%memkit -m module\nran = 1", "%%memkit: the cell is what is run"),
        ("%%memkit --interval x\nran = 1", "%%memkit: interval 'x' is not a time"),
        ("%%memkit --meter x\nran = 1", "%%memkit: unknown meter 'x'"),
        ("%%memkit --live\nran = 1", "%%memkit: --live is for memkit-run"),
        ("%%memkit --requests\nran = 1", "%%memkit: --requests is for memkit-run"),
        ("%%memkit --sizes 1,2\nran = 1", "%%memkit: --sizes is for memkit-run"),
        ("%%memkit --keep 7d\nran = 1", "%%memkit: --keep is for memkit-run"),
        ("%%memkit --dask\nran = 1", "%%memkit: --dask "),
        ("%%memkit --limit 1GiB --on-limit stop\nran = 1", "%%memkit: --on-limit stop would end the kernel"),
        ("%%memkit --program ls\nran = 1", "%%memkit: the cell is what is run"),
        ("%%memkit --follow\nran = 1", "%%memkit: --follow needs a file"),
        ("%%memkit --trigger 1\nran = 1", "%%memkit: --trigger goes with --call-log FILE"),
        ("%%memkit --csv /nowhere/at/all\nran = 1", "%%memkit: cannot write '/nowhere/at/all'"),
        ("%%memkit --out 3x\nran = 1", "%%memkit: --out '3x': write the name of a variable"),
        ("%memkit", "%%memkit: there is no cell below: write %%memkit on its first line"),
        ("%%memkit 'x\nran = 1", "No closing quotation"),
        ("%%memkit\nran = 1\n3 +", "%%memkit: that is not Python in line 2"),
        ("%%memkit\nran = 1\nawait other()", "%%memkit: await cannot be measured by a magic"),
    ],
)
def test_a_wrong_magic_line_is_reported_and_nothing_is_run(loaded, cell, said):
    printed = loaded(cell)
    if engine.NAME != "native" and said.startswith(("%mprun -f", "has no", "there is no folder")):
        said = "UsageError: "
    assert printed == ""
    assert re.fullmatch(r"UsageError: .+\n", loaded.complaint)
    assert said in loaded.complaint
    assert "ran" not in loaded.ip.user_ns
