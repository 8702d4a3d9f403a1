"""Kills, full disks, forks, threads, frequent signals, faulty plugins: the program continues, and so does the recording."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from memkit.model import reader

MS = 1_000_000
FLUSH = 250 * MS


def rows_of(path):
    """The rows of a finished recording; each line must be a valid row."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0.3, 0.45, 0.7, 1.1])
def test_a_kill_loses_at_most_250_ms(memkit_run, script, tmp_path, moment):
    text = f"""
import os, time
began = time.monotonic()
while time.monotonic() < began + {moment}:
    time.sleep(0.001)
print(time.monotonic_ns(), flush=True)
os.kill(os.getpid(), 9)
"""
    run = memkit_run(script(text), options=["-q", "--interval", "1ms"])
    assert run.returncode == 128 + signal.SIGKILL
    died = int(run.stdout) - run.recording.about.clock
    # A busy machine wakes the sampler late. Twice the time is still far less than an unflushed buffer would lose.
    assert died - run.recording.samples[-1].time <= 2 * FLUSH
    assert run.recording.unread == 0
    assert len(run.recording.samples) == (tmp_path / "run.memkit").read_bytes().count(b'\n["sample"')
    times = [sample.time for sample in run.recording.samples]
    assert times == sorted(set(times))


def test_a_span_that_a_kill_cuts_off_is_unfinished(memkit_run, script):
    text = "import os, time, memkit\nwith memkit.span('last'):\n    time.sleep(0.4)\n    os.kill(os.getpid(), 9)"
    (span,) = memkit_run(script(text)).recording.spans
    assert (span.label, span.end, span.after) == ("last", None, None)


# -- full disks --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_bytecode(monkeypatch):
    """Python leaves broken files of bytecode behind where a limit cuts them, also of memkit's modules."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


FILLS_ITS_LIMIT = """
import os, resource, sys, time
path = sys.argv[1]
size = os.path.getsize(path) if os.path.exists(path) else 0
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
time.sleep(0.8)
print("result")
sys.exit(int(sys.argv[2]))
"""


@pytest.mark.parametrize("code", ["0", "3"])
def test_a_full_disk_changes_nothing_for_the_program(plain, memkit_run, script, tmp_path, code):
    name = script(FILLS_ITS_LIMIT)
    without = plain(name, "run.memkit", code)
    run = memkit_run(name, "run.memkit", code, options=["-q", "--interval", "1ms"])
    assert (run.returncode, run.stdout) == (without.returncode, without.stdout)
    (line,) = run.stderr.splitlines()
    assert "rows did not reach" in line
    assert "File too large" in line
    assert len(run.recording.samples) > 20
    assert run.recording.duration >= 700 * MS  # the supervisor has no limit and writes when it ended


def test_a_disk_too_full_for_the_first_row_is_one_clear_error(installed, tmp_path):
    words = [*installed, "-o", "run.memkit", "-c", "print('ran')", "x" * 2000]  # the arguments are in the first row
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "cannot record into" in line
    assert "File too large" in line


ENDS_LATER = "import time; time.sleep(0.8); raise SystemExit(3)"


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (["-c", ENDS_LATER], "exited with code 3, its end unrecorded (os._exit, exec, or a full disk)"),
        (["--program", sys.executable, "-c", ENDS_LATER], "exited with code 3"),
    ],
)
def test_an_ending_that_could_not_be_written_is_still_reported(installed, tmp_path, words, ending):
    limited = ["sh", "-c", 'ulimit -f 6; exec "$@"', "sh", *installed, "-o", "run.memkit", "--interval", "1ms"]
    run = subprocess.run([*limited, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 3
    assert reader.read(tmp_path / "run.memkit").ending.kind == "unknown"
    first = next(line for line in run.stderr.splitlines() if line.startswith("memkit   "))
    assert first.endswith(f": {ending}")


@pytest.fixture
def small_disk(tmp_path):
    """A folder that holds 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "memkit-test", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is refused: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True, timeout=60)


FILLS_THE_DISK = """
import sys, time
time.sleep(0.3)
try:
    with open("disk/filling", "wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
except OSError:
    pass
time.sleep(0.8)
print("result")
sys.exit(3)
"""


