"""mprof's files: read as recordings, old ones and broken ones too, and written from recordings."""

from pathlib import Path

import pytest

import memkit
from memkit.base.errors import FormatError
from memkit.model import mprof_file
from memkit.model.ending import Ending
from memkit.model.recording import Sample, Span

MIB = 1 << 20
MS = 1_000_000
DATA = Path(__file__).parents[1] / "data"
NESTED, CHILDREN = DATA / "mprof_nested.dat", DATA / "mprof_children.dat"  # written by mprof 0.61.0


@pytest.fixture
def read(tmp_path):
    """A function that reads a text as mprof's file."""

    def reader(text):
        (tmp_path / "old.dat").write_text(text)
        return memkit.read(tmp_path / "old.dat")

    return reader


def spans_of(recording):
    return [(span.label, span.depth, span.start // MS, span.end // MS) for span in recording.spans]


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_file_of_mprof_is_a_recording():
    recording = memkit.read(NESTED)
    assert recording.about.argv == ("/usr/bin/python3", "nest.py", "a", "b c")
    assert (recording.about.began, recording.about.meter, recording.about.peaks) == (1795265528.7631, "memory", "samples")
    assert len(recording.samples) == 65
    assert (recording.samples[1].time, recording.samples[1].memory) == (20_600_000, round(10.636719 * MIB))
    assert recording.peak == round(60.996094 * MIB)
    assert (recording.peak_is_exact, str(recording.ending)) == (False, "ended, exit status unknown")
    assert (recording.unread, recording.source) == (0, str(NESTED))


def test_its_calls_are_spans_in_the_order_in_which_they_began():
    recording = memkit.read(NESTED)
    assert spans_of(recording) == [
        ("__main__.outer", 0, 163, 681),
        ("__main__.inner", 1, 163, 317),
        ("__main__.inner", 1, 526, 680),
        ("__main__.outer", 0, 685, 1202),
        ("__main__.inner", 1, 685, 838),
        ("__main__.inner", 1, 1048, 1201),
    ]
    outer = recording.spans[0]
    assert (outer.before, outer.after) == (round(22.8398 * MIB), round(53.3633 * MIB))
    assert outer.peak == round(60.996094 * MIB)  # of the samples within


def test_its_children_are_processes_with_samples_of_their_own():
    recording = memkit.read(CHILDREN)
    assert [(process.pid, process.parent) for process in recording.processes] == [(0, None), (21070, 0), (21071, 0)]
    assert len(recording.samples) == 9
    assert [sample.pid for sample in recording.others] == [21070, 21071] * 8
    assert {sample.memory for sample in recording.others} == {round(24.167969 * MIB), round(31.796875 * MIB)}


def test_a_call_of_an_old_file_has_no_level(read):
    recording = read("FUNC a.b 1.0 5.0 2.0 6.0\nMEM 1.0 5.0\nMEM 2.0 7.0\n")
    assert spans_of(recording) == [("a.b", 0, 0, 1000)]
    assert recording.unread == 0


def test_lines_come_in_any_order(read):
    recording = read("MEM 2 11\nFUNC f.g 1 10.5 2 11 0\nCMDLINE x\nMEM 1 10\n")
    assert [sample.memory for sample in recording.samples] == [MIB, 2 * MIB]
    assert recording.about.argv == ("x",)


def test_a_blank_line_is_passed_over(read):
    """mprof said that the sampling time was too short."""
    recording = read("MEM 1.0 5.0\n\nMEM 2.0 6.0\n")
    assert (len(recording.samples), recording.unread) == (2, 0)


@pytest.mark.parametrize(
    "broken", ["MEM 2.", "MEM 2.0 17952655", "CHLD 7 1.0", "FUNC a.b 1.0 5.0", "MEM x 1.0\n", "MEM nan 1\n"]
)
def test_a_broken_line_is_counted_and_left_out(read, broken):
    """mprof ended in a traceback."""
    recording = read("MEM 1.0 5.0\n" + broken)
    assert ([sample.memory for sample in recording.samples], recording.others) == ([MIB], ())
    assert (recording.spans, recording.unread) == ((), 1)


def test_a_last_line_that_is_whole_but_for_its_end_counts(read):
    assert len(read("MEM 1.0 5.0\nMEM 2.0 6.0000").samples) == 2


def test_lines_of_other_words_are_passed_over(read):
    recording = read("MEM 1.0 5.0\nGPU 7 8\n")
    assert (len(recording.samples), recording.unread) == (1, 0)


def test_a_reading_of_nothing_is_a_process_that_is_gone(read):
    recording = read("MEM 1.0 5.0\nCHLD 0 0.000000 5.5000\nCHLD 9 3.0 5.6\nMEM 0.000000 6.0\n")
    assert (recording.end, [sample.pid for sample in recording.others]) == (MIB, [9])


def test_a_file_with_nothing_but_a_command_has_no_samples(read):
    recording = read("CMDLINE sleep 'a b'\n")
    assert (recording.about.argv, recording.samples, recording.duration) == (("sleep", "a b"), (), 0)


def test_other_files_are_refused_as_before(read):
    for text in ("", "MEMORY 1 2\n", "time,memory\n", "MEM nothing\n"):
        with pytest.raises(FormatError):
            read(text)
    with pytest.raises(FormatError, match="cannot read"):
        mprof_file.contents("/nowhere/old.dat")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python3 nest.py a 'b c'\n", ("python3", "nest.py", "a", "b c")),
        ("sh -c 'a\tb' it's\n", ("sh", "-c", "a\tb", "it's")),
        ("['sleep', '10 s']\n", ("sleep", "10 s")),  # after attaching by name
        ("[not a list\n", ("[not", "a", "list")),
        ("", ()),
    ],
)
def test_the_words_of_a_command_are_told_apart(command, words):
    assert mprof_file.words_of(command) == words


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_recording_becomes_lines_of_mprof(made_up):
    span = Span("__main__.load", 1, 0, 1 * MS, 3 * MS, 10 * MIB, 12 * MIB, 12 * MIB)
    recording = made_up((0, 10), (2, 11.5), (4, 12), spans=[span], argv=("load.py", "my data.csv"))
    assert list(mprof_file.mprof_lines(recording)) == [
        "CMDLINE load.py 'my data.csv'\n",
        "MEM 10.000000 1700000000.0000\n",
        "MEM 11.500000 1700000000.0020\n",
        "MEM 12.000000 1700000000.0040\n",
        "FUNC __main__.load 10.0000 1700000000.0010 12.0000 1700000000.0030 0\n",
    ]


