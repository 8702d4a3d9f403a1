"""What a recording is told by name: a meter, or an object of a module."""

from __future__ import annotations

from memkit.system import engine


def object_at(place: str):
    """What is at ``package.module:name``."""
    module, _, name = place.partition(":")
    found = __import__(module, fromlist=["_"])
    for part in name.split("."):
        found = getattr(found, part)
    return found


def meter_at(meter: str):
    """A meter's name as it is, or the meter that a plugin's ``name=package.module:function`` stands for."""
    name, _, place = meter.partition("=")
    return engine.meter_named(object_at(place), name) if place else name


def meter_for(wanted):
    """The meter for a name, of memkit's own or of a plugin's, or for a callable."""
    if isinstance(wanted, str) and wanted not in engine.METERS:
        from memkit.base.plugins import Plugins

        theirs = Plugins().meters()
        if wanted in theirs:
            return engine.meter_named(theirs[wanted], wanted)
    return engine.meter_named(wanted)
