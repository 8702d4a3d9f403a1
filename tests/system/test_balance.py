"""The balance, on programs whose answer is known: each makes memory of one kind, and that row rises by as much."""

import ctypes.util
import json
import os
import re
import struct
import subprocess
import sys
import time

import pytest

import memkit
from memkit.cli import main
from memkit.system import balance as of
from memkit.system import owners

MIB = 1 << 20


def is_locked():
    return getattr(sys, "_is_gil_enabled", lambda: True)()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mappings are read from Linux's /proc")

HEAD = """
import ctypes, gc, json, mmap, os, sys, threading
import memkit
MIB = 1 << 20
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = libc.memset.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
memkit.balance()  # imports what it needs
gc.collect()
gc.disable()  # what imports left behind is freed now, and not while the program runs
before = memkit.balance()


def tell(after, **more):
    keys = {row.key for row in [*before.rows, *after.rows]}
    rose = {key: after.of(key) - before.of(key) for key in keys}
    parts = {row.key: dict(row.parts) for row in after.rows}
    more["advice"] = {row.key: row.advice for row in after.rows}
    sums = [sum(row.bytes for row in each.rows) - each.rss for each in (before, after)]
    print(json.dumps({"rose": rose, "parts": parts, "sums": sums, "explained": after.explained, **more}))
"""


@pytest.fixture
def told(python, native_only):
    """A function that runs a program, and returns what of its memory rose in it, row by row."""

    def run(text, **more):
        found = python(HEAD + text, **more)
        assert found["sums"] == [0, 0]
        return found

    return run


def others(rose, *keys):
    """What the other rows rose by in all."""
    return sum(abs(size) for key, size in rose.items() if key not in keys)


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.own_process  # of one with thousands of mappings, to read them takes memory
def test_the_rows_add_up_to_resident_memory():
    found = memkit.balance()
    assert sum(row.bytes for row in found.rows) == found.rss
    assert found.rss == pytest.approx(memkit.rss(), abs=2 * MIB)
    assert found.pid == os.getpid()


def test_the_largest_row_is_the_first_and_unexplained_the_last():
    rows = memkit.balance().rows
    sizes = [row.bytes for row in rows[:-1]]
    assert sizes == sorted(sizes, reverse=True)
    assert rows[-1].key == "unexplained"


def test_parts_add_up_to_their_row():
    for row in memkit.balance().rows:
        assert row.parts == () or sum(part.bytes for part in row.parts) == row.bytes


def test_only_large_rows_have_advice():
    found = memkit.balance()
    assert all((row.advice is not None) == (row.bytes >= of.LARGE * found.rss) for row in found.rows)


def test_small_objects_are_counted(told):
    found = told("kept = [bytes(79) for _ in range(200_000)]\ntell(memkit.balance())")
    blocks = 200_000 * 112  # 33 bytes of head and 79, in steps of 16
    # The balance has some 100 KiB of objects itself while it walks, in pools that it has walked by then, or that it has not.
    assert found["rose"]["python"] == pytest.approx(blocks, abs=160 << 10)
    assert others(found["rose"], "python", "c") < MIB  # c has the list
    assert found["explained"] > 0.99


def test_freed_objects_leave_free_room_in_arenas(told):
    text = "kept = [bytes(79) for _ in range(400_000)]\nkept = kept[::500]\ntell(memkit.balance())"
    rose = told(text)["rose"]
    assert rose["python"] < MIB // 2
    assert rose["python-free"] == pytest.approx(400_000 * 112, rel=0.03)


def test_what_is_said_of_free_room_in_arenas_gives_it_back(told):
    text = "kept = [str(number).zfill(79) for number in range(400_000)]\nkept = kept[::500]\n"
    advice = told(text + "tell(memkit.balance())")["advice"]["python-free"]
    code = re.search(r"pickle\.loads\S+\)", advice)[0]
    rose = told(f"import pickle\n{text}kept = {code}\ntell(memkit.balance())")["rose"]
    assert rose["python-free"] < 4 * MIB


