"""A local cluster whose tasks have known peaks, and whose workers join, leave and are killed."""

import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import memkit_dask
import pytest
from distributed.protocol.pickle import cloudpickle

import memkit

MIB = 1 << 20
PLANTED = {"small": 96, "middle": 128, "large": 160}
LIMIT = 1024
CONFIG = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.monitor-interval": "100ms",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.6,
    "distributed.worker.memory.terminate": 0.7,
}


def touched(size):
    """Memory of its own of which every page is resident."""
    memory = mmap.mmap(-1, size)
    for place in range(0, size, mmap.PAGESIZE):
        memory[place] = 1
    return memory


def rises(size):
    touched(size).close()


def leaves_at_once():
    os.kill(os.getpid(), signal.SIGKILL)


def outgrows(paused_at, killed_at):
    worker, memory = distributed.get_worker(), touched(paused_at)
    while worker.status != distributed.Status.paused:
        threading.Event().wait(0.01)
    touched(killed_at - paused_at)
    threading.Event().wait(60)  # until the nanny has seen it
    memory.close()


def fails():
    raise ValueError("as planned")


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


@pytest.fixture(scope="module")
def cluster():
    with dask.config.set(CONFIG):
        options = {"processes": True, "dashboard_address": None, "memory_limit": LIMIT * MIB, "threads_per_worker": 1}
        with distributed.LocalCluster(n_workers=3, **options) as made, distributed.Client(made) as client:
            yield SimpleNamespace(made=made, client=client)


def killed(client, function, *args):
    """Run what kills its worker, and wait until there is another."""
    number = len(client.scheduler_info(n_workers=-1)["workers"])
    with pytest.raises(distributed.KilledWorker):
        client.submit(function, *args).result(timeout=60)
    client.wait_for_workers(number, timeout=60)


@pytest.fixture(scope="module")
def story(cluster):
    """All that happens to the cluster while it is recorded."""
    client = cluster.client
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import a test
    first = [client.submit(rises, MIB, key=f"first-{worker}", workers=[worker]) for worker in (0, 1, 2)]
    client.gather(first)
    del first  # what a worker loads for its first task is no peak of the next
    with memkit_dask.record(client) as run:
        names = [name for name, size in PLANTED.items() for _ in range(4)]
        keys = [f"{name}-{number}" for number, name in enumerate(names)]
        client.gather([client.submit(rises, PLANTED[name] * MIB, key=key) for name, key in zip(names, keys)])
        failed = client.submit(fails, key="failing-1")
        assert "as planned" in str(failed.exception())
        killed(client, leaves_at_once)
        killed(client, outgrows, 640 * MIB, 800 * MIB)
        cluster.made.scale(4)
        client.wait_for_workers(4, timeout=60)
        *_, last = client.scheduler_info(n_workers=-1)["workers"].values()
        client.submit(rises, 8 * MIB, key="late-1", workers=[last["name"]]).result()
        client.retire_workers(
            [worker for worker, info in client.scheduler_info(n_workers=-1)["workers"].items() if info["name"] == 1]
        )
        kernel = client.run(resident)
    client.wait_for_workers(3)
    return SimpleNamespace(run=run, kernel=kernel, text=str(run))


def test_each_prefix_has_the_peak_that_was_planted(story):
    found = {prefix.name: prefix for prefix in story.run.prefixes}
    for name, size in PLANTED.items():
        assert found[name].tasks >= 4  # some were run again, if their worker died before Dask forgot them
        assert found[name].overlapped == 0
        assert found[name].rise == pytest.approx(size * MIB, rel=0.02), (name, found[name])
        assert found[name].median == pytest.approx(size * MIB, rel=0.04)  # medians are known to 1/32


def test_a_task_that_fails_is_a_span_too(story):
    assert {prefix.name: prefix.tasks for prefix in story.run.prefixes}["failing"] == 1


def test_spans_carry_the_key_and_the_worker(story):
    spans = {dict(span.attributes)["key"]: span for span in story.run.recording.spans}
    assert spans["large-8"].label == "large"
    assert dict(spans["large-8"].attributes)["worker"] in {"0", "1", "2"}


def died_with(story, task):
    return [worker for worker in story.run.workers if any(key.startswith(task) for key in worker.running)]


