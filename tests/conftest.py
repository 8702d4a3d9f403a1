"""Fixtures that several test files use."""

import atexit
import builtins
import gc
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from memkit.model import file_format, reader
from memkit.model.call_tally import Tally
from memkit.model.ending import Ending
from memkit.model.recording import About, Cost, Function, Process, Recording, Sample, Total, Tracing
from memkit.record import active
from memkit.record.recorder import record
from memkit.record.spans import span
from memkit.system import engine

from engines import TRACERS, environment

MIB = 1 << 20
MS = 1_000_000

# A shell makes background jobs ignore SIGINT, and every program that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """A test that is marked ``own_process`` runs alone in one: what ran before it in this one may have a part in bytes."""
    if pyfuncitem.get_closest_marker("own_process") is None or os.environ.get("MEMKIT_OWN_PROCESS"):
        return None
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    env = {**os.environ, "MEMKIT_OWN_PROCESS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=pyfuncitem.config.rootpath, env=env, timeout=120)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    return True


@pytest.fixture(autouse=True)
def nothing_left_on():
    """Each test leaves hooks and recordings as it found them: what is left on would be part of what later ones measure."""

    def left():
        return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile(), list(active.recorders)

    before = left()
    yield
    assert left() == before


@pytest.fixture
def no_garbage():
    """What earlier tests left is not collected meanwhile, and Python's free lists have what spans take from them.

    Finalizers and callbacks of weak references allocate, and a full collection empties the free lists.
    """
    gc.collect()
    gc.disable()
    with record(heap="spans" if engine.NAME == "native" else False), span("outer"), span("inner"):
        pass
    yield
    gc.enable()


@pytest.fixture
def about():
    """How a made-up recording was made."""
    return About(
        memkit="9.9",
        argv=("load.py", "data.csv"),
        pid=4242,
        parent=1,
        python="3.13.0",
        host="box",
        began=1_700_000_000.0,
        clock=5,
        meter="rss",
        interval=None,
        engine="native",
        peaks="reset",
        peaks_reason=None,
        mark=8 * MIB,
    )


@pytest.fixture
def made_up(about):
    """A function that builds a recording: samples are (milliseconds, MiB) or (milliseconds, MiB, peak MiB)."""

    def make(*samples, spans=(), ending=Ending("ok"), took=None, source=None, **changes):  # noqa: B008
        rows = tuple(Sample(int(t * MS), 4242, int(m * MIB), int((*p, m)[0] * MIB)) for t, m, *p in samples)
        ended = rows[-1].time if took is None and rows else (took or 0) * MS
        return Recording(
            about=about._replace(**changes),
            samples=rows,
            spans=tuple(spans),
            processes=(Process(4242, 1, "load.py data.csv", 0, ended, ending),),
            ending=ending,
            cost=Cost(len(rows), 0, 1_500_000),
            source=source,
        )

    return make


@pytest.fixture
def tree(made_up):
    """A function that builds a recording of a process and its children.

    ``main`` are samples as in ``made_up``. ``children`` maps pids to samples and, if the child did not finish, an ending;
    each child lives from its first sample to its last. ``totals`` are (milliseconds, MiB of all processes, MiB of RSS),
    optionally with the error in MiB.
    """

    def make(main, children, totals, summed="pss", reason=None, **changes):
        recording = made_up(*main, **changes)
        processes, samples = list(recording.processes), []
        for pid, (rows, *ending) in children.items():
            lane = [Sample(int(t * MS), pid, int(m * MIB), int((*p, m)[0] * MIB)) for t, m, *p in rows]
            ended = None if ending and ending[0].kind == "unknown" else lane[-1].time
            command = f"/usr/bin/python3 work.py {pid}"
            processes.append(Process(pid, 4242, command, lane[0].time, ended, *ending or [Ending("ok")]))
            samples += lane
        return replace(
            recording,
            processes=tuple(processes),
            others=tuple(sorted(samples, key=lambda sample: sample.time)),
            totals=tuple(Total(int(t * MS), *(int(size * MIB) for size in sizes)) for t, *sizes in totals),
            summed=summed,
            summed_reason=reason,
        )

    return make


@pytest.fixture
def called(made_up):
    """A function that builds a recording of calls.

    Each call is (depth, function, own growth in MiB), optionally with calls, own milliseconds, own peak, rise and rises in
    MiB. They are in the order of the tree: the caller is the nearest call above with a smaller depth. A function is ``name``
    of ``load.py``, or ``file:name``; a name that is no identifier, such as ``numpy.ones``, has no file.
    """

    def make(*rows, tracing=True, growth=0, **changes):
        tally, functions, above = Tally(), {}, []
        for id, (depth, name, own_growth, *more) in enumerate(rows):
            entered, time, peak, *rises = (*more, *(1, 1, 10, None, None)[len(more) :])
            file, _, short = name.rpartition(":")
            function = Function(
                file or ("load.py" if name.isidentifier() else ""), short, 10 * bool(file or name.isidentifier())
            )
            number = functions.setdefault(function, len(functions))
            del above[depth:]
            tally.take(
                *(
                    id,
                    above[-1] if depth else None,
                    number,
                    7,
                    entered,
                    int(time * MS),
                    int(own_growth * MIB),
                    int(peak * MIB),
                ),
                *(None if each is None else int(each * MIB) for each in rises),
            )
            above.append(id)
        known = {number: function for function, number in functions.items()}
        how = Tracing("monitoring", "perf", None, 20.0, 400.0, tally.entered, 500) if tracing else None
        recording = made_up((0, 10), (5, 10 + growth), **changes)
        return replace(recording, calls=tally.calls(known), call_tracing=how)

    return make


@pytest.fixture
def native_only():
    """Skips with the portable engine, for tests of what only compiled code can do."""
    if engine.NAME != "native":
        pytest.skip(f"needs the native engine; this is the portable one: {engine.REASON}")


@pytest.fixture
def exact_peaks(native_only):
    """Skips if the high-water mark cannot be reset."""
    if engine.peaks()[0] != "reset":
        pytest.skip(f"needs exact peaks: {engine.peaks()[1]}")


@pytest.fixture(autouse=True)
def nothing_stays_on():
    """No test leaves a recording active, or stops one that was active before it: the suite itself may be recorded."""
    before = active.everything()
    yield
    left = [each for each in active.everything() if each not in before]
    for each in left:
        each.stop()
    assert left == []
    assert active.everything() == before


# -- memory of a known size ------------------------------------------------------------------------------------------
#
# With mmap, because the C library may serve even 30 MiB from freed memory that is still resident: once a block has been
# freed, glibc allocates blocks of that size on its heap (M_MMAP_THRESHOLD in man 3 mallopt).


@pytest.fixture
def touched():
    """A function that maps so many MiB and writes into every page; closing the result unmaps them."""
    return _touched


@pytest.fixture
def spike():
    """A function that maps so many MiB in the same way and unmaps them at once."""
    return lambda megabytes: _touched(megabytes).close()


def _touched(megabytes):
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, megabytes * MIB, **private)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[:: mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    return memory


# -- tracing -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=TRACERS)
def tracer(request):
    """Each of the tracing engines."""
    return request.param


@pytest.fixture
def python(tmp_path):
    """A function that runs Python code in a new process, and returns the JSON that it printed."""

    def run(text, tracer="", gate="", flags=(), **more):
        (tmp_path / "under_test.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-W", "error", *flags, "under_test.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tracer, gate, **more),
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout) if done.stdout else None

    return run


# -- real processes --------------------------------------------------------------------------------------------------

PROGRAMS = Path(__file__).parent / "programs"
SETTINGS = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}


