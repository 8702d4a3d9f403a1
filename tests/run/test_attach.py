"""Recording a process that runs already: found, recorded from outside, and told how it ended as far as that is known."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from memkit.base.units import cut_apart
from memkit.model import file_format, reader
from memkit.run import attach as attach_module
from memkit.run.external import ExternalProcess
from memkit.system import engine

MIB = 1 << 20
OBEDIENT = str(Path(__file__).parents[1] / "programs" / "obedient.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are stopped by signals here")


class Target:
    """A process that does what it is told."""

    def __init__(self, name):
        self.name = name
        command = [sys.executable, "-c", f"import runpy; runpy.run_path({OBEDIENT!r})", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "done\n"

    def do(self, *commands):
        for command in commands:
            self.begin(command)
            assert self.process.stdout.readline() == "done\n"

    def begin(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def until(self, status):
        while psutil.Process(self.pid).status() != status:
            time.sleep(0.005)


@pytest.fixture
def target():
    """A process to attach to, whose command line nothing else has."""
    one = Target(f"target-{os.getpid()}-{time.monotonic_ns()}")
    yield one
    one.close()


class Attached:
    """A ``memkit attach`` that goes on."""

    def __init__(self, command, folder):
        self.path = folder / "run.memkit"
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        self.process = subprocess.Popen(command, cwd=folder, **settings)
        while not self.samples():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.005)

    def samples(self):
        return file_format.is_recording(self.path) and self.path.read_bytes().count(b"\n") > 1 and self.read().samples

    def read(self):
        return reader.read(self.path)

    def done(self, number=None):
        """What it printed, and the recording, once it has ended."""
        if number is not None:
            self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, out) == (0, "")
        return errors, self.read()


@pytest.fixture
def attach(tmp_path):
    """A function that attaches, and returns when the recording has begun."""
    begun = []

    def run(word, *options, through=()):
        command = [*through, sys.executable, "-m", "memkit", "attach", "-o", "run.memkit", *options, str(word)]
        begun.append(Attached(command, tmp_path))
        return begun[-1]

    yield run
    for each in begun:
        each.process.kill()
        each.process.communicate()


# -- recording ---------------------------------------------------------------------------------------------------------

STOPPED = "still running when the recording ended"


def test_what_the_group_uses_that_limits_the_process_is_recorded(target, attach, memory_group):
    (memory_group / "cgroup.procs").write_text(str(target.process.pid))
    try:
        _, recording = attach(target.name).done(signal.SIGINT)
    finally:
        (memory_group.parent / "cgroup.procs").write_text(str(target.process.pid))
    assert recording.group
    assert all(memory_group.name in use.name and use.used < 96 << 20 for use in recording.group)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_recording_that_is_stopped_is_finished_and_reported(target, attach, number):
    errors, recording = attach(target.name).done(number)
    assert re.match(rf"memkit   .*: {STOPPED}\n", errors)
    assert recording.ending.kind == "detached"
    assert target.process.poll() is None


def test_a_recording_says_whose_it_is_and_who_made_it(target, attach):
    attached = attach(target.pid, "--meter", "vms", "--interval", "20ms")
    _, recording = attached.done(signal.SIGINT)
    about = recording.about
    assert about.argv == tuple(target.process.args)
    assert (about.pid, about.parent, about.recorder) == (target.pid, os.getpid(), attached.process.pid)
    assert (about.python, about.meter, about.interval) == (None, "vms", 20_000_000)
    assert {sample.pid for sample in recording.samples} == {target.pid}
    assert recording.limits
    assert recording.unread == 0


def test_the_duration_ends_it(target, attach):
    errors, recording = attach(target.pid, "--duration", "200ms").done()
    assert f": {STOPPED}\n" in errors
    assert recording.duration >= 200_000_000


CROWDED = """
import os, sys
for _ in range(1100):
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_whoever_started_it_may_have_left_it_a_thousand_descriptors(target, many_descriptors, attach):
    run = attach(target.pid, "--duration", "0.3", through=[sys.executable, "-c", CROWDED])
    errors, recording = run.done()
    assert STOPPED in errors
    assert recording.duration >= 300 * 1_000_000


def test_memory_is_that_of_the_process(target, attach):
    attached = attach(target.pid)
    target.do("take 50")
    _, recording = attached.done(signal.SIGINT)
    assert 50 * MIB <= recording.growth < 52 * MIB


