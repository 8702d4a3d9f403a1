"""What is left where the system's loader refuses a compiled module, as it does when thread-local storage has run out."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("memkit.native.journal", reason="the compiled modules are not built here")

import memkit.native

pytestmark = pytest.mark.usefixtures("native_only")

ROOT = Path(memkit.native.__file__).parent
MODULES = sorted("memkit.native." + ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.pyx"))
# A tree is polled without process events, spans are summed up in Python, a program that does not listen is recorded all the
# same, and older versions of Python do not tell of references.
UNUSED = {
    "memkit.native.spans",
    "memkit.native.spans_of_label",
    "memkit.native.sampling.process_events",
    "memkit.native.listener",
    *(["memkit.native.tracing.references"] if sys.version_info < (3, 13) else []),
}
USES = (
    "lines",
    "calls",
    "heap",
    "heap by spans",
    "heap counter",
    "event log",
    "pymemtrace",
    "balance",
    *(["references"] if sys.version_info >= (3, 13) else []),
)

PROGRAM = """
import json
import sys

REFUSED, USES = {refused!r}, {uses!r}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == REFUSED:
            raise ImportError(f"/lib/{{name}}.so: cannot allocate memory in static TLS block", name=name)


sys.meta_path.insert(0, Refuse())

import memkit
from memkit.cli import info
from memkit.system import engine


def work():
    return list(range(10))


def trace(**what):
    with memkit.record(**what) as run:
        work()
    assert run.recording.lines or run.recording.calls


def log():
    with memkit.EventLog("log.csv"):
        work()


def profile():
    from memkit.compat.pymemtrace import cPyMemTrace

    with cPyMemTrace.Profile(filepath="log.txt"):
        work()


def references():
    from memkit.compat.pymemtrace import cPyMemTrace

    with cPyMemTrace.ReferenceTracingSimple():
        work()


def by_spans():
    with memkit.record(heap="spans"), memkit.span("work"):
        work()


def counter():
    with memkit.HeapCounter() as counted:
        counted.begin()
        counted.end()


def balance():
    for note in memkit.balance().notes:
        if "cannot be" in note or "needs the native engine" in note:
            raise memkit.MeterError(note)


names = "lines", "calls", "heap", "heap by spans", "heap counter", "event log", "pymemtrace", "balance", "references"
uses = dict(zip(names, (
    lambda: trace(lines=work), lambda: trace(calls=True), lambda: trace(heap=True), by_spans, counter, log, profile, balance,
    references)))
told = {{}}
with memkit.record() as run:
    for name in USES:
        try:
            uses[name]()
            told[name] = None
        except memkit.MeterError as error:
            told[name] = str(error)
    facts = dict(info.facts())
print(json.dumps([engine.NAME, engine.REASON, told, run.recording.ending.kind, len(run.recording.samples) > 0, facts]))
"""


def refusing(python, module):
    """What becomes of each use of the compiled modules, in a process that cannot load one of them."""
    return python(PROGRAM.format(refused=module, uses=USES))


@pytest.mark.parametrize("module", MODULES)
def test_a_refused_module_is_named_and_recording_goes_on(python, module):
    name, reason, told, ending, sampled, facts = refusing(python, module)
    assert (ending, sampled) == ("ok", True)
    assert (name == "portable") == (reason is not None)
    assert all(text is None or f"compiled module {module} cannot be loaded: " in text for text in told.values())
    assert any(told.values()) == (module not in UNUSED)
    assert any(module in fact for fact in facts.values()) == (name == "portable" or told["lines"] is not None)


@pytest.mark.parametrize("module", ["lines", "calls"])
def test_without_static_thread_storage_only_lines_and_calls_fail(python, module):
    name, _, told, *_ = refusing(python, f"memkit.native.tracing.{module}")
    assert name == "native"
    assert {use for use in USES if told[use]} == {"lines", "calls", "heap", "heap by spans"}
    assert told["lines"] == (
        f"tracing of lines and calls cannot be had here; recording can: the compiled module memkit.native.tracing.{module} "
        f"cannot be loaded: /lib/memkit.native.tracing.{module}.so: cannot allocate memory in static TLS block; "
        "the loader has no room left for static thread-local storage: import memkit before other libraries, "
        "or set GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096 where the C library is glibc"
    )


def test_a_drop_in_line_profile_goes_on_without_the_compiled_tracer(python):
    text = PROGRAM.partition("def work")[0].format(refused="memkit.native.tracing.lines", uses=USES)
    text += """
from memkit.compat.memory_profiler import LineProfiler


def work():
    return list(range(10))


profiler = LineProfiler()
profiler(work)()
print(json.dumps([len(list(lines)) for _, lines in profiler.code_map.items()]))
"""
    (count,) = python(text)
    assert count == 2


def test_a_requested_engine_that_is_refused_is_one_clear_error(python):
    text = PROGRAM.partition("import memkit\n")[0].format(refused="memkit.native.peak", uses=USES)
    text += """
try:
    import memkit
    memkit.rss()
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    kind, said = python(text, MEMKIT_ENGINE="native")
    assert kind == "MeterError"
    assert said.startswith(
        "MEMKIT_ENGINE is 'native', but it does not work here: the compiled module memkit.native.peak cannot be loaded: "
    )