def test_large_blocks_are_those_that_the_c_library_mapped(told):
    found = told("kept = [bytes(range(256)) * (80 << 10) for _ in range(3)]\ntell(memkit.balance())")
    assert found["rose"]["c"] == pytest.approx(60 * MIB, abs=MIB // 2)
    assert found["parts"]["c"]["mapped one by one"] == pytest.approx(60 * MIB, abs=4 * MIB)
    assert others(found["rose"], "c") < MIB


def test_arrays_that_numpy_puts_on_huge_pages_are_explained(told):
    pytest.importorskip("numpy")
    text = "import numpy\nbefore = memkit.balance()\nkept = [numpy.ones(MIB) for _ in range(8)]\ntell(memkit.balance())"
    found = told(text)
    assert found["rose"]["c"] == pytest.approx(64 * MIB, abs=MIB)
    assert others(found["rose"], "c") < MIB
    assert found["explained"] > 0.99


def test_a_block_that_was_never_written_is_not_resident(told):
    rose = told("kept = libc.malloc(64 * MIB)\ntell(memkit.balance())")["rose"]
    assert others(rose) < MIB


HEAP = """
blocks = [libc.malloc(100_000) for _ in range(400)]
for block in blocks:
    libc.memset(block, 1, 100_000)
"""


def test_blocks_on_the_heap_are_alive_or_free(told):
    rose = told(f"{HEAP}\nfor block in blocks[::2]: libc.free(block)\ntell(memkit.balance())")["rose"]
    assert rose["c"] == pytest.approx(200 * 100_000, abs=MIB)
    assert rose["c-free"] == pytest.approx(200 * 100_000, abs=MIB)


def test_malloc_trim_gives_back_what_was_said(told):
    text = f"""{HEAP}
from memkit.system import owners
def rss():  # page by page: the counters that memkit.rss() reads are behind on each processor
    with open("/proc/self/smaps_rollup") as file:
        return int(file.read().partition("Rss:")[2].split()[0]) << 10
for block in blocks[::2]: libc.free(block)
room = sum(piece.room for piece in owners.find().pieces)
resident = rss()
libc.malloc_trim(0)
tell(memkit.balance(), room=room, given=resident - rss())"""
    found = told(text)
    assert found["room"] > 180 * 96_000
    assert found["room"] == pytest.approx(found["given"], abs=MIB)
    assert found["rose"]["c-free"] < 200 * 2 * 4096  # a chunk keeps the pages at its two ends, which others have a part of


def test_free_chunks_in_arenas_of_threads_are_named(told):
    text = """
blocks = []
def work():
    mine = [libc.malloc(50_000) for _ in range(100)]
    for block in mine:
        libc.memset(block, 1, 50_000)
    gate.wait()
    gate.wait()
    for block in mine[:-1]:
        libc.free(block)
    gate.wait()
    gate.wait()
gate = threading.Barrier(5)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
gate.wait()
before = memkit.balance()
gate.wait()
gate.wait()
tell(memkit.balance())
gate.wait()
for thread in threads: thread.join()
"""
    found = told(text)
    freed = 4 * 99 * 50_000
    assert found["rose"]["c"] == pytest.approx(-freed, abs=MIB)
    assert "MALLOC_ARENA_MAX=2" in found["advice"]["c-free"]
    assert found["parts"]["c-free"]["arenas of threads"] == pytest.approx(freed, abs=2 * MIB)


@pytest.mark.skipif(sys.version_info >= (3, 15) or not is_locked(), reason="Python does not tell it")
def test_the_frames_of_calls_that_run_are_a_part_of_their_own(told):
    text = """
def deep(levels):
    return deep(levels - 1) if levels else memkit.balance()
sys.setrecursionlimit(100_100)
few = dict(next(row.parts for row in deep(10_000).rows if row.key == "own"))
tell(deep(100_000), few=few)
"""
    found = told(text)
    name = "frames of Python calls that run"
    many, few = found["parts"]["own"][name], found["few"][name]
    each = (many - few) / 90_000
    assert 64 <= each <= 256  # 8 to 32 words
    assert few == pytest.approx(10_000 * each, abs=64 << 10)
    assert others(found["rose"], "own") < 100_000 * 32 + MIB  # each level has a number
    assert found["advice"]["own"] is None or found["advice"]["own"].startswith("less deep recursion")


def test_what_a_thread_has_on_its_stack_is_its_stacks(told):
    text = """
class Attributes(ctypes.Structure):
    _fields_ = [("room", ctypes.c_char * 64)]
libc.pthread_self.restype = ctypes.c_void_p
def work():
    attributes, start, size = Attributes(), ctypes.c_void_p(), ctypes.c_size_t()
    libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), ctypes.byref(attributes))
    libc.pthread_attr_getstack(ctypes.byref(attributes), ctypes.byref(start), ctypes.byref(size))
    libc.memset(start.value + 65536, 1, 4 * MIB)  # far below of what is in use
    gate.wait()
    gate.wait()
gate = threading.Barrier(3)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
gate.wait()
tell(memkit.balance())
gate.wait()
for thread in threads: thread.join()
"""
    found = told(text)
    assert found["rose"]["stacks"] == pytest.approx(8 * MIB, abs=MIB // 4)
    assert others(found["rose"], "stacks") < MIB


def test_a_block_of_shared_memory_is_named(told):
    text = """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=16 * MIB)
block.buf[:] = bytes(1) * (16 * MIB)
name = block.name
found = memkit.balance()
block.close()
block.unlink()
tell(found, name=name)
"""
    found = told(text)
    assert found["rose"]["shared"] == 16 * MIB
    assert found["parts"]["shared"][f"/dev/shm/{found['name'].lstrip('/')}"] == 16 * MIB


def test_a_mapped_file_is_named(told, tmp_path):
    (tmp_path / "big.bin").write_bytes(os.urandom(24 * MIB))
    text = """
file = open("big.bin", "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sum(mapped[::4096])
tell(memkit.balance(), name=os.path.realpath("big.bin"))
mapped.close()
file.close()
"""
    found = told(text)
    assert found["rose"]["files"] == 24 * MIB
    assert found["parts"]["files"][found["name"]] == 24 * MIB


MAPPED = """
mapped = mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
mapped[::4096] = bytes([1]) * (16 * MIB // 4096)
"""


def test_memory_that_an_mmap_holds_belongs_to_python_objects(told):
    found = told(f"{MAPPED}\ntell(memkit.balance())")
    assert found["rose"]["own"] == pytest.approx(16 * MIB, abs=MIB // 4)
    assert found["parts"]["own"][owners.OBJECTS] == pytest.approx(16 * MIB, abs=MIB // 4)


def test_memory_of_which_only_the_end_was_written_has_its_owner(told):
    found = told(
        "held = mmap.mmap(-1, 16 * MIB, mmap.MAP_PRIVATE)\nheld[12 * MIB:] = bytes(4 * MIB)\ntell(memkit.balance())"
    )
    assert found["rose"]["own"] == pytest.approx(4 * MIB, abs=MIB // 4)
    # Held by the object, or by a block of the C library in which its address is as well.
    assert max(found["parts"]["own"].values()) == pytest.approx(4 * MIB, abs=MIB // 4)


def test_memory_that_nothing_leads_to_is_unexplained(told):
    text = """
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def map_some():
    at = libc.mmap(None, 16 * MIB, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    libc.memset(at, 1, 16 * MIB)
map_some()
tell(memkit.balance())
"""
    rose = told(text)["rose"]
    # Unless the address has stayed in a block that is free: then it is held, and by what is said.
    assert rose["unexplained"] + rose["own"] == pytest.approx(16 * MIB, abs=MIB // 4)
    assert others(rose, "unexplained", "own") < MIB


def test_without_pymalloc_all_is_c_blocks(told):
    text = "kept = [bytes(79) for _ in range(200_000)]\ntell(memkit.balance())"
    rose = told(text, PYTHONMALLOC="malloc")["rose"]
    assert rose.get("python", 0) == rose.get("python-free", 0) == 0
    assert rose["c"] == pytest.approx(200_000 * 128 + 200_000 * 8, rel=0.01)  # blocks of 120 bytes, and the list


@pytest.mark.parametrize("name", ["jemalloc", "mimalloc", "tcmalloc_minimal"])
def test_an_allocator_that_is_preloaded_is_named(told, name):
    library = ctypes.util.find_library(name)
    if library is None:
        pytest.skip(f"lib{name} is not installed")
    text = "kept = [bytes(range(256)) * (80 << 10) for _ in range(3)]\ntell(memkit.balance())"
    found = told(text, LD_PRELOAD=library)
    key = "c-heap" if name == "mimalloc" else "c"
    assert sum(size for part, size in found["parts"][key].items() if name in part) > 60 * MIB
    assert found["rose"].get("c", 0) + found["rose"].get("c-heap", 0) == pytest.approx(60 * MIB, abs=4 * MIB)
    assert found["explained"] > 0.95


# -- other processes ---------------------------------------------------------------------------------------------------

JOB = """
import memkit, json, sys
kept = [bytes(79) for _ in range(200_000)]
large = bytes(range(256)) * (80 << 10)
memkit.balance()
found = memkit.balance()
print(json.dumps({row.key: row.bytes for row in found.rows}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def job():
    """A process that waits, and its balance as it told itself."""
    words = [sys.executable, "-c", JOB]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.told = json.loads(process.stdout.readline())
        yield process
        process.kill()


def test_another_process_has_the_rows_that_it_tells_itself(job, native_only):
    found = memkit.balance(job.pid)
    if any("may not be read" in note for note in found.notes):
        pytest.skip("this user may not read the memory of other processes")
    assert sum(row.bytes for row in found.rows) == found.rss
    for key in ("python", "c", "code"):
        assert found.of(key) == pytest.approx(job.told[key], abs=MIB)
    assert found.explained > 0.99
    assert any("inside only" in note for note in found.notes)


def test_the_portable_engine_says_what_it_cannot_tell():
    code = (
        "import memkit, json; b = memkit.balance(); print(json.dumps([[[r.key, r.bytes] for r in b.rows], b.rss, b.notes]))"
    )
    environment = {**os.environ, "MEMKIT_ENGINE": "portable"}
    words = [sys.executable, "-c", code]
    rows, rss, notes = json.loads(subprocess.run(words, capture_output=True, check=True, env=environment).stdout)
    rows = dict(rows)
    assert sum(rows.values()) == rss
    assert rows["code"] > MIB
    assert rows["c-heap"] > 0
    assert rows["unexplained"] > MIB
    assert rows.keys().isdisjoint({"python", "c", "c-free"})
    assert any("apart needs the native engine" in note and "MEMKIT_ENGINE=portable" in note for note in notes)


SMAPS = """\
7f0000000000-7f0000800000 rw-p 00000000 00:00 0                          [anon:Mem0x7f]
Size:                  4 kB
Rss:                8000 kB
7f0000800000-7f0000801000 ---p 00000000 00:00 0
Size:                  4 kB
Rss:                   0 kB
7f0000801000-7f0001001000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                  40 kB
VmFlags: rd wr mr mw me ac nh
7f0002001000-7f0002802000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                  24 kB
VmFlags: rd wr mr mw me gu ac nh
7f0004000000-7f0004100000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                1000 kB
7f0004100000-7f0008000000 ---p 00000000 00:00 0
Size:                  4 kB
Rss:                   0 kB
7f0009000000-7f0009100000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                 500 kB
7f0009200000-7f0009300000 rw-p 00000000 00:00 0                          [anon: glibc: pthread stack: 12]
Size:                  4 kB
Rss:                  20 kB
7f0009400000-7f0009500000 rw-p 00000000 00:00 0                          [anon: glibc: loader malloc]
Size:                  4 kB
Rss:                  16 kB
7f0009600000-7f0009700000 rw-s 00000000 00:01 5                          [anon_shmem:dma]
Size:                  4 kB
Rss:                  12 kB
7f000a000000-7f000a100000 r-xp 00000000 00:00 0
Size:                  4 kB
Rss:                  64 kB
"""


def test_mappings_alone_tell_stacks_arenas_names_and_made_code(tmp_path):
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/smaps").write_text(SMAPS)
    (tmp_path / "proc/7/statm").write_text("9000 2500 0 0 0 0 0\n")
    found = owners.find(7, str(tmp_path))
    pieces = [(piece.kind, piece.owner, piece.resident >> 10) for piece in found.pieces]
    assert pieces == [
        ("named", "Mem0x7f", 8000),
        ("stack", "", 40),
        ("stack", "", 24),
        ("opaque", "", 1000),
        ("unknown", "", 500),
        ("stack", "", 20),
        ("named", "glibc: loader malloc", 16),
        ("shared", "[anon_shmem:dma]", 12),
        ("code", "", 64),
    ]
    assert found.reason


def test_variables_of_a_library_end_where_the_library_does(tmp_path):
    (tmp_path / "proc/7/root/usr/lib").mkdir(parents=True)
    (tmp_path / "proc/7/root/usr/lib/libx.so").write_bytes(library(0x5800))
    (tmp_path / "proc/7/smaps").write_text("""\
7f0000000000-7f0000004000 rw-p 00000000 fe:00 12                         /usr/lib/libx.so
Size:                  4 kB
Rss:                  16 kB
7f0000004000-7f0000104000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                 700 kB
""")
    (tmp_path / "proc/7/statm").write_text("9000 180 0 0 0 0 0\n")
    pieces = [(piece.kind, piece.owner, piece.resident >> 10) for piece in owners.find(7, str(tmp_path)).pieces]
    (tmp_path / "proc/7/statm").write_text("0 0 0 0 0 0 0\n")
    with pytest.raises(memkit.MeterError, match="it has just ended"):
        owners.find(7, str(tmp_path))
    assert pieces == [("library", "libx", 16), ("library", "libx", 8), ("unknown", "", 692)]


def test_a_process_whose_mappings_may_not_be_read_is_a_meter_error(tmp_path, monkeypatch):
    (tmp_path / "proc/7").mkdir(parents=True)
    with pytest.raises(memkit.MeterError, match=r"proc/7/smaps cannot be read: No such file"):
        owners.find(7, str(tmp_path))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(memkit.MeterError, match=r"smaps cannot be read: Permission denied; only its user may, and root"):
        owners.find(7, str(tmp_path))


def library(size):
    """The head of a library of 64 bits, and the entry of its one segment, which has so many bytes in memory."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, 0x4000, size, 4096)


@pytest.mark.parametrize("pid", [0, -1, True, "7"])
def test_what_is_no_process_is_refused(pid):
    with pytest.raises(memkit.UsageError, match="is no process"):
        memkit.balance(pid)


def test_a_process_that_has_ended_is_refused():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with pytest.raises(memkit.UsageError, match=f"there is no process {ended.pid}"):
        memkit.balance(ended.pid)


def test_a_process_without_a_main_thread_has_a_balance(leaderless):
    found = memkit.balance(leaderless.pid)
    assert found.rss > 50 * MIB
    assert sum(row.bytes for row in found.rows) == found.rss


# -- as text -----------------------------------------------------------------------------------------------------------


def made_up(count):
    parts = tuple(memkit.BalancePart(f"library {place}", MIB) for place in range(5))
    rows = [memkit.BalanceRow(f"key {n}", f"row {n}", (30 - n) * MIB, 0, parts, "do this") for n in range(count)]
    rows.append(memkit.BalanceRow("unexplained", "unexplained", MIB, 0, (), None))
    return memkit.Balance(7, sum(row.bytes for row in rows), tuple(rows), ("not all was told",))


def test_the_text_has_at_most_ten_rows_and_loses_no_byte():
    text = str(made_up(12))
    rows = [line for line in text.splitlines() if " %  " in line]
    assert len(rows) == 10
    assert "the rest: row 8 22.0 MiB, row 9 21.0 MiB, row 10 20.0 MiB, 1 more" in text
    assert rows[-1].split() == ["1.0", "MiB", "<1", "%", "unexplained"]
    assert "not all was told" in text


def test_a_row_of_text_has_its_largest_parts_and_what_to_do():
    first, row, advice, *_ = str(made_up(2)).splitlines()
    assert first == "process 7: 60.0 MiB resident, 98.3 % of it explained"
    assert row.endswith("50 %  row 0: library 0 1.0 MiB, library 1 1.0 MiB, library 2 1.0 MiB, 2 more")
    assert advice.strip() == "- do this"


def test_lines_of_the_text_are_cut_and_sizes_stay_whole():
    for line in str(memkit.balance()).splitlines():
        assert len(line) <= 110 or "/" in line
        assert not line.strip().startswith(("MiB", "KiB"))


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_balance_of_a_process(job, memkit):
    done = memkit("balance", str(job.pid))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"process {job.pid}: ")
    assert "unexplained" in done.stdout


def test_the_command_writes_the_balance_as_json(job, memkit, tmp_path):
    done = memkit("balance", "--json", "balance.json", str(job.pid))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    document = json.loads((tmp_path / "balance.json").read_text())
    assert document["pid"] == job.pid
    assert sum(row["bytes"] for row in document["rows"]) == document["rss"]
    assert {"key", "name", "bytes", "error", "parts", "advice"} == document["rows"][0].keys()
    assert 0 <= document["explained"] <= 1


def test_the_command_finds_a_process_by_a_part_of_its_command(memkit):
    word = f"unlikely-{time.monotonic_ns()}"
    words = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()", word]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        done = memkit("balance", word)
        process.kill()
    assert done.stdout.startswith(f"process {process.pid}: ")


def test_the_command_refuses_a_process_that_may_not_be_read(monkeypatch, capsys, job):
    def refuse(pid):
        raise memkit.MeterError(f"/proc/{pid}/smaps cannot be read")

    monkeypatch.setattr("memkit.cli.balance.balance", refuse)
    assert main.main(["balance", str(job.pid)]) == 2
    assert capsys.readouterr().err == f"memkit: /proc/{job.pid}/smaps cannot be read\n"


def test_the_command_refuses_a_process_that_there_is_not(memkit):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    done = memkit("balance", str(ended.pid))
    assert done.returncode == 2
    assert done.stderr == f"memkit: there is no process {ended.pid}\n"
