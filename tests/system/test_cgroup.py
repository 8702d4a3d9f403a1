"""Control groups, read from file trees as systems of both versions have them."""

import os
from pathlib import Path

import pytest

from memkit.base.errors import MeterError
from memkit.system import cgroup

CONTROLLERS = (
    "29 24 0:26 {top} {at} rw - cgroup cgroup rw,memory\n30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
)
UNIFIED = "31 24 0:28 {top} {at} rw,nosuid - cgroup2 cgroup2 rw\n"


@pytest.fixture
def machine(tmp_path):
    """A function that lays out /proc and the control group files below a folder, and returns that folder."""

    def lay_out(mountinfo, groups, counts, vmstat=""):
        files = {"proc/self/mountinfo": mountinfo, "proc/self/cgroup": groups, "proc/vmstat": vmstat, **counts}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)

    return lay_out


def names(root):
    return [(group.version, group.name, group.oom_kills()) for group in cgroup.memory_groups(root=root)]


def test_version_1_counts_in_oom_control_up_to_the_top(machine):
    root = machine(
        CONTROLLERS.format(top="/", at="/sys/fs/cgroup/memory"),
        "8:cpu:/\n4:memory:/jobs/seven\n",
        {
            "sys/fs/cgroup/memory/jobs/seven/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "sys/fs/cgroup/memory/jobs/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
        },
    )
    assert names(root) == [(1, "/jobs/seven", 3), (1, "/jobs", 5), (1, "/", None)]


def test_version_2_counts_in_events(machine):
    root = machine(
        UNIFIED.format(top="/", at="/sys/fs/cgroup"),
        "0::/user.slice/job.scope\n",
        {
            "sys/fs/cgroup/user.slice/job.scope/memory.events": "low 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n",
            "sys/fs/cgroup/user.slice/memory.events": "low 0\noom_kill 4\n",
        },
    )
    assert names(root) == [(2, "/user.slice/job.scope", 1), (2, "/user.slice", 4), (2, "/", None)]


def test_a_container_sees_its_own_group_as_the_top(machine):
    root = machine(
        CONTROLLERS.format(top="/docker/abc", at="/sys/fs/cgroup/memory"),
        "4:memory:/docker/abc\n",
        {"sys/fs/cgroup/memory/memory.oom_control": "oom_kill 2\n"},
    )
    assert names(root) == [(1, "/", 2)]


def test_a_group_that_cannot_be_seen_from_here_is_left_out(machine):
    root = machine(
        UNIFIED.format(top="/", at="/sys/fs/cgroup"), "0::/../other/x\n", {"sys/fs/cgroup/memory.events": "oom_kill 0\n"}
    )
    assert names(root)[-1] == (2, "/", 0)


@pytest.mark.parametrize("odd", [b"caf\xe9", b"\xd0", "a\u2028b\x85c".encode(), b"a\x0bb\rc"])
def test_a_name_may_be_of_any_bytes(tmp_path, machine, odd):
    root = machine(UNIFIED.format(top="/", at="/sys/fs/cgroup"), "", {})
    group = os.path.join(os.fsencode(root), b"sys/fs/cgroup", odd)
    try:
        os.makedirs(group)
    except OSError as error:
        pytest.skip(f"no file can have that name here: {error}")
    Path(os.fsdecode(group), "memory.events").write_text("oom_kill 3\n")
    mounted = (tmp_path / "proc/self/mountinfo").read_bytes()
    (tmp_path / "proc/self/mountinfo").write_bytes(b"7 1 0:5 / /media/" + odd + b" rw - ext4 /dev/sda rw\n" + mounted)
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/" + odd + b"\n")
    assert names(root) == [(2, os.fsdecode(b"/" + odd), 3), (2, "/", None)]


def test_without_control_groups_there_are_none(machine):
    assert names(machine("", "", {})) == []


INNER, OUTER, MACHINE = ("cgroup", "cgroup /a/b"), ("cgroup", "cgroup /a"), ("machine", "this machine")


