"""memkit: how much memory a Python program uses over time, where it went, and how it ended.

The names below are all there is to import; each is loaded when it is first used, so that ``import memkit`` costs next
to nothing.
"""

__version__: str

import sys

from memkit.base import units

sys.modules["memkit.units"] = units  # as os.path is a module of another name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.base import units as units
    from memkit.base.errors import FormatError as FormatError
    from memkit.base.errors import JournalError as JournalError
    from memkit.base.errors import MemkitError as MemkitError
    from memkit.base.errors import MeterError as MeterError
    from memkit.base.errors import UsageError as UsageError
    from memkit.base.hookspecs import hookimpl as hookimpl
    from memkit.base.protocols import OptionParser as OptionParser
    from memkit.ipython.html import mimebundle as mimebundle
    from memkit.ipython.mem_watcher import Measurements as Measurements
    from memkit.ipython.mem_watcher import MemWatcher as MemWatcher
    from memkit.ipython.memit import MemitResult as MemitResult
    from memkit.model.calls import Call as Call
    from memkit.model.calls import Function as Function
    from memkit.model.calls import Given as Given
    from memkit.model.calls import Handed as Handed
    from memkit.model.ending import Ending as Ending
    from memkit.model.event_log_file import Log as Log
    from memkit.model.event_log_file import LogRow as LogRow
    from memkit.model.event_log_file import read_log as read_log
    from memkit.model.heap import Heap as Heap
    from memkit.model.heap import HeapErrors as HeapErrors
    from memkit.model.heap import HeapTotal as HeapTotal
    from memkit.model.heap_paths import HeapPath as HeapPath
    from memkit.model.inside import SpanInside as SpanInside
    from memkit.model.limit_events import Crossing as Crossing
    from memkit.model.limit_events import Frame as Frame
    from memkit.model.limit_events import Glance as Glance
    from memkit.model.limit_events import GroupUse as GroupUse
    from memkit.model.limit_events import NamedLimit as NamedLimit
    from memkit.model.limit_events import SetLimit as SetLimit
    from memkit.model.limit_events import Stack as Stack
    from memkit.model.limit_events import StackSnapshot as StackSnapshot
    from memkit.model.lines import HeapLine as HeapLine
    from memkit.model.lines import Line as Line
    from memkit.model.merging import merge as merge
    from memkit.model.metadata import About as About
    from memkit.model.mprof_file import mprof_lines as mprof_lines
    from memkit.model.oom_evidence import OutOfMemory as OutOfMemory
    from memkit.model.overhead import Cost as Cost
    from memkit.model.overhead import Tracing as Tracing
    from memkit.model.reader import read as read
    from memkit.model.recording import Process as Process
    from memkit.model.recording import Recording as Recording
    from memkit.model.recording import Sample as Sample
    from memkit.model.recording import Total as Total
    from memkit.model.recording import Unrecorded as Unrecorded
    from memkit.model.sources import Source as Source
    from memkit.model.sources import module_of as module_of
    from memkit.model.sources import place_of as place_of
    from memkit.model.span_heaps import HeapInside as HeapInside
    from memkit.model.span_heaps import SpanHeap as SpanHeap
    from memkit.model.span_sums import Leak as Leak
    from memkit.model.span_sums import SpanSums as SpanSums
    from memkit.model.span_sums import Spread as Spread
    from memkit.model.span_sums import leaks as leaks
    from memkit.model.spans import Span as Span
    from memkit.model.tracker_file import has_completed_successfully as has_completed_successfully
    from memkit.model.tracker_file import has_crashed_gracefully as has_crashed_gracefully
    from memkit.model.tracker_file import has_crashed_ungracefully as has_crashed_ungracefully
    from memkit.record.event_log import EventLog as EventLog
    from memkit.record.heap_counter import HeapCount as HeapCount
    from memkit.record.heap_counter import HeapCounter as HeapCounter
    from memkit.record.listening import listen as listen
    from memkit.record.memory_usage import memory_usage as memory_usage
    from memkit.record.monitor import MemoryMonitor as MemoryMonitor
    from memkit.record.profile import LineProfiler as LineProfiler
    from memkit.record.profile import profile as profile
    from memkit.record.recorder import Recorder as Recorder
    from memkit.record.recorder import record as record
    from memkit.record.size import size as size
    from memkit.record.span_sums import span_sums as span_sums
    from memkit.record.spans import carry as carry
    from memkit.record.spans import span as span
    from memkit.record.tracker import Tracker as Tracker
    from memkit.record.tracker import get_used_ram as get_used_ram
    from memkit.record.trend import TimeToLimit as TimeToLimit
    from memkit.record.watch import Watch as Watch
    from memkit.record.watch import watch as watch
    from memkit.report import frames as frames
    from memkit.report import heaps as heaps
    from memkit.report import keepers as keepers
    from memkit.report import kinds as kinds
    from memkit.report import pictures as pictures
    from memkit.report import transforms as transforms
    from memkit.report.advising.findings import Advice as Advice
    from memkit.report.advising.findings import advise as advise
    from memkit.report.comparing.changes import Change as Change
    from memkit.report.comparing.comparison import Comparison as Comparison
    from memkit.report.comparing.comparison import compare as compare
    from memkit.report.comparing.rows import ComparedPlace as ComparedPlace
    from memkit.report.comparing.rows import ComparedRow as ComparedRow
    from memkit.report.comparing.runs import ComparedFact as ComparedFact
    from memkit.report.dispatch import report as report
    from memkit.report.document import document as document
    from memkit.report.facts import Fact as Fact
    from memkit.report.facts import FactPart as FactPart
    from memkit.report.facts import cost_facts as cost_facts
    from memkit.report.facts import facts as facts
    from memkit.report.fitting.fit import Fit as Fit
    from memkit.report.fitting.fit import fit as fit
    from memkit.report.fitting.mixture import Prediction as Prediction
    from memkit.report.fitting.saved import WillFit as WillFit
    from memkit.report.fitting.saved import read_fit as read_fit
    from memkit.report.fitting.saved import will_it_fit as will_it_fit
    from memkit.report.output import console as console
    from memkit.report.output import cut as cut
    from memkit.report.output import output as output
    from memkit.report.output import output_path as output_path
    from memkit.report.output import print_rows as print_rows
    from memkit.report.output import report_stream as report_stream
    from memkit.report.output import styled as styled
    from memkit.report.overlay_plot import plot_reports as plot_reports
    from memkit.report.page.build import html_page as html_page
    from memkit.report.page.shown import Page as Page
    from memkit.report.page.shown import page_of as page_of
    from memkit.report.shared_options import add_by_option as add_by_option
    from memkit.report.shared_options import add_call_options as add_call_options
    from memkit.report.shared_options import add_quiet_option as add_quiet_option
    from memkit.report.shared_options import add_wide_option as add_wide_option
    from memkit.report.shared_options import chosen_by as chosen_by
    from memkit.report.shared_options import chosen_calls as chosen_calls
    from memkit.system.balance import balance as balance
    from memkit.system.balance_rows import Balance as Balance
    from memkit.system.balance_rows import BalancePart as BalancePart
    from memkit.system.balance_rows import BalanceRow as BalanceRow
    from memkit.system.engine import peak_rss as peak_rss
    from memkit.system.engine import rss as rss
    from memkit.system.limit import Limit as Limit
    from memkit.system.limits import limit as limit
    from memkit.system.limits import limits as limits
    from memkit.system.peak_since import PeakSince as PeakSince
