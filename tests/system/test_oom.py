"""Out-of-memory kills, counted in file trees as systems of the second version of control groups have them."""

import shutil

import pytest

from memkit.system.oom import Kills, outlive, sacrifice

MIB = 1 << 20
MOUNT = "31 24 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"


@pytest.fixture
def counted(tmp_path):
    """A function that writes what has been counted so far, in a group, in the one around it and on the machine."""

    def count(inner, outer, machine):
        files = {
            "proc/self/mountinfo": MOUNT,
            "proc/self/cgroup": "0::/jobs/seven\n",
            "proc/vmstat": f"oom_kill {machine}\n",
            "sys/fs/cgroup/jobs/memory.max": str(300 * MIB),
            "sys/fs/cgroup/jobs/memory.events": f"max 7\noom_kill {outer}\n",
            "sys/fs/cgroup/jobs/seven/memory.max": "max\n",
            "sys/fs/cgroup/jobs/seven/memory.events": f"max 7\noom_kill {inner}\n",
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return str(tmp_path)

    return count


INNER, OUTER = "cgroup /jobs/seven", "cgroup /jobs"


def rose(counter, before, after):
    counts = {"before": before, "after": after}
    return {"cause": "oom_kill", "kind": "cgroup", "counter": counter, **counts, "limits": [("cgroup", OUTER, 300 * MIB)]}


def test_the_innermost_count_is_named_with_the_limit_that_it_is_under(counted):
    kills = Kills(root=counted(1, 4, 9))
    assert kills.risen() is None
    counted(3, 6, 11)
    assert kills.risen() == rose(INNER, 1, 3)
    assert kills.risen() == rose(INNER, 1, 3)


def test_what_other_jobs_lost_is_no_news_of_a_process(counted):
    kills = Kills(root=counted(1, 4, 9))
    counted(1, 5, 10)
    assert kills.risen() is None
    assert kills.of_one() is None


def test_where_the_group_is_gone_the_one_around_it_tells(counted, tmp_path):
    kills = Kills(root=counted(1, 4, 9))
    counted(2, 5, 10)
    shutil.rmtree(tmp_path / "sys/fs/cgroup/jobs/seven")
    assert kills.risen() == kills.of_one() == rose(OUTER, 4, 5)


def test_no_kill_is_told_of_two_processes(counted):
    kills = Kills(root=counted(1, 4, 9))
    assert kills.of_one() is None
    counted(3, 6, 11)
    assert [kills.of_one() for _ in range(3)] == [rose(INNER, 1, 2), rose(INNER, 2, 3), None]
    counted(3, 7, 12)
    assert kills.of_one() is None


@pytest.mark.parametrize(
    ("size", "before", "after"), [(640 << 20, "0", "100"), (640 << 20, "950", "1000"), (64 << 20, "-7", "993")]
)
def test_a_program_claims_more_by_what_memkit_may_need(tmp_path, size, before, after):
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal:  {size >> 10} kB\n")
    claim = tmp_path / "proc" / "7" / "oom_score_adj"
    claim.write_text(f"{before}\n")
    outlive(7, str(tmp_path))
    assert claim.read_text()[: len(after)] == after


def test_memkit_is_spared_until_the_program_has_ended(tmp_path):
    own = tmp_path / "proc" / "self" / "oom_score_adj"
    own.parent.mkdir(parents=True)
    own.write_text("17\n")
    outlived = outlive(7, str(tmp_path))
    assert own.read_text()[:5] == "-1000"
    outlived()
    assert own.read_text()[:2] == "17"


def test_what_does_nothing_is_killed_after_the_program_and_before_memkit(tmp_path):
    claims = [tmp_path / "proc" / number / "oom_score_adj" for number in ("7", "8")]
    for claim in claims:
        claim.parent.mkdir(parents=True)
        claim.write_text("0\n")
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal:  {640 << 10} kB\n")
    outlive(7, str(tmp_path))
    sacrifice(8, str(tmp_path))
    assert [int(claim.read_text()) for claim in claims] == [100, 50]


def test_a_program_that_has_ended_claims_nothing(tmp_path):
    outlive(7, str(tmp_path))
