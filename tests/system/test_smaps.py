"""Reading the mappings of a process, and telling which library a file belongs to."""

import os
import sys

import pytest

from memkit.system import mapped_files, smaps

TEXT = b"""\
55d0c8a00000-55d0c8a21000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                 100 kB
Anonymous:           100 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000002000 r-xp 00001000 fe:00 1234                       /usr/lib/a: file with blanks.so.1
Size:                  4 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f0000002000-7f0000003000 ---p 00000000 00:00 0
Size:                  4 kB
Rss:                   0 kB
7f0000003000-7f0000803000 rw-p 00000000 00:00 0                          [anon: glibc: pthread stack: 12]
Size:                  4 kB
Rss:                  12 kB
Anonymous:            12 kB
VmFlags: rd wr mr mw me ac nh
7f1000000000-7f1000001000 rw-s 00000000 00:01 77                         /dev/shm/psm_1 (deleted)
Size:                  4 kB
Rss:                   4 kB
"""


def test_mappings_have_their_addresses_names_and_sizes():
    heap, library, guard, stack, shared = smaps.parse(TEXT)
    assert (heap.start, heap.end, heap.path, heap.rss) == (0x55D0C8A00000, 0x55D0C8A21000, "[heap]", 100 << 10)
    assert (library.path, library.permissions) == ("/usr/lib/a: file with blanks.so.1", "r-xp")
    assert (library.rss, library.anonymous) == (8 << 10, 0)
    assert (stack.path, stack.rss) == ("[anon: glibc: pthread stack: 12]", 12 << 10)
    assert "nh" in stack.flags and guard.flags == frozenset()
    assert shared.path == "/dev/shm/psm_1 (deleted)"


def test_mappings_say_what_kind_of_memory_they_are():
    heap, library, guard, stack, shared = smaps.parse(TEXT)
    assert [each.is_anonymous for each in (heap, library, guard, stack, shared)] == [False, False, True, True, False]
    assert [each.is_guard for each in (heap, library, guard, stack, shared)] == [False, False, True, False, False]
    assert [each.is_shared_memory for each in (heap, library, guard, stack, shared)] == [False] * 4 + [True]


def test_a_text_without_mappings_has_none():
    assert list(smaps.parse(b"")) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/opt/v/lib/python3.13/site-packages/numpy/_core/_multiarray_umath.cpython-313-x86_64-linux-gnu.so", "numpy"),
        ("/opt/v/lib/python3.13/site-packages/numpy.libs/libscipy_openblas64_-4b78795a.so", "numpy"),
        ("/opt/v/lib/python3.13/site-packages/_polars_runtime_32/_polars_runtime.abi3.so", "polars"),
        ("/usr/lib/python3/dist-packages/_cffi_backend.cpython-311-x86_64-linux-gnu.so (deleted)", "cffi_backend"),
        ("/opt/v/lib/python3.13/site-packages/memkit/native/meter.cpython-313-x86_64-linux-gnu.so", "memkit"),
        ("/home/ada/memkit/memkit/native/meter.cpython-313-x86_64-linux-gnu.so", "memkit"),
        ("/usr/lib/python3.13/lib-dynload/_socket.cpython-313-x86_64-linux-gnu.so", "Python"),
        ("/usr/lib/libpython3.13.so.1.0", "Python"),
        ("/usr/bin/python3.13", "Python"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "libc"),
        ("/usr/bin/gunicorn", "gunicorn"),
    ],
)
def test_a_library_is_called_after_the_package_that_it_came_with(path, name):
    assert mapped_files.name_of(path) == name


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_library_ends_behind_its_variables():
    with open("/proc/self/smaps", "rb") as file:
        mappings = list(smaps.parse(file.read()))
    found = mapped_files.ends(mappings, "")
    page = os.sysconf("SC_PAGE_SIZE")
    assert all(end % page == 0 for end in found.values())
    (library,) = (path for path in found if "/libc.so" in path or "ld-musl" in path)
    last = max(mapping.end for mapping in mappings if mapping.path == library)
    assert last <= found[library] < last + (1 << 20)


def test_a_file_that_is_no_library_ends_nowhere(tmp_path):
    (tmp_path / "data").write_bytes(b"\x7fELF\2 and no more")
    made_up = smaps.Mapping(1 << 20, 2 << 20, "r--p", "/data", 0, 0, frozenset())
    gone = made_up._replace(path="/gone")
    assert mapped_files.ends([made_up, gone], str(tmp_path)) == {}
