"""Programs in a container: numbers of processes that are given again, and memkit-run as process 1."""

import shutil
import subprocess
import sys

import pytest

from memkit.model import reader
from memkit.system import engine

CHILD = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"])
"""


@pytest.fixture
def contained(installed, script, tmp_path):
    """A function that runs a program under memkit-run, as in a container: its processes are numbered from 1 each time."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs to be allowed a PID namespace: unshare --pid --mount-proc")

    def run(text, *options):
        words = [*alone, *installed, "-q", "-o", "run.memkit", *options, script(text)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return done, reader.read(tmp_path / "run.memkit")

    return run


def test_a_second_run_of_the_same_pid_is_recorded_as_the_first(contained):
    for _ in range(2):
        done, recording = contained(CHILD, "--children")
        assert done.returncode == 0, done.stderr
        first, child = recording.processes
        assert (recording.about.pid, child.parent) == (first.pid, first.pid)
        assert child.started < recording.duration < 30e9
        assert recording.summed == ("pss" if engine.NAME == "native" else "rss")


ORPHANS = """
import os, sys, time
from pathlib import Path

for _ in range(5):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
    os.wait()

def left():
    found = (path.read_text().rpartition(")")[2].split()[:2] for path in Path("/proc").glob("[0-9]*/stat"))
    return [each for each in found if each == ["Z", "1"]]

assert os.getppid() == 1
time.sleep(0.1)
deadline = time.monotonic() + 30
while left():
    if time.monotonic() > deadline:
        sys.exit(f"left: {left()}")
    time.sleep(0.05)
sys.exit(5)
"""


@pytest.mark.parametrize("options", [(), ("--children",), ("--program", sys.executable)])
def test_as_process_1_memkit_reaps_what_is_orphaned(contained, options):
    done, recording = contained(ORPHANS, *options)
    assert (done.returncode, done.stderr) == (5, "")
    assert str(recording.ending) == "exited with code 5"
