"""Python programs that a recorded one forks and spawns record themselves into the same file, and notice nothing of it."""

import multiprocessing
import os
import signal
import sys
import time

import pytest

import memkit
from memkit.base.errors import UsageError
from memkit.record import child_process
from memkit.report.lanes import highest_sum
from memkit.system import engine

from engines import threads_at_work

MIB = 1 << 20
GROW = """
import mmap, os, sys
kept = []
def grow(mebibytes):
    block = mmap.mmap(-1, mebibytes << 20)
    for place in range(0, mebibytes << 20, 4096):
        block[place] = 1
    kept.append(block)
"""
NATIVE = pytest.mark.skipif(engine.NAME != "native", reason=f"needs the native engine: {engine.REASON}")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
FOLLOWED = {"options": ("-q", "--follow")}


def grown(recording):
    """How far each process rose above its start, in order of its start."""
    lanes = [recording.lane(process) for process in recording.processes]
    return [max(sample.peak for sample in lane) - lane[0].memory for lane in lanes if lane]


def busy_tools():
    """The tools that are at work with the interpreter."""
    return [sys.monitoring.get_tool(number) for number in range(6)] if hasattr(sys, "monitoring") else []


METHODS = [name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_have_lanes_of_their_own_and_an_end(memkit_run, script, method):
    text = f"""{GROW}
import multiprocessing
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=grow, args=(size,)) for size in (20, 40)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
"""
    done = memkit_run(script(text), **FOLLOWED)
    assert (done.returncode, done.stderr) == (0, "")
    rose = sorted(grown(done.recording), reverse=True)
    assert rose[0] >= 40 * MIB > rose[1] >= 20 * MIB
    workers = [p for p in done.recording.processes[1:] if max(s.peak for s in done.recording.lane(p)) > 20 * MIB]
    assert [worker.ending.kind for worker in workers] == ["ok"] * 2 or method == "forkserver"
    assert done.recording.unread == 0


def test_what_a_followed_program_does_is_what_it_does_without(same, program):
    done = same(program("pools.py"), *METHODS, options=("-q", "--follow"))
    assert len(done.recording.processes) > 4 * len(METHODS)
    assert done.recording.unread == 0


@NATIVE
@FORKS
def test_lines_add_up_over_all_processes(memkit_run, script):
    text = f"""{GROW}
import subprocess
def work(mebibytes):
    grow(mebibytes)
if os.environ.get("AGAIN"):
    work(8)
    sys.exit()
child = os.fork()
if not child:
    work(16)
    sys.exit()
os.waitpid(child, 0)
subprocess.run([sys.executable, __file__], env={{**os.environ, "AGAIN": "1"}})
work(32)
"""
    done = memkit_run(script(text), options=("-q", "--follow", "--lines=program.py:work"))
    (line,) = (line for line in done.recording.lines if line.hits)
    assert (line.number, line.hits) == (12, 3)
    assert 56 * MIB - done.recording.about.peaks_error <= line.growth < 57 * MIB  # the kernel's counters may be behind


@FORKS
def test_what_all_processes_had_together_is_what_they_tell_of_themselves(memkit_run, script):
    text = f"""{GROW}
import time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
grow(20)
said, told = os.pipe()
over, hold = os.pipe()
for size in (30, 15):
    if not os.fork():
        os.close(hold)
        grow(size)
        os.write(told, b"%d\\n" % resident())
        os.read(over, 1)  # until the parent closes it
        sys.exit()
with os.fdopen(said) as lines:
    sizes = [int(lines.readline()) for _ in range(2)]
    time.sleep(0.1)  # each is sampled meanwhile
    print(sum(sizes) + resident(), flush=True)
os.close(hold)
os.wait()
os.wait()
"""
    done = memkit_run(script(text), options=("-q", "--follow", "--interval=0.01"))
    found = highest_sum(done.recording)
    assert found.processes == 3
    assert abs(found.memory - int(done.stdout)) < 3 * MIB  # each reads its own a little later or earlier


@NATIVE
@FORKS
def test_trees_of_calls_stand_side_by_side(memkit_run, script):
    text = f"""{GROW}
if child := os.fork():
    os.waitpid(child, 0)
else:
    grow(16)
    sys.exit()
grow(8)
"""
    recording = memkit_run(script(text), options=("-q", "--follow", "--calls")).recording
    child = recording.processes[1].pid
    assert {call.process for call in recording.calls} == {None, child}
    ids = {call.id: call for call in recording.calls}
    assert len(ids) == len(recording.calls)
    assert all(call.parent is None or call.parent < call.id for call in recording.calls)
    by_root = {}
    for call in recording.calls:
        root = call
        while root.parent is not None:
            root = ids[root.parent]
        if call.function.name == "grow":
            by_root[root.function.name] = round(call.growth / MIB)
    assert by_root == {"<thread MainThread>": 8, "<forked process>": 16}


UNKNOWN = "ended, exit status unknown"
LEAVES = "import sys; sys.exit(3)"
DIVIDES = "ended by an exception: ZeroDivisionError: division by zero"
MARKS = "try:\n    1 / 0\nexcept ArithmeticError as error:\n    import sys; sys.last_exc = sys.last_value = error"


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        (["child.py"], "pass", "finished"),
        (["child.py"], "1 / 0", DIVIDES),
        (["child.py"], "x = = 1", "ended by an exception: SyntaxError: invalid syntax (child.py, line 1)"),
        (["child.py"], MARKS, "finished"),
        (["child.py"], LEAVES, UNKNOWN),
        (["child.py"], "raise SystemExit('text')", UNKNOWN),
        (["-m", "child"], "1 / 0", DIVIDES),
        (["-m", "child"], LEAVES, UNKNOWN),
        (["-c", "import child"], "1 / 0", DIVIDES),
        (["-c", "import child"], MARKS, UNKNOWN),
        (["-c", "import child"], LEAVES, UNKNOWN),
        (["-i", "child.py"], "pass", UNKNOWN),
        (["nowhere.py"], "", UNKNOWN),
        (["child.py"], "import os; os.kill(os.getpid(), 9)", "not known: the recording has no end"),
    ],
)
def test_a_child_tells_how_it_ended_as_far_as_it_can_know(memkit_run, script, words, text, told):
    script(text, name="child.py")
    name = script(f"import subprocess, sys\nsubprocess.run([sys.executable, *{words}], stderr=subprocess.DEVNULL)\n")
    done = memkit_run(name, stdin=None, input="raise SystemExit(3)\n", **FOLLOWED)
    _, child = done.recording.processes
    assert str(child.ending).startswith(told)


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="this Python has no tool ids")
@pytest.mark.parametrize("words", [["child.py"], ["-m", "child"], ["-c", "import child"]])
def test_a_child_finds_all_tool_ids_free(memkit_run, script, words):
    script("import sys; print([sys.monitoring.get_tool(id) for id in range(6)])", name="child.py")
    name = script(f"import subprocess, sys\nsubprocess.run([sys.executable, *{words}])\n")
    assert memkit_run(name, **FOLLOWED).stdout == f"{[None] * 6}\n"


