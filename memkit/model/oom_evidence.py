"""The evidence that a process ended because it was out of memory, and its words."""

from __future__ import annotations

from typing import Any, NamedTuple

from memkit.base.units import show_bytes
from memkit.model.limit_events import NamedLimit, SetLimit
from memkit.model.row_values import check
from memkit.system.limit import Limit
from memkit.system.limit_kinds import ADDRESS_SPACE, MACHINE

_REFUSED = {"thread": "refusal of a thread"}


class OutOfMemory(NamedTuple):
    """Why a process is said to have been out of memory. ``str()`` of it is the evidence in words."""

    cause: str
    """``oom_kill``: the kernel killed a process, which it counts; ``refused``: memory was refused, and nobody caught that;
    ``limit``: an exception was raised at the limit that was set with ``--limit``."""
    limits: tuple[NamedLimit, ...] = ()
    """Of ``oom_kill`` the limit that the group is under; of ``refused`` those that may have refused, the nearest first."""
    kind: str | None = None
    """Of ``oom_kill``: who counts, ``cgroup`` or ``machine``."""
    counter: str | None = None
    """Of ``oom_kill``: its name, such as ``cgroup /jobs``."""
    before: int | None = None
    """Of ``oom_kill``: the count before."""
    after: int | None = None
    """Of ``oom_kill``: the count afterwards."""
    refused: str | None = None
    """Of ``refused``: what was, a ``MemoryError``, an ``ENOMEM`` or a ``thread``."""
    address_space_peak: int | None = None
    """Of ``refused``: the largest address space that the process has had, in bytes."""
    set: SetLimit | None = None
    """Of ``limit``: that limit."""
    words: str | None = None
    """The evidence in words, where the recording has nothing else: memkit once wrote it so."""

    def __str__(self) -> str:
        """``cgroup /jobs (2.0 GiB): oom_kill rose by 1``."""
        if self.words is not None:
            return self.words
        if self.cause == "oom_kill":
            return f"{self._place()}: oom_kill rose by {(self.after or 0) - (self.before or 0)}"
        if self.cause == "refused":
            what = _REFUSED.get(self.refused or "", self.refused)
            return "; ".join([f"an uncaught {what}", *map(self._refusing, self.limits)])
        return "the limit that was set"

    def names(self, limit: Limit) -> bool:
        """Whether it speaks of a limit. What was refused may have been so by all that refuse."""
        if self.cause == "refused":
            return limit.refuses
        if self.limits:
            return any(limit.kind == each.kind and limit.name == each.name for each in self.limits)
        return limit.kind == self.kind and (self.kind == MACHINE or limit.name == self.counter)

    def _place(self) -> str:
        if not self.limits:
            return str(self.counter)
        limit = self.limits[0]
        within = "" if self.counter == limit.name else f"{self.counter} in "
        return f"{within}{limit.name} ({show_bytes(limit.size)})"

    def _refusing(self, limit: NamedLimit) -> str:
        peak = self.address_space_peak if limit.kind == ADDRESS_SPACE else None
        return f"{limit.name} {show_bytes(limit.size)}" + (f", of which {show_bytes(peak)} were in use" if peak else "")


_FIELDS = {
    "cause": "s",
    "kind": "S",
    "counter": "S",
    "before": "I",
    "after": "I",
    "refused": "S",
    "address_space_peak": "I",
    "words": "S",
}
"""What its fields have to be in a row: see ``row_values``."""


def evidence_of(fields: dict[str, Any]) -> OutOfMemory:
    """The evidence that a row has as an object. Raises ``TypeError`` or ``ValueError`` where that is damaged."""
    if not isinstance(fields, dict):
        raise TypeError(fields)
    known = {key: value for key, value in fields.items() if key in OutOfMemory._fields}
    known["limits"] = tuple(named_limit(each) for each in known.get("limits") or ())
    if known.get("set") is not None:
        known["set"] = set_limit_of(known["set"])
    check(map(known.get, _FIELDS), _FIELDS.values())
    return OutOfMemory(**known)


def named_limit(row: list[Any]) -> NamedLimit:
    """A limit that a row has as an array."""
    kind, name, size = row
    check((kind, name, size), "ssi")
    return NamedLimit(kind, name, size)


def set_limit_of(fields: dict[str, Any]) -> SetLimit:
    """The limit that a row has as an object. Raises as ``evidence_of`` does, and ``KeyError``."""
    if not isinstance(fields, dict):
        raise TypeError(fields)
    threshold, share, limit = fields["threshold"], fields.get("share"), fields.get("limit")
    check((threshold, share), "iF")
    return SetLimit(threshold, share, None if limit is None else named_limit(limit))
