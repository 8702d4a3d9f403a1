"""A real Prometheus scrapes one process, and the workers of gunicorn. Debian has it in its package ``prometheus``."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest

MIB = 1 << 20
PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="NOT TESTED: there is no prometheus here (apt-get install prometheus)"
)

SERVICE = """
import sys, time
import memkit_prometheus, prometheus_client
memkit_prometheus.register()
prometheus_client.start_http_server(int(sys.argv[1]), addr="127.0.0.1")
kept = bytearray(30 << 20)
while True:
    bytearray(90 << 20)
    time.sleep(0.05)
"""
APPLICATION = """
import memkit_prometheus
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

def app(environment, start):
    if environment["PATH_INFO"] != "/metrics":
        bytearray(90 << 20)
        start("200 OK", [])
        return [b"done"]
    start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
    return [generate_latest(memkit_prometheus.registry_of_workers())]
"""
GUNICORN = """
import memkit_prometheus
from prometheus_client import multiprocess

workers = 2
graceful_timeout = 2  # a worker that has just been forked loses the signal that ends it

def post_fork(server, worker):
    memkit_prometheus.register()

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def run(tmp_path):
    """A function that starts a program in the directory of the test, for as long as that takes."""
    running = []

    def start(*words, **more):
        log = open(tmp_path / f"{len(running)}.log", "wb")  # noqa: SIM115 (closed below)
        environment = {**os.environ, **more}
        running.append((subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=log, stderr=log), log))
        return running[-1][0]

    yield start
    for process, log in reversed(running):
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()


@pytest.fixture
def prometheus(run, tmp_path):
    """A function that has Prometheus scrape a port each second; it returns one that asks Prometheus."""

    def start(port):
        own = free_port()
        target = {"job_name": "service", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [target]}
        (tmp_path / "prometheus.yml").write_text(json.dumps(settings))  # which is YAML as well
        run(
            PROMETHEUS,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{own}",
        )

        def ask(query):
            words = urllib.parse.urlencode({"query": query})
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?{words}", timeout=5) as answer:
                return json.load(answer)["data"]["result"]

        return ask

    return start


def until(found, seconds=40):
    """What a function returns as soon as that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            result = found()
        except OSError:  # it does not listen yet
            result = None
        if result:
            return result
        time.sleep(0.2)
    raise AssertionError("it did not come true")


def test_prometheus_has_the_memory_of_a_process(run, prometheus):
    port = free_port()
    run(sys.executable, "-c", SERVICE, str(port))
    ask = prometheus(port)
    until(lambda: len(ask("count_over_time(process_resident_memory_peak_bytes[1m]) > 2")) == 1)
    peak = float(ask("max_over_time(process_resident_memory_peak_bytes[1m])")[0]["value"][1])
    memory = float(ask("min_over_time(process_resident_memory_bytes[1m])")[0]["value"][1])
    assert 110 * MIB < peak < 200 * MIB
    assert 30 * MIB < memory < 180 * MIB
    limits = ask("memkit_memory_limit_bytes - memkit_memory_headroom_bytes >= 0")
    assert limits and all(each["metric"]["limit"] and each["metric"]["kind"] for each in limits)


def test_prometheus_has_the_memory_of_all_workers_of_gunicorn(run, prometheus, tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "settings.py").write_text(GUNICORN)
    (tmp_path / "metrics").mkdir()
    port = free_port()
    words = ["-m", "gunicorn", "-c", "settings.py", "-b", f"127.0.0.1:{port}", "application:app"]
    run(sys.executable, *words, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"))
    ask = prometheus(port)
    until(lambda: len(ask("process_resident_memory_bytes")) == 2)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/work", timeout=10) as answer:
        assert answer.read() == b"done"
    risen = f"max_over_time(process_resident_memory_peak_bytes[1m]) > {100 * MIB}"
    (one,) = until(lambda: ask(risen))
    assert one["metric"]["pid"] in {each["metric"]["pid"] for each in ask("process_resident_memory_bytes")}
    until(lambda: not ask(f"process_resident_memory_peak_bytes > {100 * MIB}"))  # a later scrape has a later peak
    os.kill(int(one["metric"]["pid"]), signal.SIGKILL)
    until(lambda: not [each for each in ask("process_resident_memory_bytes") if each["metric"] == one["metric"]])
    until(lambda: len(ask("process_resident_memory_bytes")) == 2)  # gunicorn has started another
