"""Lines and calls of a program that runs already: recorded by its own memkit, for as long as another process asks."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import memkit
from memkit.model import file_format, reader

MIB = 1 << 20
NEWER = hasattr(sys, "remote_exec")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="programs are asked over sockets with abstract names"),
    pytest.mark.usefixtures("native_only"),
]

PROGRAM = """
import gc, os, select, signal, socket, sys, time

kept = []


def work():
    kept.append(b"x" * 3_000_000)


def state():
    gc.collect()
    tools = [sys.monitoring.get_tool(tool) for tool in range(6)] if hasattr(sys, "monitoring") else []
    threads = sorted(open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task"))
    return [tools, sys.gettrace(), sys.getprofile(), threads, len(sys._current_frames()), sys.getswitchinterval()]


def fork():
    child = os.fork()
    if child:
        return child
    serve(answer=False)
    os._exit(0)


def main_is_known():
    import threading

    return threading.current_thread() is threading.main_thread()


def close():
    os.closerange(3, 4096)


def wait():
    print("waits", flush=True)
    time.sleep(1000)


def execute():
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)"])


def serve(answer=True):
    while True:
        if not answer:
            work()
            time.sleep(0.01)
        elif select.select([0], [], [], 0.01)[0]:
            command = os.read(0, 100).decode().strip()
            if not command:
                sys.exit(7)
            print(globals()[command](), flush=True)
