from typing import Self

from memkit.base.protocols import Bound
from memkit.native.journal import Journal
from memkit.native.meter import Meter

ACTIONS: dict[str, int]

class Guard:
    def __new__(cls, journal: Journal, meter: Meter, bound: Bound, began: int) -> Self: ...
    def end(self) -> None: ...