@pytest.mark.usefixtures("native_only")
def test_a_height_between_two_samples_is_seen_and_exact(target, attach):
    target.do("spike 80")
    attached = attach(target.pid, "--interval", "1h")
    target.do("spike 40")
    target.do("spike 200")
    _, recording = attached.done(signal.SIGINT)
    before = recording.start
    assert recording.about.peaks == "mark"
    assert abs(recording.about.mark - before - 80 * MIB) < 2 * MIB
    assert abs(recording.peak - before - 200 * MIB) < 2 * MIB
    assert recording.peak_is_exact


@pytest.mark.usefixtures("native_only")
def test_what_the_process_was_before_is_no_peak_of_the_recording(target, attach):
    target.do("spike 200")
    _, recording = attach(target.pid).done(signal.SIGINT)
    assert recording.peak - recording.start < 20 * MIB
    assert not recording.peak_is_exact


@pytest.mark.usefixtures("native_only")
def test_a_peak_is_not_called_exact_where_the_process_forgot_its_own(target, attach):
    attached = attach(target.pid, "--interval", "1h")
    target.do("spike 100")
    while attached.read().peak < 100 * MIB:
        time.sleep(0.05)
    target.do("forget_peak", "take 30")
    _, recording = attached.done(signal.SIGINT)
    assert recording.about.peaks == "samples"
    assert "the process reset its high-water mark" in recording.about.peaks_reason
    assert not recording.peak_is_exact


@pytest.mark.parametrize("meter", ["rss", "pss"])
def test_a_process_that_becomes_another_program_is_recorded_on(target, attach, meter):
    attached = attach(target.pid, "--meter", meter, "--interval", "10ms")
    target.do("take 100")
    while attached.read().peak < 100 * MIB:
        time.sleep(0.02)
    target.do("exec")
    while attached.read().end >= 100 * MIB:
        time.sleep(0.02)
    _, recording = attached.done(signal.SIGINT)
    assert recording.peak >= 100 * MIB
    assert recording.end < 100 * MIB
    assert all(sample.memory > 0 for sample in recording.samples)


def test_a_stopped_process_is_recorded(target, attach):
    os.kill(target.pid, signal.SIGSTOP)
    target.until(psutil.STATUS_STOPPED)
    _, recording = attach(target.pid).done(signal.SIGINT)
    assert recording.samples
    assert recording.ending.kind == "detached"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's threads")
@pytest.mark.parametrize("by", ["number", "name"])
def test_a_process_whose_main_thread_has_ended_is_recorded_by_another(leaderless, attach, by):
    attached = attach(leaderless.pid if by == "number" else leaderless.args[-1], "--children")
    while not attached.read().totals:
        time.sleep(0.02)
    leaderless.stdin.close()
    _, recording = attached.done()
    assert recording.about.pid == leaderless.pid
    assert recording.about.argv == tuple(leaderless.args)
    assert min(recording.start, recording.totals[0].memory) >= 50 * MIB
    assert [process.command for process in recording.processes] == [" ".join(leaderless.args)]
    assert str(recording.ending) == ("exited with code 5" if engine.NAME == "native" else "ended, exit status unknown")


# -- its end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ending"), [("exit 0", "finished"), ("exit 3", "exited with code 3"), ("", "killed by SIGKILL")]
)
def test_the_end_of_the_process_ends_the_recording(target, attach, command, ending):
    attached = attach(target.pid)
    target.begin(command) if command else target.process.kill()
    errors, recording = attached.done()
    known = engine.NAME == "native"  # its parent has not asked yet, and only /proc tells
    ending = ending if known else "ended, exit status unknown"
    assert str(recording.ending) == ending
    assert errors.splitlines()[0].endswith(f": {ending}")
    assert all(sample.memory > 0 for sample in recording.samples)
    assert not recording.peak_is_exact
    if known and engine.peaks()[0] != "samples":
        assert re.search(r"highest seen; the last [\d.]+ \S+ were not seen\n", errors)


def test_an_end_that_the_kernel_does_not_tell_is_not_known(made_up, tmp_path):
    about = b'{"argv": ["x"], "pid": 7, "began": 1.0, "recorder": 8}'
    (tmp_path / "a.memkit").write_bytes(b'["memkit",1,' + about + b']\n["exit",5,null,null,null]\n')
    ending = reader.read(tmp_path / "a.memkit").ending
    assert (ending.kind, ending.finished) == ("ended", False)


