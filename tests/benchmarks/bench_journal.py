"""Measures the file: how large one hour at 10 ms is, and how long a million rows take to read back.

Targets: at most 15 MiB for the hour, memory of nine digits that is another at every tick; at most 2 s for ``memkit.read`` of
a million rows. ``json.loads`` of every line stands beside it, which only decodes and keeps nothing.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import paired

import memkit
from memkit.model import file_format
from memkit.system import engine

HOUR, TICK = 3600 * 10**9, 10**7
MIB = 1 << 20
SIZE_TARGET = 15.0
ROWS = 1_000_000
READ_TARGET = 2.0


def main() -> None:
    """Print both tables."""
    paired.header("the journal")
    with tempfile.TemporaryDirectory() as folder:
        compare_sizes(Path(folder))
        compare_reading(Path(folder))


def write(path: Path, count: int, above: int) -> int:
    """A recording of so many ticks, in so many of 100 of which the peak is above the memory; its size in bytes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o666)
    file = engine.Journal(fd, str(path))
    about = {"argv": ["load.py"], "pid": 1234567, "clock": 0, "began": 1.7e9, "engine": "native", "peaks": "reset"}
    file.text(file_format.header({"memkit": "0", "meter": "rss", "interval": TICK} | about))
    page = os.sysconf("SC_PAGESIZE")
    for tick in range(count):
        late = 50_000 + tick * 7919 % 20_000  # nanoseconds after its time, as a thread wakes
        memory = 500_000_000 // page * page + tick * 104_729 % 90_000 * page // 4
        peak = (memory + 40 * page,) if tick * 37 % 100 < above else ()
        file.row("sample", tick * TICK + late, memory, *peak)
        if tick % 100 == 99:
            file.row("cost", 100, 0, 2_600_000 + late)
    file.text(file_format.row("end", count * TICK, "ok"))
    file.close()
    return path.stat().st_size


# -- size ----------------------------------------------------------------------------------------------------------------


def compare_sizes(folder: Path) -> None:
    """An hour, with peaks above the memory never, seldom and always."""
    ticks = HOUR // TICK
    sizes = {above: write(folder / f"hour-{above}.memkit", ticks, above) for above in (0, 5, 100)}
    rows = [
        (
            f"{above} % of rows",
            f"{size / MIB:.2f} MiB",
            f"{size / ticks:.1f}",
            f"x{size / sizes[0]:.2f}",
            f"{SIZE_TARGET:.0f} MiB",
            "reached" if size / MIB <= SIZE_TARGET else "MISSED",
        )
        for above, size in sizes.items()
    ]
    paired.table(("1 h at 10 ms; a peak in", "file", "bytes/row", "to no peak", "target", ""), rows)


# -- reading -------------------------------------------------------------------------------------------------------------


def compare_reading(folder: Path, rounds: int = 5) -> None:
    """A million rows, by turns."""
    path = folder / "million.memkit"
    size = write(path, ROWS, above=5)
    runs = {
        "memkit.read": lambda: seconds_of(memkit.read, path),
        "json.loads, line by line": lambda: seconds_of(decode_lines, path),
    }
    turns = paired.by_turns(rounds, **runs)
    rows = [
        (
            name,
            f"{paired.median(turns, name):.2f} s",
            f"{paired.median(turns, name) / ROWS * 1e6:.2f} us",
            f"x{paired.ratio(turns, name, 'json.loads, line by line'):.2f}",
        )
        for name in runs
    ]
    paired.table((f"{ROWS} rows, {size / MIB:.0f} MiB", "median", "a row", "to json.loads"), rows)
    print("memkit.read,", paired.verdict(paired.median(turns, "memkit.read"), READ_TARGET, " s"))


def seconds_of(read, path: Path) -> float:
    """How long reading a file takes; what was read is let go before the clock stops for good."""
    began = time.perf_counter()
    found = read(path)
    seconds = time.perf_counter() - began
    del found
    return seconds


def decode_lines(path: Path) -> int:
    """Decode every line by itself."""
    with open(path, "rb") as file:
        return sum(len(json.loads(line)) for line in file)


if __name__ == "__main__":
    main()
