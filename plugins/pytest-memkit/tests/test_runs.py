"""What is measured of which kind of test, and what is nobody's."""

import importlib.util

import pytest

MIB = 1 << 20


def rises(found, test, phase="call"):
    """By how much a phase of a test rose, in MiB."""
    return found[test, phase][0] / MIB if (test, phase) in found else 0


def test_a_fixture_is_billed_to_the_setup_and_not_to_the_call(bills):
    text = """
@pytest.fixture(scope="session")
def table():
    yield shop.load(5000)
    shop.load(3000)
def test_first(table): shop.load(1000)
def test_second(table): shop.load(2000)
"""
    done, found = bills(text)
    done.assert_outcomes(passed=2)
    assert rises(found, "test_first", "setup") == pytest.approx(4.9, abs=0.5)
    assert rises(found, "test_first") == pytest.approx(1.0, abs=0.2)
    assert rises(found, "test_second", "setup") < 0.5
    assert rises(found, "test_second") == pytest.approx(2.0, abs=0.2)
    assert rises(found, "test_second", "teardown") == pytest.approx(2.9, abs=0.5)


def test_what_plugins_do_around_the_phases_is_nobodys(bills, pytester):
    pytester.makeconftest(
        """
import pytest
kept = []
def wrapper(item):
    kept.append([bytes(1000) for _ in range(20_000)])
    yield
    kept.append([bytes(1000) for _ in range(20_000)])
pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = pytest.hookimpl(hookwrapper=True)(wrapper)
pytest_runtest_protocol = pytest_runtest_call
def pytest_runtest_logstart(): kept.append([bytes(1000) for _ in range(20_000)])
def pytest_runtest_logreport(): kept.append([bytes(1000) for _ in range(20_000)])
"""
    )
    done, found = bills("def test_load(): shop.load(1000)\ndef test_small(): pass\n")
    done.assert_outcomes(passed=2)
    assert {key for key, sizes in found.items() if sizes[0] > 64 << 10} == {("test_load", "call")}
    assert rises(found, "test_load") == pytest.approx(1.0, abs=0.1)


def test_methods_of_unittest_are_measured_with_their_set_up(bills):
    text = """
import unittest
class TestAll(unittest.TestCase):
    def setUp(self): self.table = shop.load(1000)
    def tearDown(self): del self.table
    def test_load(self): shop.load(2000)
    @pytest.mark.memkit(peak="1 MiB")
    def test_over(self): shop.load(2000)
    def test_fails(self): self.assertTrue(shop.load(0))
"""
    done, found = bills(text)
    done.assert_outcomes(passed=1, failed=2)
    assert rises(found, "TestAll::test_load") == pytest.approx(3.0, abs=0.3)
    assert rises(found, "TestAll::test_over") == pytest.approx(3.0, abs=0.3)
    done.stdout.fnmatch_lines(["memkit: * at the peak, * over the budget of 1.0 MiB", "*", "  3.0 MiB  shop.py:2 *"])


def test_asynchronous_methods_of_unittest_are_measured(bills):
    text = """
import unittest
class TestAll(unittest.IsolatedAsyncioTestCase):
    async def test_load(self): shop.load(3000)
"""
    done, found = bills(text)
    done.assert_outcomes(passed=1)
    assert rises(found, "TestAll::test_load") >= 2.9


@pytest.mark.parametrize("module, mark", [("anyio.pytest_plugin", "anyio"), ("pytest_asyncio.plugin", "asyncio")])
def test_coroutines_are_measured(bills, module, mark):
    pytest.importorskip(module)
    text = f"""
import asyncio
@pytest.fixture
def anyio_backend(): return "asyncio"
async def later():
    await asyncio.sleep(0)
    return shop.load(2000)
@pytest.mark.{mark}
async def test_load():
    await asyncio.gather(asyncio.create_task(later()))
@pytest.mark.{mark}
@pytest.mark.memkit(peak="1 MiB")
async def test_over():
    await later()
"""
    done, found = bills(text, "-p", module, "-W", "ignore::pytest.PytestDeprecationWarning")
    done.assert_outcomes(passed=1, failed=1)
    assert rises(found, "test_load") == pytest.approx(2.0, abs=0.5)
    assert rises(found, "test_over") == pytest.approx(2.0, abs=0.5)
    done.stdout.fnmatch_lines(["memkit: * at the peak, * over the budget of 1.0 MiB", "*", "  2.0 MiB  shop.py:2 *"])


def test_threads_of_a_test_count(bills):
    text = """
import threading
from concurrent.futures import ThreadPoolExecutor
def test_thread():
    thread = threading.Thread(target=shop.load, args=[3000])
    thread.start()
    thread.join()
def test_pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.load, 3000).result()
"""
    done, found = bills(text)
    done.assert_outcomes(passed=2)
    assert rises(found, "test_thread") >= 2.9
    assert rises(found, "test_pool") >= 2.9


