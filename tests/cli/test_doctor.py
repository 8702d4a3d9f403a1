"""``memkit doctor``: what is missing, and what would give it."""

import os

import pytest

from memkit.cli import doctor, main
from memkit.system import engine

ALL = doctor.Machine(
    system="Linux",
    container=False,
    seccomp=False,
    capabilities=0xFFFFFFFFFF,
    engine=("native", None),
    gate=("perf", None),
    events=None,
    peaks=("reset", None),
    paranoid=2,
    others_visible=True,
    shares=None,
    groups=2,
    kills=True,
    absent=(),
)
REFUSED = {"gate": ("rusage", "perf_event_open: Permission denied"), "events": "perf_event_open: Permission denied"}


def missing(**changes):
    """What is missing on a machine that lacks something: subject -> why, and the remedy."""
    return {each.subject: (each.missing, each.remedy) for each in doctor.findings(ALL._replace(**changes)) if each.missing}


def test_nothing_is_missing_where_everything_is_allowed():
    assert missing() == {}


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (
            {"paranoid": 4, "capabilities": 0},
            "sudo sysctl kernel.perf_event_paranoid=2 (it is 4); in /etc/sysctl.d it stays",
        ),
        ({"container": True, "seccomp": True, "capabilities": 0}, "docker run --cap-add PERFMON"),
        ({"container": True, "paranoid": 3, "capabilities": 1 << 19}, "docker run --cap-add PERFMON"),
        ({"seccomp": True}, "a seccomp filter refuses perf_event_open"),
        ({"paranoid": None}, None),
    ],
)
def test_refused_perf_events_have_the_remedy_for_their_cause(changes, remedy):
    found = missing(**REFUSED, **changes)
    for subject in ("page-fault events", "process events"):
        reason, told = found[subject]
        assert reason == "perf_event_open: Permission denied"
        assert told is None if remedy is None else told.startswith(remedy)


@pytest.mark.parametrize(
    ("changes", "subject", "remedy"),
    [
        ({"peaks": ("mark", "read-only")}, "peak reset", "a kernel with CONFIG_PROC_PAGE_MONITOR"),
        ({"peaks": ("samples", "no mark")}, "peak reset", "a kernel with CONFIG_PROC_PAGE_MONITOR"),
        ({"shares": "no smaps_rollup"}, "shared pages", "Linux 4.14 or newer"),
        ({"others_visible": False}, "other users", "sudo memkit attach"),
        ({"capabilities": 0, "container": True}, "other users", "docker run --cap-add SYS_PTRACE"),
        ({"groups": 0}, "control groups", "mount /sys/fs/cgroup"),
        ({"groups": 0, "container": True}, "control groups", "mount the groups: -v /sys/fs/cgroup"),
        ({"absent": ("matplotlib",)}, "matplotlib", "python -m pip install matplotlib"),
    ],
)
def test_what_is_missing_has_a_remedy(changes, subject, remedy):
    found = missing(**changes)
    assert list(found) == [subject]
    assert found[subject][1].startswith(remedy)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("MEMKIT_ENGINE=portable", "unset MEMKIT_ENGINE"), ("no module", "python -m pip install --force-reinstall")],
)
def test_missing_compiled_modules_have_a_remedy(reason, remedy):
    found = missing(engine=("portable", reason))
    assert list(found) == ["compiled modules", "shared pages"]
    assert found["compiled modules"][1].startswith(remedy)


@pytest.mark.parametrize(
    ("shares", "words"), [(None, "pss and uss of one process; "), ("psutil is not installed", "no pss and no uss; ")]
)
def test_the_portable_engine_adds_up_rss_whatever_the_kernel_tells(shares, words):
    machine = ALL._replace(engine=("portable", "MEMKIT_ENGINE=portable"), shares=shares)
    [found] = [each for each in doctor.findings(machine) if each.subject == "shared pages"]
    assert found.words.startswith(words)
    assert "RSS is added up" in found.words
    assert found.missing == (shares or "only compiled code of memkit asks how much of its memory a process shares")
    assert found.remedy is None  # no other kernel would give it


def test_other_systems_are_not_asked_for_what_linux_has():
    subjects = [each.subject for each in doctor.findings(ALL._replace(system="macOS", engine=("portable", "not built")))]
    assert subjects == ["compiled modules", "matplotlib", "rich", "IPython"]


def test_it_tells_the_truth_about_this_machine(capsys):
    assert main.main(["doctor"]) == 0
    rows = capsys.readouterr().out.splitlines()
    states = {row[:20].split("  ")[0].strip(): " yes " in row[:24] for row in rows[1:-1] if "to get it:" not in row}
    assert states["compiled modules"] is (engine.NAME == "native")
    machine = doctor.here()
    if "peak reset" in states:
        assert states["peak reset"] is (engine.peaks()[0] == "reset")
    if "page-fault events" in states:
        assert states["page-fault events"] is (machine.gate[0] == "perf")
    lacking = list(states.values()).count(False)
    assert rows[-1].startswith(f"{lacking} of {len(states)} are missing" if lacking else "nothing is missing")


@pytest.mark.skipif(engine.NAME != "native", reason="the gate is one of the native engine")
def test_the_gate_that_the_environment_names_is_the_one_in_use(memkit):
    for command in ("doctor", "info"):
        shown = memkit(command, env={**os.environ, "MEMKIT_GATE": "always"}).stdout
        assert "gate always" in " ".join(shown.split()) or "to get it: unset MEMKIT_GATE" in shown
