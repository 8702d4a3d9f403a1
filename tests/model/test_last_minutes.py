"""The last minutes of a recording: what was before them is in none of its sums."""

import io
import json

import memkit
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.model.last_minutes import last_minutes

ABOUT = {"pid": 7, "began": 100.0, "clock": 1000 * SECOND, "argv": ["serve.py"]}


def spread(*values):
    counts = {}
    for value in values:
        place = file_format.bucket(value)
        counts[place] = counts.get(place, 0) + 1
    return [sum(values), max(values), *(each for pair in sorted(counts.items()) for each in pair)]


def sums(label, *durations):
    return file_format.row("span_sums", label, len(durations), 1, spread(*durations), *[None] * 5, [25])


def recording_of(tmp_path, rows, last):
    """What is read of the last seconds of a file with these rows, which begins ten seconds before its end."""
    path = tmp_path / "r.memkit"
    path.write_bytes(file_format.row("memkit", file_format.VERSION, json.dumps(ABOUT).encode()) + b"".join(rows))
    into = io.BytesIO()
    last_minutes([str(path)], into, last * SECOND, ABOUT["clock"] + 10 * SECOND)
    (tmp_path / "last.memkit").write_bytes(into.getvalue())
    return memkit.read(tmp_path / "last.memkit")


def sample(seconds):
    return file_format.row("sample", seconds * SECOND, 1 << 20, 0)


def test_sums_of_labels_are_of_the_spans_of_these_minutes(tmp_path):
    rows = [
        sample(0),
        sums("page", 1000, 2000, 900_000),
        sums("early", 5),
        sample(6),
        sums("page", 1000, 2000, 900_000, 3000, 4000),
        sums("late", 7, 8),
        sample(9),
    ]
    page, late = sorted(recording_of(tmp_path, rows, 5).span_sums, key=lambda each: each.label, reverse=True)
    assert (page.label, page.number, page.time.total) == ("page", 2, 7000)
    assert abs(page.time.worst - 4000) <= 4000 / 32
    assert (late.label, late.number, late.time.total, late.time.worst) == ("late", 2, 15, 8)


def test_of_the_whole_file_they_are_what_they_were(tmp_path):
    rows = [sample(0), sums("page", 1000, 2000), sample(6), sums("page", 1000, 2000, 3333), sample(9)]
    (page,) = recording_of(tmp_path, rows, 60).span_sums
    assert (page.number, page.time.total, page.time.worst) == (3, 6333, 3333)


def test_a_damaged_row_of_them_is_left_out(tmp_path):
    damaged = [b'["span_sums","page",1]\n', b'["span_sums","page",[],2,3,4,5,6,7,8,9]\n', b'["span_sums"]\n']
    rows = [sample(0), *damaged, sums("page", 1000), sample(6), *damaged, sums("page", 1000, 500), sample(9)]
    (page,) = recording_of(tmp_path, rows, 5).span_sums
    assert (page.number, page.time.total) == (1, 500)
