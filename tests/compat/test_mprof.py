"""mprof's commands on real processes: files, messages, exit codes, and each of its faults that is mended here."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from memkit.base.errors import MeterError
from memkit.compat import mprof as module
from memkit.compat.mprof import profiles
from memkit.compat.mprof.commands import _run_parser
from memkit.compat.mprof.dat_file import DatFile, PollingWriter, RecordingWriter
from memkit.compat.mprof.exec_detector import ExecDetector
from memkit.compat.mprof.process_memory import ProcessMemory
from memkit.model import mprof_file
from memkit.system import engine

MIB = 1 << 20
NESTED = """
import mmap, time

@profile
def inner():
    memory = mmap.mmap(-1, 20 << 20)
    memory[::mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    return memory

@profile
def outer():
    return inner()

kept = outer()
"""
NO_TIMES = ("inf", "nan", "-1")
WAITS = "import sys; print('here', flush=True); sys.stdin.read()"


@pytest.fixture
def run(tmp_path):
    """A function that runs ``mprof`` in an empty folder."""

    def run(*words, **settings):
        settings = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **settings}
        return subprocess.run([sys.executable, "-m", "memkit.compat.mprof", *words], cwd=tmp_path, **settings)

    return run


@pytest.fixture
def waiting():
    """A process that waits until it is told to go on, or to end."""
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    yield process
    process.communicate()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


SEEN = """
def seen(megabytes):
    rows = [line.split() for line in open("a.dat").read().splitlines() if line[:4] in ("MEM ", "CHLD")]
    return any(float(row[-2]) > megabytes for row in rows if len(row) > 2)
def wait_until_seen(megabytes):
    any(seen(megabytes) or time.sleep(0.05) for _ in range(600)) or sys.exit(1)
"""
TAKES = "import sys, time\nx = b'x' * (30 << 20)" + SEEN + "wait_until_seen(30)"
"""It takes 30 MiB and ends when the file has them: the file grows while a program runs."""


def calls_in(path):
    """The calls in a file: name, MiB that it grew by, level."""
    return [
        (name, round(after - before), *level)
        for name, calls in mprof_file.contents(path).calls.items()
        for _, _, before, after, *level in calls
    ]


# -- run: Python programs ----------------------------------------------------------------------------------------------


def test_a_python_program_has_memory_and_the_calls_of_its_functions(run, script, tmp_path):
    done = run("run", "-T", "0.01", "-o", "a.dat", script(NESTED), "a b", "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "mprof: Sampling memory every 0.01s\nrunning new process\nrunning as a Python program...\n"
    found = mprof_file.contents(tmp_path / "a.dat")
    python, rest = found.command.split(" ", 1)
    assert (os.path.realpath(python), rest) == (os.path.realpath(sys.executable), "program.py 'a b' c\n")
    assert calls_in(tmp_path / "a.dat") == [("__main__.inner", 20, 1), ("__main__.outer", 20, 0)]
    assert found.unread == 0
    assert len(found.memory) >= 1
    for line in (tmp_path / "a.dat").read_text().splitlines()[1:]:
        assert re.fullmatch(r"MEM \d+\.\d{6} \d+\.\d{4}|FUNC \S+ \d+\.\d{4} \d+\.\d{4} \d+\.\d{4} \d+\.\d{4} \d+", line), (
            line
        )


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_file_is_its_owners_unless_it_was_there_before(run, script, tmp_path):
    (tmp_path / "shared.dat").touch(0o644)
    words = [sys.executable, script("pass")]
    before = os.umask(0o022)
    try:
        for options in ([], ["-o", "named.dat"], ["-o", "shared.dat"]):
            assert run("run", *options, *words).returncode == 0
    finally:
        os.umask(before)
    modes = {path.name[:8]: path.stat().st_mode & 0o777 for path in tmp_path.glob("*.dat")}
    assert modes == {"mprofile": 0o600, "named.da": 0o600, "shared.d": 0o644}


def test_a_peak_between_two_samples_is_in_the_file(run, script, tmp_path, exact_peaks):
    """mprof saw nothing between two samples."""
    text = NESTED.replace("kept = outer()", "outer().close()")
    assert run("run", "-T", "5", "-o", "a.dat", script(text)).returncode == 0
    found = mprof_file.contents(tmp_path / "a.dat")
    first, highest = found.memory[0][0], max(memory for memory, _ in found.memory)
    assert highest - first > 19


EXECUTES = """
import os, sys
@profile
def before():
    os.execv(sys.executable, [sys.executable, "-c", open("takes.py").read()])
before()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a program that is replaced")
@pytest.mark.parametrize("options", [(), ("-M",), ("-C",)], ids=["alone", "singly", "together"])
def test_a_program_is_still_recorded_after_execve(run, script, tmp_path, options):
    """Nothing was recorded after os.execv."""
    script(TAKES, "takes.py")
    done = run("run", "-E", *options, "-T", "0.05", "-o", "a.dat", script(EXECUTES))
    assert (done.returncode, done.stderr) == (0, "")
    found = mprof_file.contents(tmp_path / "a.dat")
    assert max(memory for memory, _ in found.memory) > 30
    assert list(found.calls) == ["__main__.before"]


def test_a_process_that_has_ended_is_not_replaced():
    with subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        detector = ExecDetector(process.pid, sys.executable, lambda: True)
        process.stdout.readline()
        assert detector.is_same_program()
        process.stdin.close()
        process.stdout.read()
        assert [detector.is_same_program() for _ in range(100)] == [True] * 100


TOGETHER = """
import subprocess, sys
@profile
def outer():
    words = [sys.executable, "-c", "x = b'x' * (60 << 20); print(flush=True); input()"]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    beside()
    child.communicate(b"\\n")
@profile
def beside():
    pass
@profile
def after():
    assert "psutil" not in sys.modules or sys.argv[1:] == ["portable"]
outer()
after()
"""


@pytest.mark.parametrize("backend", ["psutil", "psutil_uss"])
def test_calls_include_the_memory_of_children(run, script, tmp_path, backend):
    """Children were those of the last reading before a call, though they were gone long since, or had come meanwhile."""
    done = run("run", "-C", "-E", "-T", "50", "--backend", backend, "-o", "a.dat", script(TOGETHER), engine.NAME)
    assert (done.returncode, done.stderr) == (0, "")
    calls = {name: calls[0][2:4] for name, calls in mprof_file.contents(tmp_path / "a.dat").calls.items()}
    first = calls["__main__.outer"][0]
    grown = {name: [memory - first for memory in both] for name, both in calls.items()}
    assert grown["__main__.beside"] == [pytest.approx(70, abs=12)] * 2
    assert grown["__main__.outer"] + grown["__main__.after"] == [pytest.approx(0, abs=5)] * 4


def test_the_decorator_can_be_switched_off(run, script, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMKIT_PROFILE", "0")
    assert run("run", "-E", "-o", "a.dat", script(NESTED)).returncode == 0
    assert calls_in(tmp_path / "a.dat") == []


def test_a_block_of_code_can_be_marked(run, script, tmp_path):
    run("run", "-o", "a.dat", script("with profile.timestamp('my block'):\n    pass\n"))
    assert calls_in(tmp_path / "a.dat") == [(".my_block", 0, 0)]


@pytest.mark.parametrize("words", [["-m", "work"], ["-mwork"], ["-c", "import work"]], ids=" ".join)
def test_a_module_and_a_text_of_code_are_named_as_python_names_them(run, script, tmp_path, words):
    script("import sys\nprint(sys.argv[1:])\n@profile\ndef f():\n    pass\nf()\n", "work.py")
    done = run("run", "-E", "-o", "a.dat", "--python", *words, "-t", "x")
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "['-t', 'x']")
    assert [call[1:] for call in calls_in(tmp_path / "a.dat")] == [(0, 0)]
    assert mprof_file.contents(tmp_path / "a.dat").command.split(" ", 1)[1].startswith(words[0])


def test_a_folder_that_is_a_package_is_run_as_a_module(run, script, tmp_path):
    script("", "package/__init__.py")
    script("kept = 3", "package/other.py")
    script("from package.other import kept\nfrom . import other\n" + NESTED, "package/__main__.py")
    done = run("run", "-E", "-o", "a.dat", "--python", "package")
    assert (done.returncode, done.stderr) == (0, "")
    assert calls_in(tmp_path / "a.dat") == [("__main__.inner", 20, 1), ("__main__.outer", 20, 0)]


def test_coroutines_and_generators_last_until_they_end(run, script, tmp_path):
    """mprof took the time of their creation."""
    text = """
        import asyncio
        order = []
        @profile
        async def wait():
            await inside()
        @profile
        async def inside():
            pass
        @profile
        def count():
            yield deeper()
        @profile
        def deeper():
            return 1
        asyncio.run(wait())
        list(count())
    """
    run("run", "-o", "a.dat", script(text.replace("\n        ", "\n")))
    assert [(name, level) for name, _, level in calls_in(tmp_path / "a.dat")] == [
        ("__main__.inside", 1),
        ("__main__.wait", 0),
        ("__main__.deeper", 1),
        ("__main__.count", 0),
    ]


def test_methods_of_all_kinds_can_be_decorated(run, script, tmp_path):
    text = """
class Thing:
    @profile
    def plain(self): pass
    @staticmethod
    @profile
    def still(): pass
    @profile
    @classmethod
    def whole(cls): pass
    @profile(precision=4)
    def exact(self): pass
Thing().plain(), Thing.still(), Thing.whole(), Thing().exact()
"""
    done = run("run", "-E", "-o", "a.dat", script(text))
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name, *_ in calls_in(tmp_path / "a.dat")] == [
        f"__main__.{n}" for n in ("plain", "still", "whole", "exact")
    ]