def test_parametrized_tests_have_a_row_each(bills):
    _, found = bills("@pytest.mark.parametrize('n', [1000, 3000])\ndef test_load(n): shop.load(n)\n")
    assert rises(found, "test_load[1000]") == pytest.approx(1.0, abs=0.1)
    assert rises(found, "test_load[3000]") == pytest.approx(3.0, abs=0.2)


def test_processes_that_a_test_starts_count_where_it_says_so(bills):
    text = """
import subprocess, sys
def start():
    subprocess.run([sys.executable, "-c", "x = b'x' * (60 << 20); import time; time.sleep(0.3)"], check=True)
def test_alone(): start()
@pytest.mark.memkit(peak="1 GiB", processes=True)
def test_together(): start()
@pytest.mark.memkit(peak="40 MiB", processes=True)
def test_over(): start()
"""
    done, found = bills(text)
    done.assert_outcomes(passed=2, failed=1)
    assert rises(found, "test_alone") < 20
    assert rises(found, "test_together") > 55
    done.stdout.fnmatch_lines(["memkit: * at the peak, * over the budget of 40.0 MiB (each ± *"])


def test_workers_of_xdist_are_merged(run, pytester):
    pytest.importorskip("xdist")
    text = """
@pytest.mark.parametrize("n", range(4))
def test_load(n): shop.load(1000 * n)
@pytest.mark.memkit(peak="1 MiB")
def test_over(): shop.load(2000)
"""
    words = "-p", "xdist.plugin", "-n2", "--memkit-save", "--junit-xml=junit.xml"
    done = run(text, *words)
    done.assert_outcomes(passed=4, failed=1)
    done.stdout.re_match_lines_random(
        [
            r" +3\.0 MiB .* call +test_it.py::test_load\[3\]",
            r" +2\.0 MiB .* call +test_it.py::test_over  \(over\)",
            r"baseline of 4 tests: memkit-baseline.txt",
        ]
    )
    assert (pytester.path / "junit.xml").read_text().count('name="memkit_call_peak"') == 5
    again = run(text, "-p", "xdist.plugin", "-n2", "--memkit-check", "-k", "test_load")
    again.assert_outcomes(passed=4)
    again.stdout.fnmatch_lines(["baseline memkit-baseline.txt: 4 tests compared, 0 over"])


def test_a_bad_marker_stops_a_run_with_workers(run):
    pytest.importorskip("xdist")
    done = run("@pytest.mark.memkit(peek=3)\ndef test_it(): pass\n", "-p", "xdist.plugin", "-n1")
    assert done.ret != 0
    assert "memkit(peek=3): there is peak" in done.stdout.str() + done.stderr.str()


def test_a_test_that_runs_in_a_forked_process_is_measured_there(run, pytester):
    pytester.makeconftest(
        """
import os, pytest
from _pytest.runner import runtestprotocol
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    pid = os.fork()
    if not pid:
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            print("child", report.when, report.outcome, report.memkit[0] >> 10, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    return True
"""
    )
    text = "def test_a(): shop.load(1000)\n@pytest.mark.memkit(peak=1000)\ndef test_b(): shop.load(1000)\n"
    done = run(text, "-s")
    done.stdout.re_match_lines([r"child call passed 101\d", r"child teardown passed \d+", r"child call failed 101\d"])


def test_without_the_option_nothing_is_measured_and_nothing_imported(run):
    text = """
import sys
@pytest.mark.memkit(peak=1)
def test_load():
    shop.load(1000)
    assert not [name for name in sys.modules if name.partition(".")[0] == "memkit"]
"""
    done = run(text, "--strict-markers", memkit=None)
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*memkit*MiB*")


def test_the_portable_engine_measures_resident_memory_and_says_so(run, monkeypatch):
    monkeypatch.setenv("MEMKIT_ENGINE", "portable")
    text = "def test_load():\n    import time\n    x = b'x' * (50 << 20)\n    time.sleep(0.2)\n"
    done = run(text)
    done.assert_outcomes(passed=1)
    done.stdout.re_match_lines([r"memkit: resident memory by samples, which miss short peaks, .*, ± 1\.0 MiB"])
    done.stdout.re_match_lines([r"5\d\.\d MiB .* call +test_it.py::test_load"])


def test_a_run_that_is_interrupted_has_its_table(run):
    done = run("def test_load(): shop.load(1000)\ndef test_stops(): raise KeyboardInterrupt\n")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*the phases by rise*", "*test_it.py::test_load*"])


def test_the_plugins_own_dependencies_are_memkit_and_pytest():
    from importlib.metadata import requires

    assert {name for name in requires("pytest-memkit") if "extra" not in name} == {"memkit-profiler", "pytest>=8"}
    assert importlib.util.find_spec("pytest_memkit.plugin")
