"""A budget of CPU time, so that measuring takes no more than a share of it."""

from __future__ import annotations


class Budget:
    """CPU time that may be spent: a share of the time that passes, up to ``most``, and ``start`` at the beginning."""

    def __init__(self, share: float, start: int, most: int) -> None:
        self._share, self._left, self._most = share, float(start), most
        self._last: int | None = None

    def allows(self, now: int, credit: int = 0) -> bool:
        """Whether anything is left, with a ``credit``. What is spent then may be more than that."""
        if self._last is not None:
            self._left = min(self._left + (now - self._last) * self._share, self._most)
        self._last = now
        return self._left + credit > 0

    def spend(self, nanoseconds: int) -> None:
        """Take off what was spent."""
        self._left -= nanoseconds
