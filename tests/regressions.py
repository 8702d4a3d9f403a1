"""Regressions that are planted in small programs, and whether ``memkit.compare`` names the planted line.

    python tests/regressions.py            50 planted regressions, and 100 pairs of recordings of the same program
    python tests/regressions.py 10 20      so many of each

Each program is recorded as it is and with a line more, or a line that takes more, in a file whose code was moved,
renamed or laid out anew. The line has to be first or second in the list of lines. See ``tests/report/``.
"""

import ast
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import memkit

PIPELINE = """
import json
KEPT = []
COUNT = 6000
def load(count):
    rows = [{"id": number, "name": f"name {number}"} for number in range(count)]
    return rows
def enrich(rows):
    found = []
    for row in rows:
        row = dict(row, size=len(row["name"]))
        found.append(row)
    return found
def group(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["size"], []).append(row)
    return groups
def write(groups):
    texts = []
    for size in sorted(groups):
        text = json.dumps(groups[size])
        texts.append(text)
    return sum(map(len, texts))
def main():
    rows = load(COUNT)
    rows = enrich(rows)
    groups = group(rows)
    return write(groups)
print(main())
"""
PARSER = """
import re
KEPT = []
class Reader:
    def __init__(self, text):
        self.text = text
        self.tokens = []
    def split(self):
        for match in re.finditer(r"[a-z]+|[0-9]+", self.text):
            self.tokens.append(match[0])
        return self.tokens
    def numbers(self):
        found = [int(token) for token in self.tokens if token.isdigit()]
        return sum(found)
class Index:
    def __init__(self):
        self.places = {}
    def add(self, tokens):
        for place, token in enumerate(tokens):
            self.places.setdefault(token, []).append(place)
    def most(self):
        ordered = sorted(self.places, key=lambda token: len(self.places[token]))
        return ordered[-1]
def text_of(count):
    words = [f"word {number % 700}" for number in range(count)]
    return " ".join(words)
def run(count):
    reader = Reader(text_of(count))
    tokens = reader.split()
    index = Index()
    index.add(tokens)
    return reader.numbers(), index.most()
print(run(9000))
"""
MATRIX = """
import array
KEPT = []
def zeros(rows, columns):
    return [array.array("d", bytes(8 * columns)) for _ in range(rows)]
def fill(matrix):
    for number, row in enumerate(matrix):
        for column in range(0, len(row), 16):
            row[column] = number * column
    return matrix
def transpose(matrix):
    columns = zip(*matrix)
    turned = [array.array("d", column) for column in columns]
    return turned
def norm(matrix):
    total = 0.0
    for row in matrix:
        squares = [value * value for value in row]
        total += sum(squares)
    return total
def solve(size):
    matrix = fill(zeros(size, size))
    turned = transpose(matrix)
    total = norm(turned)
    return total
print(solve(220))
"""
CACHE = """
import functools
KEPT = []
STORE = {}
def key_of(number):
    return f"key-{number % 900}"
@functools.lru_cache(maxsize=500)
def body(key):
    text = key * 40
    return text.encode()
def put(number):
    key = key_of(number)
    value = body(key)
    STORE[key] = value
    return len(value)
def evict(most):
    while len(STORE) > most:
        oldest = next(iter(STORE))
        del STORE[oldest]
def serve(count):
    total = 0
    for number in range(count):
        total += put(number)
        evict(700)
    return total
def report():
    sizes = sorted(map(len, STORE.values()))
    return sizes[-1]
print(serve(5000), report())
"""
EVENTS = """
import threading
KEPT = []
def make(count):
    events = [(number, number % 7, "x" * (number % 50)) for number in range(count)]
    return events
def totals(events):
    found = {}
    for _, kind, text in events:
        found[kind] = found.get(kind, 0) + len(text)
    return found
def windows(events, size):
    found = []
    for start in range(0, len(events), size):
        part = events[start : start + size]
        found.append(totals(part))
    return found
def merge(found):
    total = {}
    for each in found:
        for kind, size in each.items():
            total[kind] = total.get(kind, 0) + size
    return total
def work(results):
    events = make(12000)
    found = windows(events, 200)
    results.append(merge(found))
def main():
    results = []
    thread = threading.Thread(target=work, args=(results,))
    thread.start()
    thread.join()
    return results
print(main())
"""
PROGRAMS = {"pipeline": PIPELINE, "parser": PARSER, "matrix": MATRIX, "cache": CACHE, "events": EVENTS}
KINDS = {
    "growth": "KEPT or KEPT.append([bytes(1000) for _ in range(10037)])",
    "peak": "KEPT or KEPT.append(len([bytes(1000) for _ in range(10037)]))",
    "leak": "KEPT.append(b'x' * 90037) if len(KEPT) < 120 else None",
    "copies": "copied = [bytes(1000) for _ in range(10037)]",
}
"""What is planted: memory that stays, memory that one line takes and gives back, memory that is taken bit by bit, and copies
that go when the function returns. The number ends in 037, as no other does."""
SIZES = (10037, 6037, 3037)
"""About so many KiB are planted; a leak is of 10 MiB."""
OFTEN, SELDOM = 100, 20
"""A leak is planted where lines ran so often, the others where they ran so seldom."""
LAYOUTS = ("same", "moved", "renamed", "reformatted", "all")
MODES = (("--lines", "--calls"), ("--lines",), ("--lines", "--heap"))
GATE = "peak=0%,rise=0,growth=0,end=0,time=0"
"""Bounds of nothing at all: what keeps two recordings of the same program below them is what is called noise."""