def test_calls_that_a_kill_ended_are_written(run, script, tmp_path):
    """mprof lost them all."""
    text = NESTED.replace("return memory", "import os; os.kill(os.getpid(), 9)")
    done = run("run", "-E", "-o", "a.dat", script(text))
    assert done.returncode == 128 + 9
    assert sorted((name, level) for name, _, level in calls_in(tmp_path / "a.dat")) == [
        ("__main__.inner", 1),
        ("__main__.outer", 0),
    ]


def test_an_exception_leaves_levels_as_they_were(run, script, tmp_path):
    """With mprof they rose for the rest of the run."""
    text = """
@profile
def fails():
    raise KeyError
for _ in range(2):
    try: fails()
    except KeyError: pass
"""
    run("run", "-o", "a.dat", script(text))
    assert calls_in(tmp_path / "a.dat") == [("__main__.fails", 0, 0)] * 2


@pytest.mark.parametrize("python", ["python3", "absolute"])
def test_any_path_of_an_interpreter_can_follow_python(run, script, tmp_path, python):
    """mprof took an absolute one for a script."""
    env = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"}
    python = sys.executable if python == "absolute" else python
    done = run("run", "--python", "-o", "a.dat", python, "-W", "error", script(NESTED), env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name, *_ in calls_in(tmp_path / "a.dat")] == ["__main__.inner", "__main__.outer"]


