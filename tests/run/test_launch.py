"""How programs end, what reaches them on the way, and what the report says of it."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memkit.model import file_format, reader
from memkit.record.settings import RunSettings
from memkit.report.facts import facts
from memkit.run import launch

MIB = 1 << 20


@pytest.fixture(autouse=True)
def interrupts():
    """What starts tests in the background may have them ignore the keyboard, and programs would inherit that."""
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in (signal.SIGINT, signal.SIGQUIT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


# program, exit code, ending
ENDINGS = {
    "nothing": ("pass", 0, "finished"),
    "exit 0": ("import sys; sys.exit(0)", 0, "finished"),
    "exception": ("1 / 0", 1, "ended by an exception: ZeroDivisionError: division by zero"),
    "exception without text": ("raise ValueError", 1, "ended by an exception: ValueError"),
    "exit 3": ("import sys; sys.exit(3)", 3, "exited with code 3"),
    "exit with text": ("import sys; sys.exit('text')", 1, "exited with code 1"),
    "caught": ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass", 0, "finished"),
    "kill": ("import os; os.kill(os.getpid(), 9)", 137, "killed by SIGKILL"),
    "term": ("import os; os.kill(os.getpid(), 15)", 143, "killed by SIGTERM"),
    "segfault": ("import ctypes; ctypes.string_at(0)", 139, "killed by SIGSEGV"),
    "abort": ("import os; os.abort()", 134, "killed by SIGABRT"),
    "interrupt": ("import os; os.kill(os.getpid(), 2)", 130, "killed by SIGINT (KeyboardInterrupt)"),
    "handled interrupt": (
        "import os\ntry:\n    os.kill(os.getpid(), 2)\n    input()\nexcept KeyboardInterrupt:\n    raise SystemExit(4)",
        4,
        "exited with code 4",
    ),
    "os._exit": ("import os; os._exit(4)", 4, "exited with code 4, its end unrecorded (os._exit, exec, or a full disk)"),
    "os._exit 0": ("import os; os._exit(0)", 0, "exited with code 0, its end unrecorded (os._exit, exec, or a full disk)"),
    "syntax error": ("x = = 1", 1, "ended by an exception: SyntaxError: invalid syntax (program.py, line 1)"),
    "error at exit": ("import atexit\natexit.register(exec, '1 / 0')", 0, "finished"),
    "killed at exit": ("import atexit, os\natexit.register(lambda: os.kill(os.getpid(), 9))", 137, "killed by SIGKILL"),
    "os._exit at exit": (
        "import atexit, os\natexit.register(os._exit, 6)",
        6,
        "exited with code 6, its end unrecorded (os._exit, exec, or a full disk)",
    ),
}


@pytest.mark.parametrize("end", ENDINGS)
def test_the_first_line_of_the_report_says_how_it_ended(plain, memkit_run, script, end):
    text, code, ending = ENDINGS[end]
    name = script(text)
    run = memkit_run(name, options=())
    without = plain(name)
    assert run.returncode == code == (without.returncode if without.returncode >= 0 else 128 - without.returncode)
    assert run.stderr.startswith(without.stderr)
    assert run.stderr[len(without.stderr) :].splitlines()[0] == f"memkit   program.py: {ending}"
    assert str(run.recording.ending) == ending


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
kept = [bytearray(1 << 26) for _ in range(100)]
"""


def test_a_program_that_is_refused_memory_is_told_which_limit_that_was(memkit_run, script):
    run = memkit_run(script(LIMITED), options=())
    ending = run.recording.ending
    assert (run.returncode, ending.kind, ending.error) == (1, "error", "MemoryError")
    evidence = r"an uncaught MemoryError; RLIMIT_AS 1\.0 GiB, of which (9[0-9]{2}|10[0-9]{2})\.[0-9] MiB were in use"
    assert re.fullmatch(evidence, str(ending.out_of_memory))
    first = next(line for line in run.stderr.splitlines() if line.startswith("memkit"))
    assert first == f"memkit   program.py: ended by an exception, out of memory ({ending.out_of_memory}): MemoryError"


