"""A recording without what tells of the machine that it was made on: paths, arguments, the host, texts of errors."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memkit.model.calls import LIBRARIES, Function, matcher

if TYPE_CHECKING:
    from memkit.model.ending import Ending
    from memkit.model.limit_events import Stack
    from memkit.model.recording import Recording, Span
    from memkit.system.balance_rows import Balance

_ROOTS = ("site-packages", "dist-packages")
_NOWHERE = "..."
"""A folder that is nowhere: a file of that name here is another one, whose text is not that of the recording."""
_LIBRARY = (_NOWHERE, "lib", "python3")
"""In such a folder a file is known to be of a library still."""


def redacted(recording: Recording) -> Recording:
    """The same recording with the names of files and commands in place of their paths and arguments, and no source text.

    What is kept: names of functions, threads, spans and types of exceptions. Attributes of spans are left out.
    """
    name = Names()
    own = recording.about
    argv = (_command(" ".join(own.argv[:2])),)
    about = own._replace(argv=argv, host=None, package=None, name=_rank(own.name))
    return replace(
        recording,
        about=about,
        lines=tuple(line._replace(function=name.of(line.function)) for line in recording.lines),
        heap_lines=tuple(line._replace(function=name.of(line.function)) for line in recording.heap_lines),
        calls=tuple(
            call._replace(
                function=name.of(call.function), handed=call.handed and call.handed._replace(root=name.of(call.handed.root))
            )
            for call in recording.calls
        ),
        spans=tuple(_span(span, name) for span in recording.spans),
        span_heaps=tuple(each._replace(inside=_inside(each.inside, name)) for each in recording.span_heaps),
        given=(),
        balances=tuple(map(_balance, recording.balances)),
        processes=tuple(
            process._replace(command=_command(process.command), ending=_ending(process.ending), name=_rank(process.name))
            for process in recording.processes
        ),
        unrecorded=tuple(each._replace(command=_command(each.command)) for each in recording.unrecorded),
        ending=_ending(recording.ending),
        executed=tuple((moment, _command(command)) for moment, command in recording.executed),
        sources=(),
        crossings=tuple(
            crossing._replace(stacks=_stacks(crossing.stacks, name), name=_known_limit(crossing.name, recording))
            for crossing in recording.crossings
        ),
        snapshot=recording.snapshot and recording.snapshot._replace(stacks=_stacks(recording.snapshot.stacks, name)),
        tracing=recording.tracing and recording.tracing._replace(targets=()),
        call_tracing=recording.call_tracing and recording.call_tracing._replace(targets=()),
        source=None,
    )


def _known_limit(name: str, recording: Recording) -> str:
    """The name of what was reached, unless a plugin has chosen it: that may have addresses in it."""
    return name if name in {recording.about.meter, "cgroup", *(limit.name for limit in recording.limits)} else "limit"


class Names:
    """What files are called without their folders: of a library its path in there, else the last step, made unique."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._taken: set[str] = set()
        self._of_library = matcher(LIBRARIES)

    def of(self, function: Function) -> Function:
        """The same function with such a file."""
        return function._replace(file=self.file(function.file))

    def file(self, path: str) -> str:
        """What a file is called."""
        if not path or path.startswith("<"):
            return path
        if path not in self._found:
            short = self._shortened(path)
            name, number = short, 2
            while name in self._taken:
                stem, ending = os.path.splitext(short)
                name, number = f"{stem}~{number}{ending}", number + 1
            self._taken.add(name)
            self._found[path] = name
        return self._found[path]

    def _shortened(self, path: str) -> str:
        steps = path.replace("\\", "/").split("/")
        if not self._of_library(path):
            return f"{_NOWHERE}/{steps[-1]}"
        for place in range(len(steps) - 2, -1, -1):
            if steps[place] in _ROOTS or steps[place].lower().startswith("python"):
                return "/".join([*_LIBRARY, *steps[place + 1 :]])
        return f"{_NOWHERE}/{steps[-1]}"


def _span(span: Span, name: Names) -> Span:
    return span._replace(attributes=(), inside=_inside(span.inside, name))


def _inside(found: tuple[Any, ...], name: Names) -> tuple[Any, ...]:
    return tuple(each._replace(path=tuple(map(name.of, each.path))) for each in found)


def _stacks(stacks: tuple[Stack, ...], name: Names) -> tuple[Stack, ...]:
    def named(stack: Stack) -> Stack:
        return stack._replace(frames=tuple(frame._replace(file=name.file(frame.file)) for frame in stack.frames))

    return tuple(map(named, stacks))


def _balance(balance: Balance) -> Balance:
    """A balance in which files and libraries have no folders."""
    rows = [
        row._replace(parts=tuple(part._replace(name=part.name.rpartition("/")[2]) for part in row.parts))
        for row in balance.rows
    ]
    return balance._replace(rows=tuple(rows), notes=())


def _command(command: str) -> str:
    """The name of a program, without its folder and arguments."""
    first, *rest = command.split(" ")
    if first == "-m":
        return " ".join([first, *rest[:1]])
    return first.replace("\\", "/").rpartition("/")[2]


def _rank(name: str | None) -> str | None:
    """The name of a process if it is a rank: another one may be that of a machine."""
    return name if name and re.fullmatch(r"rank \d+", name) else None


def _ending(ending: Ending) -> Ending:
    """An ending without the text of its error, which may name anything."""
    return ending._replace(error=ending.exception) if ending.error is not None else ending
