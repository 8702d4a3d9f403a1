"""Joins many recordings of many machines: ``bench_merge.py 1000 1000000`` is a thousand of a megabyte, as in the target.

Target: a thousand of a megabyte within 60 s and 500 MiB for each process, and a page of at most 4 MB. 100 by default.
"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paired

from memkit.model import file_format

ABOUT = {
    "memkit": "0.1.0",
    "parent": 1,
    "python": "3.13.1",
    "meter": "rss",
    "interval": 1_000_000,
    "engine": "native",
    "peaks": "reset",
    "peaks_reason": None,
    "mark": 0,
}
SECONDS, MOST, PAGE = 60, 500, 4_000_000


def main() -> None:
    """Print what it took."""
    count, size = (int(word) for word in (sys.argv[1:] or ("100", "1000000")))
    paired.header(f"{count:,} recordings of {size / 1e6:.1f} MB on {max(1, count // 20)} machines")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"{number}.memkit").write_bytes(b"".join(rows(number, size, max(1, count // 20))))
        to, page = str(Path(folder, "all.json")), str(Path(folder, "all.html"))
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "memkit", "merge", "-o", to, folder], check=True)
        took = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "memkit", "report", "-q", "--html", page, to], check=True)
        sizes = os.path.getsize(to), os.path.getsize(page)
    cpu, most = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"document {sizes[0] / 1e6:.1f} MB; page,", paired.verdict(sizes[1] / 1e6, PAGE / 1e6, " MB"))
    print(f"{count:,} in {cpu:.1f} s of CPU time,", paired.verdict(took, SECONDS * count * size / 1e9, " s"))
    print("peak,", paired.verdict(most, MOST, " MiB"))


def rows(number: int, size: int, hosts: int):
    """The rows of a recording of a worker: functions, lines, calls and samples, until the file is large enough."""
    chance = random.Random(number)
    host = f"node{number % hosts}"
    about = {"argv": ["work.py", str(number)], "pid": 100 + number // hosts, "host": host, "began": 1.7e9 + number / 100}
    head = file_format.header({**ABOUT, **about, "clock": 5})
    yield head
    written = len(head)
    for function in range(60):
        row = file_format.row(
            "function", function, f"/srv/job/part{function % 7}.py", f"Stage.step{function}", 10 * function
        )
        yield row
        written += len(row)
    moment, memory = 0, 30 << 20
    while written < size:
        moment += 1_000_000
        memory = max(10 << 20, memory + chance.randrange(-1 << 20, (1 << 20) + 4000))
        block = [file_format.row("sample", moment, memory, chance.randrange(1 << 20))]
        if moment % 100_000_000 == 0:
            for function in range(60):
                sums = chance.randrange(1 << 20), memory, memory + 5, 9000, 9000, 0, 9000
                block.append(file_format.row("line", function, 10 * function + 1, moment // 10**6, moment, *sums))
                parent = function - 1 if function else None
                block.append(file_format.row("call", function, parent, function, 1, 5, 9000, 4096, memory, 9000, 9000, 0))
        yield (text := b"".join(block))
        written += len(text)
    yield file_format.row("end", moment, "ok")


if __name__ == "__main__":
    main()
