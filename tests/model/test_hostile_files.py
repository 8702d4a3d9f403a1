"""A file comes from anywhere: reading it ends in a result, in rows that are counted as unread, or in one line of refusal."""

import json
import subprocess
import sys
from argparse import Namespace

import pytest

import memkit
from memkit.base.errors import FormatError
from memkit.model import tracker_file
from memkit.model.event_log_file import read_log
from memkit.model.highest import Highest
from memkit.model.recording import Process, Sample

pytest.importorskip("hypothesis", reason="the files are made up by hypothesis")
from hostile import ABOUT, EVIDENCE, FILES, LOG, SET, attempts, look_at  # hypothesis is in it

CASES = {"recording": 500, "dat": 300, "log": 400, "trace": 400, "track": 400}


@pytest.mark.parametrize("kind", FILES)
def test_any_file_is_read_or_refused_in_one_line(tmp_path, kind):
    attempts(kind, tmp_path, CASES[kind])()


@pytest.fixture
def read(tmp_path):
    """A function that reads rows behind a first row, which may be changed."""

    def reader(*rows, **about):
        lines = [json.dumps(row) if isinstance(row, list) else row for row in (["memkit", 1, {**ABOUT, **about}], *rows)]
        (tmp_path / "a.memkit").write_text("\n".join(lines) + "\n")
        return memkit.read(tmp_path / "a.memkit")

    return reader


# -- values that cannot be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        "[" * 2000,
        ["sample", -1, 5],
        ["sample", 10**400, 5],
        ["sample", 1, 5.5],
        ["sample", 1, 2**63],
        ["sample", 1, 5, 0, [7]],
        '["sample", NaN, 5]',
        ["span", 1, 1, 1, 1, -1, "s"],
        ["span_end", 1, 1, 1, "high"],
        ["function", 1, "a.py", "f", 2**40],
        ["line", 0, 2**40, 1, 1, 1, 1, 1],
        ["line", 0, 4, 1, 1, float("inf"), 1, 1],
        ["line", 0, 4, 1],
        ["call", 1, None, 0, 7, 1, 1, 2**63, 1],
        ["limit", "x", 10**400, 0],
        ["crossing", 1, 1, 1, 7, "raise"],
        ["stack", 1, 7, None, ["abc"]],
        ["stack", 1, 7, None, [["a.py", 10**30, "f"]]],
        ["process", [1], 1, 1, "x"],
        ["process_end", 99, 1],
        ["exit", 1, 0, None, {**EVIDENCE, "after": 10**400}],
        ["exit", 1, 0, None, {**EVIDENCE, "limits": [["cgroup", "x", 1e300]]}],
        ["end", 1, "stopped", None, None, None, None, {**SET, "share": float("nan")}],
        ["total", 1, 1, 1, 1, None, "x"],
        ["segment", [1]],
        [["sample"], 1, 1],
    ],
    ids=lambda row: str(row)[:40],
)
def test_a_row_with_what_cannot_be_is_unread(read, row):
    recording = read(["sample", 1, 5], row)
    assert recording.unread >= (row[0] != "segment")
    assert [sample[:3] for sample in recording.samples] == [(1, 42, 5)]
    look_at(recording)


@pytest.mark.parametrize(
    "about",
    [
        {"began": float("inf")},
        {"began": float("nan")},
        {"began": 10**400},
        {"began": -5},
        {"began": 1e300},
        {"clock": "x"},
        {"pid": [1]},
        {"pid": None},
        {"argv": "abc"},
        {"argv": [1]},
        {"meter": 7},
        {"mark": 1e300},
    ],
    ids=str,
)
def test_a_first_row_with_what_cannot_be_is_refused(read, about):
    with pytest.raises(FormatError, match="is damaged in its first row"):
        read(**about)
    part = ["memkit", 1, {**ABOUT, **about}]
    recording = read(["sample", 1, 5], ["segment", 0], part, ["sample", 2, 6])
    assert (len(recording.samples), recording.unread, len(recording.processes)) == (1, 2, 1)


