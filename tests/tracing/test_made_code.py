"""Code of a text that is in no file: its text is in the recording, and two texts are two."""

import csv
import json
import sys
import zipfile

import pytest

import memkit
from memkit import read
from memkit.tracing import made_code

from engines import environment

pytestmark = pytest.mark.usefixtures("native_only")

TWO = """
first = "def grow():\\n    held = bytes(100)\\n    return held\\n"
second = "def grow():\\n    other = bytes(200)\\n    return other\\n"
one, two = {}, {}
exec(first, one)
exec(compile(second, "<string>", "exec"), two)
for _ in range(3):
    one["grow"]()
two["grow"]()
"""


def rows_of(recording):
    """Each line's text and hits, of the functions called ``grow``."""
    return [
        (source.line(line.number).strip(), line.hits)
        for function, lines in recording.functions.items()
        if function.name == "grow"
        for source in [memkit.Source(function.file, function=function, sources=recording.sources)]
        for line in lines
    ]


BOTH = [("held = bytes(100)", 3), ("return held", 3), ("other = bytes(200)", 1), ("return other", 1)]


@pytest.mark.parametrize("option", ["--lines", "--lines=<string>"])
def test_two_texts_have_their_own_tables_and_source(script, memkit_run, tracer, option):
    done = memkit_run(option, script(TWO), env=environment(tracer))
    assert done.returncode == 0, done.stderr
    assert sorted(rows_of(done.recording)) == sorted(BOTH)
    assert len({function.file for function in done.recording.functions if function.name == "grow"}) == 2


def test_the_text_is_in_every_report_made_elsewhere(script, memkit_run, memkit, tmp_path):
    done = memkit_run("-q", "-o", "a.memkit", "--lines=<string>", script(TWO))
    assert done.returncode == 0, done.stderr
    shown = memkit("report", "a.memkit", "--json", "a.json", "--csv-lines", "a.csv")
    assert all(text in shown.stdout for text, _ in BOTH)
    assert "not to be found" not in shown.stdout
    document = json.loads((tmp_path / "a.json").read_text())
    assert {line["function"]["file"] for line in document["lines"]} == set(document["sources"])
    with open(tmp_path / "a.csv", newline="") as file:
        assert {text for text, _ in BOTH} <= {row["source"] for row in csv.DictReader(file)}
    page = read(tmp_path / "a.memkit")._repr_html_()
    assert all(text in page for text, _ in BOTH)


def test_a_merged_recording_has_the_texts_of_all(script, memkit_run):
    done = memkit_run("--lines=<string>", script(TWO))
    whole = memkit.merge([done.recording, done.recording])
    assert whole.sources == done.recording.sources
    assert sorted(rows_of(whole)) == sorted((text, 2 * hits) for text, hits in BOTH)


def test_a_text_of_another_function_is_not_shown(tmp_path):
    space = {"__name__": "made"}
    exec("def grow():\n    return 1\n", space)  # before the recording: nobody knows of its text any more
    with memkit.record(tmp_path / "a.memkit", lines="<string>") as run:
        text = "def grow():\n    return 2\n"
        exec(text, {})
        space["grow"]()
    assert [(line.number, line.hits) for line in run.recording.lines if line.function.name == "grow"] == [(2, 1)]
    assert ("return 2", 1) not in rows_of(run.recording)


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="before Python 3.13, to look at a function's variables keeps them alive"
)
def test_the_text_may_be_in_a_variable_of_a_function(tmp_path):
    def build():
        text = "def grow():\n    return 5\n"
        space = {}
        exec(text, space)
        return space["grow"]

    with memkit.record(tmp_path / "a.memkit", lines=[build]) as run:
        build()()
    assert rows_of(run.recording) == [("return 5", 1)]


def test_an_expression_is_not_of_the_target_that_evaluates_it(tmp_path):
    def build():
        return eval("1 + 1")

    with memkit.record(tmp_path / "a.memkit", lines=[build]) as run:
        build()
    assert [function.name.rpartition(".")[2] for function in run.recording.functions] == ["build"]


def test_text_given_to_linecache_is_kept(tmp_path, monkeypatch):
    import linecache

    text = "def grow():\n    return 3\n"
    monkeypatch.setitem(linecache.cache, "<made for a test>", (len(text), None, text.splitlines(True), "<made for a test>"))
    space = {}
    exec(compile(text, "<made for a test>", "exec"), space)
    with memkit.record(tmp_path / "a.memkit", lines=[space["grow"]]) as run:
        space["grow"]()
    assert run.recording.sources == (("<made for a test>", text),)
    assert rows_of(run.recording) == [("return 3", 1)]


def test_text_in_an_archive_is_kept(tmp_path, monkeypatch):
    text = "def grow():\n    return 4\n"
    with zipfile.ZipFile(tmp_path / "modules.zip", "w") as archive:
        archive.writestr("in_an_archive.py", text)
    monkeypatch.syspath_prepend(str(tmp_path / "modules.zip"))
    monkeypatch.delitem(sys.modules, "in_an_archive", raising=False)
    module = __import__("in_an_archive")
    with memkit.record(tmp_path / "a.memkit", lines=[module.grow]) as run:
        module.grow()
    monkeypatch.delitem(sys.modules, "in_an_archive")
    assert run.recording.sources == ((module.__file__, text),)


def test_the_text_of_a_program_without_a_file_is_kept(memkit_run):
    done = memkit_run("--lines", "-c", "def grow():\n    return 6\ngrow()")
    assert rows_of(done.recording) == [("return 6", 1)]
    assert [name for name, _ in done.recording.sources] == ["<string>"]


def test_what_is_kept_is_bounded(monkeypatch, tmp_path):
    monkeypatch.setattr(made_code, "MOST_IN_ALL", 100)
    with memkit.record(tmp_path / "a.memkit", lines="<string>") as run:
        for text in [f"def name_{turn}():\n    return {turn}\nname_{turn}()" for turn in range(10)]:
            monkeypatch.setitem(globals(), "TEXT", text)
            exec(TEXT, {})  # noqa: F821
    assert 0 < sum(len(text) for _, text in run.recording.sources) <= 100
    assert len([function for function in run.recording.functions if function.name != "<module>"]) >= 10


def test_a_text_that_is_too_long_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(made_code, "LONGEST", 10)
    monkeypatch.setitem(globals(), "TEXT", "def grow():\n    return 7\ngrow()")
    with memkit.record(tmp_path / "a.memkit", lines="<string>") as run:
        exec(TEXT, {})  # noqa: F821
    assert run.recording.sources == ()
    assert [line.hits for line in run.recording.lines if line.function.name == "grow"] == [1]


def test_the_program_is_not_warned_twice(script, memkit_run):
    done = memkit_run("-q", "--lines", script('text = "x = 1 is 1"\nexec(text)\n'))
    assert done.stderr.count("SyntaxWarning") == 1


def test_a_damaged_text_is_unread(tmp_path):
    path = tmp_path / "a.memkit"
    with memkit.record(path):
        pass
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([rows[0], '["source","<string>",5]\n', '["source"]\n', '["source","<a>","b"]\n', *rows[1:]]))
    recording = memkit.read(path)
    assert (recording.unread, recording.sources) == (2, (("<a>", "b"),))
