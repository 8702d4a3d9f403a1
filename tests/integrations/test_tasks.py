"""Tasks of Celery and jobs of RQ are spans, with a real Redis. Debian has it in its package ``redis-server``."""

import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

import memkit
from memkit.system import engine

from servers import free_port

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")
TASKS = """
import os
import signal
import threading
import time

from celery import Celery, signals

app = Celery("tasks", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
kept = []


@app.task(name="resize")
def resize(size):
    kept.append(bytes(size))


def send():
    for each in [resize.delay(10_000) for _ in range(6)]:
        each.get(disable_sync_subtasks=False)
    os.kill(os.getpid(), signal.SIGTERM)


@signals.worker_ready.connect
def ready(**_):
    threading.Thread(target=send, daemon=True).start()
"""
QUICK = ["-c", "2", "-l", "critical", "--without-gossip", "--without-mingle", "--without-heartbeat"]


@pytest.fixture
def redis(tmp_path):
    """The address of a Redis on a free port."""
    if REDIS is None or find_spec("redis") is None:
        pytest.skip("NOT TESTED: there is no Redis here (apt-get install redis-server, pip install redis)")
    port = free_port()
    server = subprocess.Popen([REDIS, "--port", str(port), "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            break
        except OSError:
            time.sleep(0.01)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()


def recorded(tmp_path, redis, *options):
    """The sums of the only label of a program that ``memkit-run`` runs."""
    words = [sys.executable, "-m", "memkit", "run", "-q", "--heap=spans", "-o", "run.memkit", *options]
    environment = {**os.environ, "REDIS": redis, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert "memkit" not in done.stderr, done.stderr
    (sums,) = memkit.read(tmp_path / "run.memkit").span_sums
    return sums


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_tasks_of_celery_are_spans_in_each_kind_of_pool(tmp_path, redis, pool):
    if find_spec("celery") is None or (pool == "gevent" and find_spec("gevent") is None):
        pytest.skip("not installed: celery or gevent")
    (tmp_path / "tasks.py").write_text(TASKS)
    sums = recorded(tmp_path, redis, "--requests", "--follow", "-m", "celery", "-A", "tasks", "worker", "-P", pool, *QUICK)
    assert (sums.label, sums.number) == ("resize", 6)
    assert sums.kept.total >= 60_000


JOBS = """
import os

from redis import Redis
from rq import Queue, SimpleWorker, Worker

import jobs
from memkit.integrations.rq import SpanJob

connection = Redis.from_url(os.environ["REDIS"])
queue = Queue(connection=connection, job_class=SpanJob)
for _ in range(3):
    queue.enqueue(jobs.resize, 10_000)
{}([queue], connection=connection, job_class=SpanJob).work(burst=True, logging_level="CRITICAL")
"""


@pytest.mark.parametrize("worker", ["Worker", "SimpleWorker"])
def test_jobs_of_rq_are_spans(tmp_path, redis, worker):
    if find_spec("rq") is None:
        pytest.skip("not installed: rq")
    (tmp_path / "jobs.py").write_text("kept = []\n\n\ndef resize(size):\n    kept.append(bytes(size))\n")
    (tmp_path / "work.py").write_text(JOBS.format(worker))
    sums = recorded(tmp_path, redis, "--follow", "work.py")
    assert (sums.label, sums.number) == ("jobs.resize", 3)
    assert sums.kept.total >= 30_000
