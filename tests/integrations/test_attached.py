"""``memkit attach PID --requests``: requests of a running service are spans for a while, and it is then as it was before."""

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

import memkit
from memkit.system import engine

from servers import APPLICATION, answer, free_port

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="a program is asked by the native engine"),
    pytest.mark.usefixtures("native_only"),
]
LISTENS = """
import json
import os
import sys

import memkit

memkit.listen()
CLASSES = (
    ("wsgiref.simple_server", "WSGIServer", "application"),
    ("uvicorn.protocols.http.h11_impl", "H11Protocol", "app"),
    ("gunicorn.workers.base", "Worker", "wsgi"),
    ("waitress.server", "BaseWSGIServer", "application"),
    ("daphne.server", "Server", "application"),
    ("hypercorn.app_wrappers", "ASGIWrapper", "app"),
)


def state():
    found = [repr(vars(getattr(sys.modules[name], owner)).get(of)) for name, owner, of in CLASSES if name in sys.modules]
    return json.dumps([os.getpid(), found]).encode()

"""
PAGES = """
pages = []


def page(path):
    if path == "/state":
        return state()
    pages.append(bytes(10_000))
    return b"ok"


"""
SERVERS = {
    "wsgiref": ["shop.py", "PORT"],
    "uvicorn": ["-m", "uvicorn", "shop:asgi", "--port", "PORT", "--log-level", "error", "--http", "h11"],
    "gunicorn": ["-m", "gunicorn", "-b", "127.0.0.1:PORT", "--log-level", "error", "shop:wsgi"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:PORT", "shop:wsgi"],
    "daphne": ["-m", "daphne", "-p", "PORT", "-v", "0", "shop:asgi"],
    "hypercorn": ["-m", "hypercorn", "-b", "127.0.0.1:PORT", "--log-level", "error", "shop:asgi"],
}


@pytest.fixture
def served(tmp_path):
    """A function that starts a server: it returns a function that asks it, the process that answers, and the server."""
    servers = []

    def serve(name):
        if find_spec(name) is None:
            pytest.skip(f"not installed: {name}")
        (tmp_path / "shop.py").write_text(LISTENS + PAGES + APPLICATION)
        port = free_port()
        words = [sys.executable, *(word.replace("PORT", str(port)) for word in SERVERS[name])]
        server = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        servers.append(server)
        return lambda path: answer(port, path, server)

    yield serve
    for server in servers:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=50)


def attach(folder, pid, *options):
    words = [sys.executable, "-m", "memkit", "attach", "-q", "-o", "run.memkit", str(pid), "--requests", *options]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true, asker=None):
    end = time.monotonic() + 50
    while not true():
        assert asker is None or asker.poll() is None, asker.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("name", SERVERS)
def test_requests_of_a_running_server_are_spans_for_a_while(served, tmp_path, name):
    ask = served(name)
    pid, before = json.loads(ask("/state"))
    for _ in range(2 if name == "wsgiref" else 1):  # the second one finds it as the first has found it
        asker = attach(tmp_path, pid, "--heap=spans")
        until(lambda: json.loads(ask("/state"))[1] != before, asker)
        for number in range(3):
            assert ask(f"/items/{number}") == b"ok"
        asker.send_signal(signal.SIGINT)
        assert asker.communicate(timeout=50)[1] == ""
        assert json.loads(ask("/state")) == [pid, before]
        sums = {each.label: each for each in memkit.read(tmp_path / "run.memkit").span_sums}
        assert sums["GET /items/{}"].number == 3
        assert sums["GET /items/{}"].kept.total >= 30_000


def test_it_is_left_as_it_was_when_the_asker_is_killed(served, tmp_path):
    ask = served("wsgiref")
    pid, before = json.loads(ask("/state"))
    asker = attach(tmp_path, pid)
    until(lambda: json.loads(ask("/state"))[1] != before, asker)
    asker.kill()
    asker.communicate()
    until(lambda: json.loads(ask("/state"))[1] == before)


def test_the_master_of_gunicorn_is_refused_since_its_workers_do_the_work(served, tmp_path):
    ask = served("gunicorn")
    worker, _ = json.loads(ask("/state"))
    with open(f"/proc/{worker}/stat") as file:
        master = int(file.read().rpartition(")")[2].split()[1])
    asker = attach(tmp_path, master)
    errors = asker.communicate(timeout=50)[1]
    assert asker.returncode == 2
    assert errors.count("\n") == 1 and "attach to" in errors


@pytest.mark.parametrize("imports", ["", "import wsgiref.simple_server\n"], ids=["none", "wsgiref"])
def test_a_program_without_a_server_is_refused_in_one_line(tmp_path, imports):
    code = f"{imports}import memkit, time; memkit.listen(); print('here', flush=True)\nwhile True: time.sleep(0.01)"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout.readline() == "here\n"
        asker = attach(tmp_path, program.pid)
        errors = asker.communicate(timeout=50)[1]
        assert asker.returncode == 2
        assert "it runs none of the servers that --requests knows: uvicorn, hypercorn" in errors
        assert errors.count("\n") == 1
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