@FORKS
@pytest.mark.parametrize(
    ("text", "told"),
    [("", "finished"), ("sys.exit(7)", "exited with code 7"), ("1 / 0", DIVIDES)],
)
def test_a_forked_child_of_the_program_knows_how_it_ended(memkit_run, script, text, told):
    text = f"import os, sys\nsys.stderr = open(os.devnull, 'w')\nif os.fork():\n    os.wait()\nelse:\n    pass; {text}\n"
    done = memkit_run(script(text), **FOLLOWED)
    assert [str(process.ending) for process in done.recording.processes] == ["finished", told]


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_multiprocessing_tell_the_code_or_the_exception(memkit_run, script, method):
    text = f"""
import multiprocessing, sys
def work(code):
    sys.exit(code) if code else 1 / 0
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    for code in (4, "text", None):
        try:
            raise ValueError("that is handled here, and no worker's")
        except ValueError:
            worker = context.Process(target=work, args=(code,))
            worker.start()
        worker.join()
        print(worker.pid)
"""
    done = memkit_run(script(text), **FOLLOWED)
    endings = {process.pid: str(process.ending) for process in done.recording.processes}
    four, one, divided = (endings[int(pid)] for pid in done.stdout.split())
    assert (four, one) == ("exited with code 4", "exited with code 1")
    assert divided in ("exited with code 1", DIVIDES)


