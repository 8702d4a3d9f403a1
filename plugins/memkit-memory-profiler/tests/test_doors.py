"""The doors lead to memkit, and say in a line where the original is in the way."""

import importlib
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import entry_points
from pathlib import Path

import memkit_memory_profiler
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """A function that runs some words in an empty folder, with further folders before all others on the path."""

    def run(*words, before=()):
        path = os.pathsep.join([*map(str, before), *filter(None, [os.environ.get("PYTHONPATH")])])
        settings = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": path}, "stdin": subprocess.DEVNULL}
        return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=60, **settings)

    return run


@pytest.fixture
def original(tmp_path):
    """A folder in which the original claims to be installed."""
    folder = tmp_path / "original"
    about = folder / "memory_profiler-0.61.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: memory-profiler\nVersion: 0.61.0\n")
    return folder


def command(name):
    return Path(sysconfig.get_path("scripts")) / name


# -- where the original is not -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mprof", "memory_profiler"])
def test_a_door_is_the_very_module_of_memkit(name):
    assert importlib.import_module(name) is importlib.import_module(f"memkit.compat.{name}")


def test_names_can_be_imported_from_a_door():
    from mprof import function_labels, read_mprofile_file

    assert function_labels.__module__.startswith("memkit.compat.mprof")
    assert read_mprofile_file.__module__.startswith("memkit.compat.mprof")


def test_the_command_and_the_module_are_mprof(run):
    for words in ([command("mprof")], [sys.executable, "-m", "mprof"]):
        done = run(*words, "run", "-o", "a.dat", sys.executable, "-c", "print('hello')")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("running new process\nhello\n")
        assert run(*words, "peak", "nothing").returncode == 255


def test_a_script_runs_under_the_module(run, tmp_path):
    (tmp_path / "load.py").write_text("import sys\n@profile\ndef load():\n    pass\nload()\nsys.exit(3)\n")
    done = run(sys.executable, "-m", "memory_profiler", "load.py")
    assert done.returncode == 3
    assert "Line #    Mem usage    Increment  Occurrences   Line Contents" in done.stdout


def test_a_traceback_under_the_module_is_of_the_script_alone(run, tmp_path):
    (tmp_path / "fails.py").write_text("raise KeyError(3)\n")
    plain, under = (run(sys.executable, *words, "fails.py") for words in ([], ["-m", "memory_profiler"]))
    assert (under.returncode, under.stderr) == (1, plain.stderr)


def test_a_call_is_recorded_however_profile_was_come_by(run, tmp_path):
    (tmp_path / "load.py").write_text("from memory_profiler import profile\n@profile\ndef load():\n    pass\nload()\n")
    done = run(command("mprof"), "run", "-o", "a.dat", "load.py")
    assert done.stdout.endswith("running as a Python program...\n")
    assert "FUNC __main__.load " in (tmp_path / "a.dat").read_text()


def test_the_plugin_has_no_hooks_and_is_found():
    (point,) = [point for point in entry_points(group="memkit") if point.name == "memory-profiler"]
    assert [name for name in vars(point.load()) if name.startswith("memkit_") and name != "memkit_memory_profiler"] == []


# -- where it is ---------------------------------------------------------------------------------------------------------


REASON = "memory-profiler 0.61.0 and memkit-memory-profiler are both installed, and have files of the same names: "


@pytest.mark.parametrize("name", ["mprof", "memory_profiler", "memkit_memory_profiler.plugin"])
def test_beside_the_original_no_door_opens(run, original, name):
    done = run(sys.executable, "-c", f"import {name}", before=[original])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {REASON}")
    assert done.stderr.splitlines()[-1].endswith(memkit_memory_profiler.MENDED)


def test_beside_the_original_the_command_is_one_line(run, original):
    done = run(command("mprof"), "list", before=[original])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"mprof: {REASON}")


@pytest.mark.parametrize("name", ["memory_profiler-0.61.0-py3.11.egg-info", "Memory_Profiler-0.61.0.dist-info"])
def test_the_original_is_known_by_all_its_spellings(original, monkeypatch, name):
    (original / "memory_profiler-0.61.0.dist-info").rename(original / name)
    monkeypatch.setattr(sys, "path", [str(original), *sys.path])
    assert memkit_memory_profiler.refusal().startswith(REASON)


def test_an_original_further_down_the_path_is_not_in_the_way(original, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(original)])
    assert memkit_memory_profiler.refusal() is None


def test_what_is_no_folder_on_the_path_is_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere", sys.executable, "", *sys.path])
    assert memkit_memory_profiler.refusal() is None


# -- installing ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def backend(monkeypatch):
    """What pip calls to build."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(ROOT)
    yield importlib.import_module("backend")
    del sys.modules["backend"]


@pytest.fixture
def target(tmp_path, monkeypatch):
    """The site-packages of an environment for which pip builds."""
    venv.create(tmp_path / "target", with_pip=False, symlinks=True)
    python = tmp_path / "target" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    words = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(words, capture_output=True, text=True).stdout.strip())


@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel", "get_requires_for_build_editable"])
def test_nothing_is_built_for_an_environment_with_the_original(backend, target, original, hook):
    (original / "memory_profiler-0.61.0.dist-info").rename(target / "memory_profiler-0.61.0.dist-info")
    with pytest.raises(SystemExit) as refused:
        getattr(backend, hook)()
    first, second = str(refused.value).splitlines()
    assert first == "memory-profiler 0.61.0 is installed here, and its files have the names of these."
    assert second.endswith("python -m pip uninstall memory-profiler")


def test_for_any_other_environment_it_is_built(backend, target):
    backend._refuse_beside_the_original()
    assert callable(backend.build_wheel)
    assert callable(backend.build_sdist)
    assert callable(backend.build_editable)