REFUSALS = {
    "mmap": ("kept.append(mmap.mmap(-1, 1 << 26))", "ENOMEM", "OSError: [Errno 12] Cannot allocate memory"),
    "a thread": (
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "refusal of a thread",
        "RuntimeError: can't start new thread",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux refuses, and how")
@pytest.mark.parametrize("refusal", REFUSALS)
def test_memory_that_is_refused_in_other_ways_is_told_of_too(memkit_run, script, refusal):
    text, refused, error = REFUSALS[refusal]
    program = "import mmap, resource, threading, time\nkept = []\nlimits = resource.RLIMIT_AS, resource.RLIMIT_STACK\n"
    for place, size in enumerate(("1 << 30", "1 << 23")):
        program += f"resource.setrlimit(limits[{place}], ({size}, resource.getrlimit(limits[{place}])[1]))\n"
    ending = memkit_run(script(f"{program}while True:\n    {text}")).recording.ending
    assert (ending.kind, ending.error) == ("error", error)
    assert str(ending.out_of_memory).startswith(f"an uncaught {refused}; RLIMIT_AS 1.0 GiB, of which ")


def test_a_thread_that_is_refused_for_another_reason_is_no_want_of_memory(memkit_run, script):
    program = (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))\n"
    )
    ending = memkit_run(script(f'{program}raise RuntimeError("can\'t start new thread")')).recording.ending
    assert (ending.error, ending.out_of_memory) == ("RuntimeError: can't start new thread", None)


def test_even_a_program_that_is_killed_at_once_leaves_a_sample(memkit_run):
    assert memkit_run("-c", "import os; os.kill(os.getpid(), 9)").recording.samples


def test_an_array_too_large_is_want_of_memory(memkit_run):
    pytest.importorskip("numpy")
    run = memkit_run("-c", "import numpy; numpy.ones(1 << 55)")
    assert run.returncode == 1
    assert run.recording.ending.error.startswith("_ArrayMemoryError: Unable to allocate")
    assert str(run.recording.ending.out_of_memory) == "an uncaught MemoryError"


def test_the_end_of_a_recording_in_a_killed_process_is_not_known(plain, script, tmp_path):
    text = "import os, memkit\nwith memkit.record('own.memkit'):\n    os.kill(os.getpid(), 9)"
    assert plain(script(text)).returncode == -signal.SIGKILL
    ending = reader.read(tmp_path / "own.memkit").ending
    assert (ending.kind, ending.finished) == ("unknown", False)


