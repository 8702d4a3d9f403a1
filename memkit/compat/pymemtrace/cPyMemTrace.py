"""The names of pymemtrace's ``cPyMemTrace``.

A log has pymemtrace's columns, with these corrections: ``PREV`` is the event just before, the first change is 0, a space in
the name of a file or function is ``\\x20``, and text is UTF-8. An existing profile or trace function still gets its events,
and is restored afterwards. Every thread has its own logs.
"""

from __future__ import annotations

from memkit.compat.pymemtrace.references import ReferenceTracing, ReferenceTracingSimple
from memkit.compat.pymemtrace.textlog import OWN_FILES, counting, innermost_path, stack_of, write_message
from memkit.compat.pymemtrace.tracers import Profile, Trace
from memkit.system import engine

__all__ = [
    "Profile",
    "ReferenceTracing",
    "ReferenceTracingSimple",
    "Trace",
    "profile_log_path",
    "profile_wrapper_depth",
    "profile_write_message_to_log",
    "reference_tracing_live_object_counts",
    "reference_tracing_log_path",
    "reference_tracing_simple_wrapper_depth",
    "reference_tracing_wrapper_depth",
    "reference_tracing_write_message_to_log",
    "rss",
    "rss_peak",
    "trace_log_path",
    "trace_wrapper_depth",
    "trace_write_message_to_log",
]


def rss() -> int:
    """Resident memory of this process now, in bytes."""
    return engine.rss()


def rss_peak() -> int | None:
    """The highest resident memory of this process so far, in bytes; None where the system does not tell."""
    return engine.peak_rss()


def profile_wrapper_depth() -> int:
    """The number of ``Profile`` blocks that are open in this thread."""
    return len(stack_of("profile"))


def profile_log_path() -> str | None:
    """The log of the innermost ``Profile`` of this thread, or None."""
    return innermost_path("profile")


def profile_write_message_to_log(text: str) -> None:
    """Write a message to that log. Raises ``ValueError`` if there is none."""
    write_message("profile", "profile", text)


def trace_wrapper_depth() -> int:
    """The number of ``Trace`` blocks that are open in this thread."""
    return len(stack_of("trace"))


def trace_log_path() -> str | None:
    """The log of the innermost ``Trace`` of this thread, or None."""
    return innermost_path("trace")


def trace_write_message_to_log(text: str) -> None:
    """Write a message to that log. Raises ``ValueError`` if there is none."""
    write_message("trace", "trace", text)


def reference_tracing_wrapper_depth() -> int:
    """The number of ``ReferenceTracing`` blocks that are open in the process."""
    return len(stack_of(ReferenceTracing.kind))


def reference_tracing_simple_wrapper_depth() -> int:
    """The number of ``ReferenceTracingSimple`` blocks that are open in the process."""
    return len(counting)


def reference_tracing_log_path() -> str | None:
    """The log of the innermost ``ReferenceTracing``, or None."""
    return innermost_path(ReferenceTracing.kind)


def reference_tracing_write_message_to_log(text: str) -> None:
    """Write a message to that log. Raises ``ValueError`` if there is none."""
    write_message(ReferenceTracing.kind, "reference tracing", text)


def reference_tracing_live_object_counts() -> dict[str, int]:
    """The number of live objects of each type. Raises ``RuntimeError`` if no ``ReferenceTracing`` is open."""
    stack = stack_of(ReferenceTracing.kind)
    if not stack or not isinstance(stack[-1], ReferenceTracing):
        raise RuntimeError("live_object_counts(): No reference tracing data is on the stack.")
    return stack[-1].live_object_counts()


OWN_FILES.extend((rss.__code__.co_filename, engine.rss.__code__.co_filename))