"""
MAIN = "\nif __name__ == '__main__':\n    {}print(os.getpid(), flush=True)\n    serve()\n"
BEGINS = {way: MAIN.format("") for way in ("memkit-run", "remote_exec")}
BEGINS["listen"] = MAIN.format("import memkit\n    memkit.listen()\n    ")
WAYS = [
    "memkit-run",
    "listen",
    pytest.param("remote_exec", marks=pytest.mark.skipif(not NEWER, reason="it came with Python 3.14")),
]


class Target:
    """A program that does what it is told."""

    def __init__(self, folder, way, flags=()):
        self.path = folder / "served.py"
        self.path.write_text(PROGRAM + BEGINS[way])
        words = [sys.executable, *flags, "served.py"]
        if way == "memkit-run":
            words = [sys.executable, "-m", "memkit", "run", "-q", "-o", "own.memkit", "served.py"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, cwd=folder, start_new_session=True, **pipes)
        self.pid = int(self.process.stdout.readline())

    def does(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def served(tmp_path):
    """A function that starts a program which can be traced in a way."""
    with contextlib.ExitStack() as stack:

        def start(way, *flags):
            target = Target(tmp_path, way, flags)
            stack.callback(target.close)
            return target

        yield start


class Asker:
    """A ``memkit attach`` that goes on."""

    def __init__(self, folder, pid, options, name):
        self.path, self.folder = folder / name, folder / f"temporary-{name}"
        self.folder.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "memkit", "attach", "-q", "-o", name, str(pid), *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        self.process = subprocess.Popen(words, cwd=folder, env=environment, **pipes)

    def begun(self):
        """Wait until both tracers are at work."""
        while not (file_format.is_recording(self.path) and b'["call_tracing",' in self.path.read_bytes()):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)
        return self

    def done(self, number=None):
        """What it said, once it has ended."""
        if number is not None:
            self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=60)
        assert out == ""
        assert os.listdir(self.folder) == []
        return self.process.returncode, errors

    def recording(self):
        return reader.read(self.path)


@pytest.fixture
def attach(tmp_path):
    """A function that attaches."""
    begun = []

    def run(pid, *options, name=None):
        options = options or ("--lines=served.py:work", "--calls")
        begun.append(Asker(tmp_path, pid, options, name or f"run-{len(begun)}.memkit"))
        return begun[-1]

    yield run
    for each in begun:
        each.process.kill()
        each.process.communicate()


def hits(recording):
    return [line.hits for line in recording.lines if line.function.name == "work" and line.hits]


# -- what is recorded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_heap_is_that_of_the_time_meanwhile(served, attach, way):
    target = served(way)
    target.does("work")
    asker = attach(target.pid, "--heap").begun()
    target.does("work")
    assert asker.done(signal.SIGINT) == (0, "")
    (call,) = [call for call in asker.recording().calls if call.function.name == "work"]
    assert 3_000_000 <= call.own_heap.alive < 3_100_000
    target.does("work")


def test_the_heap_by_spans_goes_beside_calls_which_have_none(served, attach):
    target = served(WAYS[0])
    asker = attach(target.pid, "--heap=spans", "--calls").begun()
    target.does("work")
    assert asker.done(signal.SIGINT) == (0, "")
    recording = asker.recording()
    assert {call.own_heap for call in recording.calls} == {None}
    assert 3_000_000 <= recording.heap.elsewhere.alive < 3_100_000


def test_the_supervisor_of_a_program_is_told_from_it(served, attach):
    target = served("memkit-run")
    code, errors = attach(target.process.pid, "--calls").done()
    assert code == 2
    assert f"does not listen for memkit, but {target.pid} does, which it has started: attach to that" in errors


@pytest.mark.parametrize("way", WAYS)
def test_lines_and_calls_are_those_of_the_time_meanwhile(served, attach, way):
    target = served(way)
    target.does("work")
    asker = attach(target.pid).begun()
    for _ in range(3):
        target.does("work")
    assert asker.done(signal.SIGINT) == (0, "")
    target.does("work")
    recording = asker.recording()
    assert hits(recording) == [3]
    assert sum(line.growth for line in recording.lines) == pytest.approx(9_000_000, abs=MIB)
    calls = {call.function.name: call for call in recording.calls}
    assert calls["work"].growth == pytest.approx(9_000_000, abs=MIB)
    assert [call.function.name for call in recording.calls if call.parent is None] == ["<thread MainThread>"]
    assert (recording.about.pid, recording.ending.kind, recording.unread) == (target.pid, "detached", 0)


@pytest.mark.parametrize("way", WAYS)
def test_the_program_is_left_as_it_was(served, attach, way):
    target = served(way)
    attach(target.pid).begun().done(signal.SIGTERM)  # modules that are imported once stay
    before = target.does("state")
    for _ in range(2):
        asker = attach(target.pid).begun()
        assert target.does("state") != before
        assert asker.done(signal.SIGTERM) == (0, "")
        assert target.does("state") == before


def test_its_state_before_is_that_of_a_program_that_was_never_asked(served, attach):
    target = served("listen")
    before = target.does("state")
    attach(target.pid).begun().done(signal.SIGINT)
    assert target.does("state") == before


def test_the_main_thread_is_the_main_thread_afterwards(served, attach):
    """Up to Python 3.12 ``threading`` takes the thread that imports it first for that."""
    target = served("listen")
    attach(target.pid).begun().done(signal.SIGINT)
    assert target.does("main_is_known") == "True"


def test_without_a_target_the_lines_are_of_the_program_itself(served, attach):
    target = served("listen")
    asker = attach(target.pid, "--lines", "--calls=served:work").begun()
    target.does("work")
    asker.done(signal.SIGINT)
    assert hits(asker.recording()) == [1]
    assert {line.function.file for line in asker.recording().lines} == {str(target.path)}


def test_it_ends_after_the_duration(served, attach):
    target = served("listen")
    asker = attach(target.pid, "--calls", "--duration", "50ms")
    assert asker.done() == (0, "")
    assert asker.recording().ending.kind == "detached"


def test_two_who_ask_at_a_time_have_a_recording_each(served, attach):
    target = served("listen")
    one = attach(target.pid).begun()
    target.does("work")
    other = attach(target.pid).begun()
    target.does("work")
    assert one.done(signal.SIGINT) == other.done(signal.SIGINT) == (0, "")
    assert (hits(one.recording()), hits(other.recording())) == ([2], [1])


def test_one_that_memkit_run_traces_already_is_traced_twice(tmp_path, attach):
    (tmp_path / "served.py").write_text(PROGRAM + BEGINS["memkit-run"])
    words = [sys.executable, "-m", "memkit", "run", "-q", "-o", "own.memkit", "--lines", "--calls", "served.py"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=tmp_path, **pipes) as process:
        asker = attach(int(process.stdout.readline())).begun()
        process.stdin.write("work\n")
        process.stdin.flush()
        process.stdout.readline()
        assert asker.done(signal.SIGINT) == (0, "")
    assert process.returncode == 7
    assert hits(asker.recording()) == hits(reader.read(tmp_path / "own.memkit")) == [1]


def test_processes_that_it_has_started_are_recorded_with_it(served, attach):
    target = served("listen")
    target.does("fork")
    asker = attach(target.pid, "--calls", "--children").begun()
    while not asker.recording().totals:
        time.sleep(0.01)
    assert asker.done(signal.SIGINT) == (0, "")
    assert len(asker.recording().processes) == 2


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_when_the_asker_is_killed_the_program_stops_by_itself(served, attach, way):
    target = served(way)
    attach(target.pid).begun().done(signal.SIGINT)
    before = target.does("state")
    asker = attach(target.pid).begun()
    asker.process.kill()
    while asker.recording().ending.kind != "detached":
        time.sleep(0.01)
    while target.does("state") != before:
        time.sleep(0.01)


def test_a_program_that_ends_meanwhile_is_reported(served, attach):
    target = served("listen")
    asker = attach(target.pid).begun()
    target.does("work")
    target.process.stdin.close()
    assert asker.done() == (0, "")
    ending = asker.recording().ending
    assert (ending.kind, ending.code) == ("exited", 7)
    assert hits(asker.recording()) == [1]


def test_a_program_that_is_killed_meanwhile_is_reported(served, attach):
    target = served("listen")
    asker = attach(target.pid).begun()
    os.kill(target.pid, signal.SIGKILL)
    assert asker.done() == (0, "")
    assert asker.recording().ending.signal == signal.SIGKILL


def test_a_program_that_executes_another_is_reported(served, attach):
    target = served("listen")
    asker = attach(target.pid).begun()
    target.process.stdin.write("execute\n")
    target.process.stdin.flush()
    assert asker.done() == (0, "")
    assert asker.recording().ending.kind == "detached"


# -- what programs do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["memkit-run", "listen"])
def test_a_forked_process_listens_for_itself_and_so_does_its_parent(served, attach, way):
    target = served(way)
    child = int(target.does("fork"))
    of_child = attach(child).begun()
    of_parent = attach(target.pid).begun()
    while not hits(of_child.recording()):
        time.sleep(0.01)
    assert of_child.done(signal.SIGINT) == of_parent.done(signal.SIGINT) == (0, "")
    assert (of_child.recording().about.pid, of_parent.recording().about.pid) == (child, target.pid)
    assert hits(of_parent.recording()) == []


def test_a_fork_during_a_recording_leaves_it_alone(served, attach):
    target = served("listen")
    asker = attach(target.pid).begun()
    target.does("fork")
    target.does("work")
    assert asker.done(signal.SIGINT) == (0, "")
    assert hits(asker.recording()) == [1]


def test_a_program_that_closes_all_descriptors_can_be_asked(served, attach):
    target = served("listen")
    target.does("close")
    for _ in range(2):
        asker = attach(target.pid).begun()
        target.does("work")
        assert asker.done(signal.SIGINT) == (0, "")
        assert hits(asker.recording()) == [1]


def test_a_program_that_closes_all_descriptors_meanwhile_goes_on(served, attach):
    target = served("listen")
    asker = attach(target.pid).begun()
    target.does("close")
    asker.done(signal.SIGINT)
    assert target.does("work") == "None"


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_there_is_refused_and_an_earlier_recording_kept(served, attach, tmp_path):
    with memkit.record(tmp_path / "run.memkit"):
        pass
    before = (tmp_path / "run.memkit").read_bytes()
    target = served("listen")
    code, said = attach(target.pid, "--lines=served.py:wrk", name="run.memkit").done()
    assert code == 2
    assert said.startswith(f"memkit: process {target.pid} cannot be traced: ")
    assert said.endswith("there is no 'wrk' in served.py (did you mean 'work'?)\n")
    assert (tmp_path / "run.memkit").read_bytes() == before


@pytest.mark.skipif(NEWER, reason="from Python 3.14 on it can be asked")
def test_a_program_that_does_not_listen_is_refused(served, attach):
    target = served("remote_exec")
    code, said = attach(target.pid).done()
    assert (code, len(said.splitlines())) == (2, 1)
    assert said.startswith(f"memkit: process {target.pid} does not listen for memkit: ")


@pytest.mark.skipif(not NEWER, reason="it came with Python 3.14")
@pytest.mark.parametrize(
    ("flags", "reason"),
    [(["-X", "disable-remote-debug"], "debugging is not enabled"), (["-I", "-S"], "cannot import memkit")],
    ids=" ".join,
)
def test_an_interpreter_that_does_not_allow_it_is_refused(served, attach, flags, reason):
    target = served("remote_exec", *flags)
    code, said = attach(target.pid).done()
    assert (code, len(said.splitlines())) == (2, 1)
    assert reason in said
    assert target.does("work") == "None"


@pytest.mark.skipif(not NEWER, reason="it came with Python 3.14")
def test_one_whose_main_thread_waits_is_waited_for_until_ctrl_c(served, attach):
    target = served("remote_exec")
    target.does("wait")
    asker = attach(target.pid)
    assert f"process {target.pid} has not answered yet" in asker.process.stderr.readline()
    assert asker.done(signal.SIGINT) == (130, "")
    assert not asker.path.exists()


def asked(pid, request):
    """The answer of a process to a request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"\0memkit-{pid}")
        connection.send(request)
        return connection.recv(1 << 16).decode()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (json.dumps({"memkit": "0.0.7", "words": [], "path": "x"}).encode(), "refused it has memkit "),
        (b"record", "refused JSONDecodeError"),
        (b"{}", "refused KeyError"),
        (b"[]", "refused TypeError"),
    ],
)
def test_any_request_is_answered_and_the_program_goes_on(served, request_, answer):
    target = served("listen")
    before = target.does("state")
    assert asked(target.pid, request_).startswith(answer)
    while target.does("state") != before:
        time.sleep(0.01)


AS_NOBODY = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect(f"\\0memkit-{sys.argv[1]}")
connection.send(b"{}")
print(connection.recv(1000).decode())
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused(served):
    target = served("listen")
    words = [sys.executable, "-c", AS_NOBODY, str(target.pid)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "refused it answers user 0 and root only, and this is user 65534\n"


def test_listening_twice_is_listening_once(tmp_path):
    code = "import memkit, os; memkit.listen(); memkit.listen(); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_the_portable_engine_cannot_listen():
    code = "import memkit\ntry: memkit.listen()\nexcept memkit.MeterError as error: print(error)"
    environment = {**os.environ, "MEMKIT_ENGINE": "portable"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("lines and calls can be traced with the native engine only")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns from 3.12 on")
def test_a_fork_does_not_warn_of_the_thread_that_listens():
    code = "import memkit, os; memkit.listen(); child = os.fork(); child or os._exit(0); os.waitpid(child, 0)"
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