def test_a_kill_for_want_of_memory_is_told_from_another(memory_group, installed, script, tmp_path):
    name = script("kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))")
    enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', memory_group]
    command = [*enter, *installed, "-o", "run.memkit", name]
    run = subprocess.run(command, cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert run.returncode == 128 + signal.SIGKILL
    evidence = f"cgroup /{memory_group.name} (96.0 MiB): oom_kill rose by 1"
    assert run.stderr.splitlines()[0] == f"memkit   {name}: killed by SIGKILL, out of memory ({evidence})"


OVERREACHING = """
import mmap, subprocess, sys
if len(sys.argv) > 1:
    kept = mmap.mmap(-1, 200 << 20)
    for place in range(0, len(kept), 4096):
        kept[place] = 1
raise SystemExit(subprocess.run([sys.executable, __file__, "child"]).returncode != -9)
"""


@pytest.mark.parametrize("options", [(), ("--children",), ("--program", sys.executable)])
def test_a_child_that_is_killed_for_want_of_memory_is_told_of(memory_group, installed, script, tmp_path, options):
    enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', memory_group]
    command = [*enter, *installed, "-o", "run.memkit", *options, script(OVERREACHING)]
    run = subprocess.run(command, cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert run.returncode == 0
    evidence = f"cgroup /{memory_group.name} (96.0 MiB): oom_kill rose by 1"
    assert run.stderr.splitlines()[1] == f"kills    {evidence} while it ran"
    recording = reader.read(tmp_path / "run.memkit")
    assert (recording.ending.kind, recording.ending.out_of_memory, str(recording.oom_kills)) == ("ok", None, evidence)
    for process in recording.processes[1:]:
        # Older kernels tell how it ended only until its parent has asked.
        assert str(process.ending.out_of_memory) == (evidence if process.ending.signal == 9 else "None")


FILLS_MEMORY = """
import os, tempfile
block = b"x" * (1 << 20)
with tempfile.TemporaryFile(dir="/dev/shm") as file:  # a tmpfs: its pages are nobody's and count against the group
    for _ in range(200):
        os.write(file.fileno(), block)
"""


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a tmpfs at /dev/shm")
@pytest.mark.parametrize("options", [(), ("--program", sys.executable)])
def test_a_program_that_fills_a_tmpfs_is_killed_before_memkit(memory_group, installed, script, tmp_path, options):
    enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', memory_group]
    command = [*enter, *installed, "-o", "run.memkit", *options, script(FILLS_MEMORY)]
    for _ in range(3):
        run = subprocess.run(command, cwd=tmp_path, timeout=60, capture_output=True, text=True)
        assert run.returncode == 128 + signal.SIGKILL, run.stderr
        assert "killed by SIGKILL, out of memory" in run.stderr.splitlines()[0]
        highest = max(reader.read(tmp_path / "run.memkit").group, key=lambda use: use.used)
        assert highest.name == f"cgroup /{memory_group.name}"
        assert 20 * MIB < highest.used <= 96 * MIB
        assert "shared memory and tmpfs" in run.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/oom_score_adj"), reason="needs Linux")
def test_the_program_claims_more_memory_than_memkit_by_little(memkit_run, script):
    with open("/proc/self/oom_score_adj") as file:
        ours = int(file.read())
    theirs = int(memkit_run(script("print(open('/proc/self/oom_score_adj').read())")).stdout)
    assert ours < theirs <= 1000 or ours == theirs == 1000


def test_a_program_that_is_recorded_from_outside_is_told_its_limit_too(memory_group, installed, script, tmp_path):
    enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', memory_group]
    command = [*enter, *installed, "-o", "run.memkit", "--program", sys.executable, script(OVERREACHING), "itself"]
    run = subprocess.run(command, cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert run.returncode == 128 + signal.SIGKILL
    evidence = f"cgroup /{memory_group.name} (96.0 MiB): oom_kill rose by 1"
    assert run.stderr.splitlines()[0].endswith(f": killed by SIGKILL, out of memory ({evidence})")


REPLACED = """
import mmap, os, sys, time
def hold(size):
    memory = mmap.mmap(-1, size << 20)
    memory[::mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    time.sleep(0.5)
if len(sys.argv) == 1:
    hold(40)
    again = f"exec {sys.executable} {__file__} again"
    os.execv("/bin/sh", ["sh", "-c", again])
hold(160)
sys.exit(7)
"""


@pytest.mark.parametrize("options", [("-q",), ("-q", "--children"), ("-q", "--follow")])
def test_a_program_that_replaces_itself_is_recorded_to_its_end(memkit_run, script, native_only, options):
    done = memkit_run(script(REPLACED), options=options)
    recording = done.recording
    assert (done.returncode, str(recording.ending), recording.unread) == (7, "exited with code 7", 0)
    assert len(recording.processes) == 1
    moment, became = recording.executed[-1]
    assert became.endswith(" again") and 0 < moment < recording.processes[0].ended
    assert [fact.text.endswith(", by exec") for fact in facts(recording) if fact.label == "became"]
    assert 160 * MIB < recording.peak < 220 * MIB
    assert any(40 * MIB < sample.memory < 100 * MIB for sample in recording.samples)  # of the first
    assert list(recording.samples) == sorted(recording.samples, key=lambda sample: sample.time)


def test_a_program_that_replaced_itself_for_a_moment_is_told_of_too(memkit_run, script):
    done = memkit_run(script("import os; os.execv('/bin/sh', ['sh', '-c', 'exit 5'])"))
    assert done.returncode == 5
    assert str(done.recording.ending).startswith("exited with code 5")  # whether that was seen in time or not


def test_what_a_replaced_program_started_is_recorded_on(memkit_run, script, native_only):
    text = """
import os, sys
if len(sys.argv) == 1:
    import time
    time.sleep(0.3)
    os.execv(sys.executable, [sys.executable, __file__, "again"])
import subprocess
subprocess.run([sys.executable, "-c", "import time; time.sleep(1)"])
"""
    recording = memkit_run(script(text), options=("-q", "--children")).recording
    assert [process.command.endswith("time.sleep(1)") for process in recording.processes] == [False, True]
    assert (recording.unread, recording.ending.kind, recording.processes[1].ending.kind) == (0, "ok", "ok")


# -- signals -----------------------------------------------------------------------------------------------------------

WAITING = """
import signal, sys, time
def handle(number, _):
    print("got", signal.Signals(number).name)
    sys.exit(7)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), handle)
print("ready", flush=True)
time.sleep(30)
"""


@pytest.fixture
def started(installed, script, tmp_path):
    """A function that starts a program under memkit, in a session of its own, and waits until it prints a line."""
    processes = []

    def start(text, *words, options=(), **more):
        command = [*installed, "-o", "run.memkit", *options, script(text), *words]
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True, **more}
        process = subprocess.Popen(command, cwd=tmp_path, **settings)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGWINCH"])
def test_a_signal_to_memkit_reaches_the_program(started, name):
    process = started(WAITING, name)
    if name not in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        needs_listener(process)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, f"got {name}\n")
    assert err.splitlines()[0] == f"memkit   program.py {name}: exited with code 7"


def test_a_program_killed_by_a_forwarded_signal_is_reported(started):
    process = started(WAITING)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err.splitlines()[0] == "memkit   program.py: killed by SIGTERM"


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT"])
def test_a_signal_to_all_as_from_a_terminal_is_the_programs_to_decide(started, name):
    process = started(WAITING, name)
    os.killpg(process.pid, getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, f"got {name}\n")
    assert err.splitlines()[0] == f"memkit   program.py {name}: exited with code 7"


TOLD_APART = pytest.mark.skipif(
    not hasattr(signal, "sigwaitinfo") or not os.path.exists("/proc/self/status"),
    reason="who sent a signal, and to whom, cannot be known here",
)


@TOLD_APART
@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT"])
@pytest.mark.parametrize("options", [(), ("--children",), ("--program", sys.executable)])
def test_a_terminal_signal_to_memkit_alone_is_forwarded(started, options, name):
    process = started(WAITING, name, options=options)
    wait_for_listener(process.pid)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, f"got {name}\n")
    assert err.splitlines()[0].endswith(": exited with code 7")


