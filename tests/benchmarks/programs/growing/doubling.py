"""A dictionary that doubles as it grows."""

import sys

found = {}
for number in range(int(sys.argv[1])):
    found[number] = None  # dominates
