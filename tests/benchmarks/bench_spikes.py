"""Measures what is seen of a program that rises for 5 ms now and then, at ticks from 1 ms to 10 s.

Target: the peak of the whole run is the true one at every tick, to 1 %, and at a tick no longer than the time between two
spikes each of them stands in a row with its own height. The peers are asked at their usual tick and at their fastest.
"""

import paired
import watchers
from watchers import MIB

LOWEST, COUNT, PAUSE = 4, 20, 0.5
HIGHEST = LOWEST + COUNT - 1
TOLERANCE = 0.4  # MiB: heights are a whole one apart, and the kernel's own counters are that much off
INTERVALS = ("0.001", "0.01", "0.1", "1", "10", "auto")
FINE = ("0.001", "0.01", "0.1")
PEERS = {  # name: the ticks it is asked at
    "mprof": ("0.1", "0.001"),
    "psrecord": ("0.1", "0"),
    "psutil thread": ("0.1", "0.001"),
}


def main() -> None:
    """Print one table."""
    paired.header(f"{COUNT} spikes of 5 ms, {LOWEST} to {HIGHEST} MiB, {PAUSE} s apart")
    watches = {interval: seen(watchers.under_memkit, interval) for interval in INTERVALS}
    rows = [row_of("memkit-run", interval, watch) for interval, watch in watches.items()]
    for name, intervals in PEERS.items():
        module, under = watchers.PEERS[name]
        if watchers.has(module):
            rows += [row_of(name, interval, seen(under, interval)) for interval in intervals]
        else:
            rows.append((name, "not installed", *[""] * 6))
    paired.table(("watcher", "tick", "rows", "peak shown", "true", "ratio", "spikes seen", "a spike took"), rows)
    worst = max(abs(1 - highest(watch) / HIGHEST) for watch in watches.values())
    print("memkit's peak, off by", paired.verdict(worst * 100, 1, " %"))
    missed = sum(COUNT - found(watches[interval]) for interval in FINE)
    print(f"spikes missed at {' s, '.join(FINE)} s,", paired.verdict(missed, 0))


def seen(under, interval: str) -> watchers.Watch:
    """What one watcher saw at one tick."""
    return under("spikes.py", str(LOWEST), str(COUNT), str(PAUSE), interval=interval)


def heights(watch: watchers.Watch) -> list[float]:
    """What the rows show above what the program was before, in MiB."""
    return [(peak - watch.said["baseline"]) / MIB for peak in watch.peaks]


def highest(watch: watchers.Watch) -> float:
    """The peak of the run."""
    return max(heights(watch), default=0.0)


def found(watch: watchers.Watch) -> int:
    """How many of the spikes stand in some row with their own height."""
    shown = heights(watch)
    return sum(any(abs(height - spike) <= TOLERANCE for height in shown) for spike in range(LOWEST, HIGHEST + 1))


def row_of(name: str, interval: str, watch: watchers.Watch) -> tuple:
    """One row of the table."""
    return (
        name,
        {"auto": "auto", "0": "none"}.get(interval, f"{interval} s"),
        len(watch.rows),
        f"{highest(watch):.1f} MiB",
        f"{HIGHEST} MiB",
        f"{highest(watch) / HIGHEST:.3f}",
        f"{found(watch)} of {COUNT}",
        f"{watch.said['length'] * 1000:.1f} ms",
    )


if __name__ == "__main__":
    main()
