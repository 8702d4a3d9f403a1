"""The floors: imports go strictly down, and what must stay light stays light. Read from the sources, compiled ones too."""

import ast
import re
from pathlib import Path

import pytest

import memkit

ROOT = Path(memkit.__file__).parent
# From the ground up, a line a folder: a module imports from the lines above its own, and on its own line from those before.
FLOORS = """
base: own_code errors version locks descriptors paths units decorators hookspecs plugins
native: pending_call threads clock cpython descriptors meter peak journal
native/sampling: stacks limit_guard sampler process_events
native/tracing: gate thread_state hook_chain tracer code_table lines calls line_events call_events
    event_rows event_log references
system: portable engine limit_kinds cgroup meminfo limit limits oom pidfd processes
model: file_format sources limit_events metadata overhead out_of_memory ending calls recording old_rows rows merging
    mprof_file reader event_log_file tracker_file
tracing: targets monitoring_ids tracers tracer_set
tree: pss node tree watch
record: trend exit_status files header limit_guard span_rows active names child_process recorder spans profile event_log
    tracker monitor memory_usage
run: signals terminal status_line launch external any_program attach progress execute follow_entry
    bootstrap
run/inject: sitecustomize
report: facts output overlay_plot dispatch
report/reporters: calls console csvfile flame folded jsonfile lines mprof plot plotlines speedscope
cli: parser options catalog info main
ipython: pictures magic_args cell_source settle measurement html memit watching cells magics
compat: typed stamps ipython_memwatcher memon memory_time_tracker
compat/pymemtrace: textlog references tracers cPyMemTrace cpymemtrace_decs
compat/memory_profiler: backends codemap sums slowlines stopper table stamps profiler running magics __main__
compat/mprof: profiles watching following plot flame picture running commands __main__
"""
FLOORS = [row.split(": ") for row in FLOORS.replace("\n    ", " ").strip().split("\n")]
PLACE_OF = {}
for floor, (folder, names) in enumerate(FLOORS):
    package = "memkit." + folder.replace("/", ".")
    PLACE_OF |= {f"{package}.{name}": (floor, place) for place, name in enumerate([*names.split(), "__init__"])}
UPWARD = {("memkit.model.recording", "memkit.ipython.html")}  # how a recording shows itself in a notebook
HEAVY = {"matplotlib", "numpy", "IPython", "rich", "psutil", "pandas"}
SOURCES = sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.pyx"), *ROOT.rglob("*.pxd")])
DOOR = [ROOT / "__init__.py", ROOT / "__main__.py"]


def module_of(path):
    """The dotted name of a source file."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


MODULES = {module_of(path).removesuffix(".__init__") for path in SOURCES}


def imports(path, top_level_only=False):
    """The modules that a source file imports, inside functions too; what it uses of ``import memkit`` counts by its home."""
    if path.suffix != ".py":
        return set(re.findall(r"^\s*(?:from|cimport|import)\s+([\w.]+)", path.read_text(), re.MULTILINE))
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {home_of(name) if name in MODULES or node.module == "memkit" else node.module for name in names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "memkit":
            found.add(home_of(f"memkit.{node.attr}"))
    return found


def home_of(name):
    """The module that a name of the front door comes from; the name itself where it is a module's."""
    public = name.removeprefix("memkit.")
    if public.startswith("__"):
        return "memkit"
    return "memkit.base.units" if public == "units" else f"memkit.{memkit._HOME_OF.get(public, public)}"


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(path.suffix)


def named(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_memkit_has_twelve_rooms_and_a_front_door():
    found = {path.relative_to(ROOT).parts[0] for path in [*SOURCES, ROOT / "py.typed"]}
    rooms = {"base", "native", "system", "model", "tracing", "tree", "record", "run", "report", "cli", "ipython", "compat"}
    assert found == {"__init__.py", "__main__.py", "py.typed"} | rooms


INSIDE = [path for path in SOURCES if path not in DOOR]


def test_every_module_has_a_place_on_a_floor():
    found = {module_of(path) for path in INSIDE}
    assert found | {name for name in PLACE_OF if name.endswith("__init__")} == set(PLACE_OF)


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path not in DOOR], ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_go_strictly_down(path):
    mine = module_of(path)
    for other in imports(path):
        if other.partition(".")[0] != "memkit" or other in ("memkit", mine) or (mine, other) in UPWARD:
            continue
        place = PLACE_OF.get(other) or PLACE_OF[f"{other}.__init__"]
        assert place < PLACE_OF[mine], f"{mine} imports {other}"


NATIVE = [path for path in SOURCES if room(path) == "native" and path.stem != "__init__"]


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_reporting_measures_nothing_and_recording_reports_nothing(path):
    if room(path) == "report":
        assert {other.split(".")[1] for other in imports(path) if other.startswith("memkit.")}.isdisjoint({"record", "run"})


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


REPORTERS = [path for path in (ROOT / "report" / "reporters").iterdir() if path.suffix == ".py" and path.stem != "__init__"]


@pytest.mark.parametrize("path", REPORTERS, ids=named(REPORTERS))
def test_reporters_use_the_front_door_and_nothing_deeper(path):
    assert not re.search(r"^\s*(from memkit|import memkit\.)", path.read_text(), re.MULTILINE)


PYTHON = [path for path in SOURCES if path.suffix == ".py"]


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_heavy_packages_are_imported_by_the_function_that_needs_them(path):
    found = {name.partition(".")[0] for name in imports(path, top_level_only=True)}
    if path.name == "magics.py":
        found.remove("IPython")  # which is there before it; see below
    assert not found & HEAVY


def test_the_magics_are_imported_where_ipython_is_there_already():
    importing = {module_of(path) for path in PYTHON if "memkit.ipython.magics" in imports(path) and room(path) != "compat"}
    assert importing == {"memkit.ipython.__init__"}
    assert "memkit.ipython.magics" not in imports(ROOT / "ipython" / "__init__.py", top_level_only=True)


MEASURED = [
    *("run/bootstrap", "run/execute", "record/recorder", "record/files", "record/exit_status", "record/spans"),
    *(
        "record/header",
        "record/span_rows",
        "record/child_process",
        "record/limit_guard",
        "record/event_log",
        "record/tracker",
    ),
    *("system/engine", "system/limits", "system/limit_kinds", "system/cgroup", "system/oom", "system/meminfo"),
    *("model/file_format", "base/errors", "base/own_code", "base/units", "base/version", "base/paths", "base/descriptors"),
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


def test_no_module_is_a_lumber_room():
    assert not {path.stem for path in SOURCES} & {"utils", "common", "helpers", "misc"}