def test_a_first_row_of_nested_brackets_is_refused(tmp_path):
    (tmp_path / "a.memkit").write_text('["memkit", 1, ' + "[" * 100_000)
    with pytest.raises(FormatError, match="breaks off in its first row"):
        memkit.read(tmp_path / "a.memkit")
    (tmp_path / "a.memkit").write_text('["memkit", 1, ' + "[" * 100_000 + "\n")
    (tmp_path / "b.memkit").write_text(json.dumps(["memkit", 1, ABOUT]) + "\n")
    done = subprocess.run([sys.executable, "-m", "memkit", "list", tmp_path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 3)
    assert "breaks off in its first row" in done.stdout


def test_a_row_that_is_too_long_is_unread(read):
    recording = read(["sample", 1, 5], "[" + "1," * (9 << 20) + "1]", ["sample", 2, 6])
    assert (len(recording.samples), recording.unread) == (2, 1)


@pytest.mark.parametrize(
    ("line", "unread"),
    [
        ("MEM 1e303 1", 1),
        ("MEM 1 1e305", 1),
        ("MEM 1 -1e9", 1),
        ("CHLD ² 1 1", 1),
        (f"CHLD {'9' * 5000} 1 1", 1),
        ("FUNC f 1 1 1 2 1e303", 1),
        ("CMDLINE [" + "-" * 100_000, 0),
        ("CMDLINE [" + "-" * 1000, 0),
        ("MEM " + "1 " * 100_000, 1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_line_of_mprof_with_what_cannot_be_is_unread(tmp_path, line, unread):
    (tmp_path / "a.dat").write_text(f"MEM 1.0 5.0\n{line}\n")
    recording = memkit.read(tmp_path / "a.dat")
    assert (recording.unread, [sample.memory for sample in recording.samples]) == (unread, [1 << 20])
    look_at(recording)


def test_a_row_of_a_tracker_or_of_a_log_with_what_cannot_be_is_counted(tmp_path):
    (tmp_path / "a.csv").write_text("delta,ram\n0.1,0.5\n1e300,0.5\n0.2,1e300\nnan,1\n0,0\n")
    track = tracker_file.read(tmp_path / "a.csv")
    assert (track.times, track.unread, track.ending) == ([0.1], 3, "completed")
    huge = LOG[1].replace("10000000", "9" * 400)
    (tmp_path / "b.csv").write_text("\n".join([*LOG[:2], huge, ""]))
    log = read_log(tmp_path / "b.csv")
    assert (len(list(log)), log.broken) == (1, 1)


# -- what once took time or memory with the square of the file ------------------------------------------------------------


def test_the_highest_within_any_stretch_is_that_of_its_samples():
    pairs = [(time, (time * 7919) % 1009) for time in range(0, 400, 4)]
    highest = Highest(reversed(pairs))
    for start in range(-3, 410, 13):
        for end in (*range(start, 410, 17), None):
            within = [memory for time, memory in pairs if start <= time and (end is None or time <= end)]
            assert highest.within(start, end) == max(within, default=None)
    assert Highest([]).within(0, None) is None


def test_twenty_thousand_open_spans_and_processes_are_read(read):
    count = 20_000
    rows = [["sample", number, number] for number in range(count)]
    rows += [["span", number, number, 0, 1, 2_000_000_000, "s"] for number in range(count)]
    rows += [["process", 1000 + number, 42, number, "x"] for number in range(count)]
    rows += [["command", 1000, 5, "y"]] * count
    rows += [["crossing", number, 1, 1, "rss", "report"] for number in range(count)]
    rows += [["stack", number, 7, None, []] for number in range(count)]
    recording = read(*rows)
    assert recording.unread == 0
    assert {span.peak for span in recording.spans} == {count - 1}
    assert [len(crossing.stacks) for crossing in recording.crossings] == [1] * count
    assert recording.processes[1].command == "y" and len(recording.lanes) == count + 1
    text, html = memkit.mimebundle(recording).values()
    assert len(text) + len(html) < 1 << 20  # the depth of a span is what the file says


def test_many_processes_with_one_number_have_each_sample_once(read):
    count = 5_000
    rows = [["process", 43, 42, 2 * number, "x"] for number in range(count)]
    rows += [["sample", number, number, 0, 43] for number in range(2 * count)]
    recording = read(*rows)
    assert [len(lane) for _, lane in recording.lanes[1:]] == [2] * count


def test_many_segments_of_one_process_are_read(read):
    rows = []
    for number in range(3_000):
        rows += [["segment", 43], ["memkit", 1, {**ABOUT, "pid": 43, "parent": 42, "clock": ABOUT["clock"] + 10 * number}]]
        rows += [["sample", 1, 5], ["sample", 2, 6], ["segment", 0], ["sample", number, 7]]
    recording = read(*rows)
    assert (len(recording.others), recording.unread) == (6_000, 0)
    assert {process.pid for process in recording.processes} == {42, 43}


def test_a_process_begins_in_a_block_after_the_row_that_tells_of_it(tmp_path):
    part = [["segment", 43], ["memkit", 1, {**ABOUT, "pid": 43}], ["sample", 1, 5]]
    head, tail = (json.dumps(["memkit", 1, ABOUT]) + "\n"), "".join(json.dumps(row) + "\n" for row in part)
    segment = len(json.dumps(part[0])) + 1
    filler = '["sample", 1, 5]\n'
    count = ((1 << 16) - len(head) - segment) // len(filler)
    blank = (1 << 16) - len(head) - segment - count * len(filler)
    path = tmp_path / "a.memkit"
    assert blank < len(filler)
    path.write_text(head + filler * count + "\n" * blank + tail)
    recording = memkit.read(path)
    assert (len(recording.samples), len(recording.others), recording.unread) == (count, 1, 0)


def test_merged_recordings_have_no_times_below_0(about):
    first = memkit.Recording(about, samples=(Sample(1, about.pid, 5, 5),), processes=(Process(1, None, "a", 0, 2, _OK),))
    other = about._replace(began=about.began + 1, clock=(about.clock or 0) - 10**9, pid=about.pid + 1)
    second = memkit.Recording(other, samples=(Sample(1, 2, 6, 6),), processes=(Process(2, None, "b", 0, 2, _OK),))
    merged = memkit.merge([first, second])
    assert (merged.about.pid, merged.samples[0].time, merged.others[0].time) == (other.pid, 1, 10**9 + 1)


_OK = memkit.Ending("ok")


# -- names that would command who reads them ------------------------------------------------------------------------------

EVIL = "\x1b]0;x\x07\0\x9b31m\r"
COMMANDS = set("\x1b\x07\0\x9b\r")


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_report_has_control_characters_or_formulas(read, tmp_path, capsys, start):
    evil = f"{start}f{EVIL}"
    recording = read(
        ["sample", 1, 5],
        ["function", 0, f"{evil}.py", evil, 1],
        ["function", 1, "", f"<{evil}>", 0],
        ["line", 0, 4, 1, 1, 1 << 20, 1, 1, 1 << 20, 1 << 20, 0, 1 << 20],
        ["call", 0, None, 1, 7, 1, 1, 0, 1 << 20],
        ["call", 1, 0, 0, 7, 1, 1, 1 << 20, 1 << 20],
        ["call_tracing", "monitoring", "perf", None, 1, 1],
        ["tracing", "monitoring", "perf", None, 1, 1],
        ["span", 1, 1, 1, 1, 0, evil],
        argv=[evil],
    )
    for option in ("folded", "csv_calls", "mprof", "speedscope", "csv_lines"):
        memkit.report(recording, **{option: "-"}, quiet=True)
        out = capsys.readouterr().out
        assert out and not COMMANDS & set(out), option
        assert "csv" not in option or f"'{start}f\\x1b" in out
    for suffix in ("svg", "png"):
        for option in ("flame", "plot", "plot_lines"):
            path = tmp_path / f"{option}.{suffix}"
            memkit.report(recording, **{option: path}, quiet=True)
            if suffix == "svg":
                _parse(path)
    memkit.report(recording)
    shown = capsys.readouterr()
    assert not COMMANDS & set(shown.out + shown.err)
    for text in memkit.mimebundle(recording).values():
        assert not COMMANDS & set(text)


def _parse(path):
    import xml.etree.ElementTree as tree

    assert tree.parse(path).getroot().tag.endswith("svg")


def test_a_span_is_not_indented_by_what_a_file_says(read):
    recording = read(["sample", 1, 5], ["span", 1, 1, 1, 1, 2_000_000_000, "s"])
    text, html = memkit.mimebundle(recording).values()
    assert len(text) + len(html) < 100_000
    from memkit.report.reporters import plot

    plot.memkit_report((recording,), Namespace(plot=None))
    assert plot.draw([recording])
