"""A cluster of three hosts: network namespaces with names, PIDs and temporary folders of their own."""

import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import dask
import distributed
import memkit_dask
import pytest
from distributed.protocol.pickle import cloudpickle

MIB = 1 << 20
HOSTS = ("east", "west", "south")
SIZES = (96, 160)
NET = "10.213.77"
BRIDGE = "memkit-dask0"


def made(*words):
    subprocess.run(words, check=True, capture_output=True)


def can_make_hosts():
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return "hosts are made by root, with ip and unshare"
    tried = subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], capture_output=True, text=True)
    return f"this machine makes no network: {tried.stderr.strip()}" if tried.returncode else None


@pytest.fixture(scope="module")
def network():
    """A bridge to which each host has a cable; the scheduler's and the client's address is the first."""
    if refused := can_make_hosts():
        pytest.skip(f"NOT TESTED on several hosts: {refused}")
    try:
        made("ip", "addr", "add", f"{NET}.1/24", "dev", BRIDGE)
        made("ip", "link", "set", BRIDGE, "up")
        for number, host in enumerate(HOSTS, 2):
            made("ip", "netns", "add", f"memkit-{host}")
            made("ip", "link", "add", f"mkd{number}", "type", "veth", "peer", "name", "eth0", "netns", f"memkit-{host}")
            made("ip", "link", "set", f"mkd{number}", "master", BRIDGE, "up")
            made("ip", "-n", f"memkit-{host}", "addr", "add", f"{NET}.{number}/24", "dev", "eth0")
            made("ip", "-n", f"memkit-{host}", "link", "set", "eth0", "up")
            made("ip", "-n", f"memkit-{host}", "link", "set", "lo", "up")
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", f"memkit-{host}"], capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)


def worker_on(host, address, folder):
    """The process around a worker and its nanny on a host, which end with it."""
    folder.mkdir()
    command = [sys.executable, "-m", "distributed.cli.dask_spec", address, "--spec"]
    options = {"nthreads": 1, "name": host, "memory_limit": "1GiB"}
    spec = json.dumps({"cls": "distributed.Nanny", "opts": options})
    inside = ["sh", "-c", 'hostname "$0"; exec "$@"', host, *command, spec]
    apart = ["unshare", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child", *inside]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(["ip", "netns", "exec", f"memkit-{host}", *apart], env=environment, stderr=subprocess.DEVNULL)


def rises(size):
    memory = mmap.mmap(-1, size)
    for place in range(0, size, mmap.PAGESIZE):
        memory[place] = 1
    memory.close()


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


@pytest.fixture(scope="module")
def story(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    failures = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with failures, distributed.LocalCluster(n_workers=0, host=f"{NET}.1", dashboard_address=None) as made_here:
        address = made_here.scheduler_address
        hosts = [worker_on(host, address, folder / host) for host in HOSTS]
        try:
            with distributed.Client(made_here) as client:
                client.wait_for_workers(3, timeout=120)
                first = [client.submit(rises, MIB, key=f"first-{host}", workers=[host]) for host in HOSTS]
                client.gather(first)  # what a worker loads for its first task is no peak of the next
                with memkit_dask.record(client) as run:
                    plans = {f"{host}_{size}-1": (host, size) for size in SIZES for host in HOSTS}
                    client.gather(
                        [client.submit(rises, size * MIB, key=key, workers=[host]) for key, (host, size) in plans.items()]
                    )
                    with pytest.raises(distributed.KilledWorker):
                        client.submit(dies, workers=["west"], key="dies-1").result(timeout=60)
                    client.wait_for_workers(3, timeout=60)
                    kernel = client.run(resident)
                left = [path for host in HOSTS for path in (folder / host).glob("memkit-dask-*")]
                yield SimpleNamespace(run=run, kernel=kernel, left=left)
        finally:
            for host in hosts:
                host.kill()  # what runs on the host ends with it
                host.wait()


def test_each_prefix_on_each_host_has_the_peak_that_was_planted(story):
    found = {prefix.name: prefix.rise for prefix in story.run.prefixes}
    for host in HOSTS:
        for size in SIZES:
            assert found[f"{host}_{size}"] == pytest.approx(size * MIB, rel=0.02)


def test_processes_say_which_worker_on_which_machine_they_were(story):
    commands = [process.command for process in story.run.recording.processes]
    for host in HOSTS:
        assert f"Dask worker {host} on machine {host}" in commands
    assert len({process.pid for process in story.run.recording.processes}) == len(commands) == 5


def test_a_worker_that_was_killed_on_another_host_came_home(story):
    [dead] = [worker for worker in story.run.workers if worker.ending.kind == "killed"]
    assert (dead.host, dead.ending.signal, dead.running) == ("west", signal.SIGKILL, ("dies-1",))


def test_the_sum_of_all_hosts_is_what_their_kernels_say(story):
    last = {process.command: lane[-1].memory for process, lane in story.run.recording.lanes}  # of one name, the later
    alive = [worker for worker in story.run.workers if worker.address in story.kernel]
    found = sum(last[f"Dask worker {worker.name} on machine {worker.host}"] for worker in alive)
    assert found == pytest.approx(sum(story.kernel.values()), rel=0.02)
    assert story.run.recording.together >= sum(story.kernel.values())


def test_all_hosts_are_on_one_clock_whose_error_is_told(story):
    assert {clock.host for clock in story.run.clocks} >= set(HOSTS)
    assert all(abs(clock.offset) <= clock.error for clock in story.run.clocks)  # it is one clock here
    assert "clocks, beside the scheduler's" in str(story.run)


def test_nothing_stays_on_the_hosts(story):
    assert story.run.missing == ()
    assert story.left == []