@FORKS
def test_what_a_killed_child_had_written_is_there(memkit_run, script):
    text = f"""{GROW}
import signal, time
ready, write = os.pipe()
child = os.fork()
if not child:
    grow(30)
    time.sleep(0.6)
    os.write(write, b"x")
    signal.pause()
os.read(ready, 1)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
    recording = memkit_run(script(text), **FOLLOWED).recording
    assert recording.ending.kind == "ok" and grown(recording)[1] >= 30 * MIB


@FORKS
def test_a_child_that_outlives_its_parent_loses_nothing_and_harms_nothing(memkit_run, script, tmp_path):
    text = f"""{GROW}
import time
if os.fork():
    os._exit(5)
while os.getppid() == {os.getpid()}:
    time.sleep(0.01)
grow(30)
time.sleep(0.5)
open("done", "w").close()
"""
    done = memkit_run(script(text), **FOLLOWED)
    assert done.returncode == 5
    assert done.recording.ending.code == 5 and done.recording.unread == 0


@pytest.mark.skipif(not hasattr(os, "execv") or sys.platform == "win32", reason="nothing replaces itself here")
def test_a_program_that_becomes_another_goes_on_in_the_same_recording(memkit_run, script):
    text = f"""{GROW}
if sys.argv[1:]:
    grow(30)
    sys.exit(3)
os.execv(sys.executable, [sys.executable, __file__, "again"])
"""
    done = memkit_run(script(text), **FOLLOWED)
    (process,) = done.recording.processes
    assert (done.returncode, str(process.ending), process.ending) == (3, "exited with code 3", done.recording.ending)
    assert grown(done.recording) == [pytest.approx(30 * MIB, abs=8 * MIB)] and not done.recording.others


@pytest.mark.skipif(not hasattr(os, "execv") or sys.platform == "win32", reason="nothing replaces itself here")
@pytest.mark.parametrize(("options", "told"), [([], UNKNOWN), (["--children"], "exited with code 3")])
def test_a_child_that_executes_another_program_stays_one_process(memkit_run, script, options, told):
    # Without compiled code processes are looked for, and how one ended is known of those that were found before.
    last = f"import time; time.sleep({0 if engine.NAME == 'native' else 2}); raise SystemExit(3)"
    child = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {last!r}])"
    name = script(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n")
    done = memkit_run(name, options=("-q", "--follow", *options))
    first, second = done.recording.processes
    assert first.pid != second.pid
    assert (str(first.ending), str(second.ending)) == ("finished", told)


def test_a_python_that_ignores_its_environment_is_left_alone(memkit_run, script):
    text = "import subprocess, sys\nprint(subprocess.run([sys.executable, '-I', '-c', 'print(1)']).returncode, flush=True)\n"
    done = memkit_run(script(text), **FOLLOWED)
    assert (done.stdout.split(), done.stderr, len(done.recording.processes)) == (["1", "0"], "", 1)


@pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be removed here")
def test_a_relative_path_entry_stays_if_the_folder_is_gone(python):
    text = """
