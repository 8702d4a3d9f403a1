"""Bytes of a process now, against memory of a known size."""

import ctypes
import gc
import mmap
import os
import subprocess
import sys

import pytest

pytest.importorskip("memkit.native.meter", reason="the compiled modules are not built here")

from memkit.base.errors import MeterError
from memkit.native.meter import METERS, Meter

from engines import forks

MIB = 1 << 20


@pytest.mark.own_process  # a long one gives memory back when it likes
@pytest.mark.parametrize("name", ["rss", "anon", "pss", "uss"])
def test_touching_memory_moves_the_meter_by_its_size(name, touched):
    meter = Meter(name)
    gc.collect()  # what earlier tests left would give an arena back meanwhile
    before = meter.read()
    memory = touched(64)
    grown = meter.read() - before
    memory.close()
    assert abs(grown - 64 * MIB) < MIB
    assert abs(meter.read() - before) < MIB


def test_address_space_grows_without_a_touch_and_resident_memory_does_not():
    rss, vms = Meter("rss"), Meter("vms")
    before = rss.read(), vms.read()
    memory = mmap.mmap(-1, 256 * MIB)
    assert vms.read() - before[1] == 256 * MIB
    assert abs(rss.read() - before[0]) < MIB
    memory.close()


def test_pages_of_files_and_of_shared_memory_are_not_anonymous(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (32 * MIB))
    rss, anon = Meter("rss"), Meter("anon")
    before = rss.read(), anon.read()
    with open(tmp_path / "big", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        shared = mmap.mmap(-1, 32 * MIB)  # MAP_SHARED, so shared memory
        for memory in (mapped, shared):
            assert sum(memory[:: mmap.PAGESIZE]) >= 0
        shared[:: mmap.PAGESIZE] = b"x" * (len(shared) // mmap.PAGESIZE)
        assert abs(rss.read() - before[0] - 64 * MIB) < 2 * MIB
        assert abs(anon.read() - before[1]) < 2 * MIB


def test_unmapped_pages_leave_resident_memory(touched):
    memory = touched(32)
    meter = Meter("rss")
    before = meter.read()
    memory.madvise(mmap.MADV_DONTNEED)
    assert abs(before - meter.read() - 32 * MIB) < MIB
    memory.close()


@pytest.mark.parametrize(
    ("name", "line"), [("rss", "VmRSS:"), ("anon", "RssAnon:"), ("vms", "VmSize:"), ("swap", "VmSwap:")]
)
def test_a_meter_agrees_with_proc_status(name, line):
    with open("/proc/self/status") as file:
        said = {row.split()[0]: int(row.split()[1]) * 1024 for row in file if row[:2] in ("Vm", "Rs")}
    assert abs(Meter(name).read() - said[line]) < 2 * MIB


def test_a_meter_can_be_of_another_process():
    child = subprocess.Popen([sys.executable, "-c", "x = b'x' * (100 << 20); input()"], stdin=subprocess.PIPE)
    try:
        meters = [Meter(name, child.pid) for name in METERS]
        while Meter("uss", child.pid).read() < 100 * MIB:
            assert child.poll() is None
        assert meters[0].read() > 100 * MIB
    finally:
        child.communicate(b"\n")
    assert [meter.read() for meter in meters] == [None] * len(METERS)


def test_a_missing_process_is_refused_by_its_pid():
    with pytest.raises(MeterError, match="no process 4194999"):
        Meter("rss", 4194999)


def test_an_unknown_meter_is_refused_with_the_list_of_meters():
    with pytest.raises(MeterError, match=r"unknown meter 'rsss': .*rss"):
        Meter("rsss")


@forks
def test_a_forked_child_reads_its_own_memory(touched):
    meter = Meter("rss")
    meter.read()
    memory = touched(48)
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        memory.close()
        os.write(there, str(meter.read()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = int(os.read(here, 32))
    os.close(here)
    os.close(there)
    assert meter.read() - child > 40 * MIB
    memory.close()


def test_a_meter_whose_descriptor_was_closed_opens_another():
    code = """
import os
from memkit.native.meter import Meter
meter = Meter("rss")
os.closerange(3, 4096)
assert meter.read() > 1 << 20
"""
    subprocess.run([sys.executable, "-c", code], check=True)


LEAKS = """
import os
from memkit.native.meter import METERS, Meter
rss = Meter("rss")
rss.read()
before = len(os.listdir("/proc/self/fd"))
for name in METERS:
    for _ in range(50):
        Meter(name).read()
start = rss.read()
for _ in range(100_000):
    rss.read()
assert rss.read() - start < 1 << 20
assert len(os.listdir("/proc/self/fd")) == before
"""


def test_reading_leaks_neither_memory_nor_descriptors():
    subprocess.run([sys.executable, "-c", LEAKS], check=True)  # alone: what earlier tests left may open and close files


def test_a_swapped_out_page_counts_as_swap_only():
    """What cannot be provoked without swap: the meter is 0 where there is none."""
    with open("/proc/swaps") as file:
        swaps = file.readlines()[1:]
    if swaps:
        pytest.skip("this machine has swap, so nothing exact is known")
    assert Meter("swap").read() == 0


def test_a_reading_allocates_nothing():
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("needs mallinfo2 of glibc 2.33")

    class Info(ctypes.Structure):
        _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Info
    meter = Meter("rss")
    meter.read()
    before = mallinfo().field7
    for _ in range(1000):
        meter.read()
    assert mallinfo().field7 - before < 4096


@pytest.mark.parametrize("name", sorted(METERS))
def test_a_zombie_has_no_memory(name):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = Meter(name, child.pid)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert meter.read() is None
    with pytest.raises(MeterError):
        Meter(name, child.pid)
    child.wait()
    assert meter.read() is None
