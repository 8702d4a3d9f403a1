"""What spans cost: one, a request through the middleware, and a block that is allocated while the heap is counted by them.

    python tests/benchmarks/bench_spans.py

CPU time of the thread, the least of several turns, in microseconds; of a block in nanoseconds. Nothing is asserted.
"""

import asyncio
import time

import memkit
from memkit.integrations import asgi
from memkit.system import engine

TURNS, SPANS, BLOCKS = 5, 3000, 50_000


def least(work, times):
    """The least CPU time of one of so many, over several turns."""
    found = []
    for _ in range(TURNS):
        began = time.thread_time_ns()
        work()
        found.append((time.thread_time_ns() - began) / times)
    return min(found)


def spans():
    for _ in range(SPANS):
        with memkit.span("work"):
            pass


def blocks():
    for _ in range(BLOCKS):
        bytes(100)


async def nothing(scope, receive, send):
    pass


def requests(app):
    async def all_of_them():
        for number in range(SPANS):
            await app({"type": "http", "method": "GET", "path": f"/items/{number}"}, None, None)

    return lambda: asyncio.run(all_of_them())


def inside():
    with memkit.span("around"):
        return least(blocks, BLOCKS)


def main():
    middleware = requests(asgi.SpanMiddleware(nothing))
    plain, alone = least(requests(nothing), SPANS), least(blocks, BLOCKS)
    print(f"{'':<24}{'span':>10}{'request':>10}{'block':>10}")
    ways = {"not recorded": None, "recorded": {}, "heap by spans": {"heap": "spans"}}
    for name, settings in ways.items():
        if settings and engine.NAME != "native":
            continue
        if settings is None:
            span, request, block = least(spans, SPANS), least(middleware, SPANS), alone
        else:
            with memkit.record(**settings):
                spans()  # so that no more are written whole
                span, request, block = least(spans, SPANS), least(middleware, SPANS), inside()
        print(f"{name:<24}{span / 1000:>7.1f} µs{(request - plain) / 1000:>7.1f} µs{block - alone:>7.0f} ns")


if __name__ == "__main__":
    main()