@TOLD_APART
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_what_a_shell_has_memkit_ignore_reaches_a_handler(started, name):
    def ignoring():
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    process = started(WAITING, name, preexec_fn=ignoring)
    wait_for_listener(process.pid)
    process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, f"got {name}\n")


COUNTING = """
import os, signal, sys
count = 0
def handle(number, _):
    global count
    count += 1
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), handle)
print("ready", flush=True)
for line in sys.stdin:
    print(count, flush=True)
"""


@TOLD_APART
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGCONT"])
def test_a_signal_to_the_group_is_not_forwarded_a_second_time(started, name):
    sent = getattr(signal, name)
    process = started(COUNTING, name, stdin=subprocess.PIPE)
    wait_for_listener(process.pid)
    for number in range(1, 4):
        before = children(process.pid)
        os.killpg(process.pid, sent)
        until(lambda: asked(process) > number or (asked(process) == number and children(process.pid) != before))  # noqa: B023
        assert asked(process) == number
        until(lambda: len(children(process.pid)) == 2 and not waiting(process.pid))
    until(lambda: os.kill(process.pid, sent) or asked(process) > 3)


@TOLD_APART
def test_a_signal_first_to_memkit_and_then_to_its_group_comes_once(started):
    process = started(COUNTING, "SIGTERM", stdin=subprocess.PIPE)
    wait_for_listener(process.pid)
    before = children(process.pid)
    process.send_signal(signal.SIGTERM)  # as timeout(1) does
    os.killpg(process.pid, signal.SIGTERM)
    until(lambda: asked(process) and children(process.pid) != before)
    until(lambda: len(children(process.pid)) == 2 and not waiting(process.pid))
    assert asked(process) == 1


