"""The text of traced code, where its file has changed since it was loaded."""

import linecache
import sys

import pytest

import memkit
from memkit.model.calls import Function

SMALL = "def small(n):\n    k = [0] * 10\n    return k\n\n\n"
LARGE = "@list\n@sorted(\n    key=1,\n)\ndef large(n):\n    k = [0] * n\n    return k\n"


@pytest.fixture
def source(tmp_path):
    """A function that writes a file, and returns the ``Source`` of one of its functions."""

    def write(text, name, line, file="mod.py"):
        path = tmp_path / file
        path.write_text(text)
        return memkit.Source(str(path), None, Function(str(path), name, line))

    return write


def test_what_has_not_moved_is_as_it_is(source):
    found = source(SMALL + LARGE, "large", 6)
    assert (found.remark, found.line(10), found.line(11)) == (None, "def large(n):", "    k = [0] * n")
    assert source(SMALL, "small", 1).remark is None
    assert source(SMALL, "small.<locals>.<lambda>", 2).remark is None
    assert source(SMALL, "elsewhere", 3, "template.html").remark is None
    assert source("no Python (", "large", 1).lines == ["no Python ("]


def test_of_a_file_from_which_code_was_generated_no_lines_are_shown(source):
    found = source("<li>{{ n }}</li>\n", "root", 1, "page.html (generated code)")
    assert found.remark == "these are lines of code that was generated from the file, and its text was not kept"
    assert memkit.Source("page.html (generated code)").line(1) == ""


def test_without_a_function_a_file_that_is_not_python_is_no_source(tmp_path):
    (tmp_path / "page.html").write_text("<li>{{ n }}</li>\n")
    found = memkit.Source(str(tmp_path / "page.html"), 4e9)
    assert found.remark == "the file is not Python: the code that ran was made from it, and may have other lines"
    assert found.line(1) == ""
    (tmp_path / "tool").write_text(SMALL)
    assert memkit.Source(str(tmp_path / "tool"), 4e9).line(1) == "def small(n):"


@pytest.mark.parametrize("before", ["import os\n\n\n", ""])
def test_the_text_of_a_function_that_has_moved_is_at_its_own_lines(source, before):
    found = source(before + LARGE + "class Other:\n    def large(self):\n        pass\n", "large", 2)
    assert found.remark == "the file was changed after this code was loaded: the text is that of its name, as it is now"
    assert [found.line(number) for number in (2, 6, 7)] == ["@list", "def large(n):", "    k = [0] * n"]
    nested = source(
        before + "class A:\n    def f(self):\n        pass\nclass B:\n    def f(self):\n        return 1\n", "B.f", 40
    )
    assert [nested.line(number) for number in (40, 41)] == ["    def f(self):", "        return 1"]


@pytest.mark.parametrize("text", [SMALL, SMALL + "class A:\n    def large(self):\n        pass\n"])
def test_where_it_is_gone_no_other_text_is_shown(source, text):
    found = source(text, "large", 1)
    assert found.remark == "the file was changed after this code was loaded: its text is no longer there"
    assert (found.lines, found.line(1)) == ([], "")


MODULE = "def small(n):\n    k = [0] * 10\n    return k\ndef large(n):\n    k = [0] * n\n    return k\n"


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A module that was edited after it was imported."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "edited_module.py"
    path.write_text(MODULE)
    module = __import__("edited_module")
    linecache.getlines(str(path))
    path.write_text("import os\nimport re\n\n" + MODULE)
    yield module
    del sys.modules["edited_module"]


def test_tables_show_the_text_of_the_function_that_ran(edited, native_only, capsys):
    profiler = memkit.LineProfiler(edited.large)
    with profiler:
        edited.large(5)
    profiler.show()
    out = capsys.readouterr().out
    assert "k = [0] * n" in out and "small" not in out and "[0] * 10" not in out
    assert "k = [0] * n" in profiler.recording._repr_html_() and "[0] * 10" not in profiler.recording._repr_html_()


def test_the_drop_in_reads_a_file_that_was_changed_again(edited, native_only, capsys):
    import importlib

    from memkit.compat.memory_profiler import profile

    module = importlib.reload(edited)
    profile(module.large)(5)
    out = capsys.readouterr().out
    assert "def large(n):" in out and "k = [0] * n" in out and "small" not in out