def record(source, file, options=()):
    """The recording of a program that is written into a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return again(file, options)


def again(file, options=()):
    """A recording of a program in a file."""
    into = file.with_suffix(".memkit")
    words = [sys.executable, "-m", "memkit", "run", "-q", "-o", str(into), *options, str(file)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=file.parent)
    return memkit.read(into)


def regression(name, kind, layout, base, chance):
    """The text of a program with a regression in it, laid out anew, and the lines of the planted statement."""
    lines = PROGRAMS[name].lstrip().split("\n")
    ran = [line for line in base.lines if re.fullmatch(r"(\w+\.)?[a-z_]+", line.function.name)]  # no module and no class
    heads = ("def ", "@", *(("for ", "while ") if kind == "leak" else ()))  # what stands before a loop runs once
    ran = [line for line in ran if not lines[line.number - 1].lstrip().startswith(heads)]
    places = [line for line in ran if (line.hits >= OFTEN if kind == "leak" else line.hits <= SELDOM)]
    place = chance.choice(places)
    indent = re.match(" *", lines[place.number - 1])[0]
    text = KINDS[kind].replace("10037", str(chance.choice(SIZES)))
    lines.insert(place.number - 1, indent + text)
    source = "\n".join(lines)
    *classes, function = place.function.name.split(".")
    renamed = classes[0] if function == "__init__" else function
    for each in ("renamed", "moved", "reformatted") if layout == "all" else (layout,):
        if each == "renamed":
            source = re.sub(rf"\b{renamed}\b", f"{renamed}_of_all", source)
        elif each == "moved":
            source = moved(source, chance)
        elif each == "reformatted":
            source = reformatted(source)
    return source, place_of_planted(source)


def moved(source, chance):
    """The functions and classes in another order, with more lines between them."""
    nodes = ast.parse(source).body
    texts = [(node, ast.get_source_segment(source, node)) for node in nodes]
    texts = [
        (node, "".join(f"@{ast.unparse(each)}\n" for each in getattr(node, "decorator_list", ())) + text)
        for node, text in texts
    ]
    defined = [text for node, text in texts if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    begins = [text for node, text in texts if isinstance(node, (ast.Import, ast.Assign))]
    ends = [text for node, text in texts if isinstance(node, ast.Expr)]
    chance.shuffle(defined)
    more = "def never_called(count):\n    # nothing to see\n    return [count]"
    return "\n\n\n".join([*begins, "# a comment\n# of two lines", more, *defined, *ends]) + "\n"


def reformatted(source):
    """The code as Python writes it, with a line for each argument and element, and comments."""
    found = []
    for line in ast.unparse(ast.parse(source)).split("\n"):
        indent = re.match(" *", line)[0]
        head = line.lstrip().startswith(("def ", "class ", "@", "for ", "if ", "while "))
        if len(line) > 30 and not head and not re.search(r"\bf['\"]", line):  # before 3.12 nothing breaks in these
            line = re.sub(r"([(\[{])(?=[^)\]}])", rf"\1  # laid out\n{indent}        ", line, count=2)
        found.append(line)
        if line.startswith("def "):
            found.append("    # what it does")
    return "\n".join(found) + "\n"


def place_of_planted(source):
    """The first and the last line of the planted statement, and the name of its function."""
    [number] = [number for number, line in enumerate(source.split("\n"), 1) if "037" in line]
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    around = [node for node in nodes if node.lineno <= number <= node.end_lineno]
    innermost = max(around, key=lambda node: node.lineno)
    function = [node for node in around if isinstance(node, ast.FunctionDef)][-1]
    return innermost.lineno, innermost.end_lineno, function.name


def rank(comparison, planted):
    """The place of the planted line in the list of lines, and of its function in that of functions, from 1; else 0."""
    first, last, name = planted
    lines = [first <= (row.place.number or 0) <= last and row.after is not None for row in comparison.changed("lines")]
    functions = [row.place.function.name.endswith(name) for row in comparison.changed("functions")]
    return tuple(places.index(True) + 1 if True in places else 0 for places in (lines, functions))


def cases(count, seed=1):
    """What is planted: (number, program, kind, layout, options), all kinds in all programs before layouts repeat."""
    chance = random.Random(seed)
    found = [(name, kind, layout) for layout in LAYOUTS for name in PROGRAMS for kind in KINDS]
    chance.shuffle(found)
    return [(number, *each, MODES[number % len(MODES)]) for number, each in enumerate(found[:count])]


def tried(folder, count, seed=1):
    """Each regression that was planted, and the ranks of its line and its function."""
    bases = {}
    for number, name, kind, layout, options in cases(count, seed):
        if (name, options) not in bases:
            file = folder / "before" / "".join(options) / f"{name}.py"
            bases[name, options] = record(PROGRAMS[name].lstrip(), file, options)
        base = bases[name, options]
        source, planted = regression(name, kind, layout, base, random.Random(seed * 1000 + number))
        file = folder / f"after{number}" / (f"{name}_anew.py" if layout == "all" else f"{name}.py")
        comparison = memkit.compare(base, record(source, file, options))
        yield (number, name, kind, layout, " ".join(options)), rank(comparison, planted), comparison


def failed_gates(folder, count):
    """Of so many pairs of recordings of the same program those that fail a gate of nothing, with what it said."""
    each = -(-count // len(PROGRAMS))
    for name, source in PROGRAMS.items():
        before = record(source.lstrip(), folder / "same" / f"{name}.py")
        for number in range(each):
            options = MODES[number % len(MODES)] if number % 4 == 3 else ()
            before = again(folder / "same" / f"{name}.py", options) if options or number % 4 == 0 else before
            after = again(folder / "same" / f"{name}.py", options)
            if said := memkit.compare(before, after).exceeded(GATE):
                yield name, options, said
            before = after


def main(regressions=50, pairs=100):
    """Plant regressions and compare pairs, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        good = functions = 0
        for case, (line, function), comparison in tried(Path(folder), regressions):
            good += line in (1, 2)
            functions += function in (1, 2)
            if line not in (1, 2):
                print("missed", *case, f"line {line}, function {function}: {comparison.sentence}")
        print(f"{good} of {regressions} planted lines are first or second, and {functions} of their functions")
        failed = list(failed_gates(Path(folder), pairs))
        print(f"{len(failed)} of {pairs} pairs of recordings of the same program fail the gate", *failed, sep="\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
