"""What a program raised, in the words of an ``end`` row."""

from __future__ import annotations


def how_it_ended(error: BaseException | None) -> tuple:
    """The words of an ``end`` row for what a program raised: kind, error, code, evidence of want of memory."""
    if error is None:
        return ("ok",)
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code & 0xFF if isinstance(error.code, int) else 1
        return ("exited", None, code) if code else ("ok",)
    shortage = "an uncaught MemoryError" if isinstance(error, MemoryError) else None
    name = type(error).__qualname__
    try:
        text = str(error).strip()
        return ("error", f"{name}: {text[:500]}" if text else name, None, shortage)
    except Exception:  # a broken __str__, or no memory left to call it
        return ("error", name, None, shortage)
