"""What needs no Ray: the hook against Ray's interface, the names of processes, and what is refused."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import memkit_ray
import pytest
from memkit_ray import cluster, nodes, worker
from memkit_ray.running import RunningTasks, running

import memkit

OOM = nodes.End(
    False,
    "NODE_OUT_OF_MEMORY",
    "1 worker(s) were killed due to the node running low on memory. Memory on the node was 3.17GB\n"
    "OOM kill reason: Memory usage 34B exceeded threshold of 33B (13.4% of 252B limit)\nObject store memory usage: [",
    107.5,
)
ALIVE = nodes.End(True, "SYSTEM_ERROR", "", None)
DIED = nodes.End(
    False, "SYSTEM_ERROR", "Worker unexpectedly exits. End of file. Some common causes include: (1) more", 104.0
)
LEFT = nodes.End(False, "INTENDED_SYSTEM_EXIT", "Worker exited because it was idle for a long time", 104.0)

FAKE = """
import sys, types
class Descriptor:
    function_id, module_name, class_name, function_name = b"1", "jobs", "", "load"
class Info(tuple):
    function = property(lambda self: self[0])
    def _replace(self, function):
        return Info([function])
class Manager:
    work = staticmethod(lambda mib: len(bytearray(b"x") * (mib << 20)))
    def get_execution_info(self, job_id, descriptor):
        return Info([self.work])
class Context:
    def get_node_id(self): return "n0de"
    def get_worker_id(self): return "w0rker"
