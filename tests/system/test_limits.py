"""The limit that stops a process, found from the kernel's files as they are here, and as they were recorded elsewhere."""

import sys

import pytest

import memkit
from memkit.cli import info
from memkit.model.recording import Limit
from memkit.system import limits

GIB = 1 << 30
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files are Linux's")


@pytest.fixture
def machine(tmp_path):
    """Write the files of a machine, name -> text, with one of 16 GiB of which 12 are left; what limits a process there."""

    def write(files, pid=None):
        usual = {
            "proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            "proc/self/status": "VmSize:\t  2048 kB\nVmData:\t  1024 kB\n",
        }
        for name, text in {**usual, **files}.items():
            place = tmp_path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return limits.limits(pid, root=str(tmp_path))

    return write


V2 = {
    "proc/self/mountinfo": "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
    "proc/self/cgroup": "0::/jobs/one\n",
    "sys/fs/cgroup/jobs/one/memory.max": "max\n",
    "sys/fs/cgroup/jobs/one/memory.current": f"{GIB}\n",
    "sys/fs/cgroup/jobs/memory.max": f"{4 * GIB}\n",
    "sys/fs/cgroup/jobs/memory.current": f"{3 * GIB}\n",
    "sys/fs/cgroup/jobs/memory.stat": f"anon {2 * GIB}\ninactive_file {GIB // 2}\nactive_file 7\n",
}
V1 = {
    "proc/self/mountinfo": "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    "proc/self/cgroup": "4:memory:/jobs\n3:cpu:/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{9 * GIB}\n",
    "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/jobs/memory.usage_in_bytes": f"{GIB}\n",
    "sys/fs/cgroup/memory/jobs/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}\n",
}
THE_MACHINE = Limit("memory of this machine", 16 * GIB, 4 * GIB)


@pytest.mark.parametrize("pid", ["x", -1, 0, 1.5, True, 99999999])
@pytest.mark.parametrize("ask", [memkit.limits, memkit.limit])
def test_what_is_no_process_has_no_limits_to_tell(ask, pid):
    with pytest.raises(memkit.UsageError, match=f"no process {pid}|{pid!r} is no process"):
        ask(pid)


def test_a_machine_limits_what_nothing_else_does(machine):
    assert machine({}) == [THE_MACHINE]
    assert THE_MACHINE.left == 12 * GIB


def test_swap_is_part_of_what_a_machine_has(machine):
    memory = f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nSwapTotal: {4 << 20} kB\nSwapFree: {1 << 20} kB\n"
    assert machine({"proc/meminfo": memory}) == [Limit("memory of this machine", 20 * GIB, 7 * GIB)]


