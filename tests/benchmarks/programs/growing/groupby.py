"""A group-by of a table with several columns."""

import sys

import numpy
import pandas

count = int(sys.argv[1])
chance = numpy.random.default_rng(1)
table = pandas.DataFrame({name: chance.random(count) for name in "abcdef"})  # dominates
table["key"] = chance.integers(0, 1000, count)
sums = table.groupby("key").sum()
print(len(sums))
