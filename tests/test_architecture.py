"""Imports go strictly down the rooms, and light modules stay light. Read from the sources, compiled modules included."""

import ast
import re
from pathlib import Path

import pytest

import memkit

ROOT = Path(memkit.__file__).parent
# From the ground up, a line a folder: a module imports from the lines above its own, and on its own line from those before.
FLOORS = """
base: own_code errors version clocks shadows locks threads descriptors paths units stderr decorators protocols hookspecs
    hook_calls commands entry_points plugins
native: pending_call threads clock decimal cpython perf_event descriptors listener meter peak journal changes
    spans_of_label spans
native/heap: own counted_heap line_paths span_heap heap_sums stretches walk statistics
native/sampling: own_memory layouts line_table stack_rows stacks mapped limit_counters limit_guard termination sums
    sampler process_events sampled_heap
native/tracing: noted growing gate thread_state fault_counts freed credit hook_chain callbacks tracer code_table
    greenlets lines calls line_rows call_rows handed_over greenlet_stacks greenlet_switches line_threads line_events
    call_events event_rows event_places event_log references
system: portable_journal portable limit_kinds cgroup engine peak_since meminfo limit limits oom pidfd preload processes
    smaps mapped_files owners balance_texts balance_rows balance
model: file_format row_values highest columns limit_events metadata overhead oom_evidence ending thread_names heap calls
    inside definitions sources call_tally workers process lines heap_paths spans span_sums span_heaps recording last_minutes
    from_document old_rows at_once from_rows handed_out machines merging mprof_file reader event_log_file tracker_file
tracing: libraries reexports targets pickled_code generated made_code statements monitoring_ids choice inside functions
    last_calls handed_over given_work thread_roots other_threads new_threads tracers calibration balances session
tree: budget share_estimate node pss tree watch unrecorded
record: trend script_end set_back exit_status files rank header limit_guard active size settings resolve child_process
    heap_counter span_sums portable_spans spans recorder watch_folder watch_file watch listening profile event_log
    tracker monitor memory_reader memory_usage
integrations: routes asgi wsgi celery rq gunicorn dask finding
run: signals orphans terminal status_line progress waiting group_watch external replaced launch any_program attach inside
    execute follow_entry bootstrap
run/inject: sitecustomize
report: lanes facts output heaps shared_options pictures transforms frames keepers kinds overlay_plot document dispatch
report/page: thin redact source_text workers view build shown
report/reporters: call_paths console flame folded heap html lines mprof plot plot_lines pprof recording_json samples_csv
    spans_by_label speedscope
report/comparing: changes statements sides matching aligning trees rows building runs words gate comparison document
    tables markdown flame redacted page
report/fitting: shapes mixture runs fit advice requests document saved tables picture
report/advising: imports findings page
cli: printing exit_codes parser script run_options catalog watched recording_file kept_sources report_options fit sizes
    run attach balance merge report snapshot view compare advise list clean plugins info doctor main
ipython: pictures magic_args cell_source settle measurement html memit mem_watcher cells magics
compat: script_or_module function_timestamps ipython_memwatcher memon memory_time_tracker
compat/pymemtrace: textlog references tracers cPyMemTrace cpymemtrace_decs
compat/memory_profiler: backends code_map line_sums trace_hook python_tracer memory_breakpoint table time_stamper
    profiler command magics __main__
compat/mprof: profiles process_memory exec_detector dat_file plot flame picture run_command commands __main__
"""
FLOORS = [row.split(": ") for row in FLOORS.replace("\n    ", " ").strip().split("\n")]
PLACE_OF = {}
for floor, (folder, names) in enumerate(FLOORS):
    package = "memkit." + folder.replace("/", ".")
    PLACE_OF |= {f"{package}.{name}": (floor, place) for place, name in enumerate([*names.split(), "__init__"])}
UPWARD = {  # how a recording and a comparison show themselves in a notebook, and in a browser
    ("memkit.model.recording", "memkit.ipython.html"),
    ("memkit.model.recording", "memkit.report.page.shown"),
    ("memkit.report.comparing.comparison", "memkit.report.comparing.page"),
}
HEAVY = {"matplotlib", "numpy", "IPython", "rich", "psutil", "pandas"}
SOURCES = sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.pyx"), *ROOT.rglob("*.pxd")])
DOOR = [ROOT / "__init__.py", ROOT / "__main__.py"]


