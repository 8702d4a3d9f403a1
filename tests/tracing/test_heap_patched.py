"""What libraries ask of the C library in a program that records itself: their tables are led to the hooks, no others."""

import os
import shutil
import subprocess

import pytest

import memkit
from memkit.system import engine, preload

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.skipif(preload.why_not() is not None, reason=str(preload.why_not())),
    pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="tables are known of two machines only"),
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler"),
]

MIB = 1 << 20
ALLOCATES = r"""
#include <stdlib.h>
#include <string.h>
static void *(*table[])(size_t) = {malloc};
void *allocate(long size) { return memset(malloc(size), 1, size); }
void *by_table(long size) { return memset(table[0](size), 1, size); }
void give_back(void *block) { free(block); }
"""
OPEN = """
import ctypes, os, sys, threading, time
import memkit
def opened(path, **settings):
    library = ctypes.CDLL(path, **settings)
    for name in ("allocate", "by_table"):
        getattr(library, name).restype, getattr(library, name).argtypes = ctypes.c_void_p, [ctypes.c_long]
    library.give_back.restype, library.give_back.argtypes = None, [ctypes.c_void_p]
    return library
"""


@pytest.fixture
def built(tmp_path):
    """A function that builds a library in C, and returns its path."""

    def build(code=ALLOCATES, *options, name="built.so"):
        path = tmp_path / name
        words = ["cc", "-shared", "-fPIC", "-pthread", "-xc", "-", "-o", path, *options, "-ldl"]
        subprocess.run(words, input=code.encode(), check=True)
        return str(path)

    return build


@pytest.fixture
def run(plain, script, tmp_path):
    """A function that runs a program which writes ``a.memkit``, and returns the recording and its calls by name."""

    def run(program, **settings):
        done = plain(script(OPEN + program), **settings)
        assert (done.returncode, done.stderr) == (0, "")
        recording = memkit.read(tmp_path / "a.memkit")
        assert recording.heap.counted == "python, c patched"
        return recording, {call.function.name: call for call in recording.calls}

    return run


@pytest.mark.parametrize("begun", ["before", "meanwhile"])
@pytest.mark.parametrize("bound", ["lazy", "now"])
def test_a_library_counts_whenever_it_was_loaded_and_bound(built, run, begun, bound):
    path = built(ALLOCATES, f"-Wl,-z,relro,-z,{bound}")
    mode = f"mode={os.RTLD_LAZY if bound == 'lazy' else os.RTLD_NOW}"
    _, calls = run(f"""
before = opened({path!r}, {mode}) if {begun == "before"} else None
def allocates(library):
    return library.allocate(3 << 20)
def by_table(library):
    return library.by_table(5 << 20)
def frees(library, block):
    library.give_back(block)
def writable():
    found = [line.split() for line in open("/proc/self/maps") if {path!r} in line]
    return [words[1] for words in found]
with memkit.record("a.memkit", heap=True):
    library = before or opened({path!r}, {mode})
    sealed = writable()
    frees(library, allocates(library))
    allocates(library), by_table(library)
assert sealed == writable() and sealed.count("r--p") >= 2, sealed
""")
    assert 3 * MIB <= calls["allocates"].alive < 3 * MIB + 2000
    assert 6 * MIB <= calls["allocates"].allocated < 6 * MIB + 4000
    assert 5 * MIB <= calls["by_table"].alive < 5 * MIB + 2000


def test_a_library_that_c_code_loads_counts_after_the_next_flush(built, run):
    path = built()
    loads = built(
        r"""
#include <dlfcn.h>
static void *library;
int load(const char *path) { return (library = dlopen(path, RTLD_NOW)) != 0; }
void *call(long size) { return ((void *(*)(long))dlsym(library, "allocate"))(size); }
""",
        name="loads.so",
    )
    _, calls = run(f"""
loads = ctypes.CDLL({loads!r})
loads.call.restype, loads.call.argtypes = ctypes.c_void_p, [ctypes.c_long]
def allocates():
    loads.call(3 << 20)
with memkit.record("a.memkit", heap=True):
    assert loads.load({path!r}.encode())
    time.sleep(1)       # a flush comes each 250 ms
    allocates()
""")
    assert 3 * MIB <= calls["allocates"].alive < 3 * MIB + 2000


