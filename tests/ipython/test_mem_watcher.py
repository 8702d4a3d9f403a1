"""Watching cells: what each did to memory, told once, whatever kind of cell it is."""

import re
import subprocess
import sys

import pytest

import memkit
from memkit.ipython.measurement import Measured
from memkit.ipython.mem_watcher import Measurements, active, between_cells, line
from memkit.system import engine

MIB = 1 << 20
SECOND = 1_000_000_000
LINE = re.compile(
    r"^In \[(\d+)\]( \(nested\))? used (-?\d+\.\d) MiB RAM in (\d+\.\d\d)s, peaked (\d+\.\d) MiB above current"
    r"( \(sampled\))?, total RAM usage (\d+\.\d) MiB(?: \([+-]\d+\.\d MiB between cells\))?$",
    re.MULTILINE,
)


def told(text):
    """What the lines in a text tell: number, whether nested, growth, peak."""
    return [(int(n), bool(nested), float(grew), float(peak)) for n, nested, grew, _, peak, _, _ in LINE.findall(text)]


@pytest.fixture
def watched(shell):
    """A shell whose cells are watched from the second one on."""
    shell.ip.user_ns["watcher"] = memkit.MemWatcher(shell.ip)
    shell("watcher.start_watching_memory()")
    yield shell
    shell.ip.user_ns["watcher"].stop_watching_memory()


