"""Holds some memory, and needs more for a moment now and then: HELD HEIGHT (MiB) LASTS EVERY FOR (seconds)."""

import sys
import time

held, height = (int(word) << 20 for word in sys.argv[1:3])
lasts, every, until = map(float, sys.argv[3:6])
kept = bytearray(b"x") * held
began = time.monotonic()
while time.monotonic() - began < until:
    time.sleep(every / 2)
    spike = bytearray(b"x") * height
    time.sleep(lasts)
    del spike
    time.sleep(every / 2)
