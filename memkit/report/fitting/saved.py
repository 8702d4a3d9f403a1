"""A fit that was kept in a file, and what a program asks it before the expensive call."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from memkit.base import paths
from memkit.base.errors import FormatError, UsageError
from memkit.base.units import show_bytes
from memkit.model.calls import Function
from memkit.report.fitting.document import FORMAT
from memkit.report.fitting.fit import Fit, check_sizes
from memkit.report.fitting.runs import Needs, Place, Run, parse_size
from memkit.report.fitting.shapes import size_words
from memkit.system import engine
from memkit.system.limits import limits

_COMPARABLE = ("cgroup", "machine")
"""The kinds of limits that count memory which is in use."""


class WillFit(NamedTuple):
    """Whether there is room for an input of some size; true where there is."""

    size: float
    peak: int
    """The most likely peak, in bytes."""
    low: int
    high: int
    """The ends of the interval."""
    left: int | None
    """By how much this process may still grow; None where nothing limits it that is known."""
    limit: str | None
    """What is reached first."""
    fits: bool
    """Whether there is room for ``high``."""

    def __bool__(self) -> bool:
        return self.fits

    def __str__(self) -> str:
        ends = f"peak {show_bytes(self.peak)}, up to {show_bytes(self.high)}, at size {size_words(self.size)}"
        room = "no limit is known" if self.left is None else f"{show_bytes(self.left)} are left of {self.limit}"
        return f"{'fits' if self.fits else 'may not fit'}: {ends}; {room}"


def read_fit(path: str | os.PathLike[str]) -> Fit:
    """The fit in a file that ``memkit fit --json`` wrote. Raises ``FormatError``."""
    name = paths.text_of(path)
    try:
        with open(name, "rb") as file:
            document = json.loads(file.read())
    except OSError as error:
        raise FormatError(f"cannot read {name!r}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise FormatError(f"{name!r} is no document of memkit fit --json: it is not JSON") from None
    if not isinstance(document, dict) or document.get("kind") != "fit":
        raise FormatError(f"{name!r} is no document of memkit fit --json")
    if document.get("format") != FORMAT:
        raise FormatError(f"{name!r} is of format {document.get('format')!r:.40} and this memkit reads {FORMAT}")
    try:
        fit = _fit(document)
        check_sizes(fit.runs)
        return fit
    except (TypeError, ValueError, KeyError, LookupError, UsageError) as error:
        raise FormatError(f"{name!r} is damaged: {str(error)[:80] or type(error).__name__}") from None


def _fit(document: dict[str, Any]) -> Fit:
    places = []
    for kind in ("line", "path"):
        for row in document[f"{kind}s"]:
            functions = tuple(Function(each["file"], each["name"], each["line"]) for each in row["functions"])
            needs = tuple(each and Needs(int(each["peak"]), int(each["own"])) for each in row["needs"])
            places.append((Place(kind, functions, int(row["number"])), needs))
    return Fit(tuple(_run(row) for row in document["runs"]), tuple(places), str(document["command"]))


def _run(row: dict[str, Any]) -> Run:
    run = Run(**row)
    numbers = (run.size, run.start, run.peak)
    if not all(isinstance(each, (int, float)) and 0 <= each < 1 << 63 for each in numbers) or not run.size:
        raise ValueError(f"a run of {numbers}")
    return run


def will_it_fit(size: float, fit: Fit | str | os.PathLike[str] | None = None) -> WillFit:
    """Whether this process has room for an input of a size, by a fit that was kept: true if so, with the numbers.

    ::

        if not memkit.will_it_fit(len(rows), "job.fit.json"):
            rows = rows[: len(rows) // 2]

    ``fit`` is a ``Fit`` or the name of a file that ``memkit fit --json`` wrote, by default the one that the environment
    variable ``MEMKIT_FIT`` names. What the upper end of the interval needs, less what this process uses already, is compared
    with what is left of the control group or of the machine. Raises ``UsageError`` where no fit is named or the size is no
    number above 0, ``FormatError`` for another file.
    """
    found = os.environ.get("MEMKIT_FIT") if fit is None else fit
    if not found:
        raise UsageError("will_it_fit() needs a fit: name the file of memkit fit --json, or set MEMKIT_FIT to it")
    prediction = (found if isinstance(found, Fit) else read_fit(found)).at(parse_size(str(size)))
    near = next((each for each in limits() if each.kind in _COMPARABLE), None)
    fits = near is None or prediction.high - engine.rss() <= near.left
    return WillFit(*prediction, near and near.left, near and near.name, fits)