def test_the_whole_line():
    measured = Measured(100 * MIB, 176 * MIB, 200 * MIB, True, SECOND // 8, ())
    whole = "In [5] used 76.0 MiB RAM in 0.12s, peaked 24.0 MiB above current, total RAM usage 176.0 MiB"
    assert line("In [5]", measured) == whole
    assert LINE.fullmatch(whole)


def test_a_sampled_peak_is_marked():
    seen = line("In [5]", Measured(MIB, MIB, 2 * MIB, False, 0, ()))
    assert "peaked 1.0 MiB above current (sampled), total" in seen


def test_no_size_is_printed_as_minus_zero():
    assert "used 0.0 MiB" in line("In [5]", Measured(MIB, MIB - 4096, MIB, True, 0, ()))


def test_a_text_that_is_captured_is_the_programs_alone(shell):
    watcher = shell.ip.user_ns["watcher"] = memkit.MemWatcher(shell.ip)
    try:
        for number, cell in enumerate(["watcher.start_watching_memory()\nprint(5)", "print(5)", "print(5)"], 1):
            printed = shell(f"%%capture out\n{cell}")
            assert shell.ip.user_ns["out"].stdout == "5\n"
            assert [each[:2] for each in told(printed)] == [(number, False)]
        assert [number for number, *_ in told(shell("6"))] == [4]
    finally:
        watcher.stop_watching_memory()


def test_growth_and_shrinkage_are_printed_to_a_tenth(watched):
    [(number, _, grew, _)] = told(watched("kept = touched(50)"))
    assert number == 2
    assert grew == pytest.approx(50, abs=0.3)
    [(_, _, grew, peak)] = told(watched("kept.close()"))
    assert grew == pytest.approx(-50, abs=0.3)
    if engine.peaks()[0] == "reset":
        assert peak == pytest.approx(50, abs=0.6)


def test_a_transient_is_the_peak(watched, exact_peaks):
    [(_, _, grew, peak)] = told(watched("spike(120)"))
    assert abs(grew) < 1
    assert peak == pytest.approx(120, abs=1)


@pytest.mark.parametrize(
    "cell",
    [
        "kept = touched(30); 1 / 0",
        "kept = touched(30); raise KeyboardInterrupt",
        "kept = touched(30); raise SystemExit",
        "import threading\ndef take():\n    global kept\n    kept = touched(30)\nthread = threading.Thread(target=take)\n"
        "thread.start()\nthread.join()",
        "%%time\nkept = touched(30)",
        "%%capture\nkept = touched(30)",
        "async def take():\n    return touched(30)\nkept = await take()",
        "%run -i {script}",
    ],
    ids=["error", "interrupt", "exit", "thread", "time", "capture", "await", "run"],
)
def test_every_kind_of_cell_is_measured(watched, cell, tmp_path):
    (tmp_path / "script.py").write_text("kept = touched(30)")
    watched("1 / 0")  # the first traceback loads what shows it
    printed = watched(cell.replace("{script}", str(tmp_path / "script.py")))
    [(_, _, grew, _)] = told(printed)
    assert grew == pytest.approx(30, abs=3)  # a traceback, threads and asyncio take some memory of their own
    watched.ip.user_ns["kept"].close()


def test_a_cell_that_cannot_be_compiled_is_reported_too(watched):
    assert [number for number, *_ in told(watched("3 +"))] == [2]


def test_a_cell_that_only_displays_is_reported_after_its_output(watched):
    printed = watched("'shown'")
    assert printed.index("shown") < printed.index("used")


def test_an_empty_cell_is_not_reported(watched):
    assert watched("  ") == ""


def test_a_silent_cell_is_not_reported(watched):
    assert watched("kept = 1", silent=True) == ""


def test_a_cell_that_runs_others_is_reported_after_them(watched):
    watched("1")
    found = told(watched("get_ipython().run_cell('inner = touched(20)'); outer = touched(10)"))
    assert [(number, nested) for number, nested, *_ in found] == [(3, True), (3, False)]
    assert [grew for *_, grew, _ in found] == pytest.approx([20, 30], abs=1)


def sums(text):
    """Of each line in a text: what the cell used, what came between it and the previous cell, and the total."""
    pattern = r"used (-?[\d.]+) MiB.*total RAM usage ([\d.]+) MiB(?: \(([+-][\d.]+) MiB between cells\))?$"
    found = re.findall(pattern, text, re.MULTILINE)
    return [(float(used), float(between or 0), float(total)) for used, total, between in found]


def test_what_came_between_cells_is_told_so_that_the_lines_add_up(watched, touched):
    [(_, _, before)] = sums(watched("1"))
    kept = touched(30)  # as a thread would, or the kernel that sends output
    [(used, between, total)] = sums(watched("inner = touched(20)"))
    assert between == pytest.approx(30, abs=1)
    assert total == pytest.approx(before + between + used, abs=0.16)  # each is rounded
    kept.close()
    [(used, between, after)] = sums(watched("2"))
    assert between == pytest.approx(-30, abs=1)
    assert after == pytest.approx(total + between + used, abs=0.16)


def test_what_would_be_shown_as_nothing_is_not_told():
    assert [between_cells(sign * MIB // 32) for sign in (1, 0, -1)] == ["", "", ""]
    assert between_cells(-3 * MIB // 2) == " (-1.5 MiB between cells)"


def test_what_came_between_cells_is_told_of_the_outer_cell_alone(watched, touched):
    watched("1")
    kept = touched(30)
    nested = watched("get_ipython().run_cell('inner = touched(20)'); outer = touched(10)").splitlines()
    assert ["between" in line for line in nested] == [False, True]
    kept.close()


def test_what_came_while_nobody_watched_is_not_told(watched, touched):
    watched("watcher.stop_watching_memory()")
    kept = touched(30)
    assert "between" not in watched("watcher.start_watching_memory()")
    kept.close()


def test_code_run_without_history_has_no_cell_number(watched):
    assert watched("kept = 1", store_history=False).startswith("In [ ] used ")
    within = watched("get_ipython().run_cell('inner = touched(1)')", store_history=False)
    assert re.findall(r"^In \[.\](?: \(nested\))?", within, re.M) == ["In [ ] (nested)", "In [ ]"]
    assert [number for number, *_ in told(watched("1"))] == [2]


def test_the_cell_that_starts_watching_is_measured_from_there(shell):
    shell("before = touched(30)")
    found = told(
        shell("import memkit\nw = memkit.MemWatcher()\nearly = touched(20)\nw.start_watching_memory()\nlate = touched(10)")
    )
    assert [(number, nested) for number, nested, *_ in found] == [(2, False)]
    assert found[0][2] == pytest.approx(10, abs=0.5)
    shell("w.stop_watching_memory()")


def test_measurements_are_those_of_the_previous_cell(watched):
    assert isinstance(watched.ip.user_ns["watcher"].measurements, Measurements)  # of the cell that started it
    watched("kept = touched(25)")
    watched("found = watcher.measurements")
    found = watched.ip.user_ns["found"]
    assert found.memory_delta == pytest.approx(25, abs=0.3)
    assert found.memory_usage == pytest.approx(memkit.rss() / MIB, abs=5)
    assert found.time_delta > 0
    assert found.memory_peak >= 0


def test_before_the_first_cell_there_are_no_measurements(shell):
    assert memkit.MemWatcher(shell.ip).measurements is None


def test_starting_twice_has_no_effect(watched):
    watched("watcher.start_watching_memory()")
    assert len(told(watched("1"))) == 1


def test_starting_another_watcher_stops_the_first(watched):
    watched("import memkit; other = memkit.MemWatcher(); other.start_watching_memory()")
    assert len(told(watched("1"))) == 1
    assert not watched.ip.user_ns["watcher"].watching
    watched("other.stop_watching_memory()")


def test_stopping_removes_the_callbacks(shell):
    before = shell.state
    watcher = memkit.MemWatcher(shell.ip)
    watcher.start_watching_memory()
    assert active(shell.ip) is watcher
    assert repr(watcher) == "<memkit.MemWatcher watching>"
    watcher.stop_watching_memory()
    watcher.stop_watching_memory()
    assert shell.state == before
    assert active(shell.ip) is None
    assert shell("1") == "Out[1]: 1\n"


def test_watching_survives_a_reset_of_the_namespace(watched):
    watched("%reset -f")
    assert [number for number, *_ in told(watched("1"))] == [3]
    active(watched.ip).stop_watching_memory()
    watched.ip.user_ns["watcher"] = memkit.MemWatcher(watched.ip)


def test_callbacks_without_arguments_are_accepted(watched):
    watcher = watched.ip.user_ns["watcher"]
    watcher._before(None)
    watcher._open[-1] = watcher._open[-1]._replace(info=watched.result.info)
    watcher._after()
    assert watcher._open == []


def test_unreadable_memory_stops_the_watcher_with_one_line(watched, monkeypatch):
    def fail(self):
        raise memkit.MeterError("no meter")

    monkeypatch.setattr("memkit.ipython.measurement.Measurement.end", fail)
    watched("1")
    assert watched.complaint == "memkit: cells are not watched any more: no meter\n"
    assert watched("2") == "Out[3]: 2\n"


OUTSIDE = """
import sys, memkit
try:
    memkit.MemWatcher()
except memkit.UsageError as error:
    print(error)
print("IPython" in sys.modules)
"""


def test_outside_ipython_the_watcher_raises_a_usage_error():
    said = subprocess.run([sys.executable, "-c", OUTSIDE], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 2
    assert "this is not IPython" in said[0]
    assert said[1] == "False"


def test_no_name_of_memkit_imports_ipython():
    code = "import sys, memkit\nfor name in memkit.__all__: getattr(memkit, name)\nprint('IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
