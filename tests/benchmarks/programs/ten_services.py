"""Ten services in one FastAPI application; those of an odd number keep something of each request, or of some."""

import random

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
chance = random.Random(17)
kept: dict[int, list[object]] = {number: [] for number in range(10)}
caches: dict[int, dict[int, bytes]] = {number: {} for number in range(10)}


class Item(BaseModel):
    number: int
    name: str
    price: float


@app.get("/plain/{number}")
async def plain(number: int) -> Item:
    return Item(number=number, name=f"item {number}", price=number / 100)


def service(number: int) -> None:
    """One more: what it keeps of a request is small in some, and large in others."""
    size = (0, 16, 0, 300, 0, 3_000, 0, 40_000, 0, 90)[number]
    share = (0, 1, 0, 1, 0, 0.2, 0, 0.5, 0, 0.5)[number]

    @app.get(f"/service{number}/{{item}}")
    async def serve(item: int) -> Item:
        bytes(chance.randrange(100, 50_000))
        if share and chance.random() < share:
            kept[number].append(bytes(size))
        elif not share:
            caches[number][item % (20 * (number + 1))] = bytes(chance.randrange(1, 5_000))
        return Item(number=item, name=f"item {item}", price=item / 100)


for each in range(10):
    service(each)
