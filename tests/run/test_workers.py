"""Workers of pools and servers, recorded with ``--follow``: which worker, which task, which function, in one report."""

import multiprocessing
import os

import pytest

from memkit.system import engine

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason=f"needs the native engine: {engine.REASON}"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here"),
]
MIB = 1 << 20
GROW = """
import mmap, os, sys
kept = []
def grow(mebibytes):
    block = mmap.mmap(-1, mebibytes << 20, flags=mmap.MAP_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    for place in range(0, mebibytes << 20, 4096):
        block[place] = 1
    kept.append(block)
    return mebibytes
"""
METHODS = [name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()]
FOLLOWED = ("-q", "--follow", "--calls")


def own(recording):
    """The calls as a report shows them: the names from the root on -> how often, and the growth in MiB."""
    names, found = {}, {}
    for _, call in recording.hiding().walk():
        names[call.id] = (*names.get(call.parent, ()), call.function.name)
        if call.parent is None or not call.function.name.startswith("<"):
            path = tuple(name for name in names[call.id] if name != "<module>")
            calls, growth = found.get(path, (0, 0))
            found[path] = calls + call.calls, growth + round(call.growth / MIB)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_lost_of_a_pool_whose_workers_sigterm_ends(memkit_run, script, method):
    text = f"""{GROW}
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(sum(pool.map(grow, [10, 20, 30, 40], chunksize=1)))
"""
    done = memkit_run(script(text), options=(*FOLLOWED, "--lines=program.py:grow"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "100\n", "")
    (grown,) = [call for call in done.recording.called if call.function.name == "grow"]
    assert (grown.calls, grown.growth) == (4, pytest.approx(100 * MIB, abs=2 * MIB))
    (returned,) = [line for line in done.recording.lines if line.number == 10]
    assert returned.hits == 4
    assert {process.ending.kind for process in done.recording.processes} <= {"ok", "killed", "ended"}


def test_sigterm_ends_a_worker_as_it_does_without_memkit(same, script):
    text = """
import os, signal, sys, time
out, inn = os.pipe()
for handler in (signal.SIG_DFL, signal.SIG_IGN, lambda *_: os._exit(5)):
    if child := os.fork():
        os.read(out, 1)
        os.kill(child, signal.SIGTERM)
        print(handler == signal.SIG_DFL, os.waitstatus_to_exitcode(os.wait()[1]))
    else:
        if handler != signal.SIG_DFL:
            signal.signal(signal.SIGTERM, handler)
        assert signal.getsignal(signal.SIGTERM) == handler
        grandchild = os.fork() if handler == signal.SIG_DFL else None
        if grandchild == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        if grandchild:
            assert os.waitstatus_to_exitcode(os.wait()[1]) == -signal.SIGTERM
        os.write(inn, b".")
        time.sleep(0.3)
        while handler != signal.SIG_IGN:
            time.sleep(0.1)
        os._exit(0)
"""
    same(script(text), options=FOLLOWED)


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_an_executor_are_one_entry_with_their_number(memkit_run, script, method):
    text = f"""{GROW}
import multiprocessing, threading
from concurrent.futures import ProcessPoolExecutor
barrier = None
def begin(given):
    global barrier
    barrier = given
def small(mebibytes):
    barrier.wait()
    return grow(mebibytes)
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with ProcessPoolExecutor(2, context, begin, (context.Barrier(2),)) as pool:
        print(sum(pool.map(small, [20, 40])))
"""
    recording = memkit_run(script(text), options=FOLLOWED).recording
    found = own(recording)
    assert "<2 process pool workers>" in {path[0] for path in found}
    assert found["<thread MainThread>", "<process pool>", "small", "grow"] == (2, 60)
    apart = own(recording.by_thread())
    workers = {call.process for call in recording.calls if call.function.name == "grow"}
    assert sorted(apart[f"<process pool worker {pid}>", "small", "grow"] for pid in workers) == [(1, 20), (1, 40)]
    assert "of process" not in str(apart)


def test_functions_that_joblib_sends_are_traced_in_their_own_file(memkit_run, script):
    pytest.importorskip("joblib")
    text = f"""{GROW}
from joblib import Parallel, delayed
def work(mebibytes):
    return grow(mebibytes)
if __name__ == "__main__":
    print(sum(Parallel(n_jobs=2)(delayed(work)(size) for size in (20, 40))))
"""
    done = memkit_run(script(text), options=(*FOLLOWED, "--lines"))
    assert done.stdout == "60\n"
    sums = {}
    for line in done.recording.lines:
        if line.function.name in ("work", "grow"):
            assert os.path.basename(line.function.file) == "program.py"
            sums[line.function.name] = sums.get(line.function.name, 0) + round(line.growth / MIB)
    assert sums == {"work": 60, "grow": 60}
    assert any("joblib worker" in path[0] for path in own(done.recording))
    found = {path[2:]: value for path, value in own(done.recording).items() if "<process pool>" in path}
    assert found["work", "grow"] == (2, 60)


def test_two_kinds_of_tasks_of_a_celery_worker_are_told_apart(memkit_run, script, tmp_path):
    pytest.importorskip("celery")
    text = f"""{GROW}
import glob, signal, threading, time
from celery import Celery
folders = dict(data_folder_in="queue", data_folder_out="queue", control_folder="control")
app = Celery("program", broker="filesystem://", broker_transport_options=folders)
def note():
    open(f"done-{{time.monotonic_ns()}}", "w").close()
@app.task
def resize(mebibytes):
    grow(mebibytes), note()
@app.task
def mail(mebibytes):
    grow(mebibytes), note()
def stop():
    until = time.monotonic() + 40
    while len(glob.glob("done-*")) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
if __name__ == "__main__":
    for task, size in ((resize, 20), (resize, 20), (mail, 5), (mail, 5)):
        app.send_task(f"program.{{task.__name__}}", (size,))
    threading.Thread(target=stop, daemon=True).start()
    app.worker_main(["worker", "-c", "2", "-P", "prefork", "--without-mingle", "--without-gossip", "-l", "error"])
"""
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    name = script(text)
    recording = memkit_run(name, options=FOLLOWED, timeout=100).recording
    sums = {}
    for path, (calls, growth) in own(recording).items():
        if "Celery worker" in path[0] and path[-1] == "grow":
            before = sums.get(path[1], (0, 0))
            sums[path[1]] = before[0] + calls, before[1] + growth
    assert sums == {"resize": (2, 40), "mail": (2, 10)}


def test_workers_of_gunicorn_that_are_replaced_are_one_entry(memkit_run, script):
    pytest.importorskip("gunicorn")
    client = """
import http.client, os, signal, socket, sys, time
def ask(path):
    for _ in range(200):
        link = http.client.HTTPConnection("here")
        link.sock = socket.socket(socket.AF_UNIX)
        try:
            link.sock.connect("socket")
            link.request("GET", path)
            return link.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
for path in ("/10", "/20", "/10", "/20"):
    ask(path)
os.kill(int(sys.argv[1]), signal.SIGTERM)
"""
    text = f"""{GROW}
import subprocess
from gunicorn.app.base import BaseApplication
def large(): return grow(20)
def small(): return grow(10)
def answer(environ, start):
    (small if environ["PATH_INFO"] == "/10" else large)()
    start("200 OK", [])
    return [b"done"]
class Server(BaseApplication):
    def load_config(self):
        for name, value in dict(bind="unix:socket", workers=1, max_requests=2, loglevel="error").items():
            self.cfg.set(name, value)
    def load(self):
        return answer
if __name__ == "__main__":
    subprocess.Popen([sys.executable, "-I", "-c", {client!r}, str(os.getpid())])
    Server().run()
"""
    recording = memkit_run(script(text), options=FOLLOWED, timeout=60).recording
    found = {path[1:]: value for path, value in own(recording).items() if "gunicorn workers>" in path[0]}
    assert found["answer", "large", "grow"] == (2, 40)
    assert found["answer", "small", "grow"] == (2, 20)
    assert len({call.process for call in recording.calls if call.function.name == "answer"}) >= 2


def test_tests_of_pytest_xdist_are_told_by_their_names(memkit_run, script):
    pytest.importorskip("xdist")
    script(f"{GROW}\ndef test_one():\n    grow(20)\ndef test_two():\n    grow(40)\n", "test_it.py")
    done = memkit_run(
        *["-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_it.py"], options=FOLLOWED, timeout=60
    )
    assert done.returncode == 0
    found = {path[1:]: value for path, value in own(done.recording).items() if "pytest-xdist worker" in path[0]}
    assert (found["test_one", "grow"], found["test_two", "grow"]) == ((1, 20), (1, 40))