def test_memkit_list_knows_a_recording_that_is_made_from_outside(target, attach, memkit):
    attached = attach(target.pid)
    assert memkit("list").stdout.splitlines()[-1].endswith("still running")
    attached.process.kill()
    attached.process.wait()
    assert "not known" in memkit("list").stdout.splitlines()[-1]
    assert memkit("clean").stdout == "removed run.memkit\n"


# -- finding it --------------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(memkit, tmp_path):
    """A function that attaches in vain, and returns the lines that say why."""

    def run(*words):
        done = memkit("attach", *map(str, words))
        assert (done.returncode, done.stdout) == (2, "")
        assert os.listdir(tmp_path) == []
        return done.stderr.splitlines()

    return run


def test_several_that_fit_are_listed_and_not_guessed_among(target, refused):
    with contextlib.ExitStack() as stack:
        other = Target(target.name)
        stack.callback(other.close)
        head, *lines = refused(target.name)
    assert head == f"memkit: 2 processes have '{target.name}' in their name or command; give the number of one:"
    [command] = cut_apart([" ".join(target.process.args)], 110)
    assert sorted(lines) == sorted(f"{pid:>8}  {command}" for pid in (target.pid, other.pid))


def test_what_nobody_is_called_is_one_line(refused):
    name = f"nobody-{time.monotonic_ns()}"
    assert refused(name) == [f"memkit: there is no process with {name!r} in its name or command"]


def test_who_asks_is_not_what_was_asked_for(target, tmp_path):
    """The shell that runs the command has the name in its own command line, and so has memkit itself."""
    words = f"exec 3>&1; {sys.executable} -m memkit attach -q --duration 10ms -o run.memkit {target.name}; echo $?"
    done = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert reader.read(tmp_path / "run.memkit").about.pid == target.pid


def test_another_memkit_that_attaches_is_not_what_was_asked_for(target, attach, memkit):
    attach(target.name)
    done = memkit("attach", "-q", "--duration", "10ms", "-o", "other.memkit", target.name)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "flags", [["-m"], ["-W", "ignore", "-m"], ["-Im"], ["-X", "dev", "-Wignore", "-Bm"], [], ["-W", "ignore"]], ids=" ".join
)
def test_memkit_is_known_by_what_an_interpreter_runs(flags):
    attaches = ["python", *flags, "memkit" if flags and flags[-1].endswith("m") else "/bin/memkit", "attach", "job"]
    assert attach_module._is_memkit(ExternalProcess(1, 1, tuple(attaches)))


@pytest.mark.parametrize(
    "words", ["memkitten", "python -W ignore job.py memkit", "python -m job memkit", "job -X", "job -W", "python -c memkit"]
)
def test_what_has_memkit_among_its_arguments_is_not_memkit(words):
    assert not attach_module._is_memkit(ExternalProcess(1, 1, tuple(words.split())))


@pytest.mark.parametrize("word", ["²", "١", f"1_0_{os.getpid()}"], ids=["raised", "arabic", "python"])
def test_what_is_no_plain_number_is_a_name(refused, word):
    assert refused(word) == [f"memkit: there is no process with {word!r} in its name or command"]


@pytest.mark.parametrize("words", [["2000000000"], ["99999999999999999999"]])
def test_a_number_that_no_process_has_is_one_line(refused, words):
    assert refused(*words) == [f"memkit: there is no process {words[0]}"]


@pytest.mark.parametrize("words", [["0"], ["-5"], ["--", "-5"], ["-q", "-5"]], ids=" ".join)
def test_a_number_below_1_is_no_process_id_and_no_name(refused, words):
    (line,) = refused(*words)
    assert line.startswith(f"memkit: {words[-1]} is no process ID: give one from 1 on, or ")


def test_a_process_that_has_ended_is_refused(target, refused):
    target.process.kill()
    target.until(psutil.STATUS_ZOMBIE)
    assert refused(target.pid) == [
        f"memkit: process {target.pid} is a zombie: it has exited, but its parent has not reaped it"
    ]


@pytest.mark.skipif(not os.path.exists("/proc/2/comm"), reason="no kernel thread is visible here")
def test_a_part_of_the_kernel_is_refused(refused):
    if Path("/proc/2/comm").read_text() != "kthreadd\n":
        pytest.skip("process 2 is a program here")
    assert refused(2) == ["memkit: process 2 (kthreadd) is a kernel thread: it has no memory of its own"]


