"""pidfds: to be told when a process ends, and how it ended, even where it is not our child.

Source: ``man 2 pidfd_open``; ``PIDFD_GET_INFO`` in ``include/uapi/linux/pidfd.h``, which tells of an end from Linux 6.15 on.
"""

from __future__ import annotations

import os
import sys

from memkit.base.descriptors import identity, moved_up, readable

MOST = 200
_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, struct pidfd_info), whose first version has 64 bytes
_INFO_EXIT = 8
_CODE_AT = 60


class Pidfd:
    """A pidfd: its ``fd`` is readable when the process has ended. Raises ``OSError`` where the system gives none.

    ``guest`` is whether this is somebody else's process, which may close descriptors and use their numbers again.
    """

    __slots__ = ("_what", "fd")

    def __init__(self, pid: int, guest: bool = False):
        self.fd = _opened(pid)
        if guest:
            self.fd = moved_up(self.fd)
        self._what = identity(self.fd)

    def ending(self) -> tuple[int | None, int | None] | None:
        """Exit code and signal, one of them None, of a process whose end its parent knows; else None."""
        if not self.ours:
            return None
        import fcntl

        told = bytearray(_INFO_EXIT.to_bytes(8, sys.byteorder) + bytes(56))
        try:
            fcntl.ioctl(self.fd, _GET_INFO, told)
        except OSError:
            return None
        if not int.from_bytes(told[:8], sys.byteorder) & _INFO_EXIT:
            return None
        return from_status(int.from_bytes(told[_CODE_AT:], sys.byteorder))

    @property
    def lives(self) -> bool:
        """Whether the process has not ended yet. Asking takes no memory of the kernel's."""
        return self.ours and not readable([self.fd])

    @property
    def ours(self) -> bool:
        """Whether the descriptor is still what it was."""
        return self.fd >= 0 and identity(self.fd) == self._what

    def close(self) -> None:
        if self.ours:
            os.close(self.fd)
        self.fd = -1


def from_status(status: int) -> tuple[int | None, int | None]:
    """Exit code and signal from what wait() gives."""
    return (None, status & 0x7F) if status & 0x7F else (status >> 8 & 0xFF, None)


def tells_apart() -> bool:
    """Whether the kernel gives each process a file of its own, so that its descriptor can be told from any other."""
    try:
        one, other = Pidfd(os.getpid()), Pidfd(os.getppid() or 1)
    except OSError:
        return False
    apart = one._what != other._what
    one.close()
    other.close()
    return apart


def _opened(pid: int) -> int:
    if not hasattr(os, "pidfd_open"):
        raise OSError("this system has no pidfd_open")
    return os.pidfd_open(pid)
