"""The source text that a page has beside lines and frames, with its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memkit.model.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memkit.model.calls import Function
    from memkit.model.recording import Recording

AROUND = 12
"""Lines of a function that was called, from where it begins."""
MOST_FUNCTIONS = 400
"""Of those that were called: the text of those that did most."""
MOST_CHARACTERS = 2 << 20
"""Of all text in a page."""
LONGEST_LINE = 500
_KINDS = (
    ("Comment", "c"),
    ("Literal.String", "s"),
    ("Literal.Number", "n"),
    ("Keyword", "k"),
    ("Operator.Word", "k"),
    ("Name.Function", "f"),
    ("Name.Class", "f"),
    ("Name.Decorator", "f"),
    ("Name.Builtin", "f"),
)
Piece = tuple[int, list[str], list[str]]
"""The number of the first line, the lines, and the colours of each."""


class Texts:
    """The text of what a recording names: ``of_files``, by file, and ``remarks``, on functions of which it is not sure.

    The text of such a function is by its file, line and name.
    """

    def __init__(self, recording: Recording):
        self.of_files: dict[str, list[Piece]] = {}
        self.remarks: dict[str, str] = {}
        self._recording = recording
        self._room = MOST_CHARACTERS
        self._taken: dict[str, set[int]] = {}
        for function, numbers in _numbers(recording):
            first = min(numbers) if function.name == "<module>" else min(function.line or numbers[0], *numbers)
            self._take(function, range(first, max(numbers) + 1), remark=True)
        for function in _most_first(recording):
            self._take(function, range(function.line, function.line + AROUND))
        for file, number in _of_stacks(recording):
            source = Source(file, recording.about.began, None, recording.sources)
            if not source.remark:
                self._add(file, source, range(number, number + 1))

    @property
    def is_whole(self) -> bool:
        """Whether there was room for all text."""
        return self._room > 0

    def _take(self, function: Function, numbers: range, remark: bool = False) -> None:
        if not function.file or self._room <= 0 or self._has(function.file, numbers):
            return
        recording = self._recording
        source = Source(function.file, recording.about.began, function, recording.sources)
        key = f"{function.file}:{function.line}:{function.name}"
        if remark and source.remark:
            self.remarks[f"{key}:0"] = source.remark
        if source.remark:  # not the text of the file, or not at these numbers
            self.of_files.setdefault(key, [])
            self._add(key, source, numbers)
        else:
            self._add(function.file, source, numbers)

    def _has(self, file: str, numbers: range) -> bool:
        return set(numbers) <= self._taken.get(file, set())

    def _add(self, file: str, source: Source, numbers: range) -> None:
        taken = self._taken.setdefault(file, set())
        numbers = range(max(1, numbers.start), min(numbers.stop, len(source.lines) + 1))
        wanted = [number for number in numbers if number not in taken]
        for run in _runs(wanted):
            lines = [source.line(number)[:LONGEST_LINE] for number in run]
            size = sum(map(len, lines))
            if size > self._room:
                self._room = 0
                return
            self._room -= size
            taken.update(run)
            self.of_files.setdefault(file, []).append((run[0], lines, coloured(lines)))


def _runs(numbers: list[int]) -> Iterator[list[int]]:
    """Numbers in a row, one list after the other."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _numbers(recording: Recording) -> Iterable[tuple[Function, list[int]]]:
    """The functions of which lines are known, and these; where they were sampled those that held most, at most so many."""
    if recording.lines:
        return [(function, [line.number for line in lines]) for function, lines in recording.functions.items()]
    found: dict[Function, list[int]] = {}
    for line in sorted(recording.heap_lines, key=lambda line: -line.heap.alive_at_peak):
        if line.function in found or len(found) < MOST_FUNCTIONS:
            found.setdefault(line.function, []).append(line.number)
    return found.items()


def _most_first(recording: Recording) -> Iterable[Function]:
    """The functions that did most of those that were called, each once, at most so many."""
    weights: dict[Function, int] = {}
    for call in recording.calls:
        weight = max(abs(call.growth), call.rise or 0, call.allocated or 0)
        weights[call.function] = max(weight, weights.get(call.function, 0))
    return sorted(weights, key=lambda function: -weights[function])[:MOST_FUNCTIONS]


def _of_stacks(recording: Recording) -> Iterator[tuple[str, int]]:
    stacks = [*(recording.snapshot.stacks if recording.snapshot else ())]
    for crossing in recording.crossings:
        stacks += crossing.stacks
    for stack in stacks:
        for frame in stack.frames:
            yield frame.file, frame.line


def coloured(lines: list[str]) -> list[str]:
    """The colours of each line: a letter and a length for each piece, ``k3-1f4``; ``-`` is plain text.

    Letters: ``k`` keyword, ``s`` string, ``n`` number, ``c`` comment, ``f`` name that is defined or built in.
    """
    tokens = _tokens("\n".join(lines))
    found: list[list[tuple[str, int]]] = [[] for _ in lines]
    row = 0
    for kind, text in tokens:
        for place, piece in enumerate(text.split("\n")):
            row += place > 0
            if piece and row < len(found):
                if found[row] and found[row][-1][0] == kind:
                    found[row][-1] = kind, found[row][-1][1] + len(piece)
                else:
                    found[row].append((kind, len(piece)))
    return [
        "".join(f"{kind}{length}" for kind, length in pieces) if any(k != "-" for k, _ in pieces) else "" for pieces in found
    ]


def _tokens(text: str) -> Iterable[tuple[str, str]]:
    """Pieces of Python source, each with its letter."""
    try:
        from pygments.lexers.python import PythonLexer
    except ImportError:  # it comes with rich
        return [("-", text)]
    lexer: Any = PythonLexer(stripnl=False, ensurenl=False)
    return ((_letter(str(kind)), piece) for kind, piece in lexer.get_tokens(text))


def _letter(kind: str) -> str:
    name = kind.removeprefix("Token.")
    return next((letter for prefix, letter in _KINDS if name.startswith(prefix)), "-")
