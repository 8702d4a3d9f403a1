"""``memkit doctor``: what this machine allows, what is missing, and what would give it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from memkit.base.errors import MeterError
from memkit.base.units import printable, show_text
from memkit.base.version import VERSION
from memkit.cli.parser import Parser
from memkit.system import cgroup, engine

DESCRIPTION = "Tell what this machine allows memkit to measure, what is missing, and the command that would give it."
_PARANOID = "/proc/sys/kernel/perf_event_paranoid"
_CONTAINERS = ("/.dockerenv", "/run/.containerenv")
_ONLY_COMPILED = "only compiled code of memkit asks how much of its memory a process shares"
_SYS_PTRACE, _SYS_ADMIN, _PERFMON = 19, 21, 38


class Finding(NamedTuple):
    """One thing that memkit makes use of."""

    subject: str
    missing: str | None
    """Why it is not to be had; None where it is."""
    words: str
    """What it gives; where it is missing, what there is instead."""
    remedy: str | None = None
    """What would give it."""


class Machine(NamedTuple):
    """What was found out about this machine and this process. What does not apply here is None."""

    system: str
    container: bool
    seccomp: bool
    """Whether a filter may refuse system calls."""
    capabilities: int
    engine: tuple[str, str | None]
    """The engine in use, and why not the better one; so are those below."""
    gate: tuple[str, str | None]
    events: str | None
    """Why the kernel does not tell of processes that begin and end."""
    peaks: tuple[str, str | None]
    paranoid: int | None
    others_visible: bool
    """Whether processes of other users are in ``/proc``."""
    shares: str | None
    """Why PSS and USS cannot be read."""
    groups: int
    """How many control groups count the memory of this process."""
    kills: bool
    """Whether one of them counts kills."""
    absent: tuple[str, ...]
    """Packages that are not installed, of those that memkit makes use of."""

    def has(self, capability: int) -> bool:
        return bool(self.capabilities >> capability & 1)


def command(name: str, words: list[str]) -> int:
    """Print what works and what does not; 0 in any case, for memory itself can be recorded everywhere."""
    Parser(name, DESCRIPTION).parse(words)
    machine = here()
    found = findings(machine)
    print(f"memkit {VERSION} on Python {sys.version.split()[0]}, {machine.system}{' in a container' * machine.container}")
    width = max(len(each.subject) for each in found)
    for each in found:
        state = "yes" if each.missing is None else "no "
        because = "" if each.missing is None else f" ({each.missing})"
        print(printable(show_text(f"{each.subject:<{width}}  {state}  {each.words}{because}")))
        if each.remedy:
            print(printable(f"{'':<{width}}       to get it: {each.remedy}"))
    lacking = sum(each.missing is not None for each in found)
    print(f"{lacking} of {len(found)} are missing; recording works without them" if lacking else "nothing is missing")
    return 0


# -- what is found ------------------------------------------------------------------------------------------------------


def findings(machine: Machine) -> list[Finding]:
    """What memkit makes use of, on some machine."""
    found = [_compiled(machine)]
    if machine.engine[0] == "native":
        found.append(_gate(machine))
    if machine.system == "Linux":
        found += [_events(machine), _peaks(machine), _shares(machine), _others(machine), _groups(machine)]
    return [*found, *_packages(machine)]


def _compiled(machine: Machine) -> Finding:
    name, reason = machine.engine
    if name == "native":
        return Finding("compiled modules", None, "lines and calls, and a sampler that the program cannot hold up")
    remedy = "python -m pip install --force-reinstall --no-cache-dir memkit-profiler, with a C compiler at hand"
    if reason == "MEMKIT_ENGINE=portable":
        remedy = "unset MEMKIT_ENGINE"
    instead = "a Python thread samples; there are no lines and no calls"
    return Finding("compiled modules", reason or "not built", instead, remedy if machine.system == "Linux" else None)


def _gate(machine: Machine) -> Finding:
    name, reason = machine.gate
    if name == "perf":
        return Finding("page-fault events", None, "lines and calls are traced at the lowest price")
    forced = os.environ.get("MEMKIT_GATE")
    remedy = "unset MEMKIT_GATE" if forced else _perf_remedy(machine)
    return Finding(
        "page-fault events",
        reason or f"the gate is {name}",
        "lines and calls are as exact, and cost about 4 times as much",
        remedy,
    )


def _events(machine: Machine) -> Finding:
    if machine.events is None:
        return Finding("process events", None, "--children sees every process, however short it lives")
    instead = "--children looks for processes, and misses the shortest ones"
    remedy = _perf_remedy(machine) if machine.engine[0] == "native" else None
    return Finding("process events", machine.events, instead, remedy)


def _perf_remedy(machine: Machine) -> str | None:
    """What makes ``perf_event_open`` work; None where that is not known."""
    privileged = machine.has(_PERFMON) or machine.has(_SYS_ADMIN)
    if machine.container and not privileged:
        return (
            "docker run --cap-add PERFMON, and where that is not enough --security-opt seccomp=unconfined; "
            "in Kubernetes securityContext.capabilities.add: [PERFMON]"
        )
    if machine.paranoid is not None and machine.paranoid > 2 and not privileged:
        return f"sudo sysctl kernel.perf_event_paranoid=2 (it is {machine.paranoid}); in /etc/sysctl.d it stays"
    if machine.seccomp:
        return "a seccomp filter refuses perf_event_open: allow it where the program is started"
    return None


def _peaks(machine: Machine) -> Finding:
    kind, reason = machine.peaks
    if kind == "reset":
        return Finding("peak reset", None, "peaks are exact, those between two samples too")
    instead = {
        "mark": "peaks are exact where memory reaches a new height, and from samples elsewhere",
        "samples": "peaks are those of the samples",
    }[kind]
    remedy = None
    if machine.engine[0] == "native":
        remedy = "a kernel with CONFIG_PROC_PAGE_MONITOR, and /proc mounted so that /proc/self/clear_refs can be written"
    return Finding("peak reset", reason or "refused", instead, remedy)


def _shares(machine: Machine) -> Finding:
    subject, of_several = "shared pages", "of several processes RSS is added up, in which shared pages count many times"
    if machine.engine[0] != "native":  # psutil reads them, of one process
        own = "no pss and no uss" if machine.shares else "pss and uss of one process"
        return Finding(subject, machine.shares or _ONLY_COMPILED, f"{own}; {of_several}")
    if machine.shares is None:
        return Finding(subject, None, "pss and uss; the processes of a tree add up without counting pages twice")
    remedy = "Linux 4.14 or newer, with CONFIG_PROC_PAGE_MONITOR"
    return Finding(subject, machine.shares, f"no pss and no uss; {of_several}", remedy)


def _others(machine: Machine) -> Finding:
    subject = "other users"
    if machine.others_visible and machine.has(_SYS_PTRACE):
        return Finding(subject, None, "memkit attach records processes of other users, too")
    instead = "memkit attach records the processes of this user; of others pss and uss are not known"
    reason = "this process may not read their memory" if machine.others_visible else "/proc is mounted with hidepid"
    remedy = "docker run --cap-add SYS_PTRACE" if machine.container else "sudo memkit attach ..."
    return Finding(subject, reason, instead, remedy)


def _groups(machine: Machine) -> Finding:
    if machine.groups and machine.kills:
        return Finding("control groups", None, "limits of the container are known, and its out-of-memory kills are counted")
    if machine.groups:
        instead = "limits of the container are known; an out-of-memory kill is not told from any other"
        return Finding("control groups", "none of them counts kills", instead)
    remedy = "mount the groups: -v /sys/fs/cgroup:/sys/fs/cgroup:ro" if machine.container else "mount /sys/fs/cgroup"
    return Finding("control groups", "none is to be seen", "the limits of a container and its kills are not known", remedy)


def _packages(machine: Machine) -> list[Finding]:
    uses = {"matplotlib": "--plot, --plot-lines and --flame", "rich": "printed reports", "IPython": "magics in notebooks"}
    return [
        Finding(name, None, use)
        if name not in machine.absent
        else Finding(name, "not installed", f"no {use}", f"python -m pip install {name.lower()}")
        for name, use in uses.items()
    ]


# -- finding it out -----------------------------------------------------------------------------------------------------


def here() -> Machine:
    """This machine, and what this process may do on it."""
    status = dict(line.split(":", 1) for line in cgroup.lines_of("/proc/self/status") if ":" in line)
    groups = cgroup.memory_groups()
    paranoid = cgroup.text_of(_PARANOID).strip()
    system = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
    return Machine(
        system=system,
        container=any(map(os.path.exists, _CONTAINERS)) or "KUBERNETES_SERVICE_HOST" in os.environ,
        seccomp=status.get("Seccomp", "0").strip() == "2",
        capabilities=int(status.get("CapEff", "0").strip(), 16),
        engine=(engine.NAME, engine.REASON),
        gate=_gate_here(),
        events=_events_here(),
        peaks=engine.peaks(),
        paranoid=int(paranoid) if paranoid.lstrip("-").isdigit() else None,
        others_visible=os.path.exists("/proc/1/stat"),
        shares=_shares_here(),
        groups=len(groups),
        kills=any(group.oom_kills() is not None for group in groups),
        absent=tuple(name for name in ("matplotlib", "rich", "IPython") if find_spec(name) is None),
    )


def _gate_here() -> tuple[str, str | None]:
    try:
        import_module("memkit.tracing.tracers")  # all compiled modules that lines and calls need
        from memkit.tracing import choice
    except MeterError as error:
        return "none", str(error)
    return choice.gate_in_use()


def _events_here() -> str | None:
    from memkit.tree.watch import events_of_threads

    events, reason = events_of_threads()
    if events is None:
        return reason or "refused"
    events.close()
    return None


def _shares_here() -> str | None:
    try:
        engine.Meter("pss").read()
    except (MeterError, KeyError) as error:
        return str(error)
    return None
