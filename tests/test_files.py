"""A file has one recording at a time, whoever makes it."""

import os
import subprocess
import sys

import pytest

import memkit
from memkit import files
from memkit.errors import UsageError

pytest.importorskip("fcntl", reason="files are not locked here")
BUSY = "is being written already: give each recording a file of its own"


def test_what_another_process_records_into_is_refused_and_goes_on(tmp_path):
    path = tmp_path / "run.memkit"
    with memkit.record(path, interval=0.01) as run:
        text = f"import memkit\nmemkit.record({str(path)!r}).start()"
        other = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1] == f"memkit.errors.UsageError: {str(path)!r} {BUSY}"
    assert (run.recording.about.pid, run.recording.unread, str(run.recording.ending)) == (os.getpid(), 0, "finished")
    with memkit.record(path):
        pass


def test_a_command_refuses_it_in_a_line_and_runs_nothing(memkit_run, tmp_path):
    path = tmp_path / "run.memkit"
    with memkit.record(path):
        run = memkit_run("-c", "print('ran')", options=["-o", str(path)])
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"memkit-run: {str(path)!r} {BUSY}\n")


def test_another_name_of_the_file_is_the_same_file(tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    other.symlink_to(path)
    with memkit.Tracker(path), pytest.raises(UsageError, match=BUSY):
        memkit.Tracker(other).start()
    with memkit.Tracker(other):
        pass


def test_those_who_join_a_recording_keep_it_from_others(tmp_path):
    path = tmp_path / "run.memkit"
    first = files.opened(str(path))
    joined = files.joined(str(path))
    os.close(first)
    with pytest.raises(UsageError, match=BUSY):
        files.opened(str(path))
    os.close(joined)
    os.close(files.opened(str(path)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_lives_on_does_not(tmp_path):
    path = tmp_path / "run.memkit"
    text = """
import os, sys, warnings, memkit
warnings.simplefilter("ignore")
leave, stay = os.pipe()
for tool in (memkit.record, memkit.Tracker):
    with tool(sys.argv[1] + tool.__name__):
        if not os.fork():
            os.close(stay)
            os.read(leave, 1)
            os._exit(0)
    with tool(sys.argv[1] + tool.__name__):
        pass
print("twice")
"""
    done = subprocess.run([sys.executable, "-c", text, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "twice\n", "")
