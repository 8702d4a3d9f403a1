"""What a tracker has written, read back."""

import signal

import pytest

import memkit
from memkit.model import tracker_file

GIB = 1 << 30
MIB = 1 << 20
ENDINGS = (memkit.has_completed_successfully, memkit.has_crashed_gracefully, memkit.has_crashed_ungracefully)
COMPLETED, RAISED, BROKEN_OFF = (True, False, False), (False, True, False), (False, False, True)
KILL = "import os; os.kill(os.getpid(), 9)"


def ended(path):
    return tuple(ask(path) for ask in ENDINGS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


H = "delta,ram\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (H + "0,0.5\n1.5,0.25\n0,0\n", COMPLETED),
        (H + "0,0.5\r\n0,0\r\n", COMPLETED),
        (H + "0,0.5\n0,0\n-1,-1\n", RAISED),
        (H + "0,0.5\n0,0\n-1,", RAISED),  # the marker did not fit
        (H + "0,0.5\n0,0", BROKEN_OFF),  # may be the beginning of 0,0.25
        (H + "0,0.5\n1.5,0.2", BROKEN_OFF),
        (H + "0,0.5\n10,0\n", BROKEN_OFF),
        (H, BROKEN_OFF),
        ("delta", BROKEN_OFF),
        ("", BROKEN_OFF),
    ],
)
def test_the_last_line_says_how_it_ended(path, text, expected):
    path.write_bytes(text.encode())
    assert ended(path) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise KeyboardInterrupt", RAISED),
        ("import os; os.kill(os.getpid(), 2)", RAISED),
        ("import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)", BROKEN_OFF),
        (KILL, BROKEN_OFF),
    ],
)
def test_an_interrupt_that_python_told_of_is_a_graceful_end(memkit_run, tmp_path, code, expected):
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("needs interrupts as Python has them")
    memkit_run("-c", code)
    assert ended(tmp_path / "run.memkit") == expected


def test_a_recording_says_it_as_well(memkit_run, script, tmp_path):
    path = tmp_path / "r.memkit"
    for error, expected in (
        (None, COMPLETED),
        (ValueError("x"), RAISED),
        (SystemExit(3), RAISED),
        (SystemExit(), COMPLETED),
    ):
        try:
            with memkit.record(path):
                if error is not None:
                    raise error
        except BaseException as found:
            assert found is error
        assert ended(path) == expected
    for text, expected in (("", COMPLETED), ("1/0", RAISED), ("import os; os._exit(3)", BROKEN_OFF), (KILL, BROKEN_OFF)):
        memkit_run(script(text))
        assert ended(tmp_path / "run.memkit") == expected


@pytest.mark.parametrize("ask", ENDINGS)
def test_what_is_no_such_file_is_refused(tmp_path, ask):
    with pytest.raises(memkit.FormatError, match=r"cannot read '.*no.csv': No such file"):
        ask(tmp_path / "no.csv")
    with pytest.raises(memkit.FormatError, match=r"cannot read .*: Is a directory"):
        ask(tmp_path)
    (tmp_path / "a.csv").write_text("time,size\n1,2\n0,0\n")
    with pytest.raises(
        memkit.FormatError, match=r"a.csv' is neither a tracker's file nor a recording: it begins with b'time,s"
    ):
        ask(tmp_path / "a.csv")


def test_a_file_is_read_back_without_what_is_damaged(path):
    path.write_text(H + "0,0.5\n1.5,0.25\noops\n2,nothing\n3,\n3,nan\n3,-inf\ninf,1\nnan,1\n3,1e308\n4,0.75\n5,0.1")
    assert tracker_file.read(path) == tracker_file.Track(
        "t", [0, 1.5, 4], [GIB // 2, GIB // 4, 3 * GIB // 4], "broken off", 8
    )


def test_a_recording_is_read_back_with_its_peaks(tmp_path, made_up, monkeypatch):
    recording = made_up((0, 10), (5, 10, 30), (6, 12))
    assert tracker_file._of_recording("r", recording) == tracker_file.Track(
        "r", [0, 0.005, 0.005, 0.006], [10 * MIB, 30 * MIB, 10 * MIB, 12 * MIB], "completed"
    )