def test_blocks_from_before_pass_and_a_second_recording_counts_its_own(built, run):
    _, calls = run(f"""
library = opened({built()!r})
kept = [library.allocate(1000) for _ in range(100)]
def frees():
    for block in kept:
        library.give_back(block)
def allocates():
    kept[:] = [library.allocate(2 << 20) for _ in range(3)]
with memkit.record("first.memkit", heap=True):
    frees(), allocates()
library.give_back(library.allocate(1000))       # what is not recorded
with memkit.record("a.memkit", heap=True):
    frees(), allocates()
""")
    assert 0 <= calls["frees"].freed < 2000
    assert 6 * MIB <= calls["allocates"].alive < 6 * MIB + 4000


def test_what_another_thread_frees_goes_off_who_allocated_it(built, run):
    _, calls = run(f"""
library = opened({built()!r})
kept = []
def allocates():
    kept.extend(library.allocate(1 << 20) for _ in range(8))
def frees():
    for block in kept[:5]:
        library.give_back(block)
with memkit.record("a.memkit", heap=True):
    allocates()
    thread = threading.Thread(target=frees)
    thread.start()
    thread.join()
""")
    assert 3 * MIB <= calls["allocates"].alive < 3 * MIB + 4000


def test_an_allocator_of_a_library_s_own_is_left_to_it(built, run):
    own = built(
        r"""
#include <stddef.h>
static char room[1 << 24];
static size_t used;
void *malloc(size_t size) { used += size; return room + (used += -used & 15) - size - (-size & 15); }
void free(void *block) { if ((char *)block < room || (char *)block >= room + sizeof room) __builtin_trap(); }
void *allocate(long size) { return malloc(size); }
void *by_table(long size) { return malloc(size); }
void give_back(void *block) { free(block); }
""",
        "-Wl,-Bsymbolic",
        "-fno-builtin",
    )
    _, calls = run(f"""
library = opened({own!r})
def own():
    library.give_back(library.allocate(1 << 20))
def others():
    return bytes(3 << 20)
with memkit.record("a.memkit", heap=True):
    own()
    kept = others()
own()
""")
    assert calls["own"].allocated < MIB
    assert 3 * MIB <= calls["others"].alive < 3 * MIB + 2000


def test_a_forked_child_uses_the_hooks_and_counts_nothing(built, run):
    _, calls = run(f"""
library = opened({built()!r})
def allocates():
    library.allocate(1 << 20)
with memkit.record("a.memkit", heap=True):
    for _ in range(20):
        child = os.fork()
        if not child:
            allocates()
            opened({built(name="another.so")!r}).allocate(1 << 20)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    allocates()
""")
    assert MIB <= calls["allocates"].alive < MIB + 2000


def test_what_libraries_ask_for_is_sampled_too(built, run):
    recording, _ = run(f"""
library = opened({built()!r})
def allocates():
    library.allocate(64 << 20)
with memkit.record("a.memkit", heap="sampled:64KiB"):
    allocates()
""")
    (call,) = [call for call in recording.calls if call.function.name == "allocates"]
    assert 64 * MIB <= call.alive < 65 * MIB


def test_where_a_library_was_preloaded_nothing_is_patched(memkit_run, script, built):
    recording = memkit_run("--heap", script(f"{OPEN}opened({built()!r}).allocate(3 << 20)\n")).recording
    assert recording.heap.counted == "python, c"
    assert 3 * MIB <= recording.heap.alive < 5 * MIB


def test_a_function_that_is_looked_up_meanwhile_works_afterwards(run):
    recording, _ = run("""
with memkit.record("a.memkit", heap=True):
    malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
    malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    block = malloc(3 << 20)
free(block)
free(malloc(5 << 20))
""")
    assert 3 * MIB <= recording.heap.alive < 3 * MIB + 20_000
