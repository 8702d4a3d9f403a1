"""Programs that are not Python: run as they would run without memkit, recorded from outside with all that they start."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memkit.base.errors import MeterError
from memkit.model import file_format, reader
from memkit.record import header
from memkit.run.external import ExternalProcess, ExternalRecording
from memkit.system import engine

MIB = 1 << 20
OBEDIENT = str(Path(__file__).parents[1] / "programs" / "obedient.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs are those of a POSIX system")


@pytest.fixture
def run(memkit_run):
    """A function that runs a command with ``memkit-run --program``."""
    return lambda *words, options=("-q",), **settings: memkit_run("--program", *words, options=options, **settings)


@pytest.mark.parametrize(
    ("script", "code", "ending"),
    [
        ("exit 0", 0, "finished"),
        ("exit 3", 3, "exited with code 3"),
        ("kill -9 $$", 137, "killed by SIGKILL"),
        ("kill -TERM $$", 143, "killed by SIGTERM"),
    ],
)
def test_the_exit_code_is_the_program_s_and_the_report_says_how_it_ended(run, script, code, ending):
    done = run("sh", "-c", script, options=())
    assert done.returncode == code
    assert done.stderr.splitlines()[0] == f"memkit   sh -c {script}: {ending}"
    assert str(done.recording.ending) == ending


def test_input_output_and_arguments_are_the_program_s(run):
    done = run("sh", "-c", 'cat; echo "$@"; echo problem >&2', "sh", "--live", "--", "-q", input="from a pipe\n")
    assert (done.stdout, done.stderr) == ("from a pipe\n--live -- -q\n", "problem\n")


def test_the_command_may_stand_after_an_equals_sign(memkit_run):
    assert memkit_run("--program=echo", "one", "--program=two").stdout == "one --program=two\n"


def test_the_recording_says_what_was_run(run):
    about = run("sh", "-c", "exit").recording.about
    assert about.argv == ("sh", "-c", "exit")
    assert about.python is None
    assert about.recorder == about.parent


def test_the_first_sample_is_of_the_program_and_not_of_memkit(run):
    for _ in range(5):
        recording = run("sleep", "0.05").recording
        assert recording.peak < 8 * MIB


def test_a_program_too_short_to_be_seen_is_reported_on(run):
    for _ in range(5):
        done = run("true")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.recording.ending.kind == "ok"


@pytest.fixture
def unasked():
    """A process that has ended, and has no memory any more, but has not been asked how it ended."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield ExternalProcess(process.pid, os.getpid(), ("true",))
    process.wait()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="needs waitid")
@pytest.mark.parametrize("meter", ["rss", "pss"])
def test_a_program_whose_memory_is_gone_before_its_end_is_told_is_recorded(unasked, tmp_path, monkeypatch, meter):
    if meter == "pss" and meter not in engine.METERS:
        pytest.skip("needs pss, which is of Linux")
    monkeypatch.setattr(ExternalRecording, "ended", lambda self: False)  # as the kernel has it, between the two
    ExternalRecording(unasked, str(tmp_path / "run.memkit"), 0, meter, fresh=True).end(0)
    recording = reader.read(tmp_path / "run.memkit")
    assert (recording.about.pid, recording.ending.kind, recording.samples) == (unasked.pid, "ok", ())