import json, os, sys
from memkit.record import child_process
from memkit.report.lanes import highest_sum
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
sys.path[:0] = [child_process.FOLDER, "lib"]
sys.modules.pop("sitecustomize", None)
import sitecustomize
print(json.dumps(["lib" in sys.path, child_process.FOLDER in sys.path]))
"""
    assert python(text) == [True, False]


def test_a_python_without_site_is_left_alone(memkit_run, script):
    child = "import sys; print(*[name for name in sys.modules if name.startswith('memkit')])"
    done = memkit_run(
        script(f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {child!r}])\n"), **FOLLOWED
    )
    assert (done.stdout, done.stderr, len(done.recording.processes)) == ("\n", "", 1)


def test_the_customization_behind_ours_is_run(memkit_run, script, tmp_path):
    script("print('customized', flush=True)", name="own/sitecustomize.py")
    child = "import sitecustomize; print(sitecustomize.__file__)"
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    path = os.pathsep.join([str(tmp_path / "own"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = memkit_run(script(text), options=("-q", "--follow"), env={**os.environ, "PYTHONPATH": path})
    said = done.stdout.split()
    assert said[-2:] == ["customized", str(tmp_path / "own" / "sitecustomize.py")]
    assert len(done.recording.processes) == 2


def test_the_path_of_a_child_is_what_it_is_without(same, script):
    text = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import sys; print(sys.path)'])\n"
    same(script(text), options=("-q", "--follow"))


def test_a_child_whose_recording_is_gone_says_so_in_a_line_and_runs(memkit_run, script):
    text = "import os, subprocess, sys\nos.unlink('run.memkit')\nsubprocess.run([sys.executable, '-c', 'print(1)'])\n"
    done = memkit_run(script(text), **FOLLOWED)
    lines = [line for line in done.stderr.splitlines() if "does not record itself" in line]
    assert done.stdout == "1\n" and len(lines) == 1 and "run.memkit" in lines[0]


@FORKS
def test_record_follows_forks_too_and_leaves_the_environment_as_it_was(python, tmp_path):
    text = """
import json, os, memkit
before = dict(os.environ)
with memkit.record("own.memkit", follow=True) as run:
    during = set(os.environ) - set(before)
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        raise SystemExit(0)
print(json.dumps([sorted(during - {"PYTHONPATH"}), dict(os.environ) == before, len(run.recording.processes)]))
"""
    assert python(text) == [["MEMKIT_FOLLOW"], True, 2]


INNER = f"""
{GROW}
import subprocess, memkit
grow(16)
if not sys.argv[1:]:
    subprocess.run([sys.executable, __file__, "child"])
    if child := os.fork():
        os.waitpid(child, 0)
"""


@FORKS
def test_under_a_recording_that_is_followed_another_is_as_it_is_without(memkit_run, script, installed, tmp_path):
    inner = [*installed, "-q", "--follow", "-o", "inner.memkit", script(INNER, name="inner.py")]
    text = f"import subprocess, sys\nsys.exit(subprocess.run({inner}).returncode)\n"
    done = memkit_run(script(text), **FOLLOWED)
    assert (done.returncode, done.stderr) == (0, "")
    recording = memkit.read(tmp_path / "inner.memkit")
    assert (len(recording.processes), recording.unread) == (3, 0)
    assert min(grown(recording)[:2]) >= 16 * MIB
    assert recording.processes[0].pid in [process.pid for process in done.recording.processes]


def test_in_a_program_that_is_followed_record_may_be_followed_too(memkit_run, script, tmp_path):
    text = """
import os, subprocess, sys, memkit
before = dict(os.environ)
with memkit.record("inner.memkit", follow=True):
    subprocess.run([sys.executable, "-c", "pass"])