@pytest.mark.parametrize(
    "words",
    [["program"], ["python3", "-mprogram"], ["python3", "-Wm", "-m", "program"], ["program.py"], ["python3", "-c", NESTED]],
    ids=["module", "interpreter_and_module", "flags", "script", "code"],
)
def test_modules_scripts_and_code_can_follow_python(run, script, tmp_path, words):
    script(NESTED)
    words = [sys.executable if word == "python3" else word for word in words]
    done = run("run", "--python", "-E", "-o", "a.dat", *words)
    assert done.returncode == 0, done.stderr
    assert [name for name, *_ in calls_in(tmp_path / "a.dat")] == ["__main__.inner", "__main__.outer"]


def test_a_script_needs_no_py_after_python(run, script, tmp_path):
    script(NESTED, "tool")
    assert run("run", "--python", "-E", "-o", "a.dat", "tool").returncode == 0
    assert len(calls_in(tmp_path / "a.dat")) == 2


def test_an_interpreter_that_cannot_run_memkit_is_measured_from_outside(run, tmp_path):
    fake = tmp_path / "python2"
    fake.write_text("#!/bin/sh\ncase $1 in -c) exit 1;; esac\necho ran $1\n")
    fake.chmod(0o755)
    done = run("run", "--python", "-o", "a.dat", str(fake), "old.py")
    assert done.stdout.endswith("running new process\nran old.py\n")
    assert done.stderr.endswith("which takes Python 3.11 and psutil: function timestamps are left out\n")


def test_nopython_runs_a_script_as_it_is(run, tmp_path):
    (tmp_path / "tool.py").write_text("#!/bin/sh\necho from sh\n")
    (tmp_path / "tool.py").chmod(0o755)
    assert run("run", "--nopython", "-o", "a.dat", "./tool.py").stdout.endswith("running new process\nfrom sh\n")


def test_a_script_is_found_on_the_path(run, script, tmp_path):
    script("print('found')", "bin/tool.py")
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    assert run("run", "tool.py", env=env).stdout.endswith("found\n")


