"""Which machinery measures here: the compiled modules where they were built and can work, the portable ones elsewhere.

``MEMKIT_ENGINE=native`` or ``portable`` forces one. Names that both have: ``Journal``, ``Meter``, ``Sampler``, ``Scope``,
``METERS``, ``peaks``, ``allow_reset``, ``peak_rss``.
"""

from __future__ import annotations

import os

from memkit.errors import MeterError, UsageError, nearest

__all__ = [
    "METERS",
    "NAME",
    "REASON",
    "Journal",
    "Meter",
    "Sampler",
    "Scope",
    "Soon",
    "allow_reset",
    "meter_named",
    "peak_rss",
    "peaks",
    "rss",
    "sampler_for",
]

NAME = "native"
REASON = None
"""Why the better engine is not in use, or None."""

_forced = os.environ.get("MEMKIT_ENGINE", "")
if _forced not in ("", "native", "portable"):
    raise UsageError(f"MEMKIT_ENGINE is {_forced!r}: write native or portable, or leave it out")
if _forced == "portable":
    NAME, REASON = "portable", "MEMKIT_ENGINE=portable"
else:
    try:
        from memkit.native.journal import Journal
        from memkit.native.meter import METERS, Meter
        from memkit.native.peak import Scope, allow_reset, peak_rss, peaks
        from memkit.native.sampler import Sampler, Soon

        Meter("rss")
    except (ImportError, MeterError) as error:
        if _forced == "native":
            raise MeterError(f"MEMKIT_ENGINE is 'native', but it does not work here: {error}") from error
        NAME, REASON = "portable", f"the compiled modules do not work here: {error}"

if NAME == "portable":
    from memkit.portable import METERS, Journal, Meter, Sampler, Scope, Soon, allow_reset, peak_rss, peaks


def meter_named(meter, name: str | None = None) -> object:
    """The meter of this process for a name, or for a callable that returns bytes and the name it is to have."""
    if hasattr(meter, "read"):
        return meter
    if callable(meter):
        from memkit.portable import CalledMeter

        return CalledMeter(meter, name)
    if meter not in METERS:
        meter = str(meter)
        raise UsageError(f"unknown meter {meter!r}{nearest(meter, METERS)}; this machine has {', '.join(METERS)}")
    return Meter(meter)


def sampler_for(meter) -> type:
    """The sampler that can read a meter: a plugin's is Python, and needs the one that runs Python."""
    if isinstance(meter, Meter):
        return Sampler
    from memkit.portable import Sampler as PythonSampler

    return PythonSampler


def rss() -> int:
    """Resident memory of this process now, in bytes. Source: ``/proc/self/statm``, or psutil."""
    global _rss
    if _rss is None:
        _rss = Meter("rss")
    return _rss.read()


_rss = None