def module_of(path):
    """The dotted name of a source file."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


MODULES = {module_of(path).removesuffix(".__init__") for path in SOURCES}


def imports(path, top_level_only=False):
    """The modules that a source file imports, inside functions too; ``memkit.NAME`` counts as its home module."""
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
    """The module that defines a public name; the name itself if it is a module."""
    public = name.removeprefix("memkit.")
    if public.startswith("__"):
        return "memkit"
    return f"memkit.{(memkit._HOME_OF | memkit._MODULES).get(public, public)}"


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(path.suffix)


def named(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_memkit_has_thirteen_rooms_and_a_front_door():
    found = {path.relative_to(ROOT).parts[0] for path in [*SOURCES, ROOT / "py.typed"]}
    below = {"base", "native", "system", "model", "tracing", "tree", "record", "integrations"}
    rooms = below | {"run", "report", "cli", "ipython", "compat"}
    assert found == {"__init__.py", "__main__.py", "py.typed"} | rooms


def test_contributing_lists_the_rooms_from_the_top_down():
    text = (ROOT.parent / "CONTRIBUTING.rst").read_text().partition("Imports go strictly down this list:")[2]
    listed = re.findall(r"^    (\w+)  ", text.partition("\n\nAbove them")[0], re.MULTILINE)
    assert listed[::-1] == [folder for folder, _ in FLOORS if "/" not in folder]


def test_every_folder_with_modules_is_a_package_that_is_installed():
    import tomllib

    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    folders = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("*.py")}
    assert set(settings["tool"]["setuptools"]["packages"]) == folders


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
def test_reporting_imports_neither_record_nor_run(path):
    if room(path) == "report":
        assert {other.split(".")[1] for other in imports(path) if other.startswith("memkit.")}.isdisjoint({"record", "run"})


@pytest.mark.parametrize("path", NATIVE, ids=named(NATIVE))
def test_every_cdef_function_states_its_failure_clause(path):
    unwrapped = re.sub(r"(?<=[(,])\n\s*|\n\s*(?=\))", "", path.read_text())
    for line in unwrapped.splitlines():
        if re.match(r"cdef (?!class|struct|enum|extern|readonly|object)[^=(]*\(", line):
            assert re.search(r"noexcept|except", line), f"{path.name}: {line}"


def test_no_compiled_module_claims_to_do_without_the_gil():
    claims = ("freethreading_compatible", "Py_MOD_GIL_NOT_USED", "PyUnstable_Module_SetGIL")
    texts = {path: path.read_text() for path in [*NATIVE, ROOT.parent / "setup.py", ROOT.parent / "pyproject.toml"]}
    assert [path.name for path, text in texts.items() if any(claim in text for claim in claims)] == []


@pytest.mark.parametrize("path", NATIVE, ids=named(NATIVE))
def test_lines_of_compiled_modules_have_at_most_125_characters(path):
    # ruff checks the others, but does not read these.
    assert [line for line in path.read_text().splitlines() if len(line) > 125] == []


REPORTERS = [path for path in (ROOT / "report" / "reporters").iterdir() if path.suffix == ".py" and path.stem != "__init__"]


@pytest.mark.parametrize("path", REPORTERS, ids=named(REPORTERS))
def test_reporters_import_memkit_and_nothing_deeper(path):
    assert not re.search(r"^\s*(from memkit|import memkit\.)", path.read_text(), re.MULTILINE)


PYTHON = [path for path in SOURCES if path.suffix == ".py"]


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_heavy_packages_are_imported_by_the_function_that_needs_them(path):
    found = {name.partition(".")[0] for name in imports(path, top_level_only=True)}
    if path.name == "magics.py":
        found.remove("IPython")  # which is loaded before it; see below
    assert not found & HEAVY


def test_the_magics_are_imported_only_where_ipython_is_loaded():
    importing = {module_of(path) for path in PYTHON if "memkit.ipython.magics" in imports(path) and room(path) != "compat"}
    assert importing == {"memkit.ipython.__init__"}
    assert "memkit.ipython.magics" not in imports(ROOT / "ipython" / "__init__.py", top_level_only=True)


MEASURED = [
    *("run/bootstrap", "run/execute", "record/recorder", "record/files", "record/exit_status", "record/spans"),
    *(
        "record/header",
        "record/active",
        "record/settings",
        "record/resolve",
        "record/listening",
        "record/child_process",
        "record/limit_guard",
        "record/event_log",
        "record/tracker",
    ),
    *("system/engine", "system/limits", "system/limit_kinds", "system/cgroup", "system/oom", "system/meminfo"),
    *("model/file_format", "base/errors", "base/own_code", "base/units", "base/version", "base/paths", "base/descriptors"),
]


@pytest.mark.parametrize("name", MEASURED)
def test_the_measured_process_imports_only_light_modules(name):
    builtin = {"__future__", "_contextvars", "_signal", "_thread", "atexit", "itertools", "sys", "time"}
    light = builtin | {"memkit", "os", "stat"}
    found = {name.partition(".")[0] for name in imports(ROOT / f"{name}.py", top_level_only=True)}
    assert found <= light


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_a_file_has_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_a_function_has_at_most_50_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", PYTHON, ids=named(PYTHON))
def test_every_module_has_a_docstring_or_a_heading_comment(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or text.startswith("# ")


def test_no_module_is_called_utils_common_helpers_or_misc():
    assert not {path.stem for path in SOURCES} & {"utils", "common", "helpers", "misc"}


TESTS = sorted(file for folder in ("tests", "plugins") for file in (ROOT.parent / folder).rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_the_name_of_a_test_has_at_most_70_characters(path):
    tree = ast.walk(ast.parse(path.read_text()))
    names = [node.name for node in tree if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [name for name in names if name.startswith("test_") and len(name) > 70] == []
