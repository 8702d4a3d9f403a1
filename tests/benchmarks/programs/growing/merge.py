"""A merge of two tables of pandas."""

import sys

import numpy
import pandas

count = int(sys.argv[1])
chance = numpy.random.default_rng(1)
orders = pandas.DataFrame({"customer": chance.integers(0, count // 4, count), "price": chance.random(count)})
customers = pandas.DataFrame({"customer": range(count // 4), "discount": chance.random(count // 4)})
joined = orders.merge(customers, on="customer")  # dominates
print(len(joined))
