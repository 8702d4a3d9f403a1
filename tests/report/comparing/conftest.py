"""Recordings of lines of files that are really there."""

import os
import textwrap
from dataclasses import replace

import pytest

from memkit.model.heap import Heap, HeapTotal
from memkit.model.lines import Line
from memkit.model.recording import Function, Tracing

MIB = 1 << 20


@pytest.fixture
def traced(made_up, tmp_path):
    """A function that writes a file and builds a recording of its lines.

    ``did`` maps a part of a line's text to what it did: growth in MiB, or (growth, rise, milliseconds, hits, alive). Others
    ran once and did nothing.
    """

    def make(text, did=None, *, folder="a", name="pipeline.py", peak=60, growth=0, samples=None, lost=False, **changes):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        text = textwrap.dedent(text).strip("\n") + "\n"
        path.write_text(text)
        os.utime(path, (1_600_000_000, 1_600_000_000))
        lines = []
        functions = _functions(text)
        for number, source in enumerate(text.split("\n"), 1):
            found = [size for part, size in (did or {}).items() if part in source]
            function = max(
                (each for each in functions if each[1] < number <= each[2]), default=None, key=lambda each: each[1]
            )
            if function is None and not found:
                continue
            where = Function(str(path), *(function[:2] if function else ("<module>", 1)))
            lines.append(_line(where, number, *(found[0] if found and isinstance(found[0], tuple) else (found or [0]))))
        if lost:
            path.unlink()
        how = Tracing("monitoring", "perf", None, 20.0, 400.0, 10, 5, targets=(str(path),))
        recording = made_up(*(samples or [(0, 20), (100, 20 + growth, peak)]), argv=(name,), **changes)
        counted = any(line.heap is not None for line in lines)
        return replace(recording, lines=tuple(lines), tracing=how, heap=HeapTotal("python", 0, 0, 0) if counted else None)

    return make


def _line(function, number, growth=0, rise=None, time=1, hits=1, alive=None):
    size = int(growth * MIB)
    rise = size if rise is None else int(rise * MIB)
    heap = None if alive is None else Heap(int(alive * MIB), 0, int(alive * MIB), 0, 1, 0)
    at = 20 * MIB + size
    return Line(function, number, hits, time * 1_000_000, size, at, at, rise, rise * hits, 0, rise, heap, heap)


def _functions(text):
    """The functions of a text: name, first line and last line."""
    import ast

    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [(node.name, node.lineno, node.end_lineno) for node in nodes]
