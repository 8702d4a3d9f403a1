"""``--pprof``: the call paths as a profile of Go's pprof, which Pyroscope, Parca and speedscope read, too.

The format is the ``profile.proto`` of https://github.com/google/pprof, compressed by gzip. A path is a sample of what it did
itself. No value is negative: Pyroscope drops a sample with a negative one, and speedscope refuses the whole file. So what
grew and what was freed are apart, and their difference is the growth of the recording.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T", bound=Hashable)

HEAP: tuple[tuple[str, str, Callable[[memkit.Heap], int]], ...] = (
    ("alloc_objects", "count", lambda heap: heap.blocks),
    ("alloc_space", "bytes", lambda heap: heap.allocated),
    ("inuse_objects", "count", lambda heap: heap.blocks - heap.blocks_freed),
    ("inuse_space", "bytes", lambda heap: heap.alive),
    ("heap_peak", "bytes", lambda heap: heap.alive_at_peak),
    ("temporary", "bytes", lambda heap: heap.temporary or 0),
)
"""What there is where heap was counted: names, units and values. The first four are called as Go calls them."""
NAMES = {"heap": "inuse_space", "heap-peak": "heap_peak", "allocated": "alloc_space"}
"""Of the keys of ``--by`` that have another name here."""
_END = 1 << 63


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_call_options(parser)
    memkit.add_by_option(parser)
    option = parser.add_argument(
        "--pprof",
        metavar="FILE",
        type=memkit.output_path,
        help="write the tree of calls for pprof, Pyroscope, Parca and speedscope; - is standard output",
    )
    option.one_recording, option.needs = True, "calls"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.pprof:
        return
    if not recording.calls:
        raise memkit.UsageError("--pprof has nothing to write: no calls were traced; record with --calls")
    import gzip

    whole = recording.by_thread() if options.by_thread else recording
    threads = frozenset((call.id, call.function) for call in whole.calls if call.parent is None)
    pieces = profile(memkit.chosen_calls(recording, options), memkit.chosen_by(options), threads)
    with (
        memkit.output(options.pprof, binary=True) as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,  # nothing in it is of this moment
    ):
        for piece in pieces:
            packed.write(piece)


def profile(
    recording: memkit.Recording, by: str | None = None, threads: frozenset[tuple[int, memkit.Function]] | None = None
) -> Iterator[bytes]:
    """The profile in pieces, so that the stacks of many samples are never in memory as a whole.

    ``threads`` are the roots that are one thread each, by id and function; None is all. Where calls were hidden, a root can
    stand for many threads or processes.
    """
    calls, about = recording.calls, recording.about
    counted = any(call.heap is not None for call in calls)
    by = memkit.transforms.picture_by(calls, by or ("heap" if counted else None))
    types = _types(calls, by, counted)
    tables = _Tables()
    yield from (_part(1, tables.value_type(name, unit)) for name, unit, *_ in types)
    yield from _samples(recording, types, tables, threads)
    program = next((word for word in about.argv if word != "-m"), "")
    symbols = _number(7, 1) + _number(8, 1) + _number(9, 1)  # functions, files and lines are here: none is to be looked for
    yield _part(3, _number(1, 1) + _number(5, tables.text(program)) + symbols)
    yield from map(tables.location, tables.places)
    yield from map(tables.function, tables.functions)
    comments = f"memkit: {memkit.__version__}", f"program: {about.command}", f"meter: {about.meter}"
    yield b"".join(
        (
            _number(9, int(about.began * 1_000_000_000)),
            _number(10, recording.duration),
            _part(11, tables.value_type("space", "bytes")),
            _number(12, (recording.heap and recording.heap.sampled) or 1),  # a byte: all are counted, if none is sampled
            _numbers(13, map(tables.text, comments)),
            _number(14, tables.text(NAMES.get(by, by))),
        )
    )
    yield from (_part(6, text.encode()) for text in ("", *tables.texts))


class _Type(NamedTuple):
    """What one value of each sample is."""

    name: str
    unit: str
    weights: dict[int, int]
    """By the ids of calls."""
    of_heap: Callable[[memkit.Heap], int] | None = None
    """What it is of a heap, where it is of one."""


def _types(calls: Sequence[memkit.Call], by: str, counted: bool) -> list[_Type]:
    """The values of a sample. Files whose types differ cannot be compared, so what they open with changes nothing here."""
    heaps = [(call.id, call.own_heap) for call in calls if call.own_heap is not None]
    sampled = memkit.heaps.is_sampled(calls)
    kinds = [kind for kind in HEAP if counted and not (sampled and kind[0] == "temporary")]
    found = [_Type(name, unit, {id: value(heap) for id, heap in heaps}, value) for name, unit, value in kinds]
    if sampled:
        return found
    grown = memkit.transforms.own_weights(calls, "growth")
    found.append(_Type("growth", "bytes", grown))
    found.append(_Type("freed", "bytes", {id: -weight for id, weight in grown.items()}))
    for key, unit in (("rise", "bytes"), ("peak", "bytes"), ("time", "nanoseconds")):
        if key != "peak" or by == "peak":
            found.append(_Type(key, unit, memkit.transforms.own_weights(calls, key)))
    return found


def _samples(
    recording: memkit.Recording,
    types: Sequence[_Type],
    tables: _Tables,
    threads: frozenset[tuple[int, memkit.Function]] | None,
) -> Iterator[bytes]:
    """A sample for each call that has a value other than 0, in the order of the tree; by line where lines are known."""
    lines = _Lines(recording.heap_paths)
    path: list[memkit.Call] = []
    stack: list[int] = []
    origins: list[tuple[bytes, bytes]] = []  # of each call on the path: the labels of its thread and of its process
    for depth, call in recording.walk():
        del path[depth:], stack[depth:], origins[depth:]
        if call.parent is None:
            one = threads is None or (call.id, call.function) in threads
            thread = tables.label("thread", call.function.name.strip("<>").removeprefix("thread "))
            thread += tables.label("thread_id", call.thread if one else 0)
            origin = thread, tables.label("pid", (call.process or recording.about.pid) if one else 0)
        elif call.handed is None:
            origin = origins[-1]
        else:  # any thread may have done it
            origin = b"", origins[-1][1] if call.process == path[-1].process else b""
        path.append(call)
        stack.append(tables.places[call.function, call.function.line])
        origins.append(origin)
        values = [type.weights.get(call.id, 0) for type in types]
        for numbers, heap in lines.of(path):
            of_line = [type.of_heap(heap) if type.of_heap else 0 for type in types]
            values = [value - part for value, part in zip(values, of_line)]
            places = [tables.places[each.function, number] for each, number in zip(path[-len(numbers) :], numbers)]
            yield from _sample([*stack[: -len(numbers)], *places], of_line, origin)
        yield from _sample(stack, values, origin)


def _sample(stack: Sequence[int], values: Sequence[int], origin: tuple[bytes, bytes]) -> Iterator[bytes]:
    values = [max(0, value) for value in values]
    if any(values):
        outermost = stack[: memkit.transforms.MOST_LEVELS]
        yield _part(2, _numbers(1, reversed(outermost)) + _numbers(2, values) + b"".join(origin))


class _Lines:
    """At which lines the calls of a path were, where the heap was sampled and stacks were read with their lines."""

    def __init__(self, paths: Iterable[memkit.HeapPath]):
        self._known = {path.id: path for path in paths}
        self._of_calls: dict[int, list[memkit.HeapPath]] = {}
        for path in self._known.values():
            if path.call is not None and path.own_heap.blocks:
                self._of_calls.setdefault(path.call, []).append(path)

    def of(self, calls: Sequence[memkit.Call]) -> Iterator[tuple[list[int], memkit.Heap]]:
        """The lines of the innermost of some calls, each that allocated, with what the last one has allocated at them."""
        for path in self._of_calls.get(calls[-1].id, ()):
            numbers: list[int] = []
            line: memkit.HeapPath | None = path
            for call in reversed(calls):
                if line is None or line.function != call.function:
                    break
                numbers.append(line.number)
                line = None if line.parent is None else self._known.get(line.parent)
            if numbers:
                yield numbers[::-1], path.own_heap


class _Numbers(dict[T, int]):
    """Things, each with a number from 1 on, in the order in which they are asked for first."""

    def __missing__(self, thing: T) -> int:
        self[thing] = number = len(self) + 1
        return number


class _Tables:
    """The texts, functions and places of a profile, which its other parts name by number, and the parts made of these."""

    def __init__(self) -> None:
        self.texts = _Numbers[str]()
        self.functions = _Numbers[memkit.Function]()
        self.places = _Numbers[tuple[memkit.Function, int]]()

    def text(self, text: str) -> int:
        """The number of a text on one line, 0 of none."""
        shown = memkit.units.show_on_a_line(text)
        return self.texts[shown] if shown else 0

    def value_type(self, name: str, unit: str) -> bytes:
        """What a value is."""
        return _number(1, self.text(name)) + _number(2, self.text(unit))

    def label(self, key: str, value: str | int) -> bytes:
        """A label of a sample; nothing for an empty one."""
        number = _number(2, self.text(value)) if isinstance(value, str) else _number(3, value)
        return _part(3, _number(1, self.text(key)) + number) if value else b""

    def location(self, place: tuple[memkit.Function, int]) -> bytes:
        """A place in a function: one of its lines, or where it begins if that is not known."""
        function, line = place
        of = _number(1, self.functions[function]) + _number(2, line)
        return _part(4, _number(1, self.places[place]) + _number(2, 1) + _part(4, of))

    def function(self, function: memkit.Function) -> bytes:
        """A function, without a ``system_name``: pprof would cut ``<module>`` out of that as a template of C++."""
        file = memkit.Source(function.file).name if function.file else ""
        names = _number(2, self.text(function.name)) + _number(4, self.text(file))
        return _part(5, _number(1, self.functions[function]) + names + _number(5, function.line))


# -- the wire format of protocol buffers -------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    """A number of 64 bits, seven of them a byte, the lowest first."""
    value = min(max(value, -_END), _END - 1) % (2 * _END)
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _number(field: int, value: int) -> bytes:
    """A field that is a number; nothing where it is 0, which a reader takes for granted."""
    return _varint(field << 3) + _varint(value) if value else b""


def _part(field: int, content: bytes) -> bytes:
    """A field that is a text or a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _numbers(field: int, values: Iterable[int]) -> bytes:
    """A field that is a list of numbers."""
    return _part(field, b"".join(map(_varint, values)))