AS_NOBODY = """
import os, pwd, sys
import psutil
from memkit.run import attach
from memkit.base import errors
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    attach.find(sys.argv[1], "pss")
except errors.UsageError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.usefixtures("native_only")
def test_a_process_of_another_user_that_may_not_be_read_is_one_line(target):
    for word in (str(target.pid), target.name):
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, word], capture_output=True, text=True, timeout=60)
        assert re.fullmatch(
            rf"process {target.pid} \(.*\) of user root: meter 'pss' of .*: Permission denied\n", done.stdout
        )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "PID|NAME"),
        ([""], "empty"),
        (["1", "2"], "unknown argument '2'"),
        (["--follow", "1"], "--follow: a process that runs already can have no such thing"),
        (["--limit=1GB", "1"], "start it with memkit-run instead"),
        (["--c-calls", "--lines", "1"], "--c-calls goes with --calls"),
        (["--no-peak-reset", "1"], "--no-peak-reset goes with --lines, --calls, --heap or --requests"),
        (["--flame", "a.svg", "1"], "add --calls"),
        (["--duration", "0", "1"], "'0'"),
        (["--duration", "long", "1"], "'long'"),
        (["--interval", "0", "1"], "'0'"),
        (["--meter", "temperature", "1"], "'temperature' cannot be read from outside; there are rss, "),
        (["-o", "no/such/a.memkit", "1"], "'no/such'"),
        (["--csv", "no/such/a.csv", "1"], "'no/such'"),
        (["--childern", "1"], "did you mean '--children'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_in_one_line(refused, words, hint):
    (line,) = refused(*words)
    assert hint in line


# -- with the rest of memkit -------------------------------------------------------------------------------------------


def test_reports_are_made_of_it(target, attach, tmp_path):
    _, recording = attach(target.pid, "--csv", "a.csv", "--json", "a.json", "--plot", "a.svg", "-q").done(signal.SIGINT)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == len(recording.samples) + 1
    assert {"a.json", "a.svg"} <= set(os.listdir(tmp_path))


def test_it_is_named_after_the_process_and_the_time(target, memkit, tmp_path):
    assert memkit("attach", "-q", "--duration", "10ms", target.name).returncode == 0
    (name,) = os.listdir(tmp_path)
    assert re.fullmatch(r"python[\d.]*-\d{8}-\d{6}\.memkit", name)


def test_it_says_that_it_replaced_an_earlier_recording(target, memkit, tmp_path):
    words = ("attach", "-o", "run.memkit", "--duration", "10ms", str(target.pid))
    saved = [memkit(*words).stderr.splitlines()[-1] for _ in range(2)]
    assert saved == [f"saved    {tmp_path / 'run.memkit'}{more}" for more in ("", ", in place of an earlier recording")]


def test_plugins_follow_it(target, tmp_path):
    site = tmp_path / "site"
    (site / "told-1.0.dist-info").mkdir(parents=True)
    (site / "told-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    (site / "told-1.0.dist-info" / "entry_points.txt").write_text("[memkit]\ntold = told\n")
    (site / "told.py").write_text(
        "import memkit\n\n\n@memkit.hookimpl\ndef memkit_follow(recording, options):\n"
        "    open('told', 'w').write(f'{recording.about.pid} {len(recording.samples) > 0} {options.command}')\n"
    )
    words = [sys.executable, "-m", "memkit", "attach", "-q", "-o", "run.memkit", str(target.pid)]
    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)})
    while not (tmp_path / "told").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert (tmp_path / "told").read_text() == f"{target.pid} True attach"


def test_all_that_it_has_started_is_recorded_with_it(target, attach):
    target.do("start")
    attached = attach(target.pid, "--children")
    while not attached.read().totals:
        time.sleep(0.02)
    target.do("tell take 50", "wait 0.1")
    _, recording = attached.done(signal.SIGINT)
    one, other = recording.processes
    assert (one.pid, other.parent) == (target.pid, target.pid)
    assert recording.highest_total.memory >= recording.totals[0].memory + 45 * MIB
    assert max(sample.memory for sample in recording.lane(other)) >= 50 * MIB
    assert recording.unread == 0
