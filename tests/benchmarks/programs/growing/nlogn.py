"""The divisors of all numbers up to a size: n log n of them."""

import sys

count = int(sys.argv[1])
divisors = [[] for _ in range(count)]
for divisor in range(1, count):
    for multiple in divisors[divisor::divisor]:
        multiple.append(divisor)  # dominates
