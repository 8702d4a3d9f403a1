"""What ``--json`` writes is read back as the recording that it was written of; what is damaged is refused in a line."""

import base64
import gzip
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

import memkit
from memkit.cli import main
from memkit.report.document import document

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "recordings").glob("*.jsonl"))


def written(recording, path):
    path.write_text("".join(document(recording)))
    return path


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_document_is_read_back_as_what_it_was(file, tmp_path):
    recording = memkit.read(file)
    again = memkit.read(written(recording, tmp_path / "a.json"))
    assert replace(again, source=None) == replace(recording, source=None)


def test_lines_calls_and_heap_are_read_back(python, native_only, tmp_path):
    python(f"""
import json, memkit

def keeps(count):
    return [bytes(100) for _ in range(count)]

with memkit.record({str(tmp_path / "a.memkit")!r}, lines=keeps, calls=True, heap=True):
    kept = keeps(10_000)
print(json.dumps(None))
""")
    recording = memkit.read(tmp_path / "a.memkit")
    again = memkit.read(written(recording, tmp_path / "a.json"))
    assert again.lines and again.calls and again.heap
    assert replace(again, source=None) == replace(recording, source=None)


DAMAGE = {
    "broken off": lambda text: text[:-40],
    "another format": lambda text: text.replace('"format": 1', '"format": 77', 1),
    "a text for a number": lambda text: text.replace('"pid": 4242', '"pid": "4242"', 1),
    "a key that is gone": lambda text: text.replace('"began"', '"begun"', 1),
    "a number for an array": lambda text: text.replace('"limits": []', '"limits": 7', 1),
    "true for a number": lambda text: text.replace('"clock": 5', '"clock": true', 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_document_is_refused_in_one_line(damage, made_up, tmp_path, capsys):
    path = written(made_up((0, 10), (5, 20)), tmp_path / "a.json")
    before = path.read_text()
    path.write_text(damage(before))
    assert path.read_text() != before
    assert main.main(["report", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and "a.json" in err


def test_a_call_without_its_caller_is_refused(made_up, tmp_path):
    found = json.loads("".join(document(made_up((0, 10)))))
    function = {"file": "a.py", "name": "f", "line": 1}
    call = dict.fromkeys(memkit.Call._fields[4:11], 1) | {"id": 7, "parent": 3, "function": function, "thread": 1}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**found, "calls": [call]}, indent=1))
    with pytest.raises(memkit.FormatError, match="call 7 has no caller 3"):
        memkit.read(path)


def test_json_of_something_else_is_no_recording(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"hello": 1}')
    with pytest.raises(memkit.FormatError, match="is not a memkit recording"):
        memkit.read(path)


def peak_of_reading(path):
    """The most that reading a file takes, and what came of it."""
    tracemalloc.start()
    try:
        try:
            found = memkit.read(path)
        except memkit.FormatError as error:
            found = error
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_a_short_file_takes_no_room_for_a_long_one(made_up, tmp_path):
    path = written(made_up((0, 10), (5, 20)), tmp_path / "a.json")
    page = tmp_path / "a.html"
    page.write_text("".join(memkit.html_page(made_up((0, 10), (5, 20)))))
    for each in path, page:
        peak, found = peak_of_reading(each)
        assert found.samples and peak < 16 << 20


def test_a_page_that_unpacks_to_far_more_than_a_page_is_refused(made_up, tmp_path):
    page = "".join(memkit.html_page(made_up((0, 10), (5, 20))))
    begin = page.index('id="recording">') + len('id="recording">')
    bomb = base64.b64encode(gzip.compress(b" " * (32 << 20))).decode()
    path = tmp_path / "a.html"
    path.write_text(page[:begin] + bomb + page[page.index("</script>", begin) :])
    peak, found = peak_of_reading(path)
    assert "cannot be unpacked" in str(found) and peak < 16 << 20
