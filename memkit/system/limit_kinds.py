"""The kinds of limits, and what is known of a limit by its kind. The measured process uses it: nothing here weighs."""

from __future__ import annotations

CGROUP, MACHINE, ADDRESS_SPACE, DATA, COMMIT = KINDS = ("cgroup", "machine", "address space", "data", "commit")
"""A memory control group; what the machine has; ``RLIMIT_AS``; ``RLIMIT_DATA``; the commit limit of the machine."""
COUNTED = {
    CGROUP: "memory",
    MACHINE: "memory",
    ADDRESS_SPACE: "address space",
    DATA: "private memory",
    COMMIT: "promised memory",
}
"""What counts against a limit of each kind."""
REFUSING = frozenset({ADDRESS_SPACE, DATA, COMMIT})
"""The kinds of limits at which memory is refused; at the others the kernel kills."""
