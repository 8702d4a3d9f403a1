"""Needs the same up to some size, as what it begins with is larger; then more and more."""

import sys

count = int(sys.argv[1])
lookup = bytearray(48 << 20)
total = sum(lookup)
del lookup
values = [float(number) for number in range(count)]  # dominates