def asked(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def children(pid):
    """The program, and the peer of memkit, whichever thread has started it."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def waiting(pid):
    """Whether a signal waits, for a process or for one of its children."""
    return any(field(each, "ShdPnd") for each in (pid, *children(pid)))


def wait_for_listener(pid):
    """Wait until the signals of a terminal are held back in the main thread, as they are once somebody listens."""
    until(lambda: field(pid, "SigBlk") >> (signal.SIGINT - 1) & 1)


def needs_listener(process):
    """Skip where signals are not told apart; elsewhere wait until they are."""
    if TOLD_APART.args[0]:
        pytest.skip(TOLD_APART.kwargs["reason"])
    wait_for_listener(process.pid)


def field(pid, name):
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1], 16) for line in file if line.startswith(name)), 0)
    except (FileNotFoundError, ProcessLookupError):  # it is just ending
        return 1


def until(condition):
    """Wait for something that comes, and fail where it does not."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_the_program_has_no_signals_held_back(plain, memkit_run, script):
    name = script("import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))")
    assert memkit_run(name).stdout == plain(name).stdout


def test_an_interrupt_that_the_program_survives_ends_nothing(started):
    text = """
import signal, sys, threading
woken = threading.Event()
signal.signal(signal.SIGINT, lambda *_: woken.set())
print("ready", flush=True)
print(woken.wait(30))
"""
    process = started(text)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "True\n")
    assert err.splitlines()[0] == "memkit   program.py: finished"


INTERRUPTS = """
import os, signal, sys

def interrupt(event, arguments):
    if event == "import" and arguments[0] == os.environ["INTERRUPT_AT"]:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(interrupt)
"""


@pytest.fixture
def interrupted_at(plain, script, tmp_path):
    """A function that runs a program under memkit, where the import of a module is interrupted."""

    def run(place, text):
        script(INTERRUPTS, "site/sitecustomize.py")
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "INTERRUPT_AT": place}
        return plain("-m", "memkit", "run", script(text), env=environment)

    return run


# Of the process that waits, and from memkit.run.execute on of the program's.
@pytest.mark.parametrize(
    "place", ["memkit.cli.main", "memkit.base.plugins", "pluggy", "memkit.run.execute", "memkit.record.recorder"]
)
def test_an_interrupt_before_the_program_begins_ends_it_without_a_word(interrupted_at, tmp_path, place):
    done = interrupted_at(place, "print('begun')\n")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert sorted(os.listdir(tmp_path)) == ["program.py", "site"]


# A module that neither memkit nor its reporters import, by either engine.
def test_an_interrupt_as_the_program_begins_is_its_own(interrupted_at):
    done = interrupted_at("_lsprof", "try:\n    import _lsprof\nexcept KeyboardInterrupt:\n    print('mine')\n    raise\n")
    assert (done.returncode, done.stdout) == (130, "mine\n")
    assert 'program.py", line 2, in <module>' in done.stderr
    assert "KeyboardInterrupt\nmemkit   program.py: killed by SIGINT (KeyboardInterrupt)\n" in done.stderr
    assert os.path.dirname(file_format.__file__) not in done.stderr


def test_the_installed_commands_begin_where_an_interrupt_is_awaited():
    from importlib.metadata import distribution

    points = [point for point in distribution("memkit-profiler").entry_points if point.group == "console_scripts"]
    assert sorted(point.value for point in points) == ["memkit.__main__:main", "memkit.__main__:run"]


@pytest.mark.parametrize("options", [["--lines=nothing.py:here"], ["--csv", "program.py"]])
def test_what_is_refused_before_the_program_begins_leaves_no_recording(memkit, script, tmp_path, options):
    done = memkit("run", *options, script("pass"))
    assert done.returncode == 2
    assert os.listdir(tmp_path) == ["program.py"]


