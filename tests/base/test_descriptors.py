"""Waiting for descriptors, high ones among them."""

import os
import subprocess
import sys
import time

import pytest

from memkit.base.descriptors import identity, readable, writable
from memkit.run.waiting import Child

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
