"""A small job in three stages, each of them a span."""

import memkit

with memkit.span("read"):
    words = [f"word {number * 7919 % 400_000:06}" for number in range(400_000)]
with memkit.span("sort"):
    words = sorted(words)
with memkit.span("write"):
    size = len("\n".join(words))
print(size, "characters")
