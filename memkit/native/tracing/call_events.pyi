from collections.abc import Callable
from types import BuiltinFunctionType, CodeType
from typing import Any, Literal, Self

from memkit.native.journal import Journal
from memkit.native.meter import Meter
from memkit.native.tracing.tracer import Tracer

class Calls(Tracer):
    def __new__(
        cls,
        meter: Meter,
        describe: Callable[[CodeType], tuple[int, bool, int] | None],
        # C functions come as builtin functions or as method descriptors, which have no type in common.
        describe_builtin: Callable[[Any], int] | None,
        describe_thread: Callable[[], tuple[int, int]],
        more: int,
        everywhere: bool,
        fault_bytes: int,
        disable: object = None,
    ) -> Self: ...
    def start(self) -> None: ...
    def enter(self, code: CodeType) -> None: ...
    def settle(self) -> None: ...
    def callbacks(self) -> tuple[BuiltinFunctionType, ...]: ...
    def read_cost(self) -> float: ...
    def flush(self, journal: Journal) -> None: ...
    @property
    def gate(self) -> Literal["perf", "rusage", "always"]: ...
