"""Descriptors in a program that may close any of them: waiting for some, and telling whether one is still what it was.

However high their numbers are: ``select.select`` knows those below 1024 only.
"""

from __future__ import annotations

import os

from memkit.base.threads import unpatched

_MILLISECOND = 1_000_000
_SECOND = 1000 * _MILLISECOND
_SELECTED = 1024
_READ, _TRIES = 1 << 16, 5
_STANDARD_ERROR = 2


def readable(descriptors: list[int], nanoseconds: int = 0) -> list[int]:
    """Those of some descriptors that become readable within a time; those that are closed are not waited for."""
    import select

    seconds = nanoseconds / _SECOND
    if not descriptors or not hasattr(select, "poll"):
        unpatched("time", "sleep")(seconds)
        return []
    poll = unpatched("select", "poll")()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    # Rounded up: a poll of 0 ms until the moment has come would take a whole processor.
    ready = poll.poll(-(-nanoseconds // _MILLISECOND))
    closed = [descriptor for descriptor, event in ready if event & select.POLLNVAL]
    if closed and len(closed) == len(ready):
        unpatched("time", "sleep")(min(seconds, 0.01))
    return [descriptor for descriptor, event in ready if not event & select.POLLNVAL]


def writable(descriptor: int) -> bool:
    """Whether a descriptor, perhaps of a terminal, takes something now."""
    import select

    if descriptor < _SELECTED:  # macOS cannot poll a terminal
        return bool(select.select([], [descriptor], [], 0)[1])
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(not event & select.POLLNVAL for _, event in poll.poll(0))


def identity(fd: int) -> tuple[int, int, int, int] | None:
    """What a descriptor leads to, which tells whether a program has closed it and used its number again; None if closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    # The number of a file that is gone may be given to another, but that one has a name.
    return found.st_dev, found.st_ino, found.st_mode, found.st_nlink


def moved_up(fd: int) -> int:
    """A descriptor of the same file whose number is out of a program's way, in place of this one.

    Programs that close what they do not know begin with low numbers, and open standard streams anew under the lowest: it is
    above these even where there are no high ones. Raises ``OSError`` where there is no number left.
    """
    try:
        import fcntl

        again = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _high())
    except (ImportError, OSError):
        if fd > _STANDARD_ERROR:
            return fd
        again = -1
    try:
        return again if again >= 0 else moved_up(os.dup(fd))
    finally:
        os.close(fd)


def _high() -> int:
    """As in ``memkit.native.descriptors``."""
    most = os.sysconf("SC_OPEN_MAX")
    return (min(most, _SELECTED) if most > 0 else _SELECTED) * 7 // 8


def content(path: str) -> bytes:
    """What a file of the kernel's says, whatever the program does with descriptors meanwhile. Raises ``OSError``.

    The program may close this one, too, and use its number: what is read then is not taken, and what is the program's is
    not closed.
    """
    for _ in range(_TRIES):
        there = os.stat(path).st_dev
        file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        ours = identity(file)
        if ours is None or ours[0] != there:
            continue
        try:
            text = _all_of(file)
        except OSError:
            if identity(file) == ours:
                os.close(file)
                raise
            continue
        if identity(file) == ours:
            os.close(file)
            return text
    raise OSError(f"{path} cannot be read: its descriptor is closed each time")


def _all_of(file: int) -> bytes:
    text = b""
    while more := os.pread(file, _READ, len(text)):  # until the end: a list comes in pieces of about a page
        text += more
    return text