def test_the_limit_of_a_group_can_sit_in_an_ancestor(machine):
    assert machine(V2) == [Limit("cgroup /jobs", 4 * GIB, 3 * GIB - GIB // 2), THE_MACHINE]


def test_groups_of_version_1_count_the_pages_of_their_descendants_too(machine):
    assert machine(V1) == [Limit("cgroup /jobs", 2 * GIB, GIB - GIB // 4), THE_MACHINE]


SWAP = {"proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nSwapTotal: {8 << 20} kB\nSwapFree: 9 kB\n"}


@pytest.mark.parametrize(
    ("files", "size", "used"),
    [
        ({"memory.swap.max": "max", "memory.swap.current": str(GIB)}, 12, 3.5),  # all the swap there is
        ({"memory.swap.max": "0", "memory.swap.current": "0"}, 4, 2.5),
        ({"memory.swap.max": str(2 * GIB), "memory.swap.current": str(GIB)}, 6, 3.5),
        ({}, 4, 2.5),  # swap is not counted
    ],
)
def test_a_group_that_may_swap_has_that_much_more(machine, files, size, used):
    found = machine({**V2, **SWAP, **{f"sys/fs/cgroup/jobs/{name}": text for name, text in files.items()}})
    assert found[0] == Limit("cgroup /jobs", size * GIB, int(used * GIB))


def test_memory_and_swap_together_limit_a_group_of_version_1(machine):
    both = {"memory.memsw.limit_in_bytes": str(3 * GIB), "memory.memsw.usage_in_bytes": str(GIB + 5)}
    found = machine({**V1, **SWAP, **{f"sys/fs/cgroup/memory/jobs/{name}": text for name, text in both.items()}})
    assert found[0] == Limit("cgroup /jobs", 3 * GIB, GIB - GIB // 4 + 5)


def test_the_limits_of_a_process_count_address_space_and_data(machine):
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max data size             1048576              unlimited            bytes     \n"
        "Max address space         4194304              unlimited            bytes     \n"
        "Max resident set          4096                 unlimited            bytes     \n"
    )
    data, space = Limit("RLIMIT_DATA", 1 << 20, 1 << 20), Limit("RLIMIT_AS", 4 << 20, 2 << 20)
    assert machine({"proc/self/limits": text}) == [data, space, THE_MACHINE]
    assert data.left == 0


def test_of_another_process_its_own_files_are_read(machine):
    files = {
        "proc/42/status": "VmSize: 8 kB\n",
        "proc/42/limits": "Max address space         16384              unlimited            bytes     \n",
    }
    assert machine(files, pid=42) == [Limit("RLIMIT_AS", 16384, 8192), THE_MACHINE]


def test_a_kernel_that_promises_no_more_than_there_is_limits_by_that(machine):
    memory = f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nCommitLimit: {8 << 20} kB\nCommitted_AS: {7 << 20} kB\n"
    commit = Limit("commit limit of this machine", 8 * GIB, 7 * GIB)
    strict = {"proc/meminfo": memory, "proc/sys/vm/overcommit_memory": "2\n"}
    assert machine(strict) == [commit, THE_MACHINE]
    assert machine({**strict, "proc/sys/vm/overcommit_memory": "0\n"}) == [THE_MACHINE]


def test_this_machine_has_a_limit_and_it_is_the_nearest():
    nearest = memkit.limit()
    assert nearest is not None and 0 < nearest.used < nearest.size
    left = [limit.left for limit in memkit.limits()]
    assert left == sorted(left)


@LINUX
def test_a_limit_of_address_space_is_seen_by_the_process_that_has_it(python):
    text = """
import json, memkit, resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 34, resource.RLIM_INFINITY))
found = {limit.name: limit for limit in memkit.limits()}["RLIMIT_AS"]
print(json.dumps([found.size, memkit.rss(), found.used]))
"""
    size, rss, used = python(text)
    assert size == 1 << 34 and rss < used < size


@LINUX
def test_a_process_may_have_a_name_that_is_no_text(python):
    program = """
import json, memkit
with open("/proc/self/comm", "wb") as file:
    file.write("Программа".encode()[:15])  # as the kernel cuts it, inside a letter
with memkit.record() as run:
    pass
print(json.dumps([limit.name for limit in memkit.limits()] == [limit.name for limit in run.recording.limits] != []))
"""
    assert python(program) is True


def test_every_recording_says_what_limited_it():
    with memkit.record() as run:
        pass
    assert run.recording.limits
    assert {limit.name for limit in run.recording.limits} == {limit.name for limit in memkit.limits()}


def test_info_lists_the_limits_the_nearest_first(monkeypatch):
    found = [Limit("RLIMIT_AS", 4 * GIB, 3 * GIB), Limit("cgroup /jobs", 8 * GIB, 2 * GIB)]
    monkeypatch.setattr(limits, "limits", lambda: found)
    assert [text for subject, text in info.facts() if subject == "limit"] == [
        "RLIMIT_AS: 4.0 GiB, 3.0 GiB used, 1.0 GiB left; counts address space; the first to be reached where all grow alike",
        "cgroup /jobs: 8.0 GiB, 2.0 GiB used, 6.0 GiB left",
    ]
    found.clear()
    assert ("limit", "none is known") in info.facts()
