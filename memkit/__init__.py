"""memkit: how much memory a Python program uses over time, where it went, and how it ended.

The names below are all there is to import; each is loaded when it is first used, so that ``import memkit`` costs next
to nothing.
"""

__version__: str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit import units as units
    from memkit.crossings import Crossing as Crossing
    from memkit.crossings import Frame as Frame
    from memkit.crossings import Glance as Glance
    from memkit.crossings import Limit as Limit
    from memkit.crossings import Stack as Stack
    from memkit.curves import plot_reports as plot_reports
    from memkit.engine import peak_rss as peak_rss
    from memkit.engine import rss as rss
    from memkit.errors import FormatError as FormatError
    from memkit.errors import JournalError as JournalError
    from memkit.errors import MemkitError as MemkitError
    from memkit.errors import MeterError as MeterError
    from memkit.errors import UsageError as UsageError
    from memkit.eventlog import EventLog as EventLog
    from memkit.headroom import limit as limit
    from memkit.headroom import limits as limits
    from memkit.hookspecs import hookimpl as hookimpl
    from memkit.log import Log as Log
    from memkit.log import LogRow as LogRow
    from memkit.log import read_log as read_log
    from memkit.monitor import MemoryMonitor as MemoryMonitor
    from memkit.notebook.html import mimebundle as mimebundle
    from memkit.notebook.memit import MemitResult as MemitResult
    from memkit.notebook.watching import Measurements as Measurements
    from memkit.notebook.watching import MemWatcher as MemWatcher
    from memkit.outputs import console as console
    from memkit.outputs import output as output
    from memkit.outputs import output_path as output_path
    from memkit.plugins import report as report
    from memkit.profiling import LineProfiler as LineProfiler
    from memkit.profiling import profile as profile
    from memkit.recorder import Recorder as Recorder
    from memkit.recorder import record as record
    from memkit.recordings.about import About as About
    from memkit.recordings.costs import Cost as Cost
    from memkit.recordings.costs import Tracing as Tracing
    from memkit.recordings.ending import Ending as Ending
    from memkit.recordings.merging import merge as merge
    from memkit.recordings.mprofile import mprof_lines as mprof_lines
    from memkit.recordings.reader import read as read
    from memkit.recordings.recording import Call as Call
    from memkit.recordings.recording import Function as Function
    from memkit.recordings.recording import Line as Line
    from memkit.recordings.recording import Process as Process
    from memkit.recordings.recording import Recording as Recording
    from memkit.recordings.recording import Sample as Sample
    from memkit.recordings.recording import Span as Span
    from memkit.recordings.recording import Total as Total
    from memkit.sources import Source as Source
    from memkit.spans import span as span
    from memkit.tracker import Tracker as Tracker
    from memkit.tracker import get_used_ram as get_used_ram
    from memkit.tracks import has_completed_successfully as has_completed_successfully
    from memkit.tracks import has_crashed_gracefully as has_crashed_gracefully
    from memkit.tracks import has_crashed_ungracefully as has_crashed_ungracefully
    from memkit.trend import TimeToLimit as TimeToLimit
    from memkit.usage import memory_usage as memory_usage

_HOMES = {
    "recordings.about": ("About",),
    "recordings.costs": ("Cost", "Tracing"),
    "crossings": ("Crossing", "Frame", "Glance", "Limit", "Stack"),
    "curves": ("plot_reports",),
    "engine": ("peak_rss", "rss"),
    "errors": ("FormatError", "JournalError", "MemkitError", "MeterError", "UsageError"),
    "eventlog": ("EventLog",),
    "headroom": ("limit", "limits"),
    "hookspecs": ("hookimpl",),
    "log": ("Log", "LogRow", "read_log"),
    "recordings.ending": ("Ending",),
    "recordings.merging": ("merge",),
    "monitor": ("MemoryMonitor",),
    "recordings.mprofile": ("mprof_lines",),
    "notebook.html": ("mimebundle",),
    "notebook.memit": ("MemitResult",),
    "notebook.watching": ("Measurements", "MemWatcher"),
    "outputs": ("console", "output", "output_path"),
    "plugins": ("report",),
    "profiling": ("LineProfiler", "profile"),
    "recordings.reader": ("read",),
    "recorder": ("Recorder", "record"),
    "recordings.recording": (
        "Call",
        "Function",
        "Line",
        "Process",
        "Recording",
        "Sample",
        "Span",
        "Total",
    ),
    "sources": ("Source",),
    "spans": ("span",),
    "tracker": ("Tracker", "get_used_ram"),
    "tracks": ("has_completed_successfully", "has_crashed_gracefully", "has_crashed_ungracefully"),
    "trend": ("TimeToLimit",),
    "usage": ("memory_usage",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF), "units"]

# For %load_ext memkit: IPython asks for these, nobody else does.
_HOME_OF |= {"load_ipython_extension": "ipython", "unload_ipython_extension": "ipython"}


def __getattr__(name):
    from importlib import import_module

    if name == "units":
        return import_module("memkit.units")
    if name == "__version__":
        return import_module("memkit.version").VERSION
    if name not in _HOME_OF:
        raise AttributeError(f"module 'memkit' has no attribute {name!r}")
    value = getattr(import_module(f"memkit.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return [*__all__, "__version__"]
