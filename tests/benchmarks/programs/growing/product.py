"""The product of two matrices with so many cells: three of them are alive, and the temporary of a sum."""

import sys

import numpy

count = int(int(sys.argv[1]) ** 0.5)
left = numpy.ones((count, count))
right = numpy.ones((count, count))
product = left @ right + left  # dominates
print(product[0, 0])
