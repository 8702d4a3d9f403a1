from collections.abc import Callable, Sequence
from types import BuiltinFunctionType, CodeType
from typing import Self

from memkit.native.meter import Meter
from memkit.native.tracing.greenlet_switches import StackTracer

class Lines(StackTracer):
    def __new__(
        cls,
        meter: Meter,
        wanted: Callable[[CodeType], tuple[int, int, int, Sequence[int], CodeType | None] | tuple[()] | None],
        disable: object = None,
        keep: bool = False,
        with_heap: bool = False,
        of_threads: Callable[[], object] | None = None,
        is_brief: bool = False,
    ) -> Self: ...
    def trace(self, code: CodeType) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def sums(
        self,
    ) -> list[tuple[CodeType, int, tuple[int, int, int, int], list[tuple[int, int, int, int, int, int]]]]: ...
    def codes(self) -> list[CodeType]: ...
    def callbacks(self) -> tuple[BuiltinFunctionType, ...]: ...
    def read_cost(self) -> float: ...
