"""The public names of ``memkit``, and what importing it loads."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import memkit


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **environment).stdout


def test_every_public_name_can_be_loaded():
    for name in memkit.__all__:
        assert getattr(memkit, name) is not None
    assert set(memkit.__all__) < set(dir(memkit))


def test_type_checkers_see_exactly_the_public_names():
    tree = ast.parse(Path(memkit.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    assert sorted(alias.asname for node in block.body for alias in node.names) == sorted(memkit.__all__)


def test_every_public_name_has_a_docstring():
    silent = [name for name in memkit.__all__ if not (getattr(memkit, name).__doc__ or "").strip()]
    assert silent == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        memkit.recrod  # noqa: B018


# Two packages have the name of a function, and one module has two names.
FRONT = [
    *("memkit", "memkit.base", "memkit.base.errors", "memkit.base.units"),
    *("memkit.record", "memkit.report", "memkit.units"),
]


def test_importing_memkit_imports_only_errors_and_units():
    code = "import sys; before = set(sys.modules); import memkit; print(sorted(set(sys.modules) - before))"
    assert run(code).strip() == str(FRONT)


def test_the_measured_process_imports_no_heavy_module(native_only):
    code = (
        "import sys; before = set(sys.modules); import memkit.run.execute;"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith(('memkit', '_cython'))))"
    )
    assert set(eval(run(code))) <= {"__future__", "_contextvars", "atexit", "cython_runtime"}


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert memkit.__version__ == version("memkit-profiler")


def test_rss_and_peak_rss_are_in_bytes(touched):
    before = memkit.rss()
    block = touched(30)
    assert memkit.rss() - before == pytest.approx(30 << 20, abs=1 << 20)
    assert memkit.peak_rss() >= memkit.rss() - (1 << 20)
    block.close()


def test_the_peak_can_be_reset(exact_peaks, spike):
    spike(60)
    high = memkit.peak_rss(reset=True)
    assert high - memkit.peak_rss() > 30 << 20


def test_a_peak_that_cannot_be_reset_is_a_meter_error():
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
