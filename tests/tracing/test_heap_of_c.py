"""What the C library's allocators give and take: to the byte, by whoever asks for it, under memkit-run or not."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

import memkit as package
from memkit.report.reporters import heap
from memkit.system import engine, preload

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.skipif(preload.why_not() is not None, reason=str(preload.why_not())),
]

MIB = 1 << 20
LIBC = """
import ctypes, errno, mmap, os, threading
libc = ctypes.CDLL(None, use_errno=True)
size, pointer = ctypes.c_size_t, ctypes.c_void_p
def function(name, result, *arguments):
    found = getattr(libc, name)
    found.restype, found.argtypes = result, arguments
    return found
malloc, calloc = function("malloc", pointer, size), function("calloc", pointer, size, size)
realloc, free = function("realloc", pointer, pointer, size), function("free", None, pointer)
memalign, aligned_alloc = function("memalign", pointer, size, size), function("aligned_alloc", pointer, size, size)
valloc, reallocarray = function("valloc", pointer, size), function("reallocarray", pointer, pointer, size, size)
posix_memalign = function("posix_memalign", ctypes.c_int, pointer, size, size)
mmap_ = function("mmap", pointer, pointer, size, *[ctypes.c_int] * 3, ctypes.c_long)
munmap = function("munmap", ctypes.c_int, pointer, size)
mremap = function("mremap", pointer, pointer, size, size, ctypes.c_int)
NEW_MAP = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
kept = []
"""


OWN = "import memkit\nwith memkit.record('own.memkit', heap=True):\n"


@pytest.fixture(params=["preloaded", "patched"])
def heaps(request, memkit_run, plain, script, tmp_path):
    """A function that runs a program with the C library at hand, and returns its recording and the heap of each function."""

    def run(program, *options, **settings):
        if request.param == "preloaded":
            done = memkit_run("--heap", *options, script(LIBC + program), **settings)
        else:
            done = plain(script(OWN + textwrap.indent(LIBC + program, "    ")), **settings)
        assert done.returncode == 0, done.stderr
        recording = done.recording if request.param == "preloaded" else package.read(tmp_path / "own.memkit")
        assert recording.heap.counted == ("python, c" if request.param == "preloaded" else "python, c patched")
        return recording, {call.function.name: call for call in recording.calls}

    return run


only_preloaded = pytest.mark.parametrize("heaps", ["preloaded"], indirect=True)


@pytest.mark.parametrize(
    ("allocate", "asked"),
    [
        ("malloc(MIB + 3)", MIB + 3),
        ("calloc(1000, 2001)", 2_001_000),
        ("realloc(None, 3_000_001)", 3_000_001),
        ("realloc(malloc(1 << 20), 3_000_001)", 3_000_001),
        ("reallocarray(malloc(7), 3_000, 1_001)", 3_003_000),
        ("memalign(64, 2_000_003)", 2_000_003),
        ("aligned_alloc(4096, 2 << 20)", 2 << 20),
        ("valloc(2_000_005)", 2_000_005),
        ("posix()", 2_000_007),
        ("[malloc(n) for n in range(2_000)]", sum(range(2000))),
        ("mmap_(None, 5 << 20, *NEW_MAP)", 5 << 20),
        ("mremap(mmap_(None, 5 << 20, *NEW_MAP), 5 << 20, 9 << 20, 1)", 9 << 20),
        ("mmap.mmap(-1, 3 << 20)", 3 << 20),
    ],
)
def test_what_is_asked_of_the_c_library_is_told_to_the_byte(heaps, allocate, asked):
    _, found = heaps(f"""
MIB = 1 << 20
def posix():
    address = pointer()
    assert posix_memalign(ctypes.addressof(address), 64, 2_000_007) == 0
    return address.value
def allocates():
    kept.append({allocate})