def test_a_program_that_ends_at_once_has_the_memory_that_it_had(tmp_path, monkeypatch):
    words = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        write = header.of_another

        def end_first(*arguments):
            process.kill()
            process.wait()
            return write(*arguments)

        monkeypatch.setattr(header, "of_another", end_first)
        target = ExternalProcess(process.pid, os.getpid(), tuple(words))
        ExternalRecording(target, str(tmp_path / "run.memkit"), 0, "rss", fresh=True).end(None, 9)
    recording = reader.read(tmp_path / "run.memkit")
    assert recording.samples[0].time == 0
    assert min(sample.memory for sample in recording.samples) > MIB


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_a_program_that_lives_and_does_not_tell_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise MeterError("Permission denied")

    monkeypatch.setattr(engine, "Meter", refuse)
    me = ExternalProcess(os.getpid(), os.getppid(), ("python",))
    with pytest.raises(MeterError, match="Permission denied"):
        ExternalRecording(me, str(tmp_path / "run.memkit"), 0, "pss", fresh=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("native_only")
def test_every_height_is_seen_between_samples(run):
    done = run(sys.executable, OBEDIENT, options=("-q", "--interval", "1h"), input="spike 150\nwait 0.6\n")
    assert done.recording.about.peaks == "mark"
    assert 150 * MIB <= done.recording.peak < 200 * MIB
    assert not done.recording.peak_is_exact  # what came after the last look is not known


def test_all_that_it_starts_is_recorded_with_it(run):
    pipeline = f"sh -c 'echo take 80; echo wait 0.5' | {sys.executable} {OBEDIENT} > /dev/null; exit 4"
    done = run("sh", "-c", pipeline)
    assert done.returncode == 4
    assert done.recording.highest_total.memory >= 80 * MIB
    assert any("obedient" in process.command for process in done.recording.processes[1:])
    assert done.recording.unread == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_signal_to_memkit_reaches_the_program(installed, tmp_path, name):
    script = f"trap 'echo got; exit 7' {name.removeprefix('SIG')}; echo ready; while true; do sleep 0.05; done"
    command = [*installed, "-q", "-o", "run.memkit", "--program", "sh", "-c", script]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        assert process.communicate(timeout=60)[0] == "got\n"
    finally:
        process.kill()
    assert process.returncode == 7
    assert str(reader.read(tmp_path / "run.memkit").ending) == "exited with code 7"


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("no-such-command", 127, "cannot run 'no-such-command': No such file or directory"),
        ("./no/such/command", 127, "cannot run './no/such/command': No such file or directory"),
        ("ls | wc", 127, "for a line of a shell write --program sh -c 'ls | wc'"),
        ("./not-executable", 126, "cannot run './not-executable': Permission denied"),
        ("./no-interpreter", 127, "cannot run './no-interpreter': there is no '/no/such/sh', which its first line names"),
        ("./no-program", 126, "cannot run './no-program': Exec format error"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_a_shell_s_exit_code(installed, tmp_path, command, code, says):
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    (tmp_path / "no-program").write_bytes(b"\x00\x01")
    (tmp_path / "no-interpreter").write_text("#! /no/such/sh -e\n")
    for name in ("no-program", "no-interpreter"):
        (tmp_path / name).chmod(0o755)
    before = set(os.listdir(tmp_path))
    done = subprocess.run([*installed, "--program", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, "")
    assert says in line
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--program"], "needs a command"),
        (["--program="], "needs a command"),
        (["--lines", "--program", "ls"], "--lines looks into the interpreter"),
        (["--calls=a.py", "--program", "ls"], "--calls looks into the interpreter"),
        (["--c-calls", "--program", "ls"], "--c-calls looks into the interpreter"),
        (["--call-log", "a.csv", "--program", "ls"], "--call-log looks into the interpreter"),
        (["--follow", "--program", "ls"], "--follow looks into the interpreter"),
        (["--limit=1GiB", "--program", "ls"], "--limit looks into the interpreter"),
        (["--meter", "temperature", "--program", "ls"], "'temperature'"),
        (["--meter", "cgroup", "--program", "ls"], "'cgroup' cannot measure other processes"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(installed, tmp_path, words, hint):
    done = subprocess.run([*installed, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in line
    assert os.listdir(tmp_path) == []


def test_a_recording_survives_a_command_that_is_not_there(run, tmp_path):
    run("true")
    before = (tmp_path / "run.memkit").read_bytes()
    assert run("no-such-command").returncode == 127
    assert (tmp_path / "run.memkit").read_bytes() == before


def test_it_is_named_after_the_command(installed, tmp_path):
    subprocess.run([*installed, "-q", "--program", shutil.which("true")], cwd=tmp_path, check=True, timeout=60)
    (name,) = os.listdir(tmp_path)
    assert name.startswith("true-")


def test_an_interrupt_from_the_keyboard_is_the_program_s_to_decide(installed, tmp_path):
    script = "trap 'echo got; exit 6' INT; echo ready; while true; do sleep 0.05; done"
    command = [*installed, "-q", "-o", "run.memkit", "--program", "sh", "-c", script]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "got\n"
    finally:
        process.kill()
    assert process.returncode == 6


def test_a_killed_memkit_leaves_what_it_had_recorded(installed, tmp_path):
    command = [*installed, "-q", "-o", "run.memkit", "--program", "sleep", "30"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    try:
        while not (file_format.is_recording(tmp_path / "run.memkit") and reader.read(tmp_path / "run.memkit").samples):
            time.sleep(0.01)
        process.kill()
        process.wait(60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    recording = reader.read(tmp_path / "run.memkit")
    assert recording.ending.kind == "unknown"
    assert recording.about.engine == engine.Sampler.engine
