"""What a program raised, in the words of an ``end`` row."""

from __future__ import annotations

from memkit import headroom
from memkit.units import show_bytes

SET = "the limit that was set"
_REFUSING = ("RLIMIT_AS", "RLIMIT_DATA", "commit limit of this machine")
"""The limits at which memory is refused; at the others the kernel kills."""


def how_it_ended(error: BaseException | None) -> tuple:
    """The words of an ``end`` row for what a program raised: kind, error, code, evidence of want of memory."""
    if error is None:
        return ("ok",)
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code & 0xFF if isinstance(error.code, int) else 1
        return ("exited", None, code) if code else ("ok",)
    shortage = _shortage(error) if isinstance(error, MemoryError) else None
    name = type(error).__qualname__
    try:
        text = str(error).strip()
        return ("error", f"{name}: {text[:500]}" if text else name, None, shortage)
    except Exception:  # a broken __str__, or no memory left to call it
        return ("error", name, None, shortage)


def _shortage(error: MemoryError) -> str:
    """The evidence: the limit that was set, or those that may have refused memory, the nearest first.

    How much is in use now says little: what ran has given back its own.
    """
    try:
        if SET in str(error):
            return SET
        found = sorted((size - used, name, size) for name, size, used in headroom.find() if name in _REFUSING)
        most = headroom.address_space_peak()
        in_use = f", of which {show_bytes(most)} were in use" if most else ""
        limits = [f"{name} {show_bytes(size)}{in_use if name == 'RLIMIT_AS' else ''}" for _, name, size in found]
        return "; ".join(["an uncaught MemoryError", *limits])
    except Exception:  # a broken __str__, or no memory left to ask
        return "an uncaught MemoryError"
