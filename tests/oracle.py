"""What a line tracer must find, found by other means: a program of its own, so that each engine has a process to itself.

::

    python tests/oracle.py settrace|monitoring|memkit FOLDER

runs every program in the folder and prints as JSON, for each, what was found out:

* ``hits``, of each code object by identity and each line, counted by a trace function in Python, or by memkit;
* ``booked``, what each line did to memory, known without any tracing: the programs take memory with ``keep`` and give it
  back with ``drop``, which look at the stack of their thread and book the bytes on the innermost line of each code object
  there is. That is the line that really grew and those that called it, each byte once however deep a recursion is;
* ``growth`` and the other columns as memkit has them.

Every program runs once before, so that imports and first uses are over.
"""

import ast
import json
import mmap
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

MIB = 1 << 20
MADE = "<made>"
"""The file name of code that a program makes while it runs."""
SWITCH = 1000
"""Seconds until a thread has to give up the GIL: none is, between taking memory and booking it."""


class TheEnd(Exception):
    """What a program may end with."""


class Book:
    """Sums by function and line. Code that is made anew, with the same name and lines, is of the same function."""

    def __init__(self, file):
        self._files = (file, MADE)
        self._codes = {}
        self.sums = defaultdict(lambda: defaultdict(int))

    def owns(self, code):
        return code.co_filename in self._files

    def add(self, code, line, amount):
        last = max((line for _, _, line in code.co_lines() if line), default=0)
        function = code.co_filename, code.co_qualname, code.co_firstlineno, last
        self._codes.setdefault(function, code)
        self.sums[function][line] += amount

    def pages(self):
        """For each function its name, first line and sums."""
        return sorted(
            [code.co_qualname, code.co_firstlineno, sorted(self.sums[each].items())] for each, code in self._codes.items()
        )


class Hits(Book):
    """How often each line was begun; one of a statement of several lines once each time that the statement runs."""

    def __init__(self, file):
        super().__init__(str(file))
        self._statements, self._frames = statements(file.read_text()), {}

    def begin(self, frame):
        self._frames.pop(id(frame), None)

    def line(self, frame, line):
        before, latest, begun = self._frames.get(id(frame), (None, None, set()))
        statement = self._statements.get(line) if frame.f_code.co_filename != MADE else None
        if statement is None or statement != before or line == latest:
            begun = set()
        self._frames[id(frame)] = statement, line, begun | {line}
        if line not in begun:
            self.add(frame.f_code, line, 1)


def statements(text):
    """For each line of a statement of several lines, or of the head of one with a body, a number of its own."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            for part in heads(node) if hasattr(node, "body") else [node]:
                for line in range(part.lineno, part.end_lineno + 1) if part.end_lineno > part.lineno else ():
                    found.setdefault(line, id(part))
    return found


def heads(node):
    """The expressions in a statement that are not in its body."""
    for name, child in ast.iter_fields(node):
        for part in child if isinstance(child, list) else [child]:
            if isinstance(part, ast.AST) and name not in ("body", "orelse", "handlers", "finalbody"):
                yield from (each for each in ast.walk(part) if isinstance(each, ast.expr))


booked = Book(None)


def keep(mebibytes):
    """Take that much memory, all of it touched."""
    block = mmap.mmap(-1, mebibytes * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    block[:: mmap.PAGESIZE] = b"x" * (len(block) // mmap.PAGESIZE)
    _write_down(len(block))
    return block


def drop(block):
    """Give it back."""
    block.madvise(mmap.MADV_DONTNEED)  # which holds the GIL, as close() does not
    _write_down(-len(block))
    block.close()


def _write_down(size):
    frame, met = sys._getframe(), set()
    while frame is not None:
        code = frame.f_code
        if booked.owns(code) and id(code) not in met:
            met.add(id(code))
            booked.add(code, frame.f_lineno, size)
        frame = frame.f_back


# -- three ways to run a program -------------------------------------------------------------------------------------


def run(file):
    code = compile(file.read_text(), str(file), "exec", dont_inherit=True)
    with suppress(TheEnd):
        exec(code, {"__name__": "traced"})


def under_settrace(file):
    hits = Hits(file)

    def on_call(frame, event, argument):
        if frame.f_lasti <= 2 * sys.version_info[1]:  # it begins, and is not resumed
            hits.begin(frame)
        return on_line if hits.owns(frame.f_code) else None

    def on_line(frame, event, argument):
        if event == "line":
            hits.line(frame, frame.f_lineno)
        return on_line

    threading.settrace(on_call)
    sys.settrace(on_call)
    try:
        run(file)
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return {"hits": hits.pages()}


def under_monitoring(file):
    hits, monitoring, tool = Hits(file), sys.monitoring, sys.monitoring.PROFILER_ID

    def on_line(code, line):
        if not hits.owns(code):
            return monitoring.DISABLE
        hits.line(sys._getframe(1), line)

    # In Python 3.13.0 there are lines that are told of only where PY_START or PY_RESUME are wished for, too: the first one
    # of a lambda or class, and an await that an exception is thrown into. So the oracle wishes for what memkit does.
    events = monitoring.events
    others = ("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND")
    monitoring.use_tool_id(tool, "oracle")
    monitoring.register_callback(tool, events.LINE, on_line)
    for name in others:
        monitoring.register_callback(tool, getattr(events, name), lambda *_: None)
    monitoring.register_callback(tool, events.PY_START, lambda *_: hits.begin(sys._getframe(1)))
    monitoring.set_events(tool, sum(getattr(events, name) for name in (*others, "LINE")))
    try:
        run(file)
    finally:
        monitoring.set_events(tool, 0)
        for name in (*others, "LINE"):
            monitoring.register_callback(tool, getattr(events, name), None)
        monitoring.free_tool_id(tool)
    return {"hits": hits.pages()}


def under_memkit(file):
    import memkit

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.memkit")
        recorder = memkit.record(path, lines=[str(file), MADE])
        began = time.monotonic_ns()
        with recorder:
            run(file)
        wall = time.monotonic_ns() - began
        with open(path) as rows:
            hits = _pages_of(list(map(json.loads, rows)))
        recording = memkit.read(path)
    columns = [[line.function.name, line.function.line, *line[1:]] for line in recording.lines]
    return {"hits": hits, "columns": columns, "wall": wall, "tracing": recording.tracing._asdict()}


def _pages_of(rows):
    names = {number: (name, line) for tag, number, _, name, line in (row for row in rows if row[0] == "function")}
    sums = defaultdict(dict)
    for _, number, line, hits, *_ in (row for row in rows if row[0] == "line"):
        if hits:
            sums[number][line] = hits  # the totals so far
    return sorted([*names[number], sorted(lines.items())] for number, lines in sums.items())


def main(way, folder):
    global booked
    under = {"settrace": under_settrace, "monitoring": under_monitoring, "memkit": under_memkit}[way]
    sys.setswitchinterval(SWITCH)
    found = {}
    for file in sorted(Path(folder).glob("*.py")):
        run(file)
        booked = Book(str(file))
        found[file.stem] = under(file)
        found[file.stem]["booked"] = booked.pages()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    from oracle import main  # the module that the programs import, not this one

    main(*sys.argv[1:])