def test_the_innermost_count_is_the_evidence():
    before = {INNER: 1, OUTER: 4, MACHINE: 9}
    assert cgroup.risen(before, {INNER: 2, OUTER: 5, MACHINE: 10}) == INNER
    assert cgroup.risen(before, {INNER: 1, OUTER: 5, MACHINE: 11}) is None
    assert cgroup.risen(before, before) is None


def test_without_an_innermost_count_the_next_one_is_the_evidence():
    before = {INNER: 1, OUTER: 4, MACHINE: 9}
    assert cgroup.risen(before, {OUTER: 5, MACHINE: 11}) == OUTER
    assert cgroup.risen({MACHINE: 9}, {INNER: 7, MACHINE: 11}) == MACHINE
    assert cgroup.risen({}, {INNER: 7}) is None


def test_the_machine_counts_too(machine):
    root = machine("", "", {}, vmstat="nr_free_pages 5\noom_kill 12\n")
    assert cgroup.oom_kills(cgroup.memory_groups(root=root), root) == {MACHINE: 12}


def test_the_meter_of_a_group_is_that_of_the_nearest_limit(machine):
    folder = "sys/fs/cgroup/memory"
    root = machine(
        CONTROLLERS.format(top="/", at="/sys/fs/cgroup/memory"),
        "4:memory:/jobs/seven\n",
        {
            f"{folder}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{folder}/memory.usage_in_bytes": "900\n",
            f"{folder}/jobs/memory.limit_in_bytes": "1000\n",
            f"{folder}/jobs/memory.usage_in_bytes": "700\n",
            f"{folder}/jobs/memory.stat": "cache 300\ntotal_inactive_file 250\n",
            f"{folder}/jobs/seven/memory.limit_in_bytes": "2000\n",
            f"{folder}/jobs/seven/memory.usage_in_bytes": "50\n",
        },
    )
    read = cgroup.nearest_use(root)
    assert read() == 450
    (Path(root) / folder / "jobs/memory.usage_in_bytes").write_text("800\n")
    assert read() == 550
    (Path(root) / folder / "jobs/memory.usage_in_bytes").unlink()
    with pytest.raises(MeterError, match="cgroup /jobs is gone"):
        read()


def test_without_a_group_there_is_no_such_meter(machine):
    with pytest.raises(MeterError, match="in no memory control group"):
        cgroup.nearest_use(machine("", "", {}))


def test_what_a_group_is_full_of_is_told_by_both_versions(machine):
    first = "cache 900\ntotal_cache 1000\ntotal_rss 70\ntotal_shmem 300\ntotal_inactive_file 600\n"
    one = machine(
        CONTROLLERS.format(top="/", at="/sys/fs/cgroup/memory"),
        "4:memory:/\n",
        {"sys/fs/cgroup/memory/memory.stat": first, "sys/fs/cgroup/memory/memory.kmem.usage_in_bytes": "11\n"},
    )
    [group] = cgroup.memory_groups(root=one)
    assert group.parts() == (70, 300, 100, 11)


@pytest.mark.parametrize(
    ("kernel", "told"), [("kernel 12\nslab 5\n", 12), ("slab 5\nkernel_stack 2\npagetables 1\n", 8), ("", None)]
)
def test_what_a_group_of_version_2_is_full_of(machine, kernel, told):
    text = f"anon 70\nfile 1000\nshmem 300\ninactive_file 600\n{kernel}"
    root = machine(UNIFIED.format(top="/", at="/sys/fs/cgroup"), "0::/\n", {"sys/fs/cgroup/memory.stat": text})
    [group] = cgroup.memory_groups(root=root)
    assert group.parts() == (70, 300, 100, told)


def test_a_group_that_tells_nothing_is_full_of_nothing_known(machine):
    root = machine(UNIFIED.format(top="/", at="/sys/fs/cgroup"), "0::/\n", {"sys/fs/cgroup/memory.events": ""})
    [group] = cgroup.memory_groups(root=root)
    assert group.parts() == (None, None, None, None)
