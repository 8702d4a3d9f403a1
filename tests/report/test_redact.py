"""What a redacted recording says of commands, of ends and of limits: no folder and no name of a job, and nothing wrong."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.limit_events import Crossing, GroupUse, NamedLimit, SetLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Process
from memkit.report.document import document
from memkit.report.page.redact import redacted
from memkit.system.limit import Limit


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("/tmp/x/secret user/prog.py", "a program"),
        ("secret user\\prog.py --key=1", "a program"),
        ("-m secret/prog x", "a program"),
        ("-m pytest x/y", "-m pytest"),
        ("/usr/bin/python3.13 /secret/prog.py", "python3.13"),
        ("/secret/prog.py --key=secret", "prog.py"),
        ("multiprocessing process on machine secret", "multiprocessing process"),
        ("python -c from multiprocessing.spawn import spawn_main; spawn_main(1)", "multiprocessing process"),
        ("python -c from multiprocessing.resource_tracker import main; main(3)", "resource tracker"),
    ],
)
def test_a_redacted_command_shows_no_folder(made_up, command, shown):
    found = made_up((0, 10), (5, 20), argv=("/tmp/x/secret user/prog.py", "secret"))
    child = Process(4243, 1, command, 0, 5, memkit.Ending("ok"))
    found = replace(found, processes=(*found.processes, child), executed=((3, command),))
    bare = redacted(found)
    assert [each.command for each in bare.processes[-1:]] == [shown] and bare.executed == ((3, shown),)
    assert bare.about.argv == ("prog.py",)


def test_a_redacted_death_is_a_death_still(made_up):
    for kind, text in (
        ("unknown", "died"),
        ("stopped", "stopped at"),
        ("error", "ended by an exception"),
        ("killed", "killed"),
    ):
        bare = redacted(replace(made_up((0, 10)), ending=memkit.Ending(kind, "secret", signal=9))).ending
        assert bare.failed and str(bare).startswith(text) and "secret" not in str(bare) and "None" not in str(bare)


def test_redacted_evidence_has_its_kind_and_numbers_and_no_names(made_up):
    name = "cgroup /user.slice/user-secret/job"
    limit = NamedLimit("cgroup", name, 5 << 30)
    killed = OutOfMemory("oom_kill", (limit,), "cgroup", f"{name}/inner", 1, 2)
    words = OutOfMemory("refused", (limit._replace(kind="data"),), refused="secret", words="secret")
    ending = memkit.Ending("killed", signal=9, out_of_memory=killed, limit=SetLimit(9, 0.5, limit))
    found = replace(
        made_up((0, 10)),
        ending=ending,
        processes=(Process(4243, 1, "worker", 0, 5, memkit.Ending("killed", signal=9, out_of_memory=words)),),
        oom_kills=killed,
        limits=(Limit(name, 5 << 30, 1, "cgroup"), Limit("RLIMIT_AS", 9, 1, "address space")),
        group=(GroupUse(1, name, 5),),
        crossings=(Crossing(1, 5, 5, name, "report"),),
    )
    bare = redacted(found)
    assert "secret" not in "".join(document(bare)) and "secret" not in "".join(map(str, bare.group))
    assert str(bare.ending) == "killed by SIGKILL, out of memory (cgroup 2 in cgroup 1 (5.0 GiB): oom_kill rose by 1)"
    assert bare.oom_kills == bare.ending.out_of_memory and bare.oom_kills.names(bare.limits[0])
    assert [each.name for each in (*bare.limits, *bare.group, *bare.crossings)] == [
        "cgroup 1",
        "RLIMIT_AS",
        "cgroup 1",
        "cgroup 1",
    ]
