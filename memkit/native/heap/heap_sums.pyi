from collections.abc import Callable
from typing import Self

from memkit.native.heap.span_heap import HeapOfSpans

class HeapSums(HeapOfSpans):
    def __new__(cls, paths: bool, lines: bool, named: Callable[[int, int | None, str], object]) -> Self: ...
