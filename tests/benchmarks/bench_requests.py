"""What would be asked for by the peak that memkit has, and by the maximum of samples every 15 s, which a cluster has.

Each job runs once, recorded. When a cluster takes its samples is chance: they are read off the curve for every beginning.
Target: the peak is within 1 % of what the kernel counted as the job's, in all jobs.
"""

import statistics
import subprocess
import sys
import tempfile
from bisect import bisect_right
from pathlib import Path

import paired

import memkit

PROGRAM = Path(__file__).parent / "programs" / "spiky.py"
EVERY, PHASES, SECOND, SHORT = 15.0, 300, 1e9, 0.95
JOBS = {  # MiB held, MiB of a spike, how long it lasts, how often it comes, for how long, in seconds
    "the same all the time": (300, 1, 0.1, 5, 40),
    "0.1 s every 5 s": (100, 200, 0.1, 5, 40),
    "0.5 s every 10 s": (100, 200, 0.5, 10, 40),
    "2 s, once": (100, 400, 2, 30, 30),
}


def main() -> None:
    """Print one table; all jobs run beside each other."""
    paired.header(f"peaks of jobs, and the maximum of samples every {EVERY:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        running = {name: started(name, str(Path(folder, f"{place}.memkit"))) for place, name in enumerate(JOBS)}
        rows, worst = [], 0.0
        for name, (process, path) in running.items():
            true = int(process.communicate()[0])
            recording = memkit.read(path)
            found = sorted(sampled(recording, phase / PHASES * EVERY) for phase in range(PHASES))
            missed = sum(peak < SHORT * true for peak in found) / PHASES
            worst = max(worst, abs(recording.peak / true - 1))
            sizes = (true, recording.peak, found[0], int(statistics.median(found)), found[-1])
            rows.append((name, *(f"{size / (1 << 20):.0f} MiB" for size in sizes), f"{missed:.0%}"))
    heads = ("job", "true peak", "memkit", "samples: least", "median", "most", f"below {SHORT:.0%}")
    paired.table(heads, rows)
    print("memkit's peak, off by", paired.verdict(100 * worst, 1, " %"))


def started(name: str, path: str) -> tuple[subprocess.Popen[str], str]:
    """A job that runs, recorded into a file; it prints what the kernel counted as its peak."""
    words = [*("-m", "memkit", "run", "-q", "--interval", "0.01", "--no-peak-reset", "-o", path), "-c"]
    code = f"{PROGRAM.read_text()}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)"
    arguments = map(str, JOBS[name])
    return subprocess.Popen([sys.executable, *words, code, *arguments], stdout=subprocess.PIPE, text=True), path


def sampled(recording: memkit.Recording, begins: float) -> int:
    """The highest of samples that are taken every 15 s from some moment on; there is one at least."""
    times = [sample.time for sample in recording.samples]
    moments = [begins * SECOND]
    while moments[-1] + EVERY * SECOND <= times[-1]:
        moments.append(moments[-1] + EVERY * SECOND)
    places = (max(0, bisect_right(times, moment) - 1) for moment in moments)
    return max(recording.samples[place].memory for place in places)


if __name__ == "__main__":
    main()
