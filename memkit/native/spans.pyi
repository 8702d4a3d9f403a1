from collections.abc import Callable
from types import ModuleType
from typing import Any

from memkit.native.journal import Journal

def bind(
    of_active: ModuleType,
    of_values: Callable[[Any], bytes],
    of_attributes: Callable[[dict[str, Any]], dict[str, Any]],
    whole_spans: int,
) -> None: ...

class SpanBase:
    label: str
    attributes: dict[str, Any]
    growth: int | None
    rise: int | None
    duration: int | None
    overlapped: bool | None
    allocated: int | None
    freed: int | None
    heap_peak: int | None

class RowsBase:
    journal: Journal
    meter: Any
    scoped: bool
    began: int
    sums: Any
    inside: Any
    at_last: Any
    following: Any
    ended: bool
    open: int
    def next_number(self) -> int: ...

class Open: ...
class Begun: ...
