from typing import Self

from memkit.native.heap.counted_heap import CountedHeap

class HeapSums(CountedHeap):
    def __new__(cls, paths: bool, lines: bool) -> Self: ...