else:
    from memkit import record, report

    # Two packages have the name of a function. Now that they are imported, no later import binds their names here again.
    del record, report

_HOMES = {
    "model.metadata": ("About",),
    "model.overhead": ("Cost", "Tracing"),
    "model.limit_events": ("Crossing", "Frame", "Glance", "GroupUse", "NamedLimit", "SetLimit", "Stack", "StackSnapshot"),
    "model.oom_evidence": ("OutOfMemory",),
    "system.limit": ("Limit",),
    "report.overlay_plot": ("plot_reports",),
    "system.engine": ("peak_rss", "rss"),
    "system.balance": ("balance",),
    "model.inside": ("SpanInside",),
    "model.span_heaps": ("HeapInside", "SpanHeap"),
    "model.span_sums": ("Leak", "SpanSums", "Spread", "leaks"),
    "model.spans": ("Span",),
    "system.balance_rows": ("Balance", "BalancePart", "BalanceRow"),
    "base.errors": ("FormatError", "JournalError", "MemkitError", "MeterError", "UsageError"),
    "record.event_log": ("EventLog",),
    "record.heap_counter": ("HeapCount", "HeapCounter"),
    "record.listening": ("listen",),
    "system.limits": ("limit", "limits"),
    "system.peak_since": ("PeakSince",),
    "base.hookspecs": ("hookimpl",),
    "base.protocols": ("OptionParser",),
    "model.event_log_file": ("Log", "LogRow", "read_log"),
    "model.calls": ("Call", "Function", "Given", "Handed"),
    "model.ending": ("Ending",),
    "model.merging": ("merge",),
    "record.monitor": ("MemoryMonitor",),
    "model.mprof_file": ("mprof_lines",),
    "ipython.html": ("mimebundle",),
    "ipython.memit": ("MemitResult",),
    "ipython.mem_watcher": ("Measurements", "MemWatcher"),
    "report.output": ("console", "cut", "output", "output_path", "print_rows", "report_stream", "styled"),
    "report.shared_options": (
        *("add_by_option", "add_call_options", "add_quiet_option", "add_wide_option"),
        *("chosen_by", "chosen_calls"),
    ),
    "report.advising.findings": ("Advice", "advise"),
    "report.comparing.changes": ("Change",),
    "report.comparing.comparison": ("Comparison", "compare"),
    "report.comparing.rows": ("ComparedPlace", "ComparedRow"),
    "report.comparing.runs": ("ComparedFact",),
    "report.dispatch": ("report",),
    "report.fitting.fit": ("Fit", "fit"),
    "report.fitting.mixture": ("Prediction",),
    "report.fitting.saved": ("WillFit", "read_fit", "will_it_fit"),
    "report.document": ("document",),
    "report.page.build": ("html_page",),
    "report.page.shown": ("Page", "page_of"),
    "report.facts": ("Fact", "FactPart", "cost_facts", "facts"),
    "record.profile": ("LineProfiler", "profile"),
    "model.reader": ("read",),
    "record.recorder": ("Recorder", "record"),
    "model.heap": ("Heap", "HeapErrors", "HeapTotal"),
    "model.heap_paths": ("HeapPath",),
    "model.lines": ("HeapLine", "Line"),
    "model.recording": (
        "Process",
        "Recording",
        "Sample",
        "Total",
        "Unrecorded",
    ),
    "model.sources": ("Source", "module_of", "place_of"),
    "record.size": ("size",),
    "record.span_sums": ("span_sums",),
    "record.spans": ("carry", "span"),
    "record.tracker": ("Tracker", "get_used_ram"),
    "model.tracker_file": ("has_completed_successfully", "has_crashed_gracefully", "has_crashed_ungracefully"),
    "record.trend": ("TimeToLimit",),
    "record.watch": ("Watch", "watch"),
    "record.memory_usage": ("memory_usage",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_MODULES = {
    "frames": "report.frames",
    "heaps": "report.heaps",
    "keepers": "report.keepers",
    "kinds": "report.kinds",
    "pictures": "report.pictures",
    "transforms": "report.transforms",
    "units": "base.units",
}

__all__ = [*sorted(_HOME_OF), *_MODULES]

# For %load_ext memkit: IPython asks for these, nobody else does.
_HOME_OF |= {"load_ipython_extension": "ipython", "unload_ipython_extension": "ipython"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"memkit.{_MODULES[name]}")
    if name == "__version__":
        return import_module("memkit.base.version").VERSION
    if name not in _HOME_OF:
        raise AttributeError(f"module 'memkit' has no attribute {name!r}")
    value = getattr(import_module(f"memkit.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
