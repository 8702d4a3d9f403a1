"""Predicts the peaks of twelve programs of known growth at ten times the largest of five runs, then runs them at that.

Target: within 10 % in ten of twelve, the truth in the interval in all of them, and the line that adds most right in eleven.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import paired

import memkit

PROGRAMS = Path(__file__).parent / "programs" / "growing"
TARGETS = {  # the size that is predicted
    "constant": 20_000_000,
    "linear": 2_000_000,
    "nlogn": 1_000_000,
    "quadratic": 8_000,
    "doubling": 8_000_000,
    "regimes": 20_000_000,
    "merge": 8_000_000,
    "groupby": 8_000_000,
    "sort": 8_000_000,
    "product": 25_000_000,
    "parsing": 1_500_000,
    "hidden": 1_500_000,
}
PARTS = (100, 40, 25, 15, 10)
CLOSE, HIT, HELD, RIGHT = 0.10, 10, 12, 11


def main() -> None:
    """Print one table."""
    names = sys.argv[1:] or list(TARGETS)
    paired.header(f"peaks at ten times the largest of {len(PARTS)} runs")
    rows: list[tuple[str, ...]]
    rows, errors, held, right = [], [], 0, 0
    for name in names:
        predicted, true, most, model, interval = tried(name)
        errors.append(abs(predicted / true - 1))
        held += interval[0] <= true <= interval[1]
        right += most
        ends = " to ".join(f"{end / true:.2f}" for end in interval)
        rows.append((name, f"{TARGETS[name]:,}", mib(predicted), mib(true), f"{100 * (predicted / true - 1):+.1f} %", ends))
        rows[-1] += ("yes" if most else "no", model)
    paired.table(("program", "size", "predicted", "true", "off", "interval / true", "line", "model"), rows)
    hits = sum(error <= CLOSE for error in errors)
    print(f"within {CLOSE:.0%}: {hits} of {len(names)}; in the interval: {held}; line right: {right}")
    if len(names) == len(TARGETS):
        print("met" if hits >= HIT and held >= HELD and right >= RIGHT else "missed")


def tried(name: str) -> tuple[int, int, bool, str, tuple[int, int]]:
    """What was predicted for a program, what it really needed, whether the line is right, the model, and the interval."""
    path, target = PROGRAMS / f"{name}.py", TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        files = [recorded(path, target // part, folder) for part in PARTS]
        found = memkit.fit(files, [target // part for part in PARTS])
        predicted, most = found.at(target), found.dominating(target)
        true = memkit.read(recorded(path, target, folder)).peak
    marked = [number for number, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# dominates")]
    return predicted.peak, true, most.place.number in marked, found.model, (predicted.low, predicted.high)


def recorded(path: Path, size: int, folder: str) -> str:
    """The recording of a run."""
    to = str(Path(folder) / f"{size}.memkit")
    words = [sys.executable, "-m", "memkit", "run", "-q", "-o", to, "--lines", str(path), str(size)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return to


def mib(size: int) -> str:
    """A size to be read."""
    return f"{size / (1 << 20):,.0f} MiB"


if __name__ == "__main__":
    main()
