"""``memkit-run --keep``: a program is recorded into files that follow one another, and reported on by its last minutes."""

import os
import signal
import subprocess
import sys
import time

import pytest

import memkit as memkit_itself
from memkit.base.errors import UsageError
from memkit.cli import main, watched
from memkit.record.watch_folder import AwaitedFiles, files_in, folder_for

MIB = 1 << 20
KEPT = ("--keep", "1d,5MB")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")


@pytest.fixture
def kept(memkit_run, tmp_path):
    """A function that runs a program with ``--keep``; ``recordings`` of what it returns are those in the folder."""

    def run(*words, options=(), **settings):
        done = memkit_run(*words, options=(*KEPT, *options), path="kept", **settings)
        done.recordings = [memkit_itself.read(each.path) for each in files_in(str(tmp_path / "kept"))]
        return done

    return run


@pytest.mark.parametrize(
    ("text", "code", "ending"),
    [
        ("import sys; sys.exit(3)", 3, "exited with code 3"),
        ("1 / 0", 1, "ended by an exception: ZeroDivisionError: division by zero"),
        pytest.param("import os; os.kill(os.getpid(), 9)", 137, "killed by SIGKILL", marks=FORKS),
        ("import os; os._exit(4)", 4, "exited with code 4, its end unrecorded (os._exit, exec, or a full disk)"),
    ],
)
def test_how_it_ended_is_in_the_last_file(kept, script, text, code, ending):
    done = kept(script(text))
    (recording,) = done.recordings
    assert done.returncode == code
    assert str(recording.ending) == ending
    assert f"memkit   program.py: {ending}" in done.stderr.splitlines()


def test_it_is_the_program_that_it_is_without(same, script):
    text = "import sys, __main__; print(sys.argv, __name__, sorted(vars(__main__))); sys.exit(7)"
    assert same(script(text), "-x", options=("-q", *KEPT)).returncode == 7


def test_a_second_run_adds_files_and_reports_on_itself_only(kept, script):
    assert "first" in kept("-c", "0 # first").stderr
    second = kept("-c", "0 # second")
    assert len(second.recordings) == 2
    assert "second" in second.stderr and "first" not in second.stderr


def test_a_module_gives_its_files_its_name(kept, tmp_path):
    (tmp_path / "shop.py").write_text("")
    assert kept("-m", "shop").returncode == 0
    (name,) = os.listdir(tmp_path / "kept")
    assert name.startswith("shop-")


def test_spans_are_in_the_report(kept, script):
    text = "import memkit\nwith memkit.span('job'):\n    pass\n"
    done = kept(script(text))
    (recording,) = done.recordings
    assert [span.label for span in recording.spans] == ["job"]
    assert done.returncode == 0 and "\njob " in done.stderr


SPAWNS = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(30 << 20)'])"


def test_a_spawned_program_is_followed_into_a_file_of_its_own(kept, script):
    done = kept(script(SPAWNS), options=("--follow",))
    first, second = sorted(done.recordings, key=lambda each: each.about.began)
    assert (len(first.processes), len(second.processes)) == (1, 1)
    assert second.about.parent == first.about.pid
    assert second.peak > first.peak + 15 * MIB
    (row,) = [line for line in done.stderr.splitlines() if line.split()[:2] == [str(second.about.pid), str(first.about.pid)]]
    assert "was seen that" not in done.stderr and "x = byt" in row


@FORKS
def test_a_process_whose_parent_left_no_file_is_of_the_run(kept, script):
    text = "import os, subprocess, sys\nwork = 'x = bytearray(30 << 20)'\n"
    text += "subprocess.run(['/bin/sh', '-c', '\"$0\" -c \"$1\"; true', sys.executable, work])"
    done = kept(script(text), options=("--follow",))
    first, second = sorted(done.recordings, key=lambda each: each.about.began)
    assert second.about.parent != first.about.pid
    assert first.about.watch == second.about.watch
    assert [line for line in done.stderr.splitlines() if line.split()[:1] == [str(second.about.pid)]]


def test_without_follow_a_spawned_program_is_not_recorded(kept, script):
    done = kept(script(SPAWNS))
    assert len(done.recordings) == 1
    assert "--follow" in done.stderr


