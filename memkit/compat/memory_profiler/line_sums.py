"""What the lines of code objects came to, added up over threads and stretches of tracing, on its way into a code map."""

from __future__ import annotations

from memkit.record.memory_reader import MIB


class Sums:
    """Sums by code object and line, of the tuples that ``memkit.tracing.tracers.LineTracer.sums`` gives."""

    def __init__(self):
        self._codes = {}

    def copy(self) -> Sums:
        """The same, to be added to."""
        found = Sums()
        for key, each in self._codes.items():
            found._codes[key] = each.copy()
        return found

    def add(self, parts) -> Sums:
        """Add what a tracer says."""
        for code, calls, entries, rows in parts:
            of_code = self._codes.get(id(code))
            if of_code is None:
                of_code = self._codes[id(code)] = _OfCode(code)
            of_code.add(calls, entries, rows)
        return self

    def write(self, code_map) -> None:
        """Put everything into the dictionaries of a code map. Those of which nothing is known stay as they are."""
        books = {}
        for each in self._codes.values():
            if each.code in code_map:
                book = code_map[each.code]
                books.setdefault(id(book), (book, []))[1].append(each)
        leads = leads_of(code_map)
        for key, (book, parts) in books.items():
            rows = _rows(leads[key], parts)
            book.clear()
            book.update(rows)


class _OfCode:
    """The sums of one code object."""

    def __init__(self, code):
        self.code = code
        self.calls = 0
        self.entries = None  # when it first and last began, and memory then
        self.lines = {}  # number: hits, growth, memory, when it first began, when it last ended

    def copy(self):
        found = _OfCode(self.code)
        found.calls, found.entries, found.lines = self.calls, self.entries, dict(self.lines)
        return found

    def add(self, calls, entries, rows):
        if calls:
            begun, memory, last, last_memory = entries
            if self.entries is not None:
                begun, memory = min((begun, memory), self.entries[:2])
                last, last_memory = max((last, last_memory), self.entries[2:])
            self.calls += calls
            self.entries = begun, memory, last, last_memory
        for number, hits, growth, memory, first, ended in rows:
            known = self.lines.get(number)
            if known is not None:
                hits, growth, first = hits + known[0], growth + known[1], min(first, known[3])
                ended, memory = max((ended, memory), (known[4], known[2]))
            self.lines[number] = hits, growth, memory, first, ended


def leads_of(code_map) -> dict:
    """The outermost code object of each dictionary in a code map, by the identity of the dictionary."""
    found = {}
    for code in code_map:
        found.setdefault(id(code_map[code]), code)
    return found


def _rows(lead, parts) -> dict:
    """The dictionary of one function, from the sums of its code object and those nested in it."""
    own, nested = _OfCode(lead), _OfCode(lead)
    for each in parts:
        rows = [(number, *values) for number, values in each.lines.items()]
        (own if each.code == lead else nested).add(each.calls, each.entries, rows)
    rows = _OfCode(lead)
    for part in (own, nested):
        rows.add(0, None, [(number, *values) for number, values in part.lines.items()])
    found = []
    for number, (hits, growth, memory, first, _) in rows.lines.items():
        if number in own.lines:  # a lambda's line has run as often as the line that it stands in
            hits = own.lines[number][0]
        found.append((first, number, growth / MIB, memory / MIB, hits))
    if own.calls:
        begun, memory, _, last_memory = own.entries
        found = _with_entry(found, lead.co_firstlineno, begun, memory / MIB, last_memory / MIB, own.calls)
    return {number: (growth, memory, hits) for _, number, growth, memory, hits in sorted(found, key=lambda row: row[0])}


def _with_entry(rows, line, begun, memory, last_memory, calls):
    """The rows, with that of the first line before them: all memory as the function was first entered is its increment."""
    same = [row for row in rows if row[1] == line]  # of a function in one line
    growth = memory + sum(row[2] for row in same)
    after = same[0][3] if same else last_memory
    return [(begun, line, growth, after, calls), *(row for row in rows if row[1] != line)]