# -- run: any program --------------------------------------------------------------------------------------------------


def test_any_program_is_measured_from_outside(run, tmp_path):
    done = run("run", "-E", "-T", "0.02", "-o", "a.dat", sys.executable, "-c", TAKES)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "mprof: Sampling memory every 0.02s\nrunning new process\n"
    found = mprof_file.contents(tmp_path / "a.dat")
    assert max(memory for memory, _ in found.memory) > 30
    assert found.calls == {}


PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {TAKES!r}])
child.wait()
"""


@pytest.mark.parametrize("kind", [["--nopython", sys.executable], []], ids=["outside", "python"])
def test_children_have_lines_of_their_own(run, script, tmp_path, kind):
    name = script(PARENT)
    assert run("run", "-M", "-E", "-T", "0.02", "-o", "a.dat", *kind, name).returncode == 0
    found = mprof_file.contents(tmp_path / "a.dat")
    highest = {pid: max(memory for memory, _ in series) for pid, series in found.children.items()}
    assert max(highest.values()) > 30
    assert found.memory[-1][0] < 30


@pytest.mark.parametrize("kind", [["--nopython", sys.executable], []], ids=["outside", "python"])
def test_children_are_added_up(run, script, tmp_path, kind):
    name = script(
        "@profile\ndef wait():\n    child.wait()\n" + PARENT.replace("child.wait()", "wait()") if not kind else PARENT
    )
    assert run("run", "-C", "-E", "-T", "0.02", "-o", "a.dat", *kind, name).returncode == 0
    found = mprof_file.contents(tmp_path / "a.dat")
    assert found.children == {}
    assert max(memory for memory, _ in found.memory) > 30
    assert len(found.calls) == (not kind)


@pytest.mark.parametrize(("options", "code"), [(["--exit-code"], 0), ([], None)])
def test_with_an_option_a_program_that_succeeded_is_an_exit_too(monkeypatch, tmp_path, options, code):
    """As in mprof: who calls ``run_action`` sees ``SystemExit`` whatever the program did."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mprof", *options, "-o", "a.dat", sys.executable, "-c", "pass"])
    ended = None
    try:
        module.run_action()
    except SystemExit as error:
        ended = error.code
    assert ended == code


def test_the_exit_code_is_said_and_with_an_option_passed_on(run):
    """mprof said nothing of a program that failed."""
    fails = ["-o", "a.dat", sys.executable, "-c", "raise SystemExit(7)"]
    silent, passed = run("run", *fails), run("run", "-E", *fails)
    assert (silent.returncode, silent.stderr) == (
        0,
        "mprof: the program exited with code 7; with -E that is mprof's exit code, too\n",
    )
    assert (passed.returncode, passed.stderr) == (7, "ERROR:mprof:Program resulted with a non-zero exit code: 7\n")
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"]
    assert run("run", "-E", *killed).returncode == 128 + 15
    assert "was killed by SIGTERM" in run("run", *killed).stderr


CANNOT_BE_RUN = [
    *(["nothing"], ["nothing.py"], ["--python", "/nowhere/python3", "x.py"]),
    *(["--python", "nothing"], ["--python", "./nothing"], ["--python", "-m", "email"]),
]


@pytest.mark.parametrize("words", CANNOT_BE_RUN, ids=" ".join)
def test_what_cannot_be_run_is_one_line_and_leaves_no_file(run, tmp_path, words):
    done = run("run", *words)
    assert done.returncode == 1
    assert re.fullmatch(r"(mprof|memkit-run): .*\n", done.stderr)
    assert os.listdir(tmp_path) == []


def test_a_missing_program_is_reported(run):
    done = run("run")
    assert (done.returncode, done.stdout) == (1, "A program to run must be provided. Use -h for help\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-T", "0", "true"], "--interval 0: give seconds"),
        (["--backend", "tracemalloc", "true"], "--backend tracemalloc: it counts within one process"),
        (["-o", "notes.txt", "true"], "'notes.txt' is not a file of mprof's, so it is left alone"),
        (["-o", "nowhere/a.dat", "true"], "cannot write 'nowhere/a.dat'"),
        *[
            (["-t", seconds, "true"], f"--timeout {seconds}: give seconds, or 0 for no end")
            for seconds in ("inf", "nan", "-1")
        ],
    ],
)
def test_wrong_options_are_one_line(run, tmp_path, words, reason):
    (tmp_path / "notes.txt").write_text("dear diary\n")
    done = run("run", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"mprof: {reason}")
    assert (tmp_path / "notes.txt").read_text() == "dear diary\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [["program.py"], [sys.executable, "program.py"]], ids=["python", "outside"])
