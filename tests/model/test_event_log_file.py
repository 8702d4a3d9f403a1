"""Event logs read back, memkit's own and pymemtrace's, whatever became of the file."""

import types

import pytest

import memkit
from memkit.model.event_log_file import LogRow
from memkit.record.event_log import HEAD

FIRST = ",".join(HEAD) + "\n"
CALL = "7,1.000000250,4242,CALL,/src/load.py,12,Loader.load,51380224,4096\n"
PADDED = """\
hello
SOF
HDR: Event        dEvent  Clock        What     File                           Line Function            RSS         dRSS
FRST: 0            +0      0.012146     LINE     /src/my code.py                   5 <module>        9998336      9998336
MSG:  2            +2      0.012150     # NEXT: this is a message
PREV: 1            +1      0.012182     CALL     /src/a\\x20b\\x5cc.py                3 new_str         9998336            0
NEXT: 2            +2      1.112599     RETURN   /src/a\\x20b\\x5cc.py                3 new str        11128832      1130496
raw line
LAST: 6            +4      1.200000     LINE     /src/my code.py                  -1 <module>        9998336     -1130496
EOF
"""


@pytest.fixture
def log(tmp_path):
    """A function that makes an event log of a text."""

    def make(text):
        path = tmp_path / "log"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return memkit.read_log(path)

    return make


def test_a_row_has_times_in_nanoseconds_and_sizes_in_bytes(log):
    assert list(log(FIRST + CALL)) == [
        LogRow(7, 1_000_000_250, 4242, "CALL", "/src/load.py", 12, "Loader.load", 51_380_224, 4096)
    ]


def test_rows_are_read_as_they_are_gone_through_and_as_often_as_wished(log):
    found = log(FIRST + CALL * 2)
    assert isinstance(iter(found), types.GeneratorType)
    assert len(list(found)) == len(list(found)) == 2


def test_an_empty_log_has_no_rows(log):
    found = log(FIRST)
    assert (list(found), found.broken) == ([], 0)


@pytest.mark.parametrize("length", range(1, len(CALL)))
def test_a_row_that_a_kill_broke_off_is_left_out_and_counted(log, length):
    found = log(FIRST + CALL + CALL[:length])
    assert (len(list(found)), found.broken) == (1, 1)


def test_what_is_left_out_is_counted_once_for_each_reading(log):
    found = log(FIRST + CALL + CALL[:9])
    list(found), list(found)
    assert found.broken == 1


def test_a_row_torn_in_the_middle_of_the_file_costs_no_other(log):
    found = log(FIRST + CALL[:20] + "\n" + CALL + "7,x,,\n" + CALL)
    assert (len(list(found)), found.broken) == (2, 2)


def test_a_row_torn_inside_quotes_costs_no_other(log):
    quoted = CALL.replace("/src/load.py", '"/src/a,b\nc.py"')
    found = log(FIRST + quoted + quoted[:45] + "\n" + CALL + quoted)
    assert [row.file for row in found] == ["/src/a,b\nc.py", "/src/load.py", "/src/a,b\nc.py"]
    assert found.broken == 1


def test_bytes_that_nobody_could_decode_are_those_bytes_again(log):
    [row] = log((FIRST + CALL).encode().replace(b"load.py", b"l\xffad.py"))
    assert row.file == "/src/l\udcffad.py"


def test_the_PREV_rows_of_pymemtrace_logs_are_left_out(log):
    found = log(PADDED)
    assert list(found) == [
        LogRow(0, 12_146_000, None, "LINE", "/src/my code.py", 5, "<module>", 9998336, 9998336),
        LogRow(2, 1_112_599_000, None, "RETURN", "/src/a b\\c.py", 3, "new str", 11128832, 1130496),
        LogRow(6, 1_200_000_000, None, "LINE", "/src/my code.py", None, "<module>", 9998336, -1130496),
    ]
    assert found.broken == 0


def test_a_row_of_pymemtraces_that_was_broken_off_is_counted(log):
    found = log(PADDED[: PADDED.index("1130496\nraw") + 3])
    assert (len(list(found)), found.broken) == (1, 1)


@pytest.mark.parametrize(
    "text", ["", "x", "event,time_s\n1,2\n", "SOF\n", "SOF\nHDR: Clock Address\n", b"\x00\xff" * 50_000]
)
def test_what_is_no_log_is_refused_when_it_is_named(log, text):
    with pytest.raises(memkit.FormatError, match="is not an event log: it begins neither as"):
        log(text)


@pytest.mark.parametrize(("name", "said"), [("nowhere", "No such file"), ("", "Is a directory")])
def test_what_cannot_be_read_is_refused_in_a_line(tmp_path, name, said):
    with pytest.raises(memkit.FormatError, match=f"cannot read .*{said}"):
        memkit.read_log(tmp_path / name)


def test_a_log_that_is_being_written_can_be_read(tmp_path, native_only):
    with memkit.EventLog(tmp_path / "log.csv", trigger=0):
        for _ in range(5000):
            abs(1)
        rows = list(memkit.read_log(tmp_path / "log.csv"))  # its being read is logged, too
    assert [row.event for row in rows] == list(range(1, len(rows) + 1))
    assert 1000 < len(rows) < len(list(memkit.read_log(tmp_path / "log.csv")))
