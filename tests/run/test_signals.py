"""Signals that come when the program is over, and what is to be said of it is not yet."""

import os
import signal
import subprocess
import sys

import pytest

from memkit.model import reader
from memkit.run.signals import forwarding, put_off

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent here")

WAITS = """
import sys

import memkit


@memkit.hookimpl(tryfirst=True)
def memkit_report(recording, options):
    print("reporting", flush=True)
    sys.stdin.readline()  # input() drops an exception that a signal raises while it flushes stderr
"""


class Reporting:
    """A command of memkit that has come to its report, and waits there for a line."""

    def __init__(self, command, folder):
        self.path = folder / "run.memkit"
        site = folder / "site" / "waits-1.0.dist-info"
        site.mkdir(parents=True)
        (site / "METADATA").write_text("Metadata-Version: 2.1\nName: waits\nVersion: 1.0\n")
        (site / "entry_points.txt").write_text("[memkit]\nwaits = waits\n")
        (site.parent / "waits.py").write_text(WAITS)
        places = os.pathsep.join([str(site.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        settings = {"cwd": folder, "text": True, "env": {**os.environ, "PYTHONPATH": places}}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, **settings, **pipes)
        assert self.process.stdout.readline() == "reporting\n"

    def after(self, *numbers):
        """The exit code and the lines on standard error after some signals."""
        for number in numbers:
            self.process.send_signal(number)
        _, errors = self.process.communicate("\n", timeout=60)
        return self.process.returncode, errors.splitlines()


@pytest.fixture
def reporting(installed, tmp_path):
    """A function that runs memkit-run with some words, or attaches to a process, up to the report."""
    begun = []

    def begin(*words, command=(*installed, "-o", "run.memkit")):
        begun.append(Reporting([*command, *words], tmp_path))
        return begun[-1]

    yield begin
    for each in begun:
        each.process.kill()
        each.process.communicate()


ENDING = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]


@pytest.mark.parametrize("name", [*ENDING, "SIGUSR1", "SIGUSR2"])
def test_a_report_is_completed_in_spite_of_a_signal(reporting, name):
    code, lines = reporting("-c", "raise SystemExit(3)").after(getattr(signal, name))
    assert code == 3
    assert lines[0] == "memkit   -c raise SystemExit(3): exited with code 3"
    assert lines[-1].startswith("saved    ")


@pytest.mark.parametrize(("program", "expected"), [("pass", 1), ("raise SystemExit(3)", 3)])
def test_at_a_second_signal_a_line_says_how_to_repeat_the_report(reporting, program, expected):
    one = reporting("--csv", "a.csv", "-c", program)
    code, (line,) = one.after(signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
    assert code == expected
    again = f"the recording is safe, make this report again with: memkit report {one.path} --csv a.csv"
    assert line == f"memkit-run: a second signal ended the report; {again}"
    assert reader.read(one.path).ending.kind == ("exited" if expected == 3 else "ok")


def test_what_attach_reports_is_completed_too(reporting):
    target = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        words = ("-m", "memkit", "attach", "-o", "run.memkit", "--duration", "10ms", str(target.pid))
        code, lines = reporting(command=(sys.executable, *words)).after(signal.SIGTERM)
        assert code == 0 and lines[-1].startswith("saved    ")
    finally:
        target.communicate(b"\n")


def test_no_moment_between_the_program_and_the_report_is_without_a_handler():
    before = signal.getsignal(signal.SIGTERM)
    with put_off() as afterwards:
        assert signal.getsignal(signal.SIGTERM) is before
        with forwarding(afterwards) as forward_to, subprocess.Popen([sys.executable, "-c", "pass"]) as process:
            forward_to(process)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_program_that_was_never_started_leaves_no_handler():
    before = signal.getsignal(signal.SIGTERM)
    with put_off() as afterwards:
        with forwarding(afterwards):
            pass
        assert signal.getsignal(signal.SIGTERM) is before