allocates()
""")
    numbers = 100_000 if "range" in allocate else 3000  # the addresses, which are objects
    assert asked <= found["allocates"].alive < asked + numbers


def test_what_is_freed_goes_off_who_allocated_it_wherever_that_is(heaps):
    _, found = heaps("""
def allocates():
    kept.extend(malloc(1 << 20) for _ in range(8))
def frees():
    for address in kept[:3]:
        free(address)
def frees_in_another_thread():
    thread = threading.Thread(target=lambda: [free(address) for address in kept[3:5]])
    thread.start()
    thread.join()
def comes_and_goes():
    for _ in range(10):
        free(malloc(1 << 20))
allocates(); frees(); frees_in_another_thread(); comes_and_goes()
""")
    assert 3 * MIB <= found["allocates"].alive < 3 * MIB + 3000
    assert 5 * MIB <= found["allocates"].freed < 5 * MIB + 20_000
    assert 10 * MIB <= found["comes_and_goes"].temporary < 10 * MIB + 20_000
    assert found["frees"].allocated < 10_000


def test_maps_that_are_unmapped_in_parts_count_for_what_is_left(heaps):
    recording, found = heaps("""
def maps():
    kept.append(mmap_(None, 16 << 20, *NEW_MAP))
def unmaps():
    whole = kept[0]
    assert munmap(whole, 1 << 20) == 0                      # its beginning
    assert munmap(whole + (4 << 20), 2 << 20) == 0          # out of the middle
    assert munmap(whole + (15 << 20), 1 << 20) == 0         # its end
    assert munmap(whole + (15 << 20), 1 << 20) == 0         # nothing
maps(); unmaps()
""")
    assert 12 * MIB <= found["maps"].alive < 12 * MIB + 3000
    assert 12 * MIB <= recording.heap.mapped < 13 * MIB


def test_a_block_that_cannot_be_moved_is_alive_still(heaps):
    _, found = heaps("""
def allocates():
    kept.append(malloc(2 << 20))
def fails():
    ctypes.set_errno(0)
    assert realloc(kept[0], 1 << 60) is None
    assert ctypes.get_errno() == errno.ENOMEM
    assert reallocarray(kept[0], 1 << 40, 1 << 40) is None
allocates(); fails()
""")
    assert 2 * MIB <= found["allocates"].alive < 2 * MIB + 2000
    assert found["fails"].alive < 2000


def test_what_python_takes_from_the_c_library_counts_once(heaps):
    _, found = heaps("""
def allocates():
    kept.append(bytes(7 << 20))
    kept.append([bytes(1 << 10) for _ in range(1000)])
allocates()
""")
    empty = sys.getsizeof(b"")
    least = empty + (7 << 20) + 1000 * (empty + (1 << 10)) + 1000 * 8  # and the list has room for some more
    assert least <= found["allocates"].alive < least + 2000


def test_threads_that_run_no_python_are_outside_of_the_calls(heaps):
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    code = r"""
#include <pthread.h>
#include <stdlib.h>
static void *run(void *many) { for (long i = 0; i < (long)many; i++) *(volatile char *)malloc(1000) = 1; return NULL; }
void native(long many) { pthread_t thread; pthread_create(&thread, NULL, run, (void *)many); pthread_join(thread, NULL); }
"""
    recording, _ = heaps(f"""
import subprocess
subprocess.run(["cc", "-shared", "-fPIC", "-pthread", "-xc", "-", "-o", "native.so"], input={code!r}.encode(), check=True)
ctypes.CDLL("./native.so").native(ctypes.c_long(5000))
""")
    assert 5_000_000 <= recording.heap.elsewhere.alive < 5_100_000
    by_path = sum(call.own_heap.alive for call in recording.calls)
    assert by_path + recording.heap.elsewhere.alive == recording.heap.alive
    (first, _), *_ = next(rows for title, _, rows in heap.lists(recording) if "alive at the end" in title)
    assert (first[0], first[-1]) == ("4.8 MiB", heap.ELSEWHERE)


@only_preloaded
def test_what_the_program_starts_does_not_have_the_library(heaps, capfd):
    program = """