def test_a_worker_that_was_killed_is_there_with_what_it_ran(story):
    [worker] = died_with(story, "leaves_at_once")
    assert (worker.ending.kind, worker.ending.signal) == ("killed", signal.SIGKILL)
    assert len(worker.running) == 1
    assert worker.ended is not None


def test_a_worker_that_its_nanny_killed_says_so_in_dasks_words(story):
    [worker] = died_with(story, "outgrows")
    assert worker.ending.kind == "killed"
    assert f"(pid={worker.pid})" in worker.ending.error
    assert any("exceeded 70% memory budget" in word.text for word in story.run.words if word.pid == worker.pid)
    assert worker.peak > 0.7 * LIMIT * MIB, (worker, story.text)
    assert worker.ending.error in story.text


def test_what_dask_said_and_did_is_beside_the_curve(story):
    [worker] = died_with(story, "outgrows")
    assert len(story.run.recording.crossings) == 2, story.text
    paused, killed = story.run.recording.crossings
    assert (paused.limit, killed.limit) == (int(0.6 * LIMIT * MIB), int(0.7 * LIMIT * MIB))
    assert paused.name.startswith(f"worker {worker.name} (Worker is at ")
    assert paused.memory > 0


def test_a_worker_that_leaves_has_finished_and_the_others_go_on(story):
    endings = {(worker.name, worker.ending.kind) for worker in story.run.workers}
    assert ("1", "ok") in endings
    assert sum(kind == "detached" for _, kind in endings) == 3


def test_workers_that_join_later_are_recorded(story):
    assert {worker.name for worker in story.run.workers} == {"0", "1", "2", "3"}
    assert len(story.run.workers) == 6  # two of them twice
    assert "late" in {prefix.name for prefix in story.run.prefixes}


def test_the_sum_is_that_of_what_each_kernel_says(story):
    recording = story.run.recording
    names = {str(worker.address): worker.pid for worker in story.run.workers}
    last = {process.pid: lane[-1].memory for process, lane in recording.lanes}
    found = sum(last[names[address]] for address in story.kernel)
    assert found == pytest.approx(sum(story.kernel.values()), rel=0.02)
    assert recording.summed == "rss"
    assert recording.together >= max(sum(story.kernel.values()), recording.peak)


def test_processes_are_called_what_they_are(story):
    commands = [process.command for process in story.run.recording.processes]
    assert sorted(command for command in commands if command.startswith("Dask worker"))[0] == "Dask worker 0"
    assert len(commands) == 7  # the client, the scheduler and the nannies share a process


def test_nothing_is_missing_and_nothing_is_left_behind(story, cluster):
    assert story.run.missing == ()
    assert set(cluster.client.run(lambda: len(memkit_dask.files.ProcessFiles._all)).values()) == {0}
    assert not list(Path(tempfile.gettempdir()).glob(f"memkit-dask-{story.run._id}*"))


def test_the_recording_can_be_reported_on(story, tmp_path):
    page = tmp_path / "cluster.html"
    story.run.recording.page(page)
    again = memkit.read(page)
    assert len(again.processes) == len(story.run.recording.processes)
    assert again.crossings


DIES = """
import os, signal, sys
import distributed, memkit_dask
with distributed.Client(sys.argv[1]) as client, memkit_dask.record(client) as run:
    assert client.submit(sum, [1, 2]).result() == 3
    print(run._id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_when_its_client_dies_the_recording_ends_and_stays(cluster):
    words = [sys.executable, "-c", DIES, cluster.made.scheduler_address]
    died = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    run = died.stdout.strip()
    folder = Path(tempfile.gettempdir())
    try:
        for _ in range(600):
            if not cluster.client.run_on_scheduler(lambda dask_scheduler: f"memkit-dask-{run}" in dask_scheduler.plugins):
                break
            threading.Event().wait(0.05)
        assert set(cluster.client.run(lambda: len(memkit_dask.files.ProcessFiles._all)).values()) == {0}
        assert sum(len(memkit.read(path).spans) for path in folder.glob(f"memkit-dask-{run}/*.memkit")) == 1
    finally:
        for left in [
            *folder.glob(f"memkit-dask-{run}*"),
            *(path.parent for path in folder.glob(f"memkit-dask-*/{run}-*.memkit")),
        ]:
            shutil.rmtree(left, ignore_errors=True)