def test_a_program_that_outlives_memkit_ends_its_own_recording(started, tmp_path):
    process = started("import sys\nprint('ready', flush=True)\nsys.stdin.read()\nsys.exit(3)")
    process.kill()
    process.wait(60)
    process.communicate(timeout=60)  # until the program, too, has closed its ends
    assert str(reader.read(tmp_path / "run.memkit").ending) == "exited with code 3"


# -- a terminal --------------------------------------------------------------------------------------------------------

TALKING = """
import os, sys, time
print([os.isatty(stream) for stream in range(3)], os.get_terminal_size().columns, os.getpgrp() == os.tcgetpgrp(0))
print("hello", input("name? "))
try:
    print("waiting")
    time.sleep(30)
except KeyboardInterrupt:
    if len(sys.argv) > 1:
        raise
    print("interrupted")
    sys.exit(7)
"""


def converse(command, folder, *turns):
    """Run a command in a terminal of its own: wait for a text, type another, and so on. Its exit code, and what was seen."""
    ours, theirs = pty.openpty()
    words = [sys.executable, str(Path(__file__).parents[1] / "programs" / "in_terminal.py"), *command]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(words, cwd=folder, env={**os.environ, "TERM": "dumb"}, start_new_session=True, **streams)
    os.close(theirs)
    seen = b""
    turns = list(turns)
    try:
        while select.select([ours], [], [], 60)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the last of them has closed it
                break
            if turns and turns[0][0] in seen:
                os.write(ours, turns.pop(0)[1])
        return process.wait(60), seen.decode()
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)


IN_BACKGROUND = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
stopped = os.waitpid(child, os.WUNTRACED)[1]
print("stopped by", signal.Signals(os.WSTOPSIG(stopped)).name, flush=True)
os.tcsetpgrp(0, child)
os.killpg(child, signal.SIGCONT)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os.tcsetpgrp(0, os.getpgrp())
sys.exit(code)
"""


def test_a_job_that_reads_in_the_background_stops_for_its_shell(installed, script, tmp_path):
    name, shell = script("import sys\nprint('hello', input('name? '))\nsys.exit(7)"), script(IN_BACKGROUND, "shell.py")
    plainly = converse([sys.executable, shell, sys.executable, name], tmp_path, (b"SIGTTIN\r\n", b"Ada\n"))
    assert plainly[0] == 7
    assert "stopped by SIGTTIN\r\n" in plainly[1]
    assert "hello Ada" in plainly[1]
    assert converse([sys.executable, shell, *installed, "-q", name], tmp_path, (b"SIGTTIN\r\n", b"Ada\n")) == plainly


TURNS = (b"name? ", b"Ada\n"), (b"waiting\r\n", b"\x03")


def test_a_terminal_works_as_without_memkit(installed, script, tmp_path):
    name = script(TALKING)
    code, plainly = converse([sys.executable, name], tmp_path, *TURNS)
    assert code == 7
    assert "[True, True, True]" in plainly
    assert "hello Ada" in plainly
    assert "interrupted" in plainly
    assert converse([*installed, "-q", name], tmp_path, *TURNS) == (code, plainly)


def test_an_interrupt_in_a_terminal_is_reported_on(installed, script, tmp_path):
    code, seen = converse([*installed, script(TALKING), "raise"], tmp_path, *TURNS)
    assert code == 130
    assert seen.count("Traceback") == 1
    assert "memkit   program.py raise: killed by SIGINT (KeyboardInterrupt)" in seen.splitlines()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (launch.Program("script", "load.py", ["a", "--", "b"]), ["load.py", "a", "--", "b"]),
        (launch.Program("module", "tool", []), ["-m", "tool"]),
        (launch.Program("code", "pass", ["--"]), ["-c", "pass", "--"]),
    ],
)
def test_a_program_under_measurement_can_be_told_as_it_was_typed(program, words):
    started = launch.command(program, RunSettings(path="run.memkit", lines=["a", "b"]), ["python", "-X", "dev"])
    assert launch.as_typed(started) == ["python", "-X", "dev", *words]


@pytest.mark.parametrize("words", [[], ["python", "start.py", "script", "a", "--"], ["vi", "memkit/start.py"]])
def test_the_words_of_any_other_process_stay_as_they_are(words):
    assert launch.as_typed(words) == words