def test_a_full_disk_is_reported_and_does_not_end_the_program(run, script, words):
    script("import sys; print('through'); sys.exit(3)")
    failing, passing = run("run", "-E", "-o", "/dev/full", *words), run("run", "-o", "/dev/full", *words)
    assert failing.stdout.endswith("through\n")
    assert failing.returncode == 3
    assert passing.returncode == 1
    for done in (failing, passing):
        assert "mprof: '/dev/full' is incomplete: No space left on device\n" in done.stderr


def test_a_file_of_mprof_is_replaced(run, tmp_path):
    """mprof appended to it, which made one curve of two runs."""
    for text in ("first", "second"):
        run("run", "-o", "a.dat", sys.executable, "-c", f"'{text}'")
    assert re.findall("CMDLINE.*", (tmp_path / "a.dat").read_text()) == [f"CMDLINE {sys.executable} -c 'second'"]


def test_runs_of_the_same_second_have_a_file_each(here, monkeypatch):
    """mprof wrote both into one."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    names = [os.path.basename(profiles.new_profile()) for _ in range(3)]
    assert len(set(names)) == 3
    assert profiles.all_profiles() == names


@pytest.mark.parametrize("backend", ["psutil_pss", "psutil_uss", "posix"])
def test_backends_are_meters(run, script, tmp_path, backend):
    from memkit.system.engine import METERS

    if backend[-3:] not in METERS and backend != "posix":
        pytest.skip(f"there is no such number here: {backend}")
    assert run("run", "-E", "--backend", backend, "-o", "a.dat", script("pass")).returncode == 0
    assert max(memory for memory, _ in mprof_file.contents(tmp_path / "a.dat").memory) > 1


def test_after_the_timeout_the_program_goes_on(run, tmp_path):
    """Nobody's children are killed, and what is left behind is told."""
    text = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nopen('done', 'w').close()"
    with open(tmp_path / "out", "w") as out:  # a pipe would stay open for as long as the program runs
        done = run(
            "run", "-t", "0.3", "-o", "a.dat", sys.executable, "-c", text, capture_output=False, stdout=out, stderr=out
        )
    assert done.returncode == 0
    assert re.search(r"sampling ended after 0.3 s; the program goes on as process \d+\n", (tmp_path / "out").read_text())
    (tmp_path / "go").touch()
    while not (tmp_path / "done").exists():
        time.sleep(0.01)


def test_an_interrupt_from_the_terminal_is_the_programs(tmp_path):
    """With mprof it was a traceback, and the program's own answer to it was lost."""
    text = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the suite may run in the background, where it is ignored
