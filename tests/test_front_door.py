"""The names that ``import memkit`` gives, and what that costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import memkit


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **environment).stdout


def test_every_name_on_the_door_opens():
    for name in memkit.__all__:
        assert getattr(memkit, name) is not None
    assert set(memkit.__all__) < set(dir(memkit))


def test_the_names_for_type_checkers_are_the_names_on_the_door():
    tree = ast.parse(Path(memkit.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    assert sorted(alias.asname for node in block.body for alias in node.names) == sorted(memkit.__all__)


def test_every_public_name_says_what_it_is():
    silent = [name for name in memkit.__all__ if not (getattr(memkit, name).__doc__ or "").strip()]
    assert silent == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        memkit.recrod  # noqa: B018


# The packages that have the name of a function, and the one module that has two names.
FRONT = [
    *("memkit", "memkit.base", "memkit.base.errors", "memkit.base.units"),
    *("memkit.record", "memkit.report", "memkit.units"),
]


def test_importing_memkit_imports_next_to_nothing():
    code = "import sys; before = set(sys.modules); import memkit; print(sorted(set(sys.modules) - before))"
    assert run(code).strip() == str(FRONT)


def test_the_measured_process_is_not_burdened(native_only):
    code = (
        "import sys; before = set(sys.modules); import memkit.run.execute;"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith(('memkit', '_cython'))))"
    )
    assert set(eval(run(code))) <= {"__future__", "atexit", "cython_runtime"}


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert memkit.__version__ == version("memkit-profiler")


def test_one_number_in_bytes(touched):
    before = memkit.rss()
    block = touched(30)
    assert memkit.rss() - before == pytest.approx(30 << 20, abs=1 << 20)
    assert memkit.peak_rss() >= memkit.rss() - (1 << 20)
    block.close()


def test_the_peak_can_start_anew(exact_peaks, spike):
    spike(60)
    high = memkit.peak_rss(reset=True)
    assert high - memkit.peak_rss() > 30 << 20


def test_where_the_peak_cannot_start_anew_it_says_so():
    code = "import memkit\ntry: memkit.peak_rss(reset=True)\nexcept memkit.MeterError as error: print(error)"
    said = run(code, env={**os.environ, "MEMKIT_ENGINE": "portable"})
    assert "cannot be reset here" in said


@pytest.mark.parametrize(("value", "said"), [("fast", "MEMKIT_ENGINE is 'fast'"), ("portable", "portable")])
def test_the_engine_can_be_forced(value, said):
    code = (
        "import memkit\ntry: memkit.rss(); print(memkit.system.engine.NAME)\nexcept memkit.UsageError as error: print(error)"
    )
    assert said in run(code, env={**os.environ, "MEMKIT_ENGINE": value})


def test_reading_and_reporting_need_no_compiled_module(tmp_path, made_up):
    with memkit.record(tmp_path / "r.memkit"):
        pass
    code = f"""
import os, sys
os.environ.pop("MEMKIT_ENGINE", None)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("memkit.native."):
            raise ImportError("not built")
sys.meta_path.insert(0, Refuse())
import memkit
memkit.report(memkit.read({str(tmp_path / "r.memkit")!r}))
from memkit.system import engine
assert engine.NAME == "portable" and "not built" in engine.REASON, engine.REASON
assert memkit.rss() > 1 << 20
with memkit.record() as run:
    pass
assert run.recording.about.engine == "portable"
"""
    assert "finished" in run(code)