@pytest.mark.parametrize("more", [[], ["--children"], ["--heap"]], ids=["alone", "children", "heap"])
def test_a_disk_that_stays_full_loses_rows_and_nothing_else(small_disk, memkit_run, script, more, request):
    if "--heap" in more:
        request.getfixturevalue("native_only")
    run = memkit_run(script(FILLS_THE_DISK), path="disk/run.memkit", options=["-q", "--interval", "1ms", *more])
    assert (run.returncode, run.stdout) == (3, "result\n")
    assert "Traceback" not in run.stderr
    assert "rows did not reach" in run.stderr.splitlines()[0]
    assert "No space left on device" in run.stderr.splitlines()[0]
    assert len(run.recording.samples) > 20


# -- forks -------------------------------------------------------------------------------------------------------------

FORKS = """
import os, sys, time, memkit
for number in range(100):
    pid = os.fork()
    if not pid:
        with memkit.span("child"):
            kept = bytearray(1 << 20)
        sys.exit(number % 7)        # through the child's own exit handlers
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number % 7
with memkit.span("after"):
    time.sleep(0.05)
print("parent")
"""


def test_forked_children_write_nothing_into_the_recording(memkit_run, script, tmp_path):
    run = memkit_run(script(FORKS), flags=["-W", "ignore"], options=["-q", "--interval", "1ms"])
    assert (run.returncode, run.stdout, run.stderr) == (0, "parent\n", "")
    rows = rows_of(tmp_path / "run.memkit")
    assert [row[0] for row in rows if row[0] in ("memkit", "span", "span_end", "end", "exit")] == [
        "memkit", "span", "span_end", "end", "exit",
    ]  # fmt: skip
    times = [row[1] for row in rows if row[0] == "sample"]
    assert times == sorted(times)
    assert max(len(row) for row in rows if row[0] == "sample") <= 4
    (after,) = run.recording.spans
    assert any(after.start < sample.time < after.end for sample in run.recording.samples)


SINGLE = """
import multiprocessing, os
def work(number):
    return number + 1
if __name__ == "__main__":
    for _ in range(20):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(3)))
"""


@pytest.mark.parametrize("flags", [["-X", "dev", "-W", "error"], ["-X", "dev", "-W", "always"]], ids=" ".join)
def test_python_does_not_warn_of_a_fork_in_a_process_with_threads(native_only, same, script, flags):
    # From Python 3.12 on it warns if it counts more than one thread, after the fork and, in 3.13, after the fork hooks.
    same(script(SINGLE), flags=flags)


def test_a_fork_from_a_thread_stops_no_other_thread(memkit_run, script, tmp_path):
    text = """
import os, threading, memkit
def work(number):
    for _ in range(20):
        with memkit.span(f"thread {number}"):
            bytearray(1 << 16)
def fork():
    for _ in range(20):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)] + [threading.Thread(target=fork)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""
    run = memkit_run(script(text), flags=["-W", "ignore"], options=["-q", "--interval", "1ms"])
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
    rows_of(tmp_path / "run.memkit")
    assert len(run.recording.spans) == 80
    assert all(span.end is not None for span in run.recording.spans)


def test_a_forked_child_can_record_itself_into_its_own_file(memkit_run, script, tmp_path):
    text = """
import os, sys, memkit
pid = os.fork()
if not pid:
    with memkit.record("child.memkit"), memkit.span("child"):
        kept = bytearray(8 << 20)
    os._exit(0)
os.waitpid(pid, 0)
with memkit.span("parent"):
    pass
"""
    run = memkit_run(script(text), flags=["-W", "ignore"])
    assert (run.returncode, run.stderr) == (0, "")
    child = reader.read(tmp_path / "child.memkit")
    assert [span.label for span in child.spans] == ["child"]
    assert [span.label for span in run.recording.spans] == ["parent"]
    assert child.about.pid != run.recording.about.pid
    assert child.peak - child.start >= 7 << 20


def test_workers_of_a_pool_write_nothing_into_the_recording(memkit_run, program, tmp_path):
    run = memkit_run(program("pools.py"), "fork", "spawn", options=["-q", "--interval", "1ms"])
    assert run.returncode == 0
    rows = rows_of(tmp_path / "run.memkit")
    times = [row[1] for row in rows if row[0] == "sample"]
    assert times == sorted(times)
    assert [row[0] for row in rows].count("end") == 1
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".memkit") and name != "run.memkit"]


# -- threads and signals -------------------------------------------------------------------------------------------------


def test_fifty_threads_are_recorded(memkit_run, script):
    text = """
import threading, memkit
gate = threading.Barrier(50)
def work(number):
    gate.wait()
    for _ in range(5):
        with memkit.span(f"outer {number}"), memkit.span(f"inner {number}"):
            bytearray(1 << 16)
threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    run = memkit_run(script(text), options=["-q", "--interval", "1ms"])
    assert (run.returncode, run.stderr, run.recording.unread) == (0, "", 0)
    spans = run.recording.spans
    assert len(spans) == 500
    assert len({span.thread for span in spans}) == 50
    assert {(span.label.split()[0], span.depth) for span in spans} == {("outer", 0), ("inner", 1)}
    assert all(span.end >= span.start for span in spans)


def test_frequent_signals_stop_neither_the_sampler_nor_the_program(memkit_run, script):
    text = """
import signal, time
caught = 0
def handle(*_):
    global caught
    caught += 1
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 2
while time.monotonic() < end:
    sum(range(1000))
signal.setitimer(signal.ITIMER_REAL, 0)
print(caught > 50)
"""
    run = memkit_run(script(text), options=["-q", "--interval", "2ms"])
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")
    late = [sample for sample in run.recording.samples if sample.time > run.recording.duration * 3 // 4]
    assert len(late) > 20


# -- programs that close, delete and overwrite files -------------------------------------------------------------------

CLOSES_ALL = """
import os, sys, time
count = int(sys.argv[1])
os.closerange(3, 4096)
files = [open(f"{number}.txt", "w+b", buffering=0) for number in range(count)]
for line in range(30):
    for number in range(0, count, max(1, count // 40)):
        files[number].write(b"%d %d\\n" % (number, line))
    time.sleep(0.01)
for number, file in enumerate(files):
    file.seek(0)
    wanted = b"".join(b"%d %d\\n" % (number, line) for line in range(30)) if number % max(1, count // 40) == 0 else b""
    if file.read() != wanted:
        print("spoilt", number)
    file.close()
print("done")
"""


@pytest.mark.parametrize("count, interval, fewest", [(40, "1ms", 20), (930, "100ms", 1)])
def test_a_program_may_close_all_descriptors_and_reuse_their_numbers(memkit_run, script, count, interval, fewest):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= count + 20:
        pytest.skip(f"needs {count} open files, and the limit is lower here")
    run = memkit_run(script(CLOSES_ALL), str(count), options=["-q", "--interval", interval])
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
    assert run.recording.ending.kind == "ok"
    assert run.recording.unread == 0
    late = [sample for sample in run.recording.samples if sample.time > run.recording.duration // 2]
    assert len(late) >= fewest
    assert all(1 << 20 < sample.memory < 1 << 30 for sample in run.recording.samples)


def test_a_program_may_change_its_working_directory(memkit_run, script, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    run = memkit_run(script("import os\nos.chdir('elsewhere')\nprint('there')"), options=["-q", "--csv", "a.csv"])
    assert (run.returncode, run.stdout, run.stderr) == (0, "there\n", "")
    assert run.recording.ending.kind == "ok"
    assert (tmp_path / "a.csv").exists()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_recording_that_the_program_deletes_is_reported(memkit_run, script):
    run = memkit_run(script("import os\nos.unlink('run.memkit')\nprint('gone')\nraise SystemExit(3)"))
    assert (run.returncode, run.stdout, run.recording) == (3, "gone\n", None)
    (line,) = run.stderr.splitlines()
    assert "run.memkit" in line


def test_a_recording_that_the_program_overwrites_is_reported(memkit_run, script):
    run = memkit_run(script("open('run.memkit', 'w').write('mine')\nraise SystemExit(3)"))
    assert run.returncode == 3
    assert "Traceback" not in run.stderr
    assert "run.memkit" in run.stderr


# -- plugins -----------------------------------------------------------------------------------------------------------

FAILS = """
import memkit

@memkit.hookimpl
def memkit_{hook}({arguments}):
    raise {error}
"""
WORKS = """
import memkit

@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument("--stranger", action="store_true")

@memkit.hookimpl
def memkit_report(recording, options):
    print("stranger", options.stranger, recording.ending.kind)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A function that installs a plugin for this test: a module, and the metadata that pip would write."""
    folder = tmp_path / "site"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))

    def install(name, text):
        about = folder / f"memkit_{name}-1.5.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: memkit-{name}\nVersion: 1.5\n")
        (about / "entry_points.txt").write_text(f"[memkit]\n{name} = memkit_{name}\n")
        (folder / f"memkit_{name}.py").write_text(text)

    return install


