"""The library that counts what the C library allocates: the system's loader puts it before all others of a program."""

from __future__ import annotations

import _imp
import os

VARIABLE = "LD_PRELOAD"
_SANITIZERS = tuple(f"lib{which}san" for which in ("a", "hwa", "l", "t", "clang_rt.a", "clang_rt.hwa", "clang_rt.t"))


ONLY_PRELOADED = "memkit-run --heap counts it"
"""What is said of the C library's allocations where nobody asked for them, and they could be counted."""
_NOT_ARRIVED = f"{VARIABLE} did not reach the program: what starts it changes the environment"
_NOT_LOADED = f"the loader ignored {VARIABLE}, as it does for a program that is static, setuid or has capabilities"

_given: bool | None = None  # whether the library was preloaded here; None where nobody asked for it


def library() -> str:
    """The path of the library, which need not be there."""
    native = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "native", "heap")
    return os.path.join(native, "preload" + next(iter(_imp.extension_suffixes()), ""))


def why_not() -> str | None:
    """Why it cannot be used here, or None."""
    path = library()
    if not os.path.exists(path):
        return "its library was not built"
    if " " in path or ":" in path:
        return f"the loader cannot preload {path!r}, which has a space or a colon in it"
    for other in os.environ.get(VARIABLE, "").replace(":", " ").split():
        if os.path.basename(other).startswith(_SANITIZERS):
            return f"{other!r} is preloaded, which must be the first"
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):
        libc = None
    return None if libc else "the C library is not glibc"


def why_absent(counted: str) -> str | None:
    """Why it does not count in this process, in which so much is ``counted``; None where that need not be said."""
    if counted == "python, c":
        return None
    if _given is None and "c" in counted.split():
        return None  # nobody asked for it, and nobody needs it
    if reason := why_not():
        return reason
    return ONLY_PRELOADED if _given is None else _NOT_LOADED if _given else _NOT_ARRIVED


def look(asked: bool) -> None:
    """See whether the environment of this process names the library; ``asked`` is whether it should."""
    global _given
    if os.environ.get(VARIABLE, "").partition(":")[0] == library():
        _given = True
    elif asked:
        _given = False


def environment() -> dict[str, str] | None:
    """The environment of a program that has the library, before what is preloaded already; None where it cannot be."""
    if why_not() is not None:
        return None
    before = os.environ.get(VARIABLE)
    return {**os.environ, VARIABLE: library() if before is None else f"{library()}:{before}"}


def restore() -> None:
    """Set the environment of this program back, so that what it starts does not have the library."""
    first, was_set, before = os.environ.get(VARIABLE, "").partition(":")
    if first != library():
        return
    if was_set:
        os.environ[VARIABLE] = before
    else:
        del os.environ[VARIABLE]
