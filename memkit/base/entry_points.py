"""What plugins there are: memkit's own reporters, and the entry points of other distributions in the group ``memkit``.

``importlib.metadata`` finds the latter, but its import takes longer than all else before a program starts. So the
folders on ``sys.path`` are searched first for a file that may name such an entry point, and mostly there is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from typing import NamedTuple

from memkit.base.version import VERSION

GROUP = "memkit"
OWN = "memkit-profiler"
REPORTERS = {
    "console": "console",
    "csv": "samples_csv",
    "flame": "flame",
    "folded": "folded",
    "heap": "heap",
    "html": "html",
    "json": "recording_json",
    "lines": "lines",
    "mprof": "mprof",
    "paths": "call_paths",
    "plot": "plot",
    "plot-lines": "plot_lines",
    "pprof": "pprof",
    "spans": "spans_by_label",
    "speedscope": "speedscope",
}
"""memkit's own: name -> module in ``memkit.report.reporters``. The entry points in ``pyproject.toml`` say the same."""
_SECTION = f"[{GROUP}]".encode()
_OWN_FOLDERS = (f"{OWN.replace('-', '_')}-", f"{OWN.replace('-', '_')}.egg-info")


class EntryPoint(NamedTuple):
    """A plugin that is installed."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    """Imports it."""

    @property
    def is_own(self) -> bool:
        """Whether it ships with memkit."""
        return self.distribution == OWN


def own() -> list[EntryPoint]:
    """memkit's reporters, in the order of their names."""
    return [_reporter(name, module) for name, module in REPORTERS.items()]


def _reporter(name: str, module: str) -> EntryPoint:
    return EntryPoint(name, OWN, VERSION, lambda: import_module(f"memkit.report.reporters.{module}"))


def others() -> list[EntryPoint]:
    """The plugins of other distributions, in the order of their names."""
    if not any(map(_may_have_some, sys.path)) and not _other_finders():
        return []
    from importlib.metadata import entry_points

    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        about = (point.dist.metadata["Name"], point.dist.version) if point.dist else ("?", "?")
        found.append(EntryPoint(point.name, *about, point.load))
    return [point for point in found if not point.is_own]


def _may_have_some(folder: str) -> bool:
    """Whether a folder on ``sys.path`` has the metadata of a distribution, other than memkit's, with such an entry point."""
    try:
        names = os.listdir(folder or ".")
    except NotADirectoryError:  # a zip file, which this does not read
        return True
    except OSError:
        return False
    folders = [name for name in names if name.endswith((".dist-info", ".egg-info")) or name == "EGG-INFO"]
    return any(_has_section(os.path.join(folder, name)) for name in folders if not name.startswith(_OWN_FOLDERS))


def _has_section(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "entry_points.txt"), "rb", buffering=0) as file:
            return _SECTION in file.read()
    except OSError:
        return False


def _other_finders() -> bool:
    """Whether something other than the search of ``sys.path`` finds distributions here."""
    return any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder)