def test_an_installed_plugin_is_found_and_called(plugin, memkit_run, memkit):
    plugin("stranger", WORKS)
    assert memkit_run("-c", "pass", options=["-q", "--stranger"]).stdout == "stranger True ok\n"
    assert "stranger memkit-stranger 1.5 active" in " ".join(memkit("plugins").stdout.split())
    assert memkit("report", "-q", "run.memkit").stdout == "stranger False ok\n"
    assert memkit_run("-c", "pass", options=["-q", "-p", "no:stranger"]).stdout == ""
    assert memkit_run("-c", "pass", env={**os.environ, "MEMKIT_DISABLE_PLUGIN_AUTOLOAD": "1"}).stdout == ""


@pytest.mark.parametrize("error", ["ValueError('two\\\\nlines')", "SystemExit(9)", "MemoryError", "NameError"])
@pytest.mark.parametrize("hook", ["add_options(parser)", "report(recording)", "meters()"])
def test_a_plugin_that_fails_does_not_affect_the_others(plugin, memkit_run, tmp_path, hook, error):
    name, _, arguments = hook[:-1].partition("(")
    plugin("bad", FAILS.format(hook=name, arguments=arguments, error=error))
    plugin("stranger", WORKS)
    given = ["-q", "--csv", "a.csv", *(["--meter", "vsm"] if name == "meters" else ["--stranger"])]
    run = memkit_run("-c", "print('ran')", options=given)
    complaints = [line for line in run.stderr.splitlines() if "'bad'" in line]
    assert len(complaints) == 1
    assert "Traceback" not in run.stderr
    if name == "meters":
        assert (run.returncode, len(run.stderr.splitlines())) == (2, 2)
        return
    assert len(run.stderr.splitlines()) == 1
    assert run.stdout == "ran\nstranger True ok\n"
    assert run.recording.ending.kind == "ok"
    assert (tmp_path / "a.csv").exists()
    assert run.returncode == (1 if name == "report" else 0)


@pytest.mark.parametrize(
    "text", ["1 / 0", "import no_such_module", "raise SystemExit(9)", "x = = 1", "import memkit\nmemkit.nothing"]
)
def test_a_plugin_that_cannot_be_loaded_does_not_affect_the_others(plugin, memkit_run, memkit, text):
    plugin("bad", text)
    plugin("stranger", WORKS)
    run = memkit_run("-c", "print('ran')", options=["-q", "--stranger"])
    assert (run.returncode, run.stdout) == (0, "ran\nstranger True ok\n")
    (line,) = run.stderr.splitlines()
    assert "'bad' of memkit-bad cannot be loaded" in line
    assert "-p no:bad" in line
    assert memkit_run("-c", "pass", options=["-q", "-p", "no:bad"]).stderr == ""
    assert "cannot be loaded" in memkit("plugins").stdout


FAILS_AT_FIRST = """
import os
import memkit

@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument("--ink", metavar="FILE", type=memkit.output_path)

@memkit.hookimpl
def memkit_report(recording, options):
    if "NO_INK" in os.environ:
        raise RuntimeError("no ink")
    with memkit.output(options.ink) as file:
        print(recording.about.command, file=file)
"""


def test_the_command_printed_for_a_failed_report_makes_it(plugin, memkit_run, installed, tmp_path):
    plugin("ink", FAILS_AT_FIRST)
    options = ["-q", "--ink", "the report's.txt", "-p", "no:plot"]
    run = memkit_run("-c", "pass", "--ink", "x", options=options, path="a run.memkit", env={**os.environ, "NO_INK": "1"})
    assert (run.returncode, run.stdout) == (1, "")
    command = run.stderr.partition("make this report again with: ")[2]
    path = os.pathsep.join([os.path.dirname(installed[1]), os.environ["PATH"]])
    again = subprocess.run(command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True)
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    assert (tmp_path / "the report's.txt").read_text() == "-c pass --ink x\n"


