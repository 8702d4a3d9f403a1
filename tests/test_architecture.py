"""The floors: imports go strictly down, and what must stay light stays light. Read from the sources, compiled ones too."""

import ast
import re
from pathlib import Path

import pytest

import memkit

ROOT = Path(memkit.__file__).parent
# From the ground up. A module imports only from floors below its own, or from the same floor where that is said.
FLOORS = [
    {"errors", "version", "crossings"},
    {"units", "hookspecs", "cgroup", "targets", "sources", "journal", "tools", "paths", "descriptors"},
    {"recordings", "portable", "locks", "native", "machine", "trend"},
    {"headroom", "kills"},
    {"engine", "plugins", "wrapping", "tracing", "endings"},
    {"guard", "files", "heading", "spanrows", "tree"},
    {"ongoing"},
    {"tracers"},
    {"recorder", "info", "outputs", "eventlog", "tracker", "monitor"},
    {"supervisor", "spans", "profiling", "parser", "options", "log", "tracks", "usage"},
    {"script", "curves"},
    {"follow"},
    {"cli"},
    {"__init__", "__main__", "start", "reporters", "following"},
    {"notebook"},
    {"ipython", "compat"},
]
FLOOR_OF = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
WOKEN = {"ongoing": {"follow"}, "recorder": {"follow"}}  # called up when a recording is to be followed, and only then
NATIVE_ORDER = [
    *("soon", "threads", "clock", "cpython", "descriptors", "meter", "peak", "journal"),
    *("stacks", "guard"),
    *("gate", "watch", "seat", "tracer", "codes", "lines", "calls", "line_events", "call_events", "sampler"),
    *("logrows", "eventlog", "references", "family"),
]
# Inside a room of several modules imports go down, too.
ORDER = {
    "recordings": ("about", "calls", "costs", "ending", "recording", "rows", "merging", "mprofile", "reader", "shelf"),
    "supervisor": ("senders", "terminal", "live", "onlookers", "observed", "launch", "attach", "program"),
    "tree": ("handles", "processes", "totals", "members", "tree", "watch"),
    "notebook": ("pictures", "wording", "typed", "baseline", "stretch", "html", "memit", "watching", "cells", "magics"),
}
FOLDERS = {"memkit", "memkit.native", *(f"memkit.{room}" for room in ORDER)}
HEAVY = {"matplotlib", "numpy", "IPython", "rich", "psutil", "pandas"}
SOURCES = sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.pyx"), *ROOT.rglob("*.pxd")])


def imports(path, top_level_only=False):
    """The dotted names that a source file imports; ``from memkit import x`` is ``memkit.x``."""
    if path.suffix != ".py":
        return compiled_imports(path.read_text())
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in (
            "memkit",
            "memkit.native",
            *(f"memkit.{room}" for room in ORDER),
        ):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found.add(node.module)
    return found


def compiled_imports(text):
    return set(re.findall(r"^\s*(?:from|cimport|import)\s+([\w.]+)", text, re.MULTILINE))


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(path.suffix)


def inner(names):
    return {name.split(".")[1] for name in names if name.startswith("memkit.")}


def named(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_room_has_a_floor():
    assert {room(path) for path in SOURCES} - {"py"} == set(FLOOR_OF)


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_imports_go_strictly_down(path):
    mine = room(path)
    if mine in ("__init__", "reporters"):
        return  # the door names everything; reporters have a rule of their own
    for other in inner(imports(path)) - {mine} - WOKEN.get(mine, set()):
        assert FLOOR_OF[other] < FLOOR_OF[mine], f"{mine} imports {other}"


@pytest.mark.parametrize("mine", ORDER)
def test_imports_inside_a_room_go_strictly_down(mine):
    order = ORDER[mine]
    paths = [path for path in SOURCES if room(path) == mine and path.stem != "__init__"]
    assert {path.stem for path in paths} == set(order)
    for path in paths:
        for name in imports(path):
            if name.startswith(f"memkit.{mine}."):
                assert order.index(name.split(".")[2]) < order.index(path.stem), f"{path.stem} imports {name}"


NATIVE = [path for path in SOURCES if room(path) == "native" and path.stem != "__init__"]


@pytest.mark.parametrize("path", NATIVE, ids=named(NATIVE))
def test_the_compiled_floor_imports_nothing_above_it_but_the_errors(path):
    found = imports(path)
    assert inner(found) <= {"native", "errors"}
    below = {name.split(".")[2] for name in found if name.startswith("memkit.native.")} - {path.stem}
    for other in below:
        assert NATIVE_ORDER.index(other) < NATIVE_ORDER.index(path.stem), f"{path.stem} imports {other}"


@pytest.mark.parametrize("path", NATIVE, ids=named(NATIVE))
def test_every_compiled_function_states_what_it_does_on_failure(path):
    unwrapped = re.sub(r"(?<=[(,])\n\s*|\n\s*(?=\))", "", path.read_text())
    for line in unwrapped.splitlines():
        if re.match(r"cdef (?!class|struct|enum|extern|readonly|object)[^=(]*\(", line):
            assert re.search(r"noexcept|except", line), f"{path.name}: {line}"


@pytest.mark.parametrize("path", NATIVE, ids=named(NATIVE))
def test_a_compiled_line_is_no_longer_than_any_other(path):
    # ruff, which sees to the others, does not read these.
    assert [line for line in path.read_text().splitlines() if len(line) > 125] == []


REPORTERS = [path for path in SOURCES if room(path) == "reporters" and path.stem != "__init__"]


@pytest.mark.parametrize("path", REPORTERS, ids=named(REPORTERS))
def test_reporters_use_the_front_door_and_nothing_deeper(path):
    assert not any(name.startswith("memkit.") for name in imports(path))


PYTHON = [path for path in SOURCES if path.suffix == ".py"]


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_heavy_packages_are_imported_by_the_function_that_needs_them(path):
    found = {name.partition(".")[0] for name in imports(path, top_level_only=True)}
    if path.name == "magics.py":
        found.remove("IPython")  # which is there before it; see below
    assert not found & HEAVY


def test_the_magics_are_imported_where_ipython_is_there_already():
    importing = {path.name for path in PYTHON if "memkit.notebook.magics" in imports(path) and room(path) != "compat"}
    assert importing == {"ipython.py"}
    assert "memkit.notebook.magics" not in imports(ROOT / "ipython.py", top_level_only=True)


MEASURED = [
    *("start", "script", "recorder", "files", "endings", "engine", "journal", "errors", "units", "version", "spans"),
    *("eventlog", "heading", "headroom", "cgroup", "kills", "spanrows", "follow", "tracker", "machine", "guard"),
    *("paths", "descriptors"),
]


@pytest.mark.parametrize("name", MEASURED)
def test_the_measured_process_imports_nothing_that_weighs(name):
    light = {"__future__", "_signal", "_thread", "atexit", "itertools", "os", "stat", "sys", "time", "memkit"}
    found = {name.partition(".")[0] for name in imports(ROOT / f"{name}.py", top_level_only=True)}
    assert found <= light


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_a_file_can_be_held_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_a_function_fits_on_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_every_module_says_what_it_is(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or text.startswith("# ")


def test_no_room_is_a_lumber_room():
    assert not {room(path) for path in SOURCES} & {"utils", "common", "base", "helpers", "misc"}