@pytest.fixture
def script(tmp_path):
    """A function that writes a program into the directory where programs run, and returns its name."""

    def write(text, name="program.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return name

    return write


@pytest.fixture
def program(tmp_path):
    """A function that copies one of ``tests/programs`` into that directory, and returns its name."""
    return lambda name: shutil.copy(PROGRAMS / name, tmp_path) and name


@pytest.fixture
def many_descriptors():
    """Opens descriptors until new ones have numbers above 1023, which ``select.select`` does not support."""
    resource = pytest.importorskip("resource", reason="descriptors are limited elsewhere than on Windows")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 1200
    if hard != resource.RLIM_INFINITY and hard < enough:
        pytest.skip(f"needs {enough} descriptors; there are {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough) if soft != resource.RLIM_INFINITY else soft, hard))
    taken = []
    while not taken or taken[-1] < 1024:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    yield taken
    for each in taken:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def leaderless():
    """A process whose main thread has exited, while another thread runs and holds 50 MiB."""
    words = [sys.executable, str(PROGRAMS / "leaderless.py"), f"leaderless-{time.monotonic_ns()}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "took\n"
        yield process
        process.kill()


@pytest.fixture
def memory_group():
    """The folder of a control group that may hold 96 MiB."""
    top = Path("/sys/fs/cgroup/memory")
    limits = [("memory.limit_in_bytes", 96 << 20), ("memory.memsw.limit_in_bytes", 96 << 20)]
    if not top.is_dir():
        top, limits = Path("/sys/fs/cgroup"), [("memory.max", 96 << 20), ("memory.swap.max", 0)]
    group = top / f"memkit-test-{os.getpid()}"
    try:
        group.mkdir()
        for name, limit in limits:
            if (group / name).exists() or name in ("memory.limit_in_bytes", "memory.max"):
                (group / name).write_text(str(limit))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"a memory control group cannot be made here: {error}")
    yield group
    group.rmdir()


@pytest.fixture
def plain(tmp_path):
    """A function that runs ``python`` there, without memkit."""

    def run(*words, flags=(), **settings):
        # Python and memkit-run normalise the path of the interpreter; sys.executable need not be normalised.
        return subprocess.run([os.path.normpath(sys.executable), *flags, *words], **_settings(tmp_path, settings))

    return run


@pytest.fixture
def installed():
    """The command line of memkit-run, for tests that start it themselves."""
    return [sys.executable, _installed("memkit-run")]


@pytest.fixture
def memkit(tmp_path):
    """A function that runs the ``memkit`` command there."""

    def run(*words, **settings):
        return subprocess.run([sys.executable, _installed("memkit"), *words], **_settings(tmp_path, settings))

    return run


@pytest.fixture
def memkit_run(tmp_path):
    """A function that runs ``memkit-run`` there. The result also has the ``recording``, or None."""

    def run(*words, flags=(), options=("-q",), path="run.memkit", **settings):
        command = [sys.executable, *flags, _installed("memkit-run"), "-o", path, *options, *words]
        done = subprocess.run(command, **_settings(tmp_path, settings))
        path = tmp_path / path
        done.recording = reader.read(path) if file_format.is_recording(path) else None
        return done

    return run


@pytest.fixture
def same(plain, memkit_run):
    """A function that runs a program with and without memkit, and asserts that output and exit code are the same.

    It returns the run under memkit. If signal N killed the program, the exit code is 128 + N, as in a shell.
    """

    def run(*words, options=("-q",), **settings):
        without = plain(*words, **settings)
        under = memkit_run(*words, options=options, **settings)
        assert _without_addresses(under.stdout) == _without_addresses(without.stdout)
        assert _without_addresses(under.stderr) == _without_addresses(without.stderr)
        assert under.returncode == (without.returncode if without.returncode >= 0 else 128 - without.returncode)
        return under

    return run


def _installed(command):
    """The console script that pip installed for an entry point."""
    return os.path.join(sysconfig.get_path("scripts"), command)


def _without_addresses(text):
    return re.sub(r" at 0x[0-9a-f]+", "", text) if isinstance(text, str) else text


def _settings(folder, settings):
    settings = {**SETTINGS, "cwd": folder, **settings}
    if "input" in settings:
        del settings["stdin"]
    return settings


# -- IPython -----------------------------------------------------------------------------------------------------------


class Shell:
    """An IPython shell and its output."""

    def __init__(self, ip, capsys):
        self.ip, self._capsys = ip, capsys

    def __call__(self, cell, **settings):
        """Run a cell as if it were typed, and return its standard output."""
        self._capsys.readouterr()
        self.result = self.ip.run_cell(cell, store_history=settings.pop("store_history", True), **settings)
        printed = self._capsys.readouterr()
        self.error = self.result.error_before_exec or self.result.error_in_exec
        self.printed, self.complaint = printed.out, printed.err
        return printed.out

    @property
    def state(self):
        """The magics and event callbacks, which an extension could leave behind."""
        magics = {kind: set(named) for kind, named in self.ip.magics_manager.magics.items()}
        return magics, {event: list(called) for event, called in self.ip.events.callbacks.items()}


@pytest.fixture
def shell(capsys, tmp_path, monkeypatch):
    """An IPython shell in this process with ``touched`` and ``spike``, removed without a trace afterwards."""
    IPython = pytest.importorskip("IPython", reason="needs IPython: pip install ipython")
    from IPython.core import async_helpers
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False  # no thread and no database
    config.InteractiveShell.colors = "nocolor" if IPython.version_info >= (9,) else "NoColor"
    modules, hooks, names = dict(sys.modules), (sys.displayhook, sys.excepthook), dict(vars(builtins))
    ip = InteractiveShell.instance(
        config=config, user_ns={"touched": _touched, "spike": lambda size: _touched(size).close()}
    )
    with ip.builtin_trap:
        yield Shell(ip, capsys)
    InteractiveShell.clear_instance()
    ip.atexit_operations()
    ip.restore_sys_module_state()
    atexit.unregister(ip.atexit_operations)
    if async_helpers._asyncio_event_loop is not None:  # of cells with await
        async_helpers._asyncio_event_loop.close()
        async_helpers._asyncio_event_loop = None
    sys.displayhook, sys.excepthook = hooks
    sys.modules["__main__"] = modules["__main__"]
    for name in set(vars(builtins)) - set(names):
        delattr(builtins, name)


@pytest.fixture
def loaded(shell):
    """A shell with the extension loaded."""
    assert shell("%load_ext memkit.ipython") == ""
    yield shell
    shell("%unload_ext memkit.ipython")


@pytest.fixture
def install_plugin(tmp_path, monkeypatch):
    """A function that installs a distribution of one module, from its source and its entry point's name."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def install(source, name="stranger"):
        module = f"{name}_module"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text("import memkit\n" + textwrap.dedent(source))
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-distribution\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[memkit]\n{name} = {module}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)
