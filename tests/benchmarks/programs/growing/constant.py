"""Reads its input in chunks: memory does not depend on the size."""

import sys

total = 0
buffer = bytearray(60 << 20)  # dominates
for start in range(0, int(sys.argv[1]), 100_000):
    total += sum(range(start, start + 100_000))
