"""Names of the roots of calls: of threads, and of the threads of processes that do the same work.

Threads whose names differ only in numbers, such as those of a pool, are not told apart beyond a few.
"""

from __future__ import annotations

from itertools import groupby

MOST_THREADS = 8
"""How many such threads have call trees of their own."""


def without_numbers(name: str) -> str:
    """A name with a star for each number in it."""
    return "".join("*" if is_number else "".join(letters) for is_number, letters in groupby(name, str.isdigit))


def of_kind(root: str, kind: str) -> str:
    """The root of a thread of a process of some kind: ``<joblib worker>`` for ``<thread MainThread>``."""
    thread = root.strip("<>").removeprefix("thread ")
    return f"<{kind}>" if thread == "MainThread" else f"<{thread} of {kind}>"


def of_several(root: str, count: int) -> str:
    """The same root of several processes: ``<2 joblib workers>``."""
    before, of, kind = root.strip("<>").rpartition(" of ")
    return f"<{before}{of}{count:,} {kind}{'es' if kind.endswith('s') else 's'}>"


def of_process(root: str, pid: int) -> str:
    """The same root of one of them: ``<joblib worker 4242>``."""
    return f"{root.removesuffix('>')} {pid}>"
