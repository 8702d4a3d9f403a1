"""The distances of all points from each other."""

import sys

import numpy

places = numpy.random.default_rng(1).random(int(sys.argv[1]))
distances = numpy.abs(places[:, None] - places[None, :])  # dominates
print(distances.mean())