import subprocess, sys
assert "LD_PRELOAD" not in os.environ
python = "import os; print(os.environ.get('LD_PRELOAD', 'none'))"
for words in (["sh", "-c", "echo ${LD_PRELOAD-none}"], [sys.executable, "-c", python]):
    assert subprocess.run(words, capture_output=True, text=True).stdout == "none\\n"
assert "heap/preload" not in subprocess.run(["cat", "/proc/self/maps"], capture_output=True, text=True).stdout
assert "heap/preload" in open("/proc/self/maps").read()
"""
    heaps(program)


@only_preloaded
def test_another_library_that_is_preloaded_still_is(heaps, tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    code = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long calls;
void *malloc(size_t size) { calls++; return ((void *(*)(size_t))dlsym(RTLD_NEXT, "malloc"))(size); }
long counted(void) { return calls; }
"""
    library = tmp_path / "theirs.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", library, "-ldl"], input=code.encode(), check=True)
    _, found = heaps(
        f"""
assert os.environ["LD_PRELOAD"] == {str(library)!r}
before = libc.counted()
def allocates():
    kept.extend(malloc(1000) for _ in range(1000))
allocates()
assert libc.counted() - before >= 1000
""",
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    assert 1_000_000 <= found["allocates"].alive < 1_100_000


@only_preloaded
def test_followed_processes_count_theirs_too(heaps):
    recording, _ = heaps(
        """
import subprocess, sys
program = '''
import ctypes
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def in_child():
    malloc(4 << 20)
in_child()
'''
def forks():
    child = os.fork()
    if not child:
        kept.append(malloc(6 << 20))
    else:
        os.waitpid(child, 0)
        subprocess.run([sys.executable, "-c", program], check=True)
forks()
""",
        "--follow",
    )
    assert recording.heap.processes == 3
    assert recording.heap.counted == "python, c"
    alive = sorted(call.own_heap.alive for call in recording.calls if call.own_heap)
    assert [size // MIB for size in alive[-2:]] == [4, 6]


def test_a_killed_program_leaves_what_it_had_allocated(memkit_run, script):
    program = (
        LIBC + "import time\ndef allocates():\n    malloc(9 << 20)\nallocates()\ntime.sleep(1)\nos.kill(os.getpid(), 9)\n"
    )
    recording = memkit_run("--heap", script(program)).recording
    assert recording.ending.signal == signal.SIGKILL
    (call,) = [call for call in recording.calls if call.function.name == "allocates"]
    assert 9 * MIB <= call.alive < 9 * MIB + 2000


def test_the_report_tells_what_was_counted_and_what_was_not(memkit_run, script, memkit, tmp_path):
    program = script(LIBC + "kept = mmap.mmap(-1, 8 << 20)\n")
    run = memkit_run("--heap", program, options=())
    assert re.search(
        r"of Python's allocators and the C library's; 8\.\d MiB of what is alive are maps, touched or not\n", run.stderr
    )
    assert "; not in it" not in run.stderr
    program = script(OWN + "    kept = bytes(1 << 20)\n")
    subprocess.run([sys.executable, program], check=True, cwd=tmp_path)
    told = memkit("report", "own.memkit").stdout
    assert "of Python's allocators and the C library's as libraries call them\n" in told
    assert f"not in it: {heap.ADDRESSES}\n" in told


BY_HAND = """
import os, sys
sys.argv[1:] = ["code", "kept = bytes(1 << 20)", "heap=yes", "calls=", "path=by_hand.memkit", "--"]
from memkit.run.execute import main
main()
"""


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (False, "LD_PRELOAD did not reach the program"),
        (True, "the loader ignored LD_PRELOAD"),
    ],
    ids=["not there", "ignored"],
)
def test_a_preload_that_does_not_arrive_is_told_in_a_line(script, memkit, tmp_path, named, said):
    given = f"import os\nos.environ['LD_PRELOAD'] = {preload.library()!r}\n" if named else ""
    subprocess.run([sys.executable, script(given + BY_HAND)], check=True, cwd=tmp_path)
    told = memkit("report", "by_hand.memkit").stdout
    assert f"the C library's allocators were only counted as libraries call them: {said}" in told
    assert f"not in it: {heap.ADDRESSES}\n" in told


