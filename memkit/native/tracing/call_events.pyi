from collections.abc import Callable
from types import BuiltinFunctionType, CodeType
from typing import Any, Self

from memkit.native.meter import Meter
from memkit.native.tracing.greenlet_switches import StackTracer

class Calls(StackTracer):
    def __new__(
        cls,
        meter: Meter,
        describe: Callable[[CodeType], tuple[int, bool, int, tuple[int, str | None, int]] | None],
        # C functions come as builtin functions or as method descriptors, which have no type in common.
        describe_builtin: Callable[[Any], int] | None,
        describe_thread: Callable[[], tuple[int, int, int, int] | None],
        more: int,
        everywhere: bool,
        disable: object = None,
        give: Callable[[int, str], None] | None = None,
        with_heap: bool = False,
    ) -> Self: ...
    def start(self) -> None: ...
    def enter(self, code: CodeType) -> None: ...
    def settle(self) -> None: ...
    def callbacks(self) -> tuple[BuiltinFunctionType, ...]: ...
    def read_cost(self) -> float: ...
