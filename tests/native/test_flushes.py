"""Rows that are written while the program goes on: the last of each says what its sums came to."""

import pytest

from engines import MIB

pytestmark = pytest.mark.usefixtures("native_only")

BLOCKED = """
import _thread
import array
import fcntl
import json
import mmap
import os
import sys
import termios
import threading

from memkit.native.journal import Journal
from memkit.native.meter import Meter
from memkit.tracing.tracers import CallTracer, Functions

MIB = 1 << 20
DEPTH = 900                 # the rows of so many callers are more than a journal keeps back
ROOM = 4096

def room():
    block = mmap.mmap(-1, 2 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    return block

def leaf():
    # It calls nothing that is traced: whose name would have to be written, too.
    if fill:
        go_on.release()
        while fcntl.ioctl(reader, termios.FIONREAD, waiting) or waiting[0] < fill + ROOM:
            pass                        # until the flush waits in the middle of its rows
    block[:: mmap.PAGESIZE] = b"x" * (len(block) // mmap.PAGESIZE)

def deeper(levels):
    if levels:
        deeper(levels - 1)
    else:
        leaf()

def flush():
    go_on.acquire()
    tracer.flush(journal)
    flushed.release()

def read():
    rest = b""
    while True:
        rows.append(os.read(reader, 65536))
        if not rows[-1]:
            break
    read_all.release()

sys.setrecursionlimit(3 * DEPTH)
waiting, rows, fill = array.array("i", [0]), [], 0
go_on, flushed, read_all = _thread.allocate_lock(), _thread.allocate_lock(), _thread.allocate_lock()
for lock in (go_on, flushed, read_all):
    lock.acquire()
reader, writer = os.pipe()
size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
other = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY)
journal = Journal(writer, None)
tracer = CallTracer(Functions(journal), Meter("rss"))
block = room()
_thread.start_new_thread(flush, ())
tracer.start()
deeper(0)                               # every name is written once, and all of the code is in memory
journal.flush()
while fcntl.ioctl(reader, termios.FIONREAD, waiting) == 0 and waiting[0]:
    rows.append(os.read(reader, waiting[0]))
block = room()
fill = size - ROOM
for _ in range(fill // ROOM):
    os.write(other, b" " * (ROOM - 1) + b"\\n")
deeper(DEPTH)
tracer.stop()
_thread.start_new_thread(read, ())
flushed.acquire()
tracer.flush(journal)
journal.close()
os.close(other)
read_all.acquire()
tracer.close()

names, grown = {}, {}
for row in map(json.loads, filter(bytes.strip, b"".join(rows).split(b"\\n"))):
    if row[0] == "function":
        names[row[1]] = row[3]
    elif row[0] == "call":
        grown[row[1]] = row[3], row[7]
print(json.dumps([growth for function, growth in grown.values() if names[function] == "leaf"]))
"""


def test_a_call_that_ends_while_its_row_is_being_written_is_written_again(python, tracer):
    assert python(BLOCKED, tracer) == [pytest.approx(2 * MIB, abs=MIB / 8)] * 2