def test_where_nothing_can_be_patched_only_python_is_counted(made_up):
    assert preload.why_absent("python") == preload.ONLY_PRELOADED == heap.UNASKED
    total = package.HeapTotal("python", 1, 1, 0, uncounted=preload.ONLY_PRELOADED)
    recording = dataclasses.replace(made_up((0, 10)), heap=total)
    assert "of Python's allocators" in heap.total(recording)
    left = "not in it: what libraries take from the C library themselves (memkit-run --heap counts it)"
    assert left in heap.exactness(recording)
    assert not any("not counted" in line for line in heap.remarks(recording))


def test_a_folder_that_the_loader_cannot_name_is_told(monkeypatch, tmp_path):
    library = tmp_path / "a folder" / "preload.so"
    library.parent.mkdir()
    library.touch()
    monkeypatch.setattr(preload, "library", lambda: str(library))
    assert "has a space or a colon in it" in preload.why_not()
    assert preload.environment() is None
    library.unlink()
    assert preload.why_not() == "its library was not built"


@pytest.mark.parametrize("other", ["libasan.so.8", "/usr/lib/libtsan.so.2", "their.so /opt/libclang_rt.asan-x86_64.so"])
def test_a_library_that_must_be_the_first_is_left_so(monkeypatch, other):
    monkeypatch.setenv(preload.VARIABLE, other)
    assert preload.why_not() == f"{other.split()[-1]!r} is preloaded, which must be the first"
    assert preload.environment() is None
    monkeypatch.setenv(preload.VARIABLE, "/opt/libs/asan/their.so")
    assert preload.why_not() is None


@pytest.mark.parametrize(("before", "after"), [(None, None), ("", ""), ("their.so", "their.so"), ("a.so:b.so", "a.so:b.so")])
def test_the_environment_is_what_it_was(monkeypatch, before, after):
    monkeypatch.setenv(preload.VARIABLE, before or "")
    if before is None:
        monkeypatch.delenv(preload.VARIABLE)
    monkeypatch.setenv(preload.VARIABLE, preload.environment()[preload.VARIABLE])
    assert os.environ[preload.VARIABLE].startswith(preload.library())
    preload.restore()
    assert os.environ.get(preload.VARIABLE) == after
    preload.restore()
    assert os.environ.get(preload.VARIABLE) == after


def test_a_program_behaves_the_same_with_all_of_it_counted(same, script):
    program = """
import ctypes, os, subprocess, sys, threading, zlib, warnings
def works():
    for size in (1, 100, 10_000, 1_000_000):
        zlib.compress(os.urandom(size))
threads = [threading.Thread(target=works) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(os.environ), subprocess.run(["env"], capture_output=True, text=True).stdout)
warnings.simplefilter("ignore")  # the system may list a thread for a moment after a join
child = os.fork()
if not child:
    works()
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.exit(7)
"""
    same(script(program), options=("-q", "--heap"))


@pytest.mark.parametrize("size", [10, 300, 3000])
def test_an_address_that_is_handed_out_again_counts_once(heaps, size):
    _, found = heaps(f"""
past_us = ctypes.CDLL("libc.so.6").free
past_us.restype, past_us.argtypes = None, [pointer]
def comes_and_goes():
    for _ in range(1000):
        past_us(malloc({size}))
comes_and_goes()
""")
    assert found["comes_and_goes"].alive < 2 * size + 2000


