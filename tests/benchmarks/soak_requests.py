"""A soak: ten services at full speed, five of which leak, while the heap is counted by requests.

    python tests/benchmarks/soak_requests.py [seconds]

After each round of requests the recording is read, as far as it has come: when was each leaking service named first, was any
other ever named, how large is the file. A second server that is not recorded gets the same requests: what the first has more
is memkit's own memory. Where blocks are told apart, a quarter of the addresses that have small ones is for that, and so of
what leaks. Targets: each is named within its first 2,000 requests, no other is, and the file and memory stay within bounds.
"""

import os
import random
import sys
import tempfile
import time

import paired
from loaded import Server

import memkit

LEAK = {f"GET /service{number}/{{item}}" for number in (1, 3, 5, 7, 9)}
SOON = 2000
ROUND = 2000
FILE, MEMORY = 20, 16  # MiB: of the file; of memory that grows beside a quarter of what the plain server grows by


class Soak:
    """What is known so far."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.first: dict[str, int] = {}
        self.wrong: dict[str, int] = {}
        self.asked: dict[str, int] = {}

    def look(self) -> None:
        """Read the recording, and note which services are named."""
        sums = memkit.read(self.path).span_sums
        self.asked = {each.label: each.number for each in sums if "service" in each.label}
        for named, _ in memkit.leaks(sums):
            (self.first if named.label in LEAK else self.wrong).setdefault(named.label, named.number)

    def missing(self) -> list[str]:
        """Those that leak, and were not named by as many requests as they should."""
        return sorted(label for label in LEAK if self.first.get(label, self.asked.get(label, 0)) > SOON)


def paths(chance: random.Random) -> list[str]:
    """The requests of a round, to the services as chance has it."""
    return [f"/service{chance.randrange(10)}/{chance.randrange(10_000)}" for _ in range(ROUND)]


def main() -> None:
    """Soak, and print what came of it."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else 60
    paired.header(f"ten services, five of which leak, {seconds:g} s")
    chance = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "soak.memkit")
        soak, until, memory = Soak(path), time.monotonic() + seconds, []
        words = ("-m", "memkit", "run", "-q", "-o", path, "--requests", "--heap=spans")
        with Server(*words) as server, Server() as plain:
            while time.monotonic() < until:
                requests = paths(chance)
                server.send(requests)
                plain.send(requests)
                soak.look()
                memory.append((server.resident() / (1 << 20), plain.resident() / (1 << 20)))
        size = os.path.getsize(path) / (1 << 20)
    (first, plain_first), (last, plain_last) = memory[0], memory[-1]
    rows = []
    for label in sorted(soak.asked):
        named = soak.first.get(label, soak.wrong.get(label, "-"))
        rows.append((label, f"{soak.asked[label]}", "leaks" if label in LEAK else "", f"{named}"))
    paired.table(("service", "requests", "", "named after"), rows)
    print(f"{len(memory) * ROUND} requests; named wrongly: {sorted(soak.wrong) or 'none'}")
    print(f"not named within {SOON} requests: {soak.missing() or 'none'}")
    print("MiB of the file:", paired.verdict(size, FILE))
    print(f"MiB at first {first:.1f}, plain {plain_first:.1f}; at the end {last:.1f}, plain {plain_last:.1f}")
    own = (last - first) - 1.25 * (plain_last - plain_first)
    print("MiB that memkit grew by beside a quarter of that:", paired.verdict(own, MEMORY))


if __name__ == "__main__":
    main()