def only_stderr(file):
    return {"capture_output": False, "stdout": subprocess.PIPE, "stderr": file}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("options", [(), ("--csv", "samples.csv"), ("--live",)], ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stderr_leaves_the_exit_code_to_the_program(memkit_run, tmp_path, code, options, unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb", buffering=0) as full:
        run = memkit_run("-c", f"print('runs'); exit({code})", options=options, env=environment, **only_stderr(full))
    assert (run.returncode, run.stdout) == (code, "runs\n")
    assert run.recording is not None
    assert (tmp_path / "samples.csv").exists() == ("--csv" in options)


def test_a_program_runs_though_nobody_reads_what_memkit_says_before(memkit_run, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        # No terminal: that there is none for the status line is said first.
        run = memkit_run(
            "-c",
            "print('runs'); exit(3)",
            options=("--live",),
            **only_stderr(writer),
            start_new_session=True,
        )
    finally:
        os.close(writer)
    assert (run.returncode, run.stdout) == (3, "runs\n")


def test_a_failed_report_does_not_replace_the_exit_code_of_the_program(plugin, memkit_run, memkit):
    plugin("bad", FAILS.format(hook="report", arguments="recording", error="ValueError(1)"))
    run = memkit_run("-c", "raise SystemExit(7)")
    assert run.returncode == 7
    (line,) = run.stderr.splitlines()
    assert "plugin 'bad' failed: ValueError: 1" in line
    assert f"memkit report {run.recording.source}" in line
    assert memkit("report", "run.memkit").returncode == 1


def test_a_plugin_that_fails_to_follow_is_named_once_and_fails_the_report(plugin, memkit_run):
    plugin("bad", FAILS.format(hook="follow", arguments="recording", error="ValueError(1)"))
    run = memkit_run("-c", "import time; time.sleep(2.5); print('ran')")
    assert (run.returncode, run.stdout) == (1, "ran\n")
    assert run.stderr.splitlines() == ["memkit: plugin 'bad' failed: ValueError: 1; it is not called again"]


def test_a_plugin_can_follow_a_running_program(plugin, memkit_run):
    text = "print('seen', len(recording.samples) > 50, flush=True)"
    plugin("good", f"import memkit\n@memkit.hookimpl\ndef memkit_follow(recording): {text}")
    run = memkit_run("-c", "import time; time.sleep(1.5); print('ran')", options=["-q", "--interval", "5ms"])
    assert run.stdout == "seen True\nran\n"


METER = """
import memkit
calls = 0

def count():
    global calls
    calls += 1
    {then}
    return calls << 20

@memkit.hookimpl
def memkit_meters():
    return {{"calls": count}}
"""


def test_the_meter_of_a_plugin_is_read_in_the_measured_process(plugin, memkit_run):
    plugin("meter", METER.format(then="pass"))
    run = memkit_run("-c", "import time; time.sleep(0.2)", options=["-q", "--meter", "calls"])
    assert (run.returncode, run.stderr) == (0, "")
    assert run.recording.about.meter == "calls"
    memory = [sample.memory for sample in run.recording.samples]
    assert len(memory) > 2
    assert memory == sorted(memory)


def test_a_meter_that_fails_later_does_not_stop_the_program(plugin, memkit_run):
    plugin("meter", METER.format(then="if calls > 3: raise ValueError"))
    run = memkit_run("-c", "import time; time.sleep(0.1); print('ran')", options=["-q", "--meter", "calls"])
    assert (run.returncode, run.stdout, run.recording.ending.kind) == (0, "ran\n", "ok")
    assert len(run.recording.samples) <= 3


def test_a_meter_that_fails_at_once_is_refused(plugin, memkit_run):
    plugin("meter", METER.format(then="raise ValueError('no such counter')"))
    run = memkit_run("-c", "print('ran')", options=["-q", "--meter", "calls"])
    assert (run.stdout, run.recording) == ("", None)
    assert run.returncode != 0
    (line,) = run.stderr.splitlines()
    assert "no such counter" in line


@pytest.mark.parametrize(
    "text",
    [
        "memkit.Tracker('t.csv').start()",
        "memkit.Tracker('t.csv', scope='system').start()",
        "memkit.Tracker('t.csv', scope='tree').start()",
        "memkit.MemoryMonitor()",
        "memkit.MemoryMonitor(of='process')",
        "memkit.record('r.memkit').start()",
        "memkit.record('r.memkit', limit='50%').start()",
        "memkit.get_used_ram()",
    ],
)
def test_without_a_free_descriptor_there_is_one_clear_error(plain, script, text):
    pytest.importorskip("resource")
    program = f"""
import memkit, os, resource
# Load everything that is imported on first use.
with memkit.MemoryMonitor(), memkit.Tracker("t.csv", scope="tree"), memkit.record(limit="50%"):
    pass
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
try:
    {text}
except memkit.MemkitError as error:
    os.write(1, str(error).encode())
"""
    done = plain(script(program))
    assert done.stderr == "" and ("Too many open files" in done.stdout or "no limit is known" in done.stdout)
