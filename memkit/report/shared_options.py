"""Options that several reporters share. Each of these reporters adds them, so that any of them works without the others."""

from __future__ import annotations

from argparse import ArgumentError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memkit.base.errors import UsageError
from memkit.report import heaps

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from memkit.base.protocols import OptionParser
    from memkit.model.recording import Recording

SORT_KEYS = ("own", "growth", "rise", "peak", "calls", "time", *heaps.KEYS)
PICTURE_KEYS = ("growth", "peak", "rise", "time", *heaps.KEYS)


def add_quiet_option(parser: OptionParser) -> None:
    """Add ``--quiet``, for a reporter that prints: see ``report_stream``."""
    _add(parser, "-q", "--quiet", action="store_true", help="print no summary")


def add_wide_option(parser: OptionParser) -> None:
    """Add ``--wide``, for a reporter of tables that are cut to the width of a terminal."""
    _add(parser, "--wide", action="store_true", help="do not cut the rows of tables to the width of the terminal")


def add_call_options(parser: OptionParser) -> None:
    """Add ``--sort``, ``--hide``, ``--show-all`` and ``--by-thread``, for a reporter of calls: see ``chosen_calls``."""
    _add(
        parser,
        "--sort",
        metavar="KEY",
        type=sort_key,
        choices=SORT_KEYS,
        needs=_needs_of,
        help="the order of functions that were called: own (growth, the default), growth, rise, peak, calls or time; "
        "with --heap also heap (alive at the end), heap-peak (alive at the peak), allocated or temporary",
    )
    _add(
        parser,
        "--hide",
        metavar="GLOB",
        action="append",
        help="count calls of files that match with their callers, as is done with libraries; repeatable",
    )
    _add(parser, "--show-all", action="store_true", help="show the calls of libraries, too")
    _add(
        parser,
        "--by-thread",
        action="store_true",
        help="show calls in the threads that made them, not below what handed the work over",
    )


def add_by_option(parser: OptionParser) -> None:
    """Add ``--by``, for a picture of calls or stacks with weights: see ``chosen_by``."""
    _add(
        parser,
        "--by",
        metavar="KEY",
        type=by_key,
        choices=PICTURE_KEYS,
        needs=_needs_of,
        help="what pictures and stacks of calls are by: growth (the default; where nothing grew rise), peak, rise or time; "
        "with --heap also heap (alive at the end), heap-peak (alive at the peak), allocated or temporary",
    )


def by_key(text: str) -> str:
    """The type of ``--by``. Raises ``UsageError``."""
    if text not in PICTURE_KEYS:
        raise UsageError(f"--by {text!r}: a picture of calls can be by {', '.join(PICTURE_KEYS)}")
    return text


def chosen_by(options: Namespace) -> str | None:
    """What ``--by`` says, or else ``--sort`` where a picture can be by that; None where memkit is to choose."""
    by: str | None = options.by
    sort: str | None = options.sort
    return by or (sort if sort in ("rise", "time", *heaps.KEYS) else None)


def _needs_of(key: str) -> str:
    return "heap" if key in heaps.KEYS else ""


def _add(parser: OptionParser, *names: str, needs: Callable[[Any], str] | None = None, **settings: Any) -> None:
    """Add an option, unless a reporter before has done so."""
    with suppress(ArgumentError):  # the names are taken
        option = parser.add_argument(*names, **settings)
        if needs is not None:
            option.needs = needs


def sort_key(text: str) -> str:
    """The type of ``--sort``. Raises ``UsageError``."""
    if text not in SORT_KEYS:
        raise UsageError(f"--sort {text!r}: functions can be sorted by {', '.join(SORT_KEYS)}")
    return text


def chosen_calls(recording: Recording, options: Namespace) -> Recording:
    """The recording without the calls that ``--hide`` names, and without those of libraries unless ``--show-all``.

    What they did themselves is counted with their callers: see :meth:`Recording.hiding`. With ``--by-thread`` work that was
    handed over is in the threads that did it: see :meth:`Recording.by_thread`.

    Raises ``UsageError`` for a ``--sort`` by heap where none was counted.
    """
    if (sort := getattr(options, "sort", None)) in heaps.KEYS:
        heaps.check(recording.calls, sort, "--sort")
    recording = recording.by_thread() if options.by_thread else recording
    return recording.hiding(options.hide or (), libraries=not options.show_all)
