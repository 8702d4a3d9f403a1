"""A real Ray on this machine: tasks, actors, and a worker that Ray's memory monitor kills."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("ray", reason="NOT TESTED on a real Ray, only against its interface: pip install ray")

MIB = 1 << 20
PROGRAM = """
import json, os, sys
import memkit_ray, ray

memory = {line.split(":")[0]: int(line.split()[1]) << 10 for line in open("/proc/meminfo")}
used = memory["MemTotal"] - memory["MemAvailable"]
room = 3 << 30

@ray.remote(max_retries=0)
def load(mib):
    return len(bytearray(b"x") * (mib << 20))

@ray.remote(max_retries=0)
def hungry():
    kept, wait = [], __import__("threading").Event()
    while True:
        kept.append(bytearray(b"x") * (100 << 20))
        wait.wait(0.05)

@ray.remote
class Counter:
    def __init__(self):
        self.kept = []
    def add(self, mib):
        self.kept.append(bytearray(b"x") * (mib << 20))

@ray.remote
class Later:
    async def get(self, mib):
        return len(bytearray(b"x") * (mib << 20))

options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR", "object_store_memory": 100 << 20}
with memkit_ray.record() as run:
    share = (used + room) / memory["MemTotal"]
    system = {"memory_usage_threshold": share}
    ray.init("local", num_cpus=2, runtime_env=run.runtime_env(), _system_config=system, **options)
    ray.get([load.remote(mib) for mib in (40, 80)])
    counter, later = Counter.remote(), Later.remote()
    ray.get([counter.add.remote(50), counter.add.remote(30), later.get.remote(60)])
    try:
        ray.get(hungry.remote())
        print("not killed", file=sys.stderr)
    except ray.exceptions.OutOfMemoryError:
        pass
ray.shutdown()
print(run, file=sys.stderr)
rises = {sums.label: sums.rise.worst for sums in run.recording.span_sums}
print(json.dumps({
    "rises": rises,
    "workers": [[worker.what, worker.end and worker.end.type, worker.unfinished] for worker in run.workers],
    "titles": [process.title for process in run.recording.processes],
    "node": ray.util.get_node_ip_address() and os.uname().nodename,
    "missing": run.missing,
}))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    settings = {"cwd": tmp_path_factory.mktemp("ray"), "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, "-c", PROGRAM], **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_task_and_method_has_its_rise(ran):
    for label, mib in {"load": 80, "Counter.add": 50, "Later.get": 60}.items():
        assert ran["rises"][label] == pytest.approx(mib * MIB, abs=2 * MIB), label


def test_a_kill_by_the_memory_monitor_is_told_with_what_was_killed(ran):
    assert ["worker", "NODE_OUT_OF_MEMORY", ["hungry"]] in ran["workers"]
    assert f"{ran['node']}: worker, killed by Ray's memory monitor" in ran["titles"]


def test_processes_are_called_by_their_nodes_and_actors(ran):
    node = ran["node"]
    assert ran["titles"][0].startswith("driver: ")
    assert {f"{node}: actor Counter", f"{node}: actor Later"} <= set(ran["titles"])
    assert ran["missing"] == []
