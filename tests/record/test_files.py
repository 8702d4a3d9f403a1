"""A file has one recording at a time, whoever makes it."""

import os
import subprocess
import sys

import pytest

import memkit
from memkit.base.errors import UsageError
from memkit.model import file_format
from memkit.record import files
from memkit.system import engine

pytest.importorskip("fcntl", reason="files are not locked here")
BUSY = "is being written already: give each that writes a file of its own"


def test_what_another_process_records_into_is_refused_and_goes_on(tmp_path):
    path = tmp_path / "run.memkit"
    with memkit.record(path, interval=0.01) as run:
        text = f"import memkit\nmemkit.record({str(path)!r}).start()"
        other = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1] == f"memkit.base.errors.UsageError: {str(path)!r} {BUSY}"
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
    os.write(first, file_format.BEGINNING)
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("begin", ["memkit.record('pipe').start()", "memkit.Tracker('pipe').start()"])
def test_a_pipe_is_refused_and_not_waited_for(plain, tmp_path, begin):
    os.mkfifo(tmp_path / "pipe")
    done = plain("-c", f"import memkit; {begin}", timeout=60)
    name = str(tmp_path / "pipe")
    assert done.stderr.splitlines()[-1].endswith(f"UsageError: cannot write {name!r}: it is a pipe; give the name of a file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_commands_refuse_what_is_no_file(memkit, memkit_run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    run, null = memkit_run("-c", "print(1)", path="pipe", timeout=60), memkit_run("-c", "print(1)", path="/dev/null")
    attached = memkit("attach", str(os.getpid()), "-o", "pipe", timeout=60)
    said = "cannot write 'pipe': it is a pipe; give the name of a file\n".replace("'pipe'", repr(str(tmp_path / "pipe")))
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"memkit-run: {said}")
    assert (attached.returncode, attached.stderr) == (2, f"memkit: {said}")
    assert null.stderr == "memkit-run: cannot write '/dev/null': it is a device; give the name of a file\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("read", [memkit.read, memkit.read_log, memkit.has_completed_successfully, memkit.plot_reports])
def test_nobody_waits_for_the_writer_of_a_pipe(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(memkit.FormatError, match=r"it is a pipe; give the name of a file$"):
        read(tmp_path / "pipe")


GONE = """
import os, subprocess, sys
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use stays")
def test_a_program_runs_in_a_folder_that_is_gone(installed, plain, tmp_path):
    words = [*installed, "-q", "-o", str(tmp_path / "run.memkit")]
    programs = [["-c", "print(3)"], ["-m", "json.tool", "--help"]]
    if engine.NAME == "native":
        programs.append(["--lines=json:load", "-c", "print(3)"])
    for program in programs:
        done = plain("-c", GONE, *words, *program)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout
        (tmp_path / "run.memkit").unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use stays")
def test_without_a_name_a_folder_that_is_gone_is_refused(installed, plain):
    done = plain("-c", GONE, *installed, "-c", "print(3)")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("memkit-run: cannot record into this folder: it is gone")


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_new_file_is_its_owners_and_an_old_one_keeps_its_permissions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:
        os.close(files.opened("new.memkit"))
        named, _ = files.place_for(None, "job.py")
        (tmp_path / "shared.memkit").touch(0o644)
        os.close(files.opened("shared.memkit"))
        os.close(files.opened_table("new.csv", "a,b", "log"))
        (tmp_path / "shared.csv").touch(0o644)
        os.close(files.opened_table("shared.csv", "a,b", "log"))
    finally:
        os.umask(before)
    modes = [os.stat(path).st_mode & 0o777 for path in ("new.memkit", named, "shared.memkit", "new.csv", "shared.csv")]
    assert modes == [0o600, 0o600, 0o644, 0o600, 0o644]


@pytest.mark.parametrize("path", ["a.memkit", None])
def test_only_a_file_with_something_in_it_is_truncated(tmp_path, monkeypatch, path):
    """ext4 writes a truncated file to the disk as soon as it is closed: each decorated call waited for that."""
    truncated = []
    truncate = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda *words: (truncated.append(words), truncate(*words))[1])
    run = memkit.record(path and tmp_path / path)
    for count in range(3):
        with run:
            pass
        assert len(truncated) == count
        assert run.recording.ending.complete


def next_number():
    """The number that a file would get that is opened now."""
    number = os.dup(0)
    os.close(number)
    return number


def test_a_recording_leaves_the_low_numbers_to_the_program():
    before = next_number()
    with memkit.record():
        assert next_number() == before
    assert next_number() == before
