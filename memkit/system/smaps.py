"""The mappings of a process, each with what of it is resident: Linux's ``/proc/PID/smaps``. Source: ``man 5 proc``."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_KIB = 1024
_SHARED = ("/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem:")


class Mapping(NamedTuple):
    """A stretch of a process's addresses. Sizes are bytes."""

    start: int
    end: int
    permissions: str
    """As in ``rw-p``: read, write, execute, and private or shared."""
    path: str
    """A file, or a name in brackets that the kernel or the program gave; empty for most anonymous memory."""
    rss: int
    anonymous: int
    """What of it belongs to no file: pages of a private file that were written to, too."""
    flags: frozenset[str]
    """Two letters each, as in ``VmFlags``."""

    @property
    def is_anonymous(self) -> bool:
        """Whether it is private memory of the program's own: neither of a file nor of the kernel, nor main heap or stack."""
        return self.permissions.endswith("p") and (not self.path or self.path.startswith("[anon:"))

    @property
    def is_shared_memory(self) -> bool:
        """Whether it belongs to no file on a disk, and other processes may have it, too."""
        return self.path.startswith(_SHARED)

    @property
    def is_guard(self) -> bool:
        """Whether it may be what lies below the stack of a thread, so that an overflow is a fault."""
        return self.permissions.startswith("---") and not self.path and self.end - self.start <= 1 << 20


def parse(text: bytes) -> Iterator[Mapping]:
    """The mappings in a text of ``smaps``, in the order of their addresses."""
    parts = text.split(b"\nSize:")  # the first line below the one with the addresses
    for before, told in pairwise(parts):
        head = before[before.rfind(b"\n") + 1 :].split(None, 5)
        start, _, end = head[0].partition(b"-")
        path = head[5].decode(errors="surrogateescape").strip() if len(head) > 5 else ""
        rss, anonymous = (_KIB * int(_told(told, name).rstrip(b"kB") or 0) for name in (b"Rss", b"Anonymous"))
        flags = frozenset(_told(told, b"VmFlags").decode().split())
        yield Mapping(int(start, 16), int(end, 16), head[1].decode(), path, rss, anonymous, flags)


def _told(text: bytes, name: bytes) -> bytes:
    """What a line tells; nothing, if an older kernel has no such line."""
    begin = text.find(b"\n%b:" % name)
    if begin < 0:
        return b""
    begin += len(name) + 2
    end = text.find(b"\n", begin)
    return text[begin : end if end >= 0 else None].strip()
