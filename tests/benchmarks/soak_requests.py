"""A soak: ten services at full speed, five of which leak, while the heap is counted by requests.

    python tests/benchmarks/soak_requests.py [seconds]

Every two seconds the recording is read, as far as it has come: when was each leaking service named first, was any other ever
named, how large is the file. Memory that is not planted is that of the process less the objects that it says it keeps.
Targets: each is named within its first 2,000 requests, no other is, and the file and memory stay within bounds.
"""

import json
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
FILE, MEMORY = 20 << 20, 16 << 20  # bounds: of the file; of memory beyond what it was after the first rounds
OBJECT = 16  # bytes that each kept object takes beside itself: its place in a list that grows, and rounding


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


def beside(server: Server) -> int:
    """Bytes of memory that are not of what is planted."""
    planted = json.loads(server.answer("/memory"))
    return server.resident() - sum(size + OBJECT * number for size, number in planted.values())


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
        words = ("-m", "memkit", "run", "-q", "-o", path, "--requests", "--heap=spans")
        soak, until, memory, sent = Soak(path), time.monotonic() + seconds, [], 0
        with Server(*words) as server:
            while time.monotonic() < until:
                server.send(paths(chance))
                sent += ROUND
                soak.look()
                memory.append(beside(server))
        size = os.path.getsize(path)
    report(soak, sent, memory, size)


def report(soak: Soak, sent: int, memory: list[int], size: int) -> None:
    """Print it all."""
    rows = [
        (
            label,
            f"{soak.asked[label]}",
            "leaks" if label in LEAK else "",
            f"{soak.first.get(label, soak.wrong.get(label, '-'))}",
        )
        for label in sorted(soak.asked)
    ]
    paired.table(("service", "requests", "", "named after"), rows)
    early = memory[: max(1, len(memory) // 5)]
    print(f"{sent} requests; named wrongly: {sorted(soak.wrong) or 'none'}; not within {SOON}: {soak.missing() or 'none'}")
    print("MiB of the file:", paired.verdict(size / (1 << 20), FILE / (1 << 20)))
    print(
        "MiB that memory beside what is planted grew by:",
        paired.verdict((memory[-1] - max(early)) / (1 << 20), MEMORY / (1 << 20)),
    )


if __name__ == "__main__":
    main()
