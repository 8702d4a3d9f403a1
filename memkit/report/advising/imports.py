"""What imports cost: by package, in each process, and whether anything of it was called afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from memkit.model.calls import LIBRARIES, Call, matcher
from memkit.model.recording import Recording

_PACKAGE = re.compile(r"(?:site-packages|dist-packages|lib64?/(?:python|pypy)[\d.]+)/(\w+)")


class Import(NamedTuple):
    """A package as a process imported it, with all that it imported in turn."""

    package: str
    process: int | None
    growth: int
    calls: int
    """How often a function of it was called other than by imports."""


def imports(recording: Recording) -> list[Import]:
    """The packages that each process imported first, in order."""
    hidden = matcher(LIBRARIES)
    inside: dict[int, str] = {}  # the calls that an import made, with the package that was imported
    grown: dict[tuple[str, int | None], int] = {}
    called: dict[tuple[str, int | None], int] = {}
    for call in recording.calls:
        of = inside.get(call.parent) if call.parent is not None else None
        if of is None and call.function.name == "<module>" and hidden(call.function.file):
            of = package_of(call)
            if of:
                grown[of, call.process] = grown.get((of, call.process), 0) + call.growth
        if of:
            inside[call.id] = of
        elif name := package_of(call):
            called[name, call.process] = called.get((name, call.process), 0) + call.calls
    return [Import(*key, growth, called.get(key, 0)) for key, growth in grown.items()]


def package_of(call: Call) -> str:
    """The package that the function of a call belongs to, by its file, or in C by its name; empty where none is known."""
    function = call.function
    if not function.file:
        return function.name.partition(".")[0] if "." in function.name else ""
    found = _PACKAGE.search(function.file.replace("\\", "/"))
    return found[1] if found else ""


def by_process(found: list[Import]) -> Iterator[tuple[int | None, int]]:
    """What all imports of each process grew it by."""
    sums: dict[int | None, int] = {}
    for each in found:
        sums[each.process] = sums.get(each.process, 0) + max(0, each.growth)
    yield from sums.items()
