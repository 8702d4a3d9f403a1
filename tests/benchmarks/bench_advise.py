"""Follows the advice of ``memkit advise``: what it estimated beside what memory really fell by, in plain recordings.

Target: each estimate within 25 % of the drop. For each kind of advice there is a program that has the problem, and the same
program with the advice followed. Needs numpy, for an import that is worth telling.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import paired

import memkit

WITHIN = 0.25
SCALED = """
def scaled(count):
    values = [float(number) for number in range(count)]
    {}
    return values
kept = scaled(400_000)
"""
IN_PLACE = "for place in range(count): values[place] *= 2"
LOAD = """
def load(count):
    return [str(number) * 4 for number in range(count)]
rows = load(150_000)
"""
COPIED = """
def copied(rows):
    return ["".join(list(row)) for row in rows]
again = copied(rows)
"""
BLOCKS = """
import ctypes
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
c.free.restype, c.free.argtypes = None, [ctypes.c_void_p]

def used(size):
    block = c.malloc(size)
    ctypes.memset(block, 1, size)
    return block

blocks = [used(1000) for _ in range(40_000)]
for number, block in enumerate(blocks):
    if number % 200:
        c.free(block)
"""
WORKERS = """
import multiprocessing, os, time
{before}
def work(number):
    import numpy
    time.sleep(0.5)
    return os.getpid()

if __name__ == "__main__":
    with multiprocessing.get_context({how!r}).Pool(2) as pool:
        pool.map(work, range(2), 1)
"""
CASES = {  # by key of the advice: options, the program, and the program that follows it
    "temporary": (["--lines"], SCALED.format("values = [value * 2 for value in values]"), SCALED.format(IN_PLACE)),
    "copies": (["--lines", "--heap"], LOAD + COPIED, LOAD + "again = rows\n"),
    "freed": (["--heap"], BLOCKS, BLOCKS + "c.malloc_trim(0)\n"),
    "import": (["--calls", "--c-calls"], "import numpy\nrows = bytearray(5 << 20)\n", "rows = bytearray(5 << 20)\n"),
    "workers": (
        ["--calls", "--follow"],
        WORKERS.format(before="", how="fork"),
        WORKERS.format(before="import numpy", how="fork"),
    ),
}
REPEATS = 3


def recorded(folder, text, *options):
    """The recording of a program."""
    program, path = Path(folder) / "program.py", Path(folder) / "program.memkit"
    program.write_text(text)
    subprocess.run([sys.executable, "-m", "memkit", "run", "-q", *options, "-o", path, program], check=True)
    return memkit.read(path)


def level(recording, of):
    """What a piece of advice would lower."""
    if of == "end":
        return recording.samples[-1].memory
    return recording.together if of == "together" else recording.peak


def fallen(folder, before, after, of):
    """By how much less memory the second program has, recorded without what costs some itself."""
    options = ["--children"] if of == "together" else []
    runs = {
        "before": lambda: level(recorded(folder, before, *options), of),
        "after": lambda: level(recorded(folder, after, *options), of),
    }
    return -paired.difference(paired.by_turns(REPEATS, **runs), "after", "before")


def main():
    paired.header("advice, followed")
    rows, missed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for key, (options, before, after) in CASES.items():
            found = [each for each in memkit.advise(recorded(folder, before, *options)) if each.key == key]
            if not found:
                missed.append(key)
                continue
            advice = found[0]
            drop = fallen(folder, before, after, advice.of)
            sizes = [memkit.units.show_bytes(round(size)) for size in (advice.estimate, drop)]
            rows.append((key, advice.of, *sizes, f"{advice.estimate / drop:.2f}" if drop > 0 else "-"))
            if drop <= 0 or not 1 - WITHIN <= advice.estimate / drop <= 1 + WITHIN:
                missed.append(key)
    paired.table(("advice", "lowers", "estimate", "measured", "ratio"), rows)
    print("\nwithin 25 %:", "all" if not missed else f"all but {', '.join(missed)}: MISSED")


if __name__ == "__main__":
    main()