assert dict(os.environ) == before
subprocess.run([sys.executable, "-c", "pass"])
"""
    done = memkit_run(script(text), **FOLLOWED)
    assert (done.returncode, done.stderr) == (0, "")
    inner, outer = memkit.read(tmp_path / "inner.memkit").processes[1:], done.recording.processes[1:]
    assert len(inner) == len(outer) == 1 and inner[0].pid != outer[0].pid


def test_only_one_recording_is_followed_and_it_needs_a_file(tmp_path):
    with pytest.raises(UsageError, match="needs a path"):
        memkit.record(follow=True)
    with memkit.record(tmp_path / "a.memkit", follow=True), pytest.raises(UsageError, match="another recording already"):
        memkit.record(tmp_path / "b.memkit", follow=True).start()
    assert "MEMKIT_FOLLOW" not in os.environ
    with memkit.record(tmp_path / "b.memkit", follow=True):
        pass


TASKS = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads cannot be counted here")


@TASKS
@pytest.mark.parametrize("refused", ["meter", "followed"])
def test_a_refused_recording_leaves_the_file_and_the_process_as_they_were(tmp_path, monkeypatch, refused):
    path = tmp_path / "a.memkit"
    with memkit.record(path):
        pass
    before = path.read_bytes()
    if refused == "followed":
        monkeypatch.setattr(child_process, "_set_by_program", "somebody")
    traced = {"lines": grown} if engine.NAME == "native" else {}
    meter = (lambda: 5) if refused == "meter" else "rss"
    threads, environment, tools = threads_at_work(), dict(os.environ), busy_tools()
    recorder = memkit.record(path, follow=True, meter=meter, **traced)
    with pytest.raises(UsageError):
        recorder.start()
    assert (path.read_bytes(), recorder.running, dict(os.environ)) == (before, False, environment)
    assert (threads_at_work(), busy_tools()) == (threads, tools)


@TASKS
def test_a_recording_that_fails_to_begin_leaves_nothing_running(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(child_process.ChildEnvironment, "set", fail)
    traced = {"lines": grown} if engine.NAME == "native" else {}
    recorder = memkit.record(tmp_path / "a.memkit", follow=True, children=True, **traced)
    threads, tools = threads_at_work(), busy_tools()
    for _ in range(2):
        with pytest.raises(MemoryError):
            recorder.start()
        assert (busy_tools(), recorder.running) == (tools, False)
        until = time.monotonic() + 10
        while threads_at_work() != threads:  # Python's own end a moment after all of their work is done
            assert time.monotonic() < until
    monkeypatch.undo()
    with recorder:
        pass
    assert recorder.recording.ending.kind == "ok"


def test_a_meter_without_a_name_cannot_be_followed(tmp_path):
    with pytest.raises(UsageError, match="a meter with a name"):
        memkit.record(tmp_path / "a.memkit", meter=lambda: 5, follow=True).start()
    assert "MEMKIT_FOLLOW" not in os.environ and not multiprocessing.active_children()


@FORKS
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nobody is killed here")
def test_many_processes_write_into_one_file_and_no_row_is_lost(memkit_run, script):
    text = f"""{GROW}
children = []
for number in range(12):
    child = os.fork()
    if not child:
        for _ in range(20):
            grow(1)
        sys.exit()
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
    recording = memkit_run(script(text), options=("-q", "--follow", "--interval", "1ms")).recording
    assert recording.unread == 0 and len(recording.processes) == 13
    assert all(rose >= 19 * MIB for rose in grown(recording)[1:])


STORM = """
import os
pids = []
for _ in range(100):
    pids.append(os.fork())
    if not pids[-1]:
        block = [bytes(1000) for _ in range(300)]
        os._exit(0)
for pid in pids:
    os.waitpid(pid, 0)
"""
UNTOLD = """
import sys
from memkit.tree import watch
watch.events_of_threads = lambda *_: (None, "refused, as in a container")
from memkit.__main__ import run
sys.exit(run())
"""