def test_a_map_that_is_made_in_the_place_of_another_counts_once(heaps):
    recording, found = heaps("""
past_us = ctypes.CDLL("libc.so.6").munmap
past_us.argtypes = [pointer, size]
def comes_and_goes():
    for _ in range(100):
        assert past_us(mmap_(None, 1 << 20, *NEW_MAP), 1 << 20) == 0
comes_and_goes()
""")
    assert found["comes_and_goes"].alive < 10 * MIB
    assert recording.heap.mapped < 10 * MIB


def test_the_tree_of_many_paths_is_no_map_of_the_program(heaps):
    mapped = heaps("")[0].heap.mapped  # ctypes may map something for closures
    recording, found = heaps("""
exec("".join(f"def f{number}(): pass\\n" for number in range(9000)))
for number in range(9000):
    globals()[f"f{number}"]()
""")
    assert len(found) > 9000
    assert recording.heap.mapped == mapped


@pytest.fixture
def built(tmp_path):
    """A function that builds a library in C, and returns its path."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler")

    def build(code):
        library = tmp_path / "built.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-pthread", "-xc", "-", "-o", library], input=code.encode(), check=True)
        return str(library)

    return build


def test_a_map_that_another_is_moved_onto_is_gone(heaps):
    recording, found = heaps("""
def gone():
    kept.append(mmap_(None, 8 << 20, *NEW_MAP))
def moves():
    source = mmap_(None, 8 << 20, *NEW_MAP)
    onto = function("mremap", pointer, pointer, size, size, ctypes.c_int, pointer)
    assert onto(source, 8 << 20, 8 << 20, 3, kept[0]) == kept[0]
gone(); moves()
""")
    assert found["gone"].alive < 3000
    assert 8 * MIB <= found["moves"].alive < 8 * MIB + 3000
    assert 8 * MIB <= recording.heap.mapped < 9 * MIB


def test_maps_that_threads_move_at_a_time_count_once_each(heaps, built):
    library = built(r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
static void *run(void *many)
{
    for (long i = 0; i < (long)many; i++) {
        void *small = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void *other = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(mremap(small, 1 << 16, 1 << 17, MREMAP_MAYMOVE), 1 << 17);
        munmap(other, 1 << 16);
    }
    return NULL;
}
void moves(long many)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run, (void *)many);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}
""")
    recording, _ = heaps(f"ctypes.CDLL({library!r}).moves(ctypes.c_long(10_000))\n")
    assert recording.heap.elsewhere.blocks == recording.heap.elsewhere.blocks_freed == 4 * 10_000 * 3
    assert recording.heap.elsewhere.alive == 0


def test_a_fork_between_threads_does_not_wait_for_their_locks(heaps, built):
    library = built(r"""
#include <pthread.h>
#include <stdlib.h>
static void in_child(void)
{
    void *blocks[500];
    for (int i = 0; i < 500; i++) blocks[i] = malloc(600 + i);
    for (int i = 0; i < 500; i++) free(blocks[i]);
}
__attribute__((constructor)) static void begin(void) { pthread_atfork(NULL, NULL, in_child); }
static void *run(void *unused)
{
    void *volatile blocks[6];
    for (;;) {
        for (int i = 0; i < 6; i++) blocks[i] = malloc(1000);
        for (int i = 0; i < 6; i++) free(blocks[i]);
    }
    return unused;
}
void starts(void) { pthread_t thread; for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, run, NULL); }
""")
    heaps(
        f"""
import signal, warnings
warnings.simplefilter("ignore")
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))     # it would wait for ever
ctypes.CDLL({library!r}).starts()
for _ in range(50):
    child = os.fork()
    if not child:
        os._exit(0)
    signal.alarm(20)
    assert os.waitpid(child, 0)[1] == 0
    signal.alarm(0)
""",
        env={**os.environ, "LD_PRELOAD": library},
    )
