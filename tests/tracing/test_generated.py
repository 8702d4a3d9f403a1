"""Code that was generated from a file, such as a template: lines of the file are not shown as if they had run."""

import pytest

import memkit
from memkit.tracing import generated

PAGE = """<html>
{% macro row(n) %}
  <li>{{ n * 1000 }}</li>
{% endmacro %}
<div id="root">
{% for n in numbers %}
  {{ row(n) }}
{% endfor %}
</div>
"""
MADE = "from os import path\n\ndef render(numbers):\n    return [row(n) for n in numbers]\n\ndef row(n):\n    return [n]\n"
SCRIPT = "import os\n\n@staticmethod\ndef load(n):\n    return [n]\n\nclass Shelf:\n    key = lambda self: [1]\n"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What was found out of files of other tests is not known."""
    monkeypatch.setattr(generated, "_known", set())
    monkeypatch.setattr(generated, "_generated", set())


@pytest.fixture
def codes(tmp_path):
    """A function that writes a file, and returns all code of another text that has the name of that file."""

    def make(file, text, made=None):
        path = tmp_path / file
        path.write_text(text)
        return path, list(generated.with_nested(compile(text if made is None else made, str(path), "exec")))

    return make


@pytest.mark.parametrize("order", [1, -1], ids=["whole", "innermost first"])
def test_code_that_was_generated_from_a_file_is_marked(codes, order):
    path, made = codes("page.html", PAGE, MADE)
    of_functions = [code for code in made if code.co_name in ("<module>", "render", "row")]
    assert len(of_functions) == 3
    assert {generated.file_of(code) for code in of_functions[::order]} == {f"{path} (generated code)"}


def test_code_with_lines_that_the_file_has_not_is_marked(codes):
    path, [module] = codes("page.tmpl", "{{ title }}\n", "x = 1\ny = 2\n")
    assert generated.file_of(module) == f"{path} (generated code)"


@pytest.mark.parametrize("file", ["tool", "tool.ipy", "tool.py"])
def test_a_program_stands_in_its_file_whatever_that_is_called(codes, file):
    path, made = codes(file, SCRIPT)
    assert {generated.file_of(code) for code in made} == {str(path)}


def test_a_language_that_keeps_its_lines_stands_in_its_file(codes):
    path, made = codes(
        "shelf.hy", "(import os)\n(defn load-all [n]\n  [n])\n", "import os\ndef load_all(n):\n    return [n]\n"
    )
    assert {generated.file_of(code) for code in made} == {str(path)}


@pytest.mark.parametrize("file", ["<string>", "", "nowhere/page.html", "page\0.html", "."])
def test_a_file_that_nobody_can_read_is_not_judged(file):
    assert generated.file_of(compile(MADE, "x", "exec").replace(co_filename=file)) == file


def test_a_file_is_read_once_for_each_function(codes, monkeypatch):
    _, [_, load, *_] = codes("tool", SCRIPT)
    looked_at = []
    monkeypatch.setattr(generated, "_stands_in", lambda *words: looked_at.append(words) or True)
    assert len({generated.file_of(load) for _ in range(3)}) == len(looked_at) == 1


def test_a_file_is_read_once_for_all_that_is_in_its_code(codes, monkeypatch):
    path, found = codes("tool", SCRIPT)  # the outermost first
    looked_at, stands_in = [], generated._stands_in
    monkeypatch.setattr(generated, "_stands_in", lambda *words: looked_at.append(words) or stands_in(*words))
    assert {generated.file_of(code) for code in found} == {str(path)}
    assert len(found) > 2
    assert len(looked_at) == 1


@pytest.mark.usefixtures("native_only")
def test_no_line_of_a_template_is_shown_as_if_it_had_run(tmp_path, tracer, monkeypatch):
    monkeypatch.setenv("MEMKIT_TRACER", tracer)
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    space = {}
    with memkit.record(calls=True, lines=str(page)) as run:
        exec(compile(MADE, str(page), "exec"), space)
        space["render"](range(3))
    recording = run.recording
    named = f"{page} (generated code)"
    assert {function.file for function in recording.functions} == {named}
    assert {call.function.file for call in recording.calls if call.function.name in ("render", "row")} == {named}
    text = memkit.mimebundle(recording)["text/plain"]
    assert "these are lines of code that was generated from the file, and its text was not kept" in text
    assert "<li>" not in text and "endmacro" not in text
    assert "page.html (generated code):3" in text
    assert not any(call.function.name == "row" for call in recording.hiding(["*/page.html"]).calls)


@pytest.mark.usefixtures("native_only")
def test_functions_of_a_template_of_jinja_are_marked(tmp_path):
    jinja2 = pytest.importorskip("jinja2", reason="needs jinja2: pip install jinja2")
    (tmp_path / "page.html").write_text(PAGE)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(tmp_path))
    template = environment.get_template("page.html")  # its text is in no variable any more
    with memkit.record(calls=True) as run:
        assert "<li>2000</li>" in template.render(numbers=range(3))
    found = {call.function.name: call.function.file for call in run.recording.calls}
    assert found["root"] == found["root.<locals>.macro"] == f"{tmp_path / 'page.html'} (generated code)"
