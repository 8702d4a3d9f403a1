"""A sorted copy of numbers, as Python has them."""

import random
import sys

random.seed(1)
values = [random.random() for _ in range(int(sys.argv[1]))]  # dominates
ordered = sorted(values)
print(ordered[0])
