"""Waiting for descriptors, high ones among them."""

import os
import subprocess
import sys
import threading
import time

import pytest

from memkit.base import descriptors
from memkit.base.descriptors import identity, readable, writable
from memkit.run.waiting import Child
from memkit.system import engine

HOUR = 3600 * 1_000_000_000

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors can be waited for there")


def test_what_can_be_read_is_told(many_descriptors):
    read, write = os.pipe()
    assert read > many_descriptors[-1]
    assert readable([read]) == []
    os.write(write, b".")
    assert readable([read], HOUR) == [read]
    os.close(write)
    os.read(read, 1)
    assert readable([read], HOUR) == [read]  # the end can be read
    os.close(read)
    assert readable([read], 1) == []


@pytest.mark.parametrize("low", [True, False])
def test_a_terminal_takes_something_unless_it_is_held(request, low):
    termios = pytest.importorskip("termios")
    if not low:
        request.getfixturevalue("many_descriptors")
    outer, inner = os.openpty()
    assert (inner < 1024) == low
    assert writable(inner)
    termios.tcflow(inner, termios.TCOOFF)  # as Ctrl-S does
    assert not writable(inner)
    termios.tcflow(inner, termios.TCOON)
    assert writable(inner)
    os.close(inner)
    os.close(outer)


def test_the_end_of_a_process_is_awaited(many_descriptors):
    words = [sys.executable, "-c", "input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process, Child(process) as child:
        assert not child.ended()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert child.ended_by(time.monotonic_ns() + HOUR)


MOVED = """
import os, sys
if sys.argv[1] == "none":
    sys.modules["fcntl"] = None
else:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from memkit.base.descriptors import identity, moved_up
os.closerange(0, 3)
file = os.open("mine", os.O_CREAT | os.O_WRONLY)
assert file == 0
what, moved = identity(file), moved_up(file)
assert identity(moved) == what
assert not os.get_inheritable(moved)
assert [identity(each) for each in range(3)] == [None] * 3
os._exit(moved % 256)  # nothing can be said without standard streams
"""


@pytest.mark.parametrize(("limit", "number"), [("1024", 896), ("256", 224), ("none", 3)])
def test_what_is_moved_up_is_no_standard_stream(tmp_path, limit, number):
    done = subprocess.run([sys.executable, "-c", MOVED, limit], cwd=tmp_path)
    assert done.returncode == number % 256


def test_a_number_that_is_used_again_is_told_from_what_it_was(tmp_path):
    descriptor = os.open(tmp_path / "one", os.O_CREAT | os.O_RDWR)
    before = identity(descriptor)
    os.write(descriptor, b"more")
    assert identity(descriptor) == before
    os.close(descriptor)
    assert identity(descriptor) is None
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    os.dup2(other, descriptor)
    assert identity(descriptor) == identity(other) != before
    for each in {descriptor, other}:
        os.close(each)


# -- reading files of the kernel's -------------------------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="these files are of Linux")
READERS = sorted({descriptors.content, engine.content}, key=lambda read: read.__module__)


@linux
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__module__)
def test_a_file_of_the_kernel_is_read_to_its_end(read, tmp_path):
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    listed = set(map(int, read(f"/proc/self/task/{threading.get_native_id()}/children").split()))
    for child in children:
        child.kill()
        child.wait()
    assert listed >= {child.pid for child in children}
    large = tmp_path / "large"
    large.write_bytes(os.urandom(300_001))
    assert read(str(large)) == large.read_bytes()
    with open("/proc/self/smaps", "rb") as file:
        assert len(read("/proc/self/smaps").splitlines()) == pytest.approx(len(file.readlines()), rel=0.1)


@linux
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__module__)
def test_what_cannot_be_read_raises_and_leaves_nothing_open(read, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        read(str(tmp_path / "nothing"))
    with pytest.raises(IsADirectoryError):
        read(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


@linux
@pytest.mark.parametrize("moment", ["open", "pread", "fstat"])
@pytest.mark.parametrize("reuses", [True, False])
def test_the_program_may_close_it_at_any_moment_and_use_its_number(monkeypatch, tmp_path, moment, reuses):
    mine, taken, real = tmp_path / "mine", [], getattr(os, moment)
    mine.write_text("the program's own")

    def steals(*arguments):
        found = real(*arguments)
        if not taken:
            descriptor = found if moment == "open" else arguments[0]
            os.close(descriptor)
            taken.append(descriptor)
            if reuses:
                assert real_open(mine, os.O_RDONLY) == descriptor
        return found

    real_open = os.open
    monkeypatch.setattr(os, moment, steals)
    assert int(descriptors.content("/proc/self/stat").split()[0]) == os.getpid()
    monkeypatch.undo()
    if reuses:
        assert os.read(taken[0], 100) == b"the program's own"
        os.close(taken[0])
