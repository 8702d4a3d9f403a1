"""``memkit-run --sizes``: a program is run once for each size of its input, and the runs are fitted."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence

from memkit.base import paths
from memkit.base.errors import UsageError
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.model import file_format

PLACE = "{size}"
_OURS = ("--sizes", "-o", "--output")


def run_sizes(
    name: str, words: Sequence[str], parser: Parser, options: argparse.Namespace, run: Callable[[str, list[str]], int]
) -> int:
    """``run`` a program for each of its sizes, then fit; the exit code is that of the first run that failed."""
    from memkit.cli import fit
    from memkit.cli.catalog import read_now
    from memkit.report.fitting.fit import fit as fitted
    from memkit.report.fitting.shapes import size_words

    sizes = _checked(parser, options, words)
    program = list(words[len(parser.ours) :])
    before = list(_without(parser.ours))
    found = []
    for size, path in zip(sizes, _paths(options, program, sizes)):
        put = [word.replace(PLACE, _spelled(size)) for word in program]
        code = run(name, [*before, *(() if options.quiet else ("-q",)), "-o", path, *put])
        if code:
            return say(f"{name}: the run of size {size_words(size)} ended with exit code {code}: no more were made", code)
        file_format.append(path, "size", 0, size, head=file_format.segment(0))
        found.append(path)
    if not options.quiet:
        settings = dict.fromkeys(("at", "limit", "json", "yaml", "slurm", "plot"))
        of_fit = argparse.Namespace(**settings, wide=options.wide, quiet=False, command="run")
        fit.report(fitted(read_now(os.path.relpath(path)) for path in found), of_fit)
        say(f"recorded {' '.join(map(os.path.relpath, found))}: memkit fit tells more of them")
    return 0


def _checked(parser: Parser, options: argparse.Namespace, words: Sequence[str]) -> list[float]:
    """The sizes. Raises ``UsageError``."""
    from memkit.report.fitting.runs import parse_size

    sizes = [parse_size(word) for word in options.sizes.split(",")]
    if len(set(sizes)) < 2:
        raise UsageError(f"--sizes {options.sizes!r}: give two sizes at least, such as 1e5,2e5,5e5")
    if not any(PLACE in word for word in words[len(parser.ours) :]):
        raise UsageError(f"--sizes {options.sizes!r}: write {PLACE} where the program takes it, as in script.py {PLACE}")
    for action in parser._actions:
        container = getattr(action, "container", None)
        if container is not None and container.title == "reports" and getattr(options, action.dest, None):
            option = action.option_strings[-1]
            raise UsageError(f"{option} is of one run, and --sizes makes several: report on their recordings afterwards")
    return sizes


def _without(words: Sequence[str]) -> Iterator[str]:
    """The options that each run has."""
    rest = iter(words)
    for word in rest:
        if word in _OURS:
            next(rest, None)
        elif not word.startswith(("--sizes=", "--output=", "-o")):
            yield word


def _paths(options: argparse.Namespace, program: Sequence[str], sizes: Sequence[float]) -> Iterator[str]:
    """A file for each run: called as with ``-o``, or as the program is, with the size."""
    words = [word for word in program if not word.startswith("-")]
    named = os.path.splitext(os.path.basename(words[0]))[0] if options.code is None else "code"
    stem = os.path.splitext(options.output)[0] if options.output else os.path.join(paths.working_folder() or ".", named)
    seen: dict[float, int] = {}
    for size in sizes:
        seen[size] = seen.get(size, 0) + 1
        again = f"-{seen[size]}" if seen[size] > 1 else ""
        yield f"{stem}-{_spelled(size)}{again}{file_format.SUFFIX}"


def _spelled(size: float) -> str:
    return str(int(size)) if size == int(size) else repr(size)
