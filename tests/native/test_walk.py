"""Telling by the marks in it whose anonymous memory is: nothing is changed by that, and nothing can crash it."""

import ctypes
import mmap
import os
import sys

import pytest

walk = pytest.importorskip("memkit.native.heap.walk", reason="the compiled modules are not built here")

MIB = 1 << 20
PAGE = mmap.PAGESIZE


@pytest.fixture
def reading():
    """Descriptors of this process's memory and of its page map."""
    descriptors = [os.open(f"/proc/self/{name}", os.O_RDONLY) for name in ("mem", "pagemap")]
    yield descriptors
    for each in descriptors:
        os.close(each)


def span_of(block):
    """The addresses of an anonymous mapping."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    return start, start + len(block)


@pytest.fixture
def block():
    """A private mapping of which only the first page is in memory, at addresses that are told."""
    with mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as made:
        made.madvise(mmap.MADV_NOHUGEPAGE)
        made.write(b"x")
        yield made


def present(block_span):
    """How many pages of a span are in memory."""
    start, end = block_span
    with open("/proc/self/pagemap", "rb") as pages:
        pages.seek(start // PAGE * 8)
        return sum(entry >= 128 for entry in pages.read((end - start) // PAGE * 8)[7::8])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestReading:
    def test_scanning_puts_no_page_into_memory(self, reading, block):
        span = span_of(block)
        block.madvise(mmap.MADV_DONTNEED)
        block[: PAGE * 3 : PAGE] = b"xxx"
        assert present(span) == 3
        walk.scan(*reading, *span)
        walk.heap(*reading, *span, False)
        walk.pointers(*reading, *span, [span], False)
        assert present(span) == 3

    def test_pages_without_a_mark_are_unknown(self, reading, block):
        start, end = span_of(block)
        block.madvise(mmap.MADV_DONTNEED)
        block[: PAGE * 3 : PAGE] = b"xxx"
        assert walk.scan(*reading, start, end) == [("unknown", start, start + 3 * PAGE, 3 * PAGE, 0, 0)]

    @pytest.mark.parametrize("offset", [0, 0x30])
    @pytest.mark.parametrize("without_head", [0, 16], ids=["until glibc 2.42", "glibc 2.43"])
    def test_a_block_is_known_by_its_head_wherever_that_is(self, reading, block, offset, without_head):
        start, end = span_of(block)
        size = len(block) - offset - without_head
        block[:64] = bytes(64)
        block[offset : offset + 16] = offset.to_bytes(8, "little") + (size + 2).to_bytes(8, "little")
        assert walk.scan(*reading, start, end) == [("blocks", start, end, PAGE, PAGE, 0)]

    @pytest.mark.parametrize("size", [9 * MIB + 2, 8 * MIB - 32 + 2, 8 * MIB + 3, 2, 0])
    def test_what_is_no_head_of_a_block_is_unknown(self, reading, block, size):
        start, end = span_of(block)
        block[:16] = bytes(8) + size.to_bytes(8, "little")
        assert walk.scan(*reading, start, end)[0][0] == "unknown"

    def test_a_heap_that_is_none_is_opaque(self, reading, block):
        start, end = span_of(block)
        block[:] = os.urandom(len(block))
        kind, *_, resident, alive, room = walk.heap(*reading, start, end, False)
        assert (kind, resident, alive, room) == ("opaque", 8 * MIB, 0, 0)

    def test_addresses_that_are_not_mapped_have_nothing(self, reading):
        assert walk.scan(*reading, PAGE, 64 * PAGE) == []
        assert walk.pointers(*reading, PAGE, 64 * PAGE, [(0, 10)], False) == [0]

    def test_addresses_are_counted_for_the_stretch_that_they_lie_in(self, reading, block):
        start, end = span_of(block)
        targets = [(0x7000_0000_0000, 0x7000_0000_2000), (0x7100_0000_0000, 0x7100_0000_1000)]
        words = [0x6FFF_FFFF_FFFF, 0x7000_0000_0000, 0x7000_0000_1FFF, 0x7000_0000_2000, 0x7100_0000_0008, 2**64 - 1]
        block[: 8 * len(words)] = b"".join(word.to_bytes(8, "little") for word in words)
        assert walk.pointers(*reading, start, end, targets, False) == [2, 1]
        assert walk.pointers(*reading, start, end, targets, True) == [1, 0]


def test_objects_agree_with_the_statistics_of_python(python, native_only):
    text = """
import json, os, re, sys
import memkit
memkit.balance()
kept = [bytes(79) for _ in range(200_000)]
found = memkit.balance()
with open("statistics", "w") as file:
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    sys._debugmallocstats()
    os.dup2(before, 2)
with open("statistics") as file:
    (told,) = re.findall(r"bytes in allocated blocks *= *([\\d,]+)", file.read())
print(json.dumps([found.of("python"), int(told.replace(",", ""))]))
"""
    found, told = python(text)
    assert found == pytest.approx(told, abs=MIB // 2)  # what the balance itself needs is alive meanwhile


def test_the_c_library_tells_of_what_it_mapped(python, native_only):
    from memkit.native.heap import statistics

    if statistics.c_library() is None:
        pytest.skip("this C library has no mallinfo2")
    found = python("""
import json
from memkit.native.heap import statistics
before = statistics.c_library()[1]
kept = bytes(40 << 20)  # in a process that has no free chunk as large
print(json.dumps(statistics.c_library()[1] - before))
""")
    assert found in range(40 * MIB, 41 * MIB)
