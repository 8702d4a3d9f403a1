"""What is a library, and what is a program's own code where the program is of one."""

import os
import sys
import types

import pytest

from memkit.base import own_code
from memkit.record import listening
from memkit.tracing import libraries
from memkit.tracing.targets import Targets

STANDARD = os.path.dirname(os.__file__)
COMMAND = "import re\nimport sys\nfrom served import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
MANAGE = "def main():\n    from django.core.management import execute_from_command_line\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a virtual environment in it that is the one in use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(libraries, "_PLACES", libraries._places())
    return f"{tmp_path}{os.sep}"


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("shop.py", True),
        ("src/shop/models.py", True),
        ("library/shop.py", True),
        ("venv/lib/python3.13/site-packages/served.py", False),
        ("venv/bin/serve", False),
        ("vendor/dist-packages/served.py", False),
        (os.path.join(STANDARD, "json", "decoder.py"), False),
        (own_code.__file__, False),
        ("../shop.py", False),
    ],
)
def test_below_a_folder_is_what_is_of_no_library_there(folder, file, wanted):
    assert libraries.is_below(os.path.abspath(file), folder) is wanted


def test_the_standard_library_is_none_below_a_folder_around_it(folder):
    assert not libraries.is_below(os.path.join(STANDARD, "json", "decoder.py"), os.sep)
    assert libraries.is_below(os.path.abspath("shop.py"), os.sep)


def test_a_folder_that_is_in_a_library_is_itself_meant(folder):
    places = ("venv/lib/python3.13/site-packages/served/", f"{STANDARD}/json/", f"{STANDARD}/")
    for place in places:
        assert libraries.is_below(os.path.abspath(f"{place}decoder.py"), os.path.join(os.path.abspath(place), ""))


def test_a_folder_by_another_name_is_the_same_folder(folder, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "shop.py").touch()
    (tmp_path / "link").symlink_to("src")
    for one, other in (("src", "link"), ("link", "src")):
        assert libraries.is_below(f"{folder}{one}{os.sep}shop.py", f"{folder}{other}{os.sep}")


@pytest.mark.parametrize(
    ("file", "package", "own"),
    [
        ("shop.py", False, "shop.py"),
        ("shop/__init__.py", True, "shop/*"),
        ("venv/lib/python3.13/site-packages/served/__init__.py", True, ""),
        (os.path.join(STANDARD, "json", "tool.py"), False, ""),
    ],
)
def test_the_own_code_of_a_module_is_its_own_or_what_is_here(folder, file, package, own):
    found = libraries.own_target(os.path.abspath(file), module=True, package=package)
    assert found == folder + own.replace("/", os.sep)


@pytest.mark.parametrize(
    ("file", "text", "own"),
    [
        ("job.py", "print()", "job.py"),
        ("job.py", COMMAND, "job.py"),
        ("venv/bin/serve", COMMAND, ""),
        ("venv/bin/serve", "def main(): pass\n" + COMMAND, "venv/bin/serve"),
        ("manage.py", MANAGE, ""),
        ("manage.py", "print()", "manage.py"),
        ("missing.py", None, "missing.py"),
    ],
)
def test_the_own_code_of_a_script_is_its_own_or_what_is_here(folder, tmp_path, file, text, own):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    if text is not None:
        (tmp_path / file).write_text(text)
    found = libraries.own_target(os.path.abspath(file), module=False, package=False)
    assert found == folder + own.replace("/", os.sep)


def test_a_command_beside_the_interpreter_is_installed_too(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(libraries, "_PLACES", [])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "serve").write_text(COMMAND)
    assert libraries.own_target(str(tmp_path / "bin" / "serve"), module=False, package=False) == folder


@pytest.mark.parametrize("text", [".", "./", "src/", "..", os.path.join("src", "shop")])
def test_a_folder_is_a_target(folder, tmp_path, text):
    (tmp_path / "src" / "shop").mkdir(parents=True)
    whole = os.path.join(os.path.abspath(text), "")
    assert Targets(text).texts() == Targets(whole).texts() == [whole]
    Targets(text).check()
    one, other = (compile("pass", name, "exec") for name in (f"{whole}a.py", f"{whole}venv/site-packages/b.py"))
    assert Targets(text).wants(one) and not Targets(text).wants(other)
    assert not Targets(text).wants(compile("pass", "<string>", "exec"))


def test_a_name_below_a_folder_is_a_target(folder):
    code = compile("def load(): pass\ndef other(): pass", f"{folder}a.py", "exec").co_consts
    load, other = (each for each in code if isinstance(each, types.CodeType))
    assert Targets("./:load").texts() == [f"{folder}:load"]
    assert Targets("./:load").wants(load) and not Targets("./:load").wants(other)


def test_a_folder_that_is_missing_is_refused(folder):
    with pytest.raises(Exception, match=f"target 'src/': there is no folder '{folder}src'"):
        Targets("src/").check()


def test_a_program_that_is_attached_to_has_the_same_own_code(folder, monkeypatch):
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__ = os.path.join(STANDARD, "json", "tool.py"), types.SimpleNamespace(name="json.tool")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert listening._own_code() == folder
    main.__file__, main.__spec__ = "job.py", None
    assert listening._own_code() == f"{folder}job.py"


# -- with the rest of memkit -------------------------------------------------------------------------------------------

SERVED = """
import importlib, sys


def main():
    getattr(importlib.import_module(sys.argv[1]), "load")()


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def app(tmp_path, native_only):
    """The options and the environment of a run of a library that calls ``load`` of the module ``app``."""
    packages = tmp_path / "env" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "served.py").write_text(SERVED)
    (tmp_path / "app.py").write_text("kept = []\n\n\ndef load():\n    kept.append(bytes(5 << 20))\n")
    return {"env": {**os.environ, "PYTHONPATH": str(packages)}}


def test_lines_of_a_library_that_runs_an_app_are_those_of_the_app(memkit_run, app, tmp_path):
    done = memkit_run("--lines", "-m", "served", "app", options=(), **app)
    assert {os.path.basename(function.file) for function in done.recording.functions} == {"app.py"}
    assert done.recording.tracing.targets == (f"{tmp_path}{os.sep}",)
    assert f"\ntraced: all below {tmp_path}{os.sep} but libraries; --lines=TARGET traces other code\n" in done.stderr


def test_lines_of_a_library_that_runs_no_app_are_explained(memkit_run, tmp_path, native_only):
    done = memkit_run("--lines", "-m", "json.tool", "--help", options=())
    below = f"all below {tmp_path}{os.sep} but libraries; --lines=TARGET traces other code"
    assert f"\nno lines were traced: nothing ran as Python code of what was to be traced: {below}\n" in done.stderr


def test_a_followed_process_traces_the_same_folder(memkit_run, app):
    text = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'served', 'app'])\n"
    done = memkit_run("--follow", "--lines=./", "-c", text, **app)
    assert {os.path.basename(function.file) for function in done.recording.functions} == {"app.py"}
