"""Options that several reporters share. Each of these reporters adds them, so that any of them works without the others."""

from __future__ import annotations

from argparse import ArgumentError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memkit.base.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from memkit.base.protocols import OptionParser
    from memkit.model.recording import Recording

SORT_KEYS = ("own", "growth", "peak", "calls", "time")


def add_quiet_option(parser: OptionParser) -> None:
    """Add ``--quiet``, for a reporter that prints: see ``report_stream``."""
    _add(parser, "-q", "--quiet", action="store_true", help="print no summary")


def add_call_options(parser: OptionParser) -> None:
    """Add ``--sort``, ``--hide`` and ``--show-all``, for a reporter of calls: see ``chosen_calls``."""
    _add(
        parser,
        "--sort",
        metavar="KEY",
        type=sort_key,
        choices=SORT_KEYS,
        help="the order of functions that were called: own (growth, the default), growth, peak, calls or time",
    )
    _add(
        parser,
        "--hide",
        metavar="GLOB",
        action="append",
        help="count calls of files that match with their callers, as is done with libraries; repeatable",
    )
    _add(parser, "--show-all", action="store_true", help="show the calls of libraries, too")


def _add(parser: OptionParser, *names: str, **settings: Any) -> None:
    """Add an option, unless a reporter before has done so."""
    with suppress(ArgumentError):  # the names are taken
        parser.add_argument(*names, **settings)


def sort_key(text: str) -> str:
    """The type of ``--sort``. Raises ``UsageError``."""
    if text not in SORT_KEYS:
        raise UsageError(f"--sort {text!r}: functions can be sorted by {', '.join(SORT_KEYS)}")
    return text


def chosen_calls(recording: Recording, options: Namespace) -> Recording:
    """The recording without the calls that ``--hide`` names, and without those of libraries unless ``--show-all``.

    What they did themselves is counted with their callers: see :meth:`Recording.hiding`.
    """
    return recording.hiding(options.hide or (), libraries=not options.show_all)
