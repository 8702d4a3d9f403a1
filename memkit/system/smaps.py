"""The mappings of a process, each with what of it is resident: Linux's ``/proc/PID/smaps``. Source: ``man 5 proc``."""

from __future__ import annotations

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
    head: list[bytes] = []
    sizes: dict[bytes, int] = {}
    flags: frozenset[str] = frozenset()
    for line in text.splitlines():
        name, colon, value = line.partition(b":")
        if not colon or b" " in name:  # an address range: a path may have colons
            if head:
                yield _mapping(head, sizes, flags)
            head, sizes, flags = line.split(None, 5), {}, frozenset()
        elif name == b"VmFlags":
            flags = frozenset(value.decode().split())
        elif name in (b"Rss", b"Anonymous"):
            sizes[name] = int(value.split()[0]) * _KIB
    if head:
        yield _mapping(head, sizes, flags)


def _mapping(head: list[bytes], sizes: dict[bytes, int], flags: frozenset[str]) -> Mapping:
    start, _, end = head[0].partition(b"-")
    path = head[5].decode(errors="surrogateescape").strip() if len(head) > 5 else ""
    permissions = head[1].decode()
    return Mapping(int(start, 16), int(end, 16), permissions, path, sizes.get(b"Rss", 0), sizes.get(b"Anonymous", 0), flags)
