"""Coroutines and asynchronous generators, driven by hand and by asyncio."""
# fmt: off
# ruff: noqa

import asyncio

from oracle import drop, keep


class Pause:
    def __await__(self):
        yield "paused"
        return 1


async def waits(size):
    block = keep(size)
    await Pause()
    drop(block)
    return size


async def outer():
    first = await waits(1)
    block = keep(1)
    second = await waits(2)
    drop(block)
    return first + second


def by_hand():
    coroutine = outer()
    blocks = []
    try:
        while True:
            coroutine.send(None)
            blocks.append(keep(3))
    except StopIteration:
        pass
    for block in blocks:
        drop(block)


def closed_by_hand():
    coroutine = outer()
    coroutine.send(None)
    coroutine.close()


async def numbers(count):
    block = keep(1)
    try:
        for number in range(count):
            yield number
            await asyncio.sleep(0)
    finally:
        drop(block)


class Session:
    async def __aenter__(self):
        self.block = keep(1)
        await asyncio.sleep(0)

    async def __aexit__(self, *_):
        await asyncio.sleep(0)
        drop(self.block)


async def task(size, turns):
    held = []
    try:
        for _ in range(turns):
            held.append(keep(size))
            await asyncio.sleep(0)
    finally:
        while held:
            drop(held.pop())
    return size


async def fails():
    await asyncio.sleep(0)
    block = keep(1)
    drop(block)
    raise ValueError


async def together():
    await asyncio.gather(task(1, 3), task(2, 2), task(1, 1))
    answers = await asyncio.gather(fails(), task(1, 2), return_exceptions=True)
    async with Session():
        async for number in numbers(2):
            answers.append(number)
    listed = [number async for number in numbers(3)]
    async for number in numbers(5):
        break
    canceled = asyncio.ensure_future(task(1, 50))
    await asyncio.sleep(0)
    canceled.cancel()
    try:
        await canceled
    except asyncio.CancelledError:
        listed.append("canceled")
    return answers, listed


async def abandoned():
    source = numbers(3)
    async for _ in source:
        break
    await source.aclose()


by_hand()
waiting = waits(1)
waiting.close()
with asyncio.Runner() as runner:
    runner.run(together())
    runner.run(abandoned())
