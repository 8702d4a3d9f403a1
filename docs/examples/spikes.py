"""Keeps 80 MiB, spikes by 400 MiB for a moment, then grows by 80 MiB in steps."""

import time

import memkit

MIB = 1 << 20

with memkit.span("keep"):
    kept = b"x" * (80 * MIB)
time.sleep(0.5)
with memkit.span("spike"):
    len(b"x" * (400 * MIB))  # given back before the line has ended
time.sleep(0.5)
with memkit.span("steps"):
    steps = []
    for _ in range(8):
        steps.append(b"x" * (10 * MIB))
        time.sleep(0.05)
print("kept", (len(kept) + sum(map(len, steps))) // MIB, "MiB")