def test_a_module_that_is_not_there_leaves_no_folder(kept, tmp_path):
    done = kept("-m", "nosuchmodule")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep", "soon"], "keep 'soon': 'soon' is neither an age"),
        (["--keep", "7d", "--lines"], "--lines does not go with --keep"),
        (["--keep", "7d", "--calls=json"], "--calls does not go with --keep"),
        (["--keep", "7d", "--children"], "--children does not go with --keep"),
        (["--keep", "7d", "--live"], "--live does not go with --keep"),
        (["--keep", "7d", "--call-log", "log.csv"], "--call-log does not go with --keep"),
        (["--keep", "7d", "--keep-source"], "--keep-source does not go with --keep"),
        (["--keep", "7d", "--no-peak-reset"], "--no-peak-reset does not go with --keep"),
        (["--keep", "7d", "--limit", "1GiB", "--on-limit", "stop"], "--on-limit does not go with --keep"),
        (["--keep", "7d", "--sizes", "1,2"], "--sizes does not go with --keep"),
        (["--keep", "7d", "--heap"], "--keep goes with --heap=sampled"),
        (["--keep", "7d", "--heap=spans"], "--keep goes with --heap=sampled"),
        (["--keep", "7d", "--meter", "vms"], "--keep goes with the meter rss"),
        (["--keep", "7d", "-o", "-"], "-o '-': with --keep it is a folder"),
        (["--keep", "7d", "-o", "taken"], "'taken' is a file: with --keep, -o is a folder"),
        (["--keep", "7d", "--program"], "--keep records a Python program from inside"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_line(monkeypatch, tmp_path, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("x")
    assert main.main(["run", *words, *([] if words[-1] == "--program" else ["-c"]), "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"memkit run: {said}")
    assert os.listdir(tmp_path) == ["taken"]


SERVES = """
import memkit, os, sys, time
print(os.getpid(), flush=True)
while True:
    with memkit.span("request"):
        time.sleep(0.001)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_kept_program_is_looked_at_and_asked_while_it_runs(memkit, script, tmp_path):
    words = [sys.executable, "-m", "memkit", "run", *KEPT, "-o", "kept", script(SERVES)]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        pid = supervisor.stdout.readline().strip()
        done = memkit("snapshot", pid)
        os.kill(supervisor.pid, signal.SIGUSR2)
        end = time.monotonic() + 20
        while len(os.listdir(tmp_path / "kept")) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(int(pid), signal.SIGKILL)
        _, said = supervisor.communicate()
    assert "program.py: still running" in done.stdout + done.stderr
    assert supervisor.returncode == 137 and "program.py: killed by SIGKILL" in said and "\nrequest " in said
    assert sorted(name.split(".", 1)[1] for name in os.listdir(tmp_path / "kept")) == ["snapshot.memkit", "watch.memkit"]


def test_a_report_of_less_than_all_says_so(tmp_path, monkeypatch, watched_here):
    awaited = AwaitedFiles(str(tmp_path / "kept"))
    with watched_here(tmp_path / "kept"):
        time.sleep(0.1)
    awaited.origin(os.getpid())
    assert watched.of_run(awaited)[1] is True
    monkeypatch.setattr(watched, "LAST", 20_000_000)
    recording, is_whole = watched.of_run(awaited)
    assert is_whole is False and recording.duration < 90_000_000


def test_a_first_file_that_was_removed_is_noticed(tmp_path, watched_here):
    awaited = AwaitedFiles(str(tmp_path / "kept"))
    with watched_here(tmp_path / "kept") as run:
        awaited.look(os.getpid())
    os.unlink(run.path)
    with watched_here(tmp_path / "kept"):
        awaited.look(os.getpid())
        awaited.origin(os.getpid())
    assert watched.of_run(awaited)[1] is False


@pytest.fixture
def watched_here():
    return lambda folder: memkit_itself.watch(folder, interval="10ms")


def test_files_that_are_gone_are_said_to_be(tmp_path, watched_here):
    awaited = AwaitedFiles(str(tmp_path / "kept"))
    with watched_here(tmp_path / "kept") as run:
        awaited.origin(os.getpid())
    os.unlink(run.path)
    with pytest.raises(memkit_itself.JournalError, match="are gone"):
        watched.of_run(awaited)


def test_an_earlier_file_of_a_process_is_not_taken_for_its_own(tmp_path, watched_here):
    with watched_here(tmp_path / "kept"):
        pass
    awaited = AwaitedFiles(str(tmp_path / "kept"))
    assert awaited.origin(os.getpid()) is None
    with watched_here(tmp_path / "kept") as run:
        assert awaited.origin(os.getpid()) == memkit_itself.read(run.path).about.clock
    assert awaited.path == run.path


def test_no_name_is_the_folder_of_memkit_watch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_for(None) == str(tmp_path / "memkit-watch")
    with pytest.raises(UsageError):
        folder_for("")


def test_a_program_that_watches_itself_into_the_same_folder_goes_on(kept, script):
    done = kept(script("import memkit; print(memkit.watch('kept', keep='2d').folder)"))
    assert done.returncode == 0 and done.stdout.strip().endswith("kept")
    assert len(done.recordings) == 1


@pytest.mark.parametrize("ending", ["run.stop()", "with run: pass"])
def test_a_program_cannot_end_what_records_all_of_it(kept, script, ending):
    done = kept(script(f"import memkit\nrun = memkit.watch('kept')\n{ending}\nprint(run.running)\nx = bytearray(40 << 20)"))
    (recording,) = done.recordings
    assert done.returncode == 0 and done.stdout.strip() == "True"
    assert recording.peak > recording.start + 30 * MIB