try:
    print('here', flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(5)
"""
    words = [sys.executable, "-m", "memkit.compat.mprof", "run", "-E", "-o", "a.dat", sys.executable, "-c", text]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, cwd=tmp_path, start_new_session=True, **pipes)
    while process.stdout.readline() != "here\n":
        pass
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (5, "ERROR:mprof:Program resulted with a non-zero exit code: 5\n")


# -- attach ------------------------------------------------------------------------------------------------------------


def test_attach_has_no_time_limit_by_default(tmp_path, waiting):
    """mprof ended after an hour; a vanished process was a traceback."""
    assert _run_parser().parse_args(["--attach", "1"]).timeout is None
    words = [sys.executable, "-m", "memkit.compat.mprof", "attach", "-T", "0.01", "-o", "a.dat", str(waiting.pid)]
    mprof = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert mprof.stdout.readline() == "mprof: Sampling memory every 0.01s\n"
    assert mprof.stdout.readline() == f"attaching to existing process, using hint: {waiting.pid}\n"
    while not (tmp_path / "a.dat").exists() or "MEM" not in (tmp_path / "a.dat").read_text():  # it grows as it goes
        time.sleep(0.01)
    waiting.communicate("")
    assert mprof.wait(60) == 0
    mprof.stdout.close()
    found = mprof_file.contents(tmp_path / "a.dat")
    assert (found.command.split()[0], found.unread) == (sys.executable, 0)
    assert min(memory for memory, _ in found.memory) > 1


def test_attach_stops_at_the_timeout_and_leaves_the_process_running(run, tmp_path, waiting):
    done = run("attach", "-E", "-t", "0.2", "-T", "0.05", "-o", "a.dat", str(waiting.pid))
    assert done.returncode == 0  # mprof's -E was a traceback here
    assert done.stderr == "mprof: -E: the exit code of a process that is not mprof's own cannot be known\n"
    assert waiting.poll() is None
    assert mprof_file.contents(tmp_path / "a.dat").memory


@pytest.mark.parametrize("hint", ["4194305", "no such process"])
def test_attach_to_nothing_is_one_line(run, tmp_path, hint):
    done = run("attach", hint)
    assert (done.returncode, done.stderr) == (
        1,
        f"mprof: When attaching, program should be process name or pid. Failed to find a process using hint: {hint}\n",
    )
    assert os.listdir(tmp_path) == []


def test_a_process_is_found_by_its_name_or_its_command_line(tmp_path):
    name = f"mprof-sought-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", WAITS, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert module.find_first_process(name).pid == process.pid
        process.communicate()
    assert module.find_first_process(name) is None


# -- what a file gets ----------------------------------------------------------------------------------------------------


class Readings:
    """A process's memory with given readings."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self):
        return self.readings.pop(0)


def lines_of(path):
    return [re.sub(r" \d+\.\d{4}$", "", line) for line in path.read_text().splitlines()[1:]]


@pytest.fixture
def dat(tmp_path):
    file = DatFile(str(tmp_path / "a.dat"))
    file.begin(["x"])
    yield file
    file.close()


def test_a_reading_from_before_the_program_was_loaded_is_left_out(dat, tmp_path):
    """mprof's curves began at 0.2 MiB."""
    polling = PollingWriter(Readings((5, {}), (2 * MIB, {}), (None, {})), dat, settled=False)
    assert [polling.poll() for _ in range(3)] == [True, True, False]
    polling.finish()
    dat.flush()
    assert lines_of(tmp_path / "a.dat") == ["MEM 2.000000"]


def test_a_single_reading_is_kept(dat, tmp_path):
    polling = PollingWriter(Readings((MIB, {}), (None, {})), dat, settled=False)
    assert [polling.poll() for _ in range(2)] == [True, False]
    polling.finish()
    dat.flush()
    assert lines_of(tmp_path / "a.dat") == ["MEM 1.000000"]


def test_a_program_without_counted_pages_has_not_ended(dat, tmp_path):
    polling = PollingWriter(Readings((0, {}), (MIB, {}), (2 * MIB, {}), (None, {})), dat, settled=False)
    assert [polling.poll() for _ in range(4)] == [True, True, True, False]
    dat.flush()
    assert lines_of(tmp_path / "a.dat") == ["MEM 2.000000"]


def test_the_series_of_a_child_ends_with_the_child(dat, tmp_path):
    """mprof ended in a traceback, or left out all the others."""
    polling = PollingWriter(Readings((MIB, {7: MIB, 8: MIB}), (MIB, {8: 2 * MIB})), dat, singly=True)
    polling.poll(), polling.poll()
    dat.flush()
    assert lines_of(tmp_path / "a.dat") == [
        "MEM 1.000000",
        "CHLD 7 1.000000",
        "CHLD 8 1.000000",
        "MEM 1.000000",
        "CHLD 8 2.000000",
    ]


def test_process_memory_includes_children_while_they_run():
    memory = ProcessMemory(os.getpid(), children=True)
    with subprocess.Popen([sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        own, below = memory.read()
        assert own > MIB
        assert below[child.pid] > MIB
        child.communicate()
    assert child.pid not in memory.read()[1]


def test_process_memory_of_an_ended_process_is_none_or_an_error(waiting):
    memory = ProcessMemory(waiting.pid)
    waiting.kill()
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert memory.read() == (None, {})
    waiting.wait()
    assert memory.read() == (None, {})
    with pytest.raises(MeterError):
        ProcessMemory(waiting.pid)


def test_rows_of_a_recording_are_written_as_they_come(dat, tmp_path):
    journal = tmp_path / "run.memkit"
    recording = RecordingWriter(str(journal), dat)
    recording.advance()  # nothing is there yet
    rows = [
        '["memkit",1,{"began":100.0}]',
        f'["sample",0,{MIB}]',
        f'["span",1,1000000000,{MIB},7,0,"m.f"]',
        f'["sample",2000000000,{3 * MIB},{MIB}]',
        f'["span_end",1,3000000000,{2 * MIB},null]',
        f'["span",2,3000000000,{2 * MIB},7,0,"m.g"]',
        f'["sample",4000000000,{9 * MIB},0,77]',  # of another process
        "torn",
    ]
    for row in rows:
        with open(journal, "a") as file:
            file.write(row + "\n")
        recording.advance()
    recording.finish(104.5)
    dat.flush()
    assert (tmp_path / "a.dat").read_text().splitlines()[1:] == [
        "MEM 1.000000 100.0000",
        "MEM 4.000000 101.0000",
        "MEM 3.000000 102.0000",
        "FUNC m.f 1.0000 101.0000 2.0000 103.0000 0",
        "FUNC m.g 2.0000 103.0000 3.0000 104.5000 0",
    ]


# -- list, rm, clean, peak -----------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    """Three files of mprof's own naming."""
    names = [f"mprofile_2025010112000{n}.dat" for n in range(3)]
    for number, name in enumerate(names, 1):
        (tmp_path / name).write_text(f"CMDLINE x\nMEM {number}.5 10.0\nMEM {number} 11.0\n")
    (tmp_path / "mine.dat").write_text("MEM 9 1\n")
    return names


def test_list_numbers_the_files(run, three):
    assert run("list").stdout.splitlines() == [
        "0 mprofile_20250101120000.dat 12:00:00 01/01/2025",
        "1 mprofile_20250101120001.dat 12:00:01 01/01/2025",
        "2 mprofile_20250101120002.dat 12:00:02 01/01/2025",
    ]


def test_rm_takes_numbers_from_both_ends_and_names(run, three, tmp_path):
    (tmp_path / "mine_ts.dat").touch()
    dry = run("rm", "--dry-run", "0", "-1", "mine.dat")
    assert dry.stdout.splitlines() == ["Files to be removed: ", three[0], three[2], "mine.dat", "mine_ts.dat"]
    assert run("rm", "0", "-1", "mine.dat").stdout == ""
    assert os.listdir(tmp_path) == [three[1]]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("7", "Invalid index (non-existing file): 7"),
        ("nothing", "File nothing not found"),
        (".", "Path . is a directory"),
    ],
)
def test_rm_of_a_missing_file_is_one_line(run, three, word, reason):
    done = run("rm", "0", word)
    assert (done.returncode, done.stderr) == (1, f"mprof: {reason}\n")
    assert run("list").stdout.count("\n") == 3


def test_rm_without_arguments_is_reported(run):
    done = run("rm")
    assert (done.returncode, done.stdout) == (1, "A profile to remove must be provided (number or filename)\n")


def test_clean_removes_what_list_shows(run, three, tmp_path):
    assert run("clean", "--dry-run").stdout.splitlines() == ["Files to be removed: ", *three]
    assert run("clean").stdout == ""
    assert os.listdir(tmp_path) == ["mine.dat"]


def test_peak_prints_the_highest_of_each(run, three):
    assert run("peak").stdout.splitlines() == ["Using last profile data.", f"{three[2]}\t3.500 MiB"]
    assert run("peak", "0", "-1", three[0]).stdout.splitlines() == [f"{three[0]}\t1.500 MiB", f"{three[2]}\t3.500 MiB"]


def test_peak_has_children_and_functions(run, tmp_path):
    text = "MEM 10 5\nCHLD 7 5 5\nCHLD 7 9 6\nMEM 30 7\nFUNC m.f 10 4 11 6 0\nFUNC m.g 3 5.1 4 5.2 0\n"
    (tmp_path / "a.dat").write_text(text)
    assert run("peak", "a.dat").stdout == "a.dat\t30.000 MiB\n  Child 7\t\t\t9.000 MiB\n"
    assert run("peak", "--func", "m.f", "a.dat").stdout.splitlines()[0] == "a.dat\t10.000 MiB"
    assert run("peak", "--func", "m.g", "a.dat").stdout.splitlines()[0] == "a.dat\t4.000 MiB"  # no sample fell inside
    assert run("peak", "--func", "m.h", "a.dat").stdout.splitlines()[0] == "a.dat\tNaN MiB"


def test_peak_of_a_file_without_samples_is_no_number(run, tmp_path):
    """mprof ended in a traceback."""
    (tmp_path / "a.dat").write_text("CMDLINE x\n")
    done = run("peak", "a.dat")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.dat\tNaN MiB\n", "")


@pytest.mark.parametrize("command", ["plot", "peak"])
def test_without_a_file_there_is_nothing_to_do(run, command):
    done = run(command)
    assert done.returncode == 255
    assert done.stdout.splitlines() == [
        "No input file found. ",
        "This program looks for mprofile_*.dat files, generated by the 'mprof run' command.",
    ]
    done = run(command, "nothing.dat", "3")
    assert done.returncode == 255
    assert done.stdout.splitlines() == [
        "Input file not found: nothing.dat",
        "Invalid index (non-existing file): 3",
        "No files found from given input.",
    ]


@pytest.mark.parametrize("words", [[], ["jump"]])
def test_without_a_known_command_mprof_says_which_there_are(run, words):
    done = run(*words)
    assert done.returncode == 1
    assert done.stdout.startswith("Usage: mprof <command> <options> <arguments>\n")
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")} == set(module.ALL_ACTIONS)


@pytest.mark.parametrize("command", module.ALL_ACTIONS)
def test_every_command_has_help_and_a_version(run, command):
    assert run(command, "--help").stdout.startswith(f"usage: mprof {command.replace('attach', 'run')}")
    assert run(command, "--version").stdout == "0.61.0\n"  # memory_profiler's, as python -m memory_profiler says it


def test_a_closed_pipe_is_no_error(run, three):
    shell = f"{sys.executable} -m memkit.compat.mprof list | true"
    assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True).stderr == ""


