"""What spans and a sampled heap cost a FastAPI application under uvicorn: requests a second, and CPU time of a request.

    python tests/benchmarks/bench_service.py [rounds] [requests a round]

The servers run all the time: plain, with ``memkit run --requests``, and with ``--heap=sampled`` or ``--heap=spans`` too.
Each round sends each the same requests over 20 connections, as fast as it answers them and then a thousand a second; the
others wait. Where the machine does other things, CPU time tells more than throughput. Targets at a thousand a second: 98 %
of the throughput with spans, 95 % with sampled heap.
"""

import functools
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import paired
from loaded import Server

HEAPS = {"plain": None, "spans": (), "sampled": ("--heap=sampled",), "heap by spans": ("--heap=spans",)}


RATE = 1000  # a second


def started(name: str, folder: str) -> Server:
    """A server, recorded or not."""
    heap = HEAPS[name]
    if heap is None:
        return Server()
    return Server("-m", "memkit", "run", "-q", "-o", str(Path(folder, f"{name}.memkit")), "--requests", *heap)


def measured(server: Server, requests: int, rate: float = 0) -> tuple[float, float]:
    """Requests a second, at most at a rate, and microseconds of CPU time of each."""
    before = server.cpu()
    seconds = server.send([f"/plain/{number}" for number in range(requests)], rate=rate)
    return requests / seconds, (server.cpu() - before) / 1000 / requests


def main() -> None:
    """Print one table."""
    rounds, requests = int(sys.argv[1]) if sys.argv[1:] else 15, int(sys.argv[2]) if sys.argv[2:] else 2000
    paired.header(f"{rounds} rounds of {requests} requests to FastAPI under uvicorn")
    parser = "httptools" if find_spec("httptools") else "h11"
    print(f"HTTP is read by {parser}, the loop is {'uvloop' if find_spec('uvloop') else 'asyncio'}")
    with tempfile.TemporaryDirectory() as folder:
        servers = {name: started(name, folder) for name in HEAPS}
        try:
            for server in servers.values():
                measured(server, max(1500, requests))  # so that no more spans are written whole
            tables = [(rate, compared(servers, rounds, requests, rate)) for rate in (0, RATE)]
        finally:
            for server in servers.values():
                server.__exit__()
    for rate, rows in tables:
        head = f"at {rate} a second" if rate else "as many as it can"
        paired.table((head, "requests/s", "of plain", "CPU each", "more", "of plain's CPU"), rows)


def compared(servers: dict[str, Server], rounds: int, requests: int, rate: float) -> list[tuple[str, ...]]:
    """A row for each server."""
    runs = {name.replace(" ", "_"): functools.partial(measured, each, requests, rate) for name, each in servers.items()}
    found = paired.by_turns(rounds, **runs)
    rates, cpus = ([{name: value[place] for name, value in each.items()} for each in found] for place in (0, 1))
    return [
        (
            name.replace("_", " "),
            f"{paired.median(rates, name):.0f}",
            f"{paired.ratio(rates, name, 'plain'):.1%}",
            f"{paired.median(cpus, name):.0f} µs",
            f"{paired.difference(cpus, name, 'plain'):+.1f} µs",
            f"{paired.ratio(cpus, name, 'plain'):.1%}",
        )
        for name in runs
    ]


if __name__ == "__main__":
    main()
