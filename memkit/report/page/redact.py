"""A recording without what tells of the machine that it was made on: paths, arguments, the host, texts of errors."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memkit.model.calls import LIBRARIES, Function, matcher
from memkit.model.machines import machine_of
from memkit.model.workers import TOLD, kind_by_command
from memkit.system.limit_kinds import CGROUP, KINDS

if TYPE_CHECKING:
    from memkit.model.ending import Ending
    from memkit.model.limit_events import NamedLimit, SetLimit, Stack
    from memkit.model.metadata import About
    from memkit.model.oom_evidence import OutOfMemory
    from memkit.model.recording import Process, Recording, Span
    from memkit.system.balance_rows import Balance

_ROOTS = ("site-packages", "dist-packages")
_NOWHERE = "..."
"""A folder that is nowhere: a file of that name here is another one, whose text is not that of the recording."""
_LIBRARY = (_NOWHERE, "lib", "python3")
"""In such a folder a file is known to be of a library still."""
_PROGRAMS = re.compile(r"(python|pypy|ipython|java|node|perl|ruby|sh|bash|dash|zsh|env)[\d.]*(\.exe)?")
"""Programs that are known by their names: of others it is not known from a command where their path ends."""
_UNTOLD, _PROGRAM = "what is known of it is left out", "a program"
_REFUSED = ("MemoryError", "ENOMEM", "thread")
_CAUSES = ("oom_kill", "refused", "limit")


def redacted(recording: Recording) -> Recording:
    """The same recording with the names of files and commands in place of their paths and arguments, and no source text.

    What is kept: names of functions, threads, spans and types of exceptions. Attributes of spans are left out.
    """
    name, limits = Names(), LimitNames(recording)
    own = recording.about
    about = own._replace(argv=(_program(own),), host=None, package=None, name=_rank(own.name))
    return replace(
        recording,
        about=about,
        lines=tuple(line._replace(function=name.of(line.function)) for line in recording.lines),
        heap_lines=tuple(line._replace(function=name.of(line.function)) for line in recording.heap_lines),
        heap_paths=tuple(path._replace(function=name.of(path.function)) for path in recording.heap_paths),
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
            process._replace(
                command=_command_of(process, recording), ending=_ending(process.ending, limits), name=_rank(process.name)
            )
            for process in recording.processes
        ),
        unrecorded=tuple(each._replace(command=_command(each.command)) for each in recording.unrecorded),
        ending=_ending(recording.ending, limits),
        oom_kills=recording.oom_kills and limits.evidence(recording.oom_kills),
        limits=tuple(each._replace(name=limits.of(each.kind, each.name)) for each in recording.limits),
        group=tuple(each._replace(name=limits.of(CGROUP, each.name)) for each in recording.group),
        executed=tuple((moment, _command(command)) for moment, command in recording.executed),
        sources=(),
        crossings=tuple(
            crossing._replace(stacks=_stacks(crossing.stacks, name), name=limits.reached(crossing.name))
            for crossing in recording.crossings
        ),
        snapshot=recording.snapshot and recording.snapshot._replace(stacks=_stacks(recording.snapshot.stacks, name)),
        tracing=recording.tracing and recording.tracing._replace(targets=()),
        call_tracing=recording.call_tracing and recording.call_tracing._replace(targets=()),
        source=None,
    )


class LimitNames:
    """What limits are called by their kinds: the name of a control group tells of users and jobs."""

    def __init__(self, recording: Recording) -> None:
        self._groups: dict[str, str] = {"cgroup /": "cgroup /"}
        self._known = {each.name: each.kind for each in recording.limits}
        self._meter = recording.about.meter
        for each in recording.limits:
            self.of(each.kind, each.name)

    def of(self, kind: str, name: str) -> str:
        """What a limit is called: one name for one limit."""
        if kind != CGROUP:
            return _LIMITS.get(kind, "limit")
        return self._groups.setdefault(name, f"cgroup {len(self._groups)}")

    def reached(self, name: str) -> str:
        """What was reached, a limit or a meter; if a plugin has named it, that may have addresses in it."""
        if name in self._known:
            return self.of(self._known[name], name)
        return name if name in (self._meter, "cgroup") else "limit"

    def set(self, limit: SetLimit) -> SetLimit:
        """The limit that was set."""
        return limit if limit.limit is None else limit._replace(limit=self._named(limit.limit))

    def evidence(self, found: OutOfMemory) -> OutOfMemory:
        """Evidence without names and words, but with its kind and numbers."""
        kind = found.kind if found.kind in KINDS else None
        counter = None if found.counter is None else self.of(kind, found.counter) if kind else "the kernel's count"
        return found._replace(
            cause=found.cause if found.cause in _CAUSES else "limit",
            limits=tuple(map(self._named, found.limits)),
            kind=kind,
            counter=counter,
            refused=found.refused if found.refused is None or found.refused in _REFUSED else "refusal of memory",
            set=found.set and self.set(found.set),
            words=None if found.words is None else _UNTOLD,
        )

    def _named(self, limit: NamedLimit) -> NamedLimit:
        return limit._replace(name=self.of(limit.kind, limit.name), kind=limit.kind if limit.kind in KINDS else "limit")


_LIMITS = dict(zip(KINDS[1:], ("memory of this machine", "RLIMIT_AS", "RLIMIT_DATA", "commit limit of this machine")))
"""What limits of all kinds are called but those of control groups."""


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


def _program(about: About) -> str:
    """The name of the program that was recorded, without its folder and arguments."""
    if not about.argv or (about.recorder is not None and " " in about.argv[0]):  # a process may call itself anything
        return _command(" ".join(about.argv[:1]))
    return " ".join([_last(about.argv[0]), *(map(_last, about.argv[1:2]) if about.argv[0] == "-m" else ())])


def _command_of(process: Process, recording: Recording) -> str:
    """What the command of a process is without its folder and arguments; what it is for, if that is told by them."""
    if (kind := kind_by_command(process.command)) is not None:
        return kind
    return _program(recording.about) if process.command == recording.about.command else _command(process.command)


def _command(command: str) -> str:
    """The name of a program, without its folder and arguments: of a path with spaces nobody knows where it ends."""
    if (kind := kind_by_command(command)) is not None:
        return kind
    told = command.removesuffix(f" on machine {machine_of(command)}")
    if told in TOLD:
        return told
    first, *rest = command.split(" ")
    if first == "-m" and rest and _last(rest[0]) == rest[0]:
        return f"{first} {rest[0]}"
    if any(_last(word) != word for word in rest) and not _PROGRAMS.fullmatch(_last(first)):
        return _PROGRAM
    return _last(first)


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _rank(name: str | None) -> str | None:
    """The name of a process if it is a rank: another one may be that of a machine."""
    return name if name and re.fullmatch(r"rank \d+", name) else None


def _ending(ending: Ending, limits: LimitNames) -> Ending:
    """An ending without the text of its error, which may name anything; that there was one is still known."""
    limit = ending.limit and limits.set(ending.limit)
    error = ending.error and (ending.exception or (str(limit) if limit else _UNTOLD))
    evidence = ending.out_of_memory and limits.evidence(ending.out_of_memory)
    return ending._replace(error=error, limit=limit, out_of_memory=evidence)
