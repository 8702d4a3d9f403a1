"""``--keep-source``: the text of traced files is appended to the recording, unless it may not be the text that ran."""

import json
import os

import pytest

import memkit
from memkit.cli import kept_sources

ABOUT = {"memkit": "0.1.0", "argv": ["a.py"], "pid": 42, "parent": 1, "python": "3.13.1", "host": "here", "began": 1.7e9}
ABOUT |= {
    "clock": 5,
    "meter": "rss",
    "interval": None,
    "engine": "native",
    "peaks": "reset",
    "peaks_reason": None,
    "mark": 0,
}


@pytest.fixture
def recorded(tmp_path):
    """A function that writes a recording of a line of each of some files, and returns it when their texts were kept."""

    def make(*files, end='["end",9,"ok"]\n'):
        rows = [["memkit", 1, ABOUT]]
        for number, file in enumerate(files):
            rows += [["function", number, str(file), "f", 1], ["line", number, 2, 1, 1, 1, 1, 1, 1, 1, 0, 1]]
        path = tmp_path / "run.memkit"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + end)
        kept_sources.keep_sources(str(path))
        return memkit.read(path)

    return make


@pytest.fixture
def file(tmp_path):
    def make(text, name="a.py", when=1.6e9):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(path, (when, when))
        return path

    return make


def test_the_text_of_a_traced_file_is_kept(recorded, file):
    path = file("# -*- coding: latin-1 -*-\ntext = '\xe9'\n".encode("latin-1"))
    recording = recorded(path)
    assert recording.sources == ((str(path), "# -*- coding: latin-1 -*-\ntext = 'é'\n"),)
    assert recording.unread == 0
    path.write_text("other = 1\n")
    source = memkit.Source(str(path), recording.about.began, recording.lines[0].function, recording.sources)
    assert (source.line(2), source.remark) == ("text = 'é'", None)


def test_of_a_sampled_heap_the_texts_of_all_but_libraries_are_kept(recorded, file, tmp_path):
    library = tmp_path / "lib" / "python3.13" / "site-packages"
    library.mkdir(parents=True)
    path, other = file("def f():\n    return 1\n"), file("def g(): pass\n", name=str(library / "b.py"))
    rows = [["heap_counting", "python, c", 1, 1, None, 512]]
    for number, each in ((7, path), (8, other)):
        rows += [["function", number, str(each), "f", 1], ["heap_lines", 2 * number, None, number, 2, 1]]
        rows += [["heap", None, 2 * number, 900, 0, 1, 0, 900, None, None]]
    recording = recorded(end="".join(f"{json.dumps(row)}\n" for row in rows))
    assert [line.function.file for line in recording.heap_lines] == [str(path), str(other)]
    assert recording.sources == ((str(path), "def f():\n    return 1\n"),)


def test_a_text_that_is_not_the_one_that_ran_is_not_kept(recorded, file, tmp_path):
    changed, binary = file("a = 1\n", "changed.py", 1.8e9), file(b"\xff\xfe\0", "binary.py")
    assert recorded(changed, binary, tmp_path / "gone.py", "<string>").sources == ()


def test_a_long_text_is_not_kept(recorded, file, monkeypatch):
    monkeypatch.setattr(kept_sources, "MOST_IN_ALL", 10)
    one, other = file("a = 1234\n", "a.py"), file("b = 1\n", "b.py")
    assert [name for name, _ in recorded(one, other).sources] == [str(one)]


def test_a_recording_that_was_broken_off_stays_readable(recorded, file):
    recording = recorded(file("a = 1\n"), end='["sample",5,10')
    assert [text for _, text in recording.sources] == ["a = 1\n"]
    assert recording.unread == 1
