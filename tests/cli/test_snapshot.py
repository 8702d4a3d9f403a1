"""``memkit snapshot``: the last minutes of processes that are being watched."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memkit as memkit_itself

SERVICE = """
import memkit, sys, time
run = memkit.watch("watched", interval="10ms")
print(flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    with memkit.span(sys.argv[2]):
        time.sleep(0.01)
"""
linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture
def service(tmp_path):
    """A function that starts a process that watches itself for so many seconds, and waits until it does."""
    running = []

    def start(seconds, label="request"):
        words = [sys.executable, "-c", SERVICE, str(seconds), label]
        running.append(subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE))
        running[-1].stdout.readline()
        return running[-1]

    yield start
    for each in running:
        each.kill()
        each.communicate()


@linux
def test_a_process_is_found_by_its_files_and_goes_on(memkit, service, tmp_path):
    process = service(60)
    time.sleep(1)
    done = memkit("snapshot", str(process.pid), "-q", "--json", "a.json", "--last", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["ending"]["kind"] == "detached"
    assert 0.4e9 < told["duration"] < 2e9
    assert process.poll() is None


def test_a_folder_has_all_that_ended_within_the_last_minutes(memkit, service, tmp_path):
    service(0.1, "early").wait()
    time.sleep(1.5)
    both = [service(0.5, "one"), service(0.5, "other")]
    for each in both:
        each.wait()
    done = memkit("snapshot", "watched", "--last", "1s", "-o", "last.memkit", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    found = memkit_itself.read(tmp_path / "last.memkit")
    assert {span.label for span in found.spans} == {"one", "other"}
    assert {process.pid for process in found.processes} == {each.pid for each in both}
    assert found.unread == 0
    done = memkit("snapshot", "watched", "--last", "1min", "-o", "last.memkit", "--quiet")
    assert {span.label for span in memkit_itself.read(tmp_path / "last.memkit").spans} == {"early", "one", "other"}


def test_what_is_not_watched_is_refused_in_a_line(memkit, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for words, text in (
        (["999999999"], "999999999"),
        ([str(os.getpid())], "not watched" if os.path.isdir("/proc/self/fd") else "Linux"),
        (["empty"], "'empty'"),
        (["nowhere"], "'nowhere'"),
        (["empty", "--last", "0"], "--last '0'"),
        (["empty", "--last", "long"], "'long'"),
    ):
        done = memkit("snapshot", *words)
        assert done.returncode == 2 and text in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_file_that_is_no_recording_is_not_written_over(memkit, service, tmp_path):
    service(0.1).wait()
    (tmp_path / "notes.txt").write_text("x")
    done = memkit("snapshot", "watched", "-o", "notes.txt")
    assert done.returncode == 2 and "left alone" in done.stderr
    assert Path(tmp_path / "notes.txt").read_text() == "x"