@pytest.mark.parametrize("seen", ["events", "looks"])
def test_a_short_life_that_recorded_itself_is_one_process(plain, script, tmp_path, installed, native_only, seen):
    begin = [installed[1]] if seen == "events" else [script(UNTOLD, "untold.py")]
    done = plain(*begin, "-q", "-o", "run.memkit", "--children", "--follow", script(STORM))
    assert done.returncode == 0, done.stderr
    recording = memkit.read(tmp_path / "run.memkit")
    pids = [process.pid for process in recording.processes]
    assert (len(pids), len(set(pids)), recording.unread) == (101, 101, 0)


DROPS_RIGHTS = """
import os
if os.geteuid() == 0:  # as a daemon does before it forks its workers
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
else:
    os.chmod("run.memkit", 0o400)
for _ in range(3):
    if os.fork() == 0:
        block = b"x" * 40_000_000
        if os.fork() == 0:
            more = b"x" * 20_000_000
            raise SystemExit(0)
        os.wait()
        raise SystemExit(0)
for _ in range(3):
    os.wait()
if os.geteuid() != 65534:
    os.chmod("run.memkit", 0o600)
"""


def test_forks_record_themselves_where_they_may_not_open_the_file(memkit_run, script):
    done = memkit_run(script(DROPS_RIGHTS), options=("-q", "--follow"))
    assert (done.returncode, done.stderr) == (0, "")
    peaks = sorted(max(sample.peak for sample in done.recording.lane(process)) for process in done.recording.processes)
    assert len(peaks) == 7
    assert all(peak > 40_000_000 for peak in peaks[1:])
    assert done.recording.unread == 0


@pytest.mark.parametrize("text", ["", "{version}", "{version} path=run.memkit", "2.7\x1fpath=run.memkit"])
def test_an_environment_that_is_empty_or_of_another_python_asks_nothing(plain, tmp_path, text):
    text = text.format(version=f"{sys.version_info[0]}.{sys.version_info[1]}")
    ours = {"MEMKIT_FOLLOW": text, "PYTHONPATH": child_process.FOLDER}
    done = plain("-c", "print('ran')", env={**os.environ, **ours})
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("path=notes.txt", "'notes.txt' is not a recording, so it is left alone"),
        ("path=pipe", "cannot write 'pipe': it is a pipe; give the name of a file"),
        ("path=/dev/null", "cannot write '/dev/null': it is a device; give the name of a file"),
        ("path=gone.memkit", "cannot record into 'gone.memkit': No such file or directory"),
        ("lines=a.py", "it names no recording"),
        ("path=", "it names no recording"),
        ("", "the word '' is not NAME=VALUE"),
        ("path=notes.txt\x1f", "the word '' is not NAME=VALUE"),
        ("path=notes.txt\x1f\x1finterval=5ms", "the word '' is not NAME=VALUE"),
        ("path=notes.txt\x1fcalls", "the word 'calls' is not NAME=VALUE"),
        ("path=notes.txt\x1f=yes", "the word '=yes' is not NAME=VALUE"),
        ("path=notes.txt\x1fc_calls=maybe", "the word 'c_calls=maybe' is neither 'c_calls=yes' nor 'c_calls=no'"),
        ("path=notes.txt\x1fcolour=red", "there is no setting 'colour'"),
        ("path=notes.txt\x1finterval=soon", "'soon'"),
        ("path=notes.txt\x1fmeter=a=b", "No module named 'b'"),
    ],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_settings_that_no_recording_has_left_are_one_line(plain, tmp_path, setting, reason):
    (tmp_path / "notes.txt").write_text("mine\n")
    os.mkfifo(tmp_path / "pipe")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    ours = {"MEMKIT_FOLLOW": f"{version}\x1f{setting}", "PYTHONPATH": child_process.FOLDER}
    done = plain("-c", "print('ran')", env={**os.environ, **ours})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("memkit: process ")
    assert reason.replace("'notes", f"'{tmp_path}/notes").replace("'pipe'", f"'{tmp_path}/pipe'") in line.replace(
        f"'{tmp_path}/gone", "'gone"
    )
    assert (tmp_path / "notes.txt").read_text() == "mine\n"