# -- functions -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_into_a_dictionary(here):
    (here / "a.dat").write_text("CMDLINE x y\nMEM 1.5 10.0\nCHLD 7 2.5 10.5\nFUNC m.f 1 10 2 11 0\nFUNC m.f 1 12 2 13\n")
    assert module.read_mprofile_file("a.dat") == {
        "mem_usage": [1.5],
        "timestamp": [10.0],
        "func_timestamp": {"m.f": [[10.0, 11.0, 1.0, 2.0, 0], [12.0, 13.0, 1.0, 2.0]]},
        "filename": "a.dat",
        "cmd_line": "x y\n",
        "children": {"7": [(2.5, 10.5)]},
    }


def test_memory_is_filtered_by_a_function(here):
    (here / "a.dat").write_text("MEM 1 10\nMEM 2 11\nMEM 3 12\nFUNC m.f 1 10.5 2 11.5 0\n")
    found = module.read_mprofile_file("a.dat")
    assert module.filter_mprofile_mem_usage_by_function(found, "m.f") == [2.0]
    with pytest.raises(ValueError, match=r"m\.g was not found\."):
        module.filter_mprofile_mem_usage_by_function(found, "m.g")


def test_a_command_is_one_line():
    assert module.get_cmd_line(["a b", "c\td", "e'f", "g"]) == "'a b' 'c\td' e'f g"


