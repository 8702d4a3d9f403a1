"""Does work in other processes, by every way that the standard library has to begin them."""

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor


class Point:
    """A class of ``__main__``, which other processes must find again."""

    def __init__(self, x):
        self.x = x


def doubled(point):
    return Point(point.x * 2)


def work(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        mapped = [point.x for point in pool.map(doubled, map(Point, range(4)))]
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        futures = [point.x for point in executor.map(doubled, map(Point, range(4)))]
    return mapped, futures


if __name__ == "__main__":
    for method in sys.argv[1:]:
        print(method, *work(method))
    print(type(pickle.loads(pickle.dumps(Point(1)))) is Point)
    print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True, check=True).stdout)
