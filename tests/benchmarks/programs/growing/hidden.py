"""A text that grows with its size, and pairs that grow with its square and that small runs hide below it."""

import sys

import numpy

count = int(sys.argv[1])
text = numpy.full(count * 200, 1, "u1")
weights = text[:: 200 * 150].astype(float)
del text
pairs = numpy.add.outer(weights, weights)  # dominates
print(pairs.mean())
