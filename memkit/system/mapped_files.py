"""What the files are that a process has mapped: which library each belongs to, and where the memory of one ends."""

from __future__ import annotations

import os
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from memkit.system.smaps import Mapping

_INSTALLED = ("/site-packages/", "/dist-packages/")
_HEAD = 64  # bytes before the tables of a file of machine code
_ENTRY = 56  # bytes of a table's entry
_LOAD = 1  # PT_LOAD of /usr/include/elf.h


def is_code(path: str, permissions: Iterable[str]) -> bool:
    """Whether a file is a program or a library, by its name or since some of it is mapped to be executed."""
    return ".so" in path.rsplit("/", 1)[-1] or any("x" in each for each in permissions)


def name_of(path: str) -> str:
    """What to call the file of a library: the package that it was installed with, ``Python``, or ``libc`` for itself."""
    path = path.removesuffix(" (deleted)")
    name = path.rsplit("/", 1)[-1]
    for folder in _INSTALLED:
        if folder in path:
            package = path.partition(folder)[2].partition("/")[0].partition(".")[0].lstrip("_")
            return "polars" if package.startswith("polars") else package  # whose compiled part is a package of its own
    if "/memkit/native/" in path:
        return "memkit"
    is_program = name.startswith("python") and name[len("python") :].replace(".", "").isalnum()
    if is_program or name == "python" or (name.startswith("libpython") and ".so" in name) or "/lib-dynload/" in path:
        return "Python"
    return name.partition(".so")[0]


def ends(mappings: Iterable[Mapping], root: str) -> dict[str, int]:
    """Where the memory of each library ends, given its mappings: variables that begin as zeros lie behind what the file has.

    ``root`` is where the process's files are found. Files that cannot be read are left out.
    """
    begins: dict[str, int] = {}
    for mapping in mappings:
        if mapping.path.startswith("/"):
            begins.setdefault(mapping.path, mapping.start)
    found = {}
    for path, start in begins.items():
        size = _size_in_memory(root + path)
        if size:
            found[path] = start + size
    return found


def _size_in_memory(path: str) -> int:
    """From the first byte of a program or library of 64 bits to its last, in whole pages; 0 where that cannot be told."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device may do something
            return 0
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            if head[:5] != b"\x7fELF\2" or len(head) < _HEAD:
                return 0
            offset, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
            file.seek(offset)
            table = file.read(size * count)
    except (OSError, ValueError):
        return 0
    page = os.sysconf("SC_PAGE_SIZE")
    places = range(0, len(table) - _ENTRY + 1, max(size, _ENTRY))
    segments: list[tuple[int, int, int]] = [struct.unpack_from("<I12xQ16xQ", table, place) for place in places]
    loaded = [(address, length) for kind, address, length in segments if kind == _LOAD]
    if not loaded:
        return 0
    first = min(address for address, _ in loaded)
    return -(-max(address + length for address, length in loaded) // page) * page - first // page * page
