from collections.abc import Container, Sequence
from typing import Protocol, Self, type_check_only

from memkit.native.journal import Journal
from memkit.native.meter import Meter

ACTIONS: dict[str, int]

@type_check_only
class Limit(Protocol):
    """What a guard is given: in memkit, a ``memkit.record.limit_guard.Bound``."""

    EXIT_CODE: int
    threshold: int
    again: int
    action: str
    total: int
    words: bytes
    last_words: bytes
    ending: bytes
    said: str
    @property
    def NOT_IN(self) -> Container[str]: ...
    @property
    def counters(self) -> Sequence[tuple[str, str, int, bool]]: ...
    def quote(self, text: str, /) -> str: ...
    def stacks(self, time: int, /) -> bytes: ...

class Guard:
    def __new__(cls, journal: Journal, meter: Meter, bound: Limit, began: int) -> Self: ...
    def end(self) -> None: ...