def test_files_are_found_by_number_and_name(here, three):
    assert module.get_profile_filenames("all") == three
    assert module.get_profile_filenames(["-1", "mine.dat"]) == [three[2], "mine.dat"]
    assert module.get_profiles(SimpleNamespace(profiles=["mine.dat", "0"])) == ["mine.dat", three[0]]


def test_the_command_is_taken_out_of_the_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mprof", "peak", "-1"])
    assert module.get_action() == "peak"
    assert sys.argv == ["mprof", "-1"]


def test_every_public_name_is_there():
    assert {name for name in module.__all__ if not hasattr(module, name)} == set()


def test_no_folder_is_left_behind(run, script, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    run("run", "-o", "a.dat", script("import sys; sys.exit(3)"), env=env)
    assert os.listdir(tmp_path / "temporary") == []
    assert shutil.which("true") is None or run("run", "true", env=env).returncode == 0


def test_samples_in_calls_that_overlap_in_any_way_count_once():
    times = list(range(20))
    calls = [
        [2.0, 5.0, 0, 0],
        [4.0, 9.0, 0, 0],
        [4.5, 4.6, 0, 0],
        [12.0, 11.0, 0, 0],
        [15.0, 15.0, 0, 0],
        [16.5, 16.9, 0, 0],
    ]
    profile = {"mem_usage": times, "timestamp": times, "func_timestamp": {"f": calls[::-1]}}
    within = [time for time in times if any(start <= time <= end for start, end, *_ in calls)]
    assert within == [2, 3, 4, 5, 6, 7, 8, 9, 15]
    assert profiles.filter_mprofile_mem_usage_by_function(profile, "f") == within