def test_a_peak_between_two_samples_stands_halfway():
    samples = [Sample(0, 1, 10 * MIB, 10 * MIB), Sample(4, 1, 11 * MIB, 50 * MIB), Sample(8, 1, 9 * MIB, 11 * MIB + 5)]
    assert list(mprof_file.readings(samples)) == [(0, 10 * MIB), (2, 50 * MIB), (4, 11 * MIB), (8, 9 * MIB)]


def test_children_stand_between_the_samples_in_the_order_of_time(made_up):
    from dataclasses import replace

    recording = replace(made_up((0, 10), (4, 12)), others=(Sample(2 * MS, 77, 3 * MIB, 3 * MIB),))
    assert [line.split()[:2] for line in mprof_file.mprof_lines(recording)][1:] == [
        ["MEM", "10.000000"],
        ["CHLD", "77"],
        ["MEM", "12.000000"],
    ]


def test_a_span_that_a_kill_left_open_ends_with_the_recording(made_up):
    span = Span("load all", 1, 0, 1 * MS, None, 10 * MIB, None, 12 * MIB)
    killed = made_up((0, 10), (2, 12), spans=[span], took=5, ending=Ending("killed", signal=9, finished=False))
    assert list(mprof_file.mprof_lines(killed))[-1] == "FUNC load_all 10.0000 1700000000.0010 12.0000 1700000000.0050 0\n"


@pytest.mark.parametrize("file", [NESTED, CHILDREN], ids=["nested", "children"])
def test_what_is_written_from_such_a_file_is_the_same_file(file):
    written = "".join(mprof_file.mprof_lines(memkit.read(file)))
    assert sorted(written.splitlines()) == sorted(file.read_text().splitlines())