ray, private, internal = (types.ModuleType(name) for name in ("ray", "ray._private", "ray._private.worker"))
ray.get_runtime_context = Context
internal.global_worker = types.SimpleNamespace(function_actor_manager=Manager())
sys.modules.update({module.__name__: module for module in (ray, private, internal)})
import memkit_ray.worker
memkit_ray.worker.begin()
manager = internal.global_worker.function_actor_manager
"""


@pytest.fixture
def hook(tmp_path):
    """A function that runs a text in a process that is a worker of something like Ray; the result has its recording."""

    def run(text, **settings):
        told = json.dumps({"run": "run", "folder": str(tmp_path / "run"), "options": {}} | settings)
        environment = {**os.environ, worker.VARIABLE: told}
        done = subprocess.run([sys.executable, "-c", FAKE + text], env=environment, capture_output=True, text=True)
        path = tmp_path / "run" / "run-n0de-w0rker.memkit"
        done.folder = path.parent
        done.recording = memkit.read(path) if path.exists() else None
        return done

    return run


def test_each_task_of_a_worker_is_a_span(hook):
    done = hook("for mib in (8, 8): print(manager.get_execution_info(0, Descriptor).function(mib))")
    assert (done.stderr, done.stdout, done.returncode) == ("", "8388608\n8388608\n", 0)
    assert [span.label for span in done.recording.spans] == ["load", "load"]
    assert all(abs(span.rise - (8 << 20)) < 1 << 20 for span in done.recording.spans)


def test_which_task_a_worker_was_in_is_known_however_it_was_killed(hook):
    done = hook("import os; Manager.work = os.kill; manager.get_execution_info(0, Descriptor).function(os.getpid(), 9)")
    assert done.returncode == -9
    (left,) = nodes.left(done.folder)
    assert (left.node, left.worker, left.running) == ("n0de", "w0rker", ("load",))


def test_a_worker_that_cannot_be_recorded_works_on_and_says_so(hook):
    done = hook("print(manager.get_execution_info(0, Descriptor).function(1))", options={"meter": "nothing"})
    assert (done.returncode, done.stdout, done.recording) == (0, "1048576\n", None)
    assert done.stderr.startswith("memkit-ray: worker ") and "nothing" in done.stderr and done.stderr.count("\n") == 1


def test_of_a_folder_only_the_files_of_the_run_are_taken(tmp_path):
    for name in ("a-n-w.memkit", "a-n-w.running", "a-driver-7.memkit", "b-n-w.memkit", "a-n-w.txt", "notes"):
        (tmp_path / name).touch()
    assert nodes.listed(str(tmp_path), "a") == ["a-n-w.memkit", "a-n-w.running"]
    assert nodes.listed(str(tmp_path / "none"), "a") == []


def test_a_hook_without_a_run_says_what_to_give(monkeypatch, capsys):
    monkeypatch.delenv(worker.VARIABLE, raising=False)
    worker.begin()
    assert capsys.readouterr().err.endswith("MEMKIT_RAY is not set: give ray.init(runtime_env=run.runtime_env())\n")


def test_functions_of_memkit_are_no_tasks(hook):
    done = hook("Descriptor.module_name = 'memkit_ray.nodes'; manager.get_execution_info(0, Descriptor).function(1)")
    assert (done.stderr, done.recording.spans) == ("", ())


# -- kinds of methods ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tasks(tmp_path):
    return RunningTasks(str(tmp_path / "running"))


async def coroutine(size):
    await asyncio.sleep(0)
    return size


async def asynchronous(size):
    for number in range(size):
        yield number


def generator(size):
    yield from range(size)
    return size


def executor(method, name="m"):
    def call(*args):
        return method(*args)

    call.name, call.method = name, method
    return call


async def _all(found):
    return [each async for each in found]


RUN = {
    coroutine: asyncio.run,
    asynchronous: lambda found: asyncio.run(_all(found)),
    generator: list,
    abs: lambda found: found,
}


@pytest.mark.parametrize("method", RUN, ids=lambda method: method.__name__)
def test_a_method_stays_what_it_is_within_its_span(method, tasks):
    with memkit.record() as recorder:
        wrapped = worker.spanned("A.m", executor(method), tasks)
        assert RUN[method](wrapped(3)) == RUN[method](method(3))
    assert (wrapped.name, wrapped.method) == ("m", method)
    assert [(span.label, span.end is None) for span in recorder.recording.spans] == [("A.m", False)]


def test_a_method_of_ray_s_own_is_left_alone(tasks):
    own = executor(abs, "__ray_ready__")
    assert worker.spanned("A.__ray_ready__", own, tasks) is own


def test_an_exception_of_a_task_ends_its_span(tasks, tmp_path):
    with memkit.record() as recorder, pytest.raises(ZeroDivisionError):
        worker.spanned("f", lambda: 1 // 0, tasks)()
    assert [span.end is None for span in recorder.recording.spans] == [False]
    assert running(tmp_path / "running") == ()


def test_tasks_that_run_at_once_are_all_told_and_no_more_than_fit(tasks, tmp_path):
    with tasks.task("a"), tasks.task("b"):
        assert running(tmp_path / "running") == ("a", "b")
    with contextlib.ExitStack() as stack:
        for _ in range(2000):
            stack.enter_context(tasks.task("load"))
        told = running(tmp_path / "running")
        assert told[:800] == ("load",) * 800 and told[-1].endswith("...")
    assert running(tmp_path / "running") == () == running(tmp_path / "none")


# -- one recording -------------------------------------------------------------------------------------------------------


@pytest.fixture
def made():
    """A function that makes a recording of a process on a machine, with spans of some labels."""

    def make(pid, host="a", labels=()):
        with memkit.record() as recorder:
            for label in labels:
                with memkit.span(label):
                    pass
        found = recorder.recording
        about = found.about._replace(pid=pid, host=host, began=100.0)
        process = memkit.Process(pid, 1, "default_worker.py", 0, None, memkit.Ending("unknown", finished=False))
        samples = (memkit.Sample(0, pid, 5, 6),)
        return replace(found, about=about, processes=(process,), samples=samples, ending=process.ending)

    return make


def test_a_worker_is_told_by_what_it_was_where_and_how_it_ended(made):
    def told(end, *running):
        return str(cluster.worker_of("w", "box", made(7, labels=["load"]), end, running)).partition("; ")[2]

    assert [told(OOM, "hungry"), told(DIED), told(LEFT), told(ALIVE, "f"), told(None)] == [
        "killed by Ray's memory monitor: Memory usage 34B exceeded threshold of 33B (13.4% of 252B limit), in hungry",
        "died: Worker unexpectedly exits. End of file.",
        "ended: Worker exited because it was idle for a long time",
        "still running",
        "how it ended is not known",
    ]


def test_a_worker_with_an_actor_has_the_name_of_its_class(made):
    found = cluster.worker_of("w", "box", made(7, labels=["Counter.__init__", "Counter.add", "Counter.add"]), ALIVE, ())
    assert (found.actor, found.what, found.tasks) == ("Counter", "actor Counter", 3)
    beginning = cluster.worker_of("w", "box", made(7), OOM, ("Counter.__init__",))
    assert (beginning.actor, beginning.unfinished) == ("Counter", ("Counter.__init__",))


def test_a_kill_by_ray_s_memory_monitor_is_the_ending_of_the_process(made):
    recording = made(7, labels=["load"])
    (process,) = cluster.named(recording, cluster.worker_of("w", "box", recording, OOM, ())).processes
    assert process.title == "box: worker, killed by Ray's memory monitor"
    reason = "Memory usage 34B exceeded threshold of 33B (13.4% of 252B limit)"
    assert str(process.ending) == f"killed by SIGKILL (Ray's memory monitor: {reason})"
    assert (process.ended, process.ending.failed) == (7_500_000_000, True)


@pytest.mark.parametrize(("end", "kind"), [(ALIVE, "detached"), (LEFT, "ended"), (DIED, "unknown"), (None, "unknown")])
def test_other_ends_say_no_more_than_ray_knows(made, end, kind):
    recording = made(7)
    (process,) = cluster.named(recording, cluster.worker_of("w", "box", recording, end, ())).processes
    assert process.ending.kind == kind


def test_a_worker_that_died_says_so_and_in_what_it_was(made):
    recording = made(7)
    died = cluster.named(recording, cluster.worker_of("w", "box", recording, DIED, ("load",)))
    assert died.ending.failed and str(died.ending) == "died: Worker unexpectedly exits. End of file."
    assert [(span.label, span.end) for span in died.spans if span.end is None] == [("load", None)]
    assert cluster.named(recording, cluster.worker_of("w", "box", recording, LEFT, ("load",))).spans == recording.spans


def test_processes_of_two_machines_with_one_pid_stay_two(made):
    merged = cluster.merged([made(7), made(7, "b"), made(8, "b")])
    assert len({process.pid for process in merged.processes}) == 3
    assert [len(lane) for _, lane in merged.lanes] == [1, 1, 1]


def test_a_clock_elsewhere_is_told_with_how_wrong_that_can_be():
    clock = nodes.clock_of("box", lambda: time.time() + 5)
    assert clock.ahead == pytest.approx(5, abs=clock.error + 1e-6)
    assert str(nodes.Clock("box", -0.25, 0.001)) == "the clock of box is 250 ms behind the driver's, ±1.00 ms"


def test_a_recording_of_another_host_is_moved_onto_the_driver_s_clock(made):
    there = cluster.on_one_clock(made(8, "b"), nodes.Clock("b", 60.0, 0.1))
    assert there.about.began == 40.0
    driver = made(7)
    merged = cluster.merged([replace(driver, about=driver.about._replace(began=39.0)), there])
    assert [process.started for process in merged.processes] == [0, memkit.units.SECOND]


@pytest.mark.parametrize("heap", [False, "spans"])
def test_a_task_is_told_in_a_line(heap):
    with memkit.record() as recorder:
        for _ in range(2):
            with memkit.span("load"):
                pass
    (sums,) = recorder.recording.span_sums
    if heap:
        sums = sums._replace(kept=sums.rise)
    what = "kept" if heap else "growth"
    assert re.fullmatch(
        rf"load: 2 times, rise at most \S+( \S+)?, {what} \S+( \S+)? in all, \S+ \S+ at most", cluster.told_of_task(sums)
    )


# -- what is asked -------------------------------------------------------------------------------------------------------


def test_the_runtime_environment_has_what_else_is_wanted():
    found = memkit_ray.record("somewhere", interval="10ms").runtime_env(env_vars={"A": "b"}, pip=["x"])
    assert (found["pip"], found["env_vars"]["A"], found["worker_process_setup_hook"]) == (["x"], "b", worker.HOOK)
    told = json.loads(found["env_vars"][worker.VARIABLE])
    assert told["options"] == {"interval": "10ms"} and told["folder"].endswith("/somewhere")


@pytest.mark.parametrize("options", [{"path": "x"}, {"children": True}, {"interval": "long"}, {"meter": abs}, {"limit": 3}])
def test_what_makes_no_sense_is_refused_before_anything_runs(options):
    with pytest.raises(memkit.UsageError):
        memkit_ray.record(**options)


def test_a_second_hook_is_refused_with_what_to_do():
    with pytest.raises(memkit.UsageError, match=r"call memkit_ray.worker.begin\(\) in 'mine'"):
        memkit_ray.record().runtime_env(worker_process_setup_hook="mine")
    with pytest.raises(memkit.UsageError, match="not 3"):
        memkit_ray.record().runtime_env(env_vars=3)
