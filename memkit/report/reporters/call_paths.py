"""The call paths: a tree of those that grew most, and the functions that did it."""

import heapq
import sys

import memkit

ORDERS = {
    "own": "the functions that grew most themselves, without what they called",
    "growth": "the functions that grew most, with all that they called",
    "peak": "the functions that were running themselves when memory was highest",
    "calls": "the functions that were called most",
    "time": "the functions that took longest themselves, without what they called",
}
NOISE = 128 << 10
"""Growth below this tells nothing: resident memory is counted in pages, and the kernel's count lags behind by some."""
LEAST_SHARE = 0.01
MOST_ROWS = 30
MOST_FUNCTIONS, LEAST_FUNCTIONS = 15, 5
LONGEST_CHAIN = 7
"""Of more calls than this that only pass on to one other, those in the middle are left out."""
STANDS_OUT = 0.1
"""A row is marked whose function itself has at least this share of all growth."""
TREE = (("growth", 11), ("%", 4), ("own", 11), ("peak", 10), ("calls", 10), ("time", 10), ("%", 4))
LIST = (("own", 11), ("%", 4), ("growth", 11), ("own peak", 10), ("calls", 10), ("own time", 10), ("time", 10))


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--sort",
        metavar="KEY",
        type=order,
        choices=tuple(ORDERS),
        help="the order of functions that were called: own (growth, the default), growth, peak, calls or time",
    )
    parser.add_argument(
        "--hide",
        metavar="GLOB",
        action="append",
        help="count calls of files that match with their callers, as is done with libraries; repeatable",
    )
    parser.add_argument("--show-all", action="store_true", help="show the calls of libraries, too")
    parser.add_argument(
        "--csv-calls", metavar="FILE", type=memkit.output_path, help="write the tree of calls as CSV; - is standard output"
    ).one_recording = True


def order(text):
    """The type of ``--sort``."""
    if text not in ORDERS:
        raise memkit.UsageError(f"--sort {text!r}: functions can be sorted by {', '.join(ORDERS)}")
    return text


@memkit.hookimpl
def memkit_report(recordings, options):
    """Tree and list go where the summary goes, after it; the CSV is of one recording."""
    if options.csv_calls:
        write_csv(recordings[0], options.csv_calls)
    taken = options.command != "report" or "-" in vars(options).values()
    stream = sys.stderr if taken else sys.stdout
    if getattr(options, "quiet", False) or stream is None:
        return
    for recording in recordings:
        if recording.call_tracing is not None:
            show(recording, stream, options, named=len(recordings) > 1)


def show(recording, stream, options, named=False):
    """Print the tree and the list of one recording, ``named`` where there are several."""
    shown = recording.hiding(options.hide or (), libraries=not options.show_all)
    heading = [_text(), _text((recording.source or recording.about.command, "bold"))] if named else []
    found = page(shown, options.sort, hidden=len(recording.calls) - len(shown.calls))
    memkit.console(stream).print(*heading, *found, sep="\n", markup=False)


def write_csv(recording, path):
    """All calls as comma-separated values, one row each."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        sums = ("time_s", "own_time_s", "growth_bytes", "own_growth_bytes", "peak_bytes", "own_peak_bytes")
        writer.writerow(("id", "parent", "file", "function", "line", "thread", "calls", *sums))
        for call in recording.calls:
            function = call.function
            writer.writerow(
                (
                    *(call.id, "" if call.parent is None else call.parent, function.file, function.name, function.line),
                    *(call.thread, call.calls, f"{call.time / 1e9:.9f}", f"{call.own_time / 1e9:.9f}"),
                    *(call.growth, call.own_growth, call.peak, call.own_peak),
                )
            )


def none_known(recording):
    """Why there are no calls in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no calls are known: the recording was cut off before any were written"
    return "no calls were traced: nothing of the program ran"


# -- the page ------------------------------------------------------------------------------------------------------


def page(recording, sort=None, hidden=0):
    """The tree, the list and what tracing cost, as rich Text, a line each.

    ``hidden`` is how many paths the recording had more before those of libraries were counted with their callers.
    """
    yield _text()
    if not recording.calls:
        yield _text((none_known(recording), "yellow"))
        return
    tree = Tree(recording.calls, sort)
    yield from tree.lines()
    if hidden:
        where = "counted with these, those of libraries with their callers; --show-all shows libraries"
        yield _text((f"{_count(hidden, 'path')} {where}", "dim"))
    yield _text()
    yield from functions(recording, tree, sort or ("own" if tree.by == "growth" else tree.by))
    yield _text()
    yield _text((cost(recording), "dim"))


def cost(recording):
    """How sure the numbers are and what they took, in one line."""
    tracing, meter = recording.call_tracing, recording.about.meter
    what = "resident memory, ±0.1 MiB" if meter == "rss" else f"{meter}"
    reason = f" ({tracing.reason})" if tracing.reason else ""
    took = memkit.units.show_time(tracing.cost)
    return (
        f"gate {tracing.gate}{reason}: {tracing.reads:,} reads for {tracing.events:,} calls; {what}; "
        f"tracing by {tracing.tracer} cost about {took}"
    )


def place(function):
    """Where a function is, shortly: ``load.py:12``, ``json/__init__.py:299``, ``In [5]:1``; nothing for one in C."""
    if not function.file:
        return ""
    if (name := memkit.Source(function.file).name) != function.file:
        return f"{name}:{function.line}"
    parts = function.file.replace("\\", "/").split("/")
    short = "/".join(parts[-2:] if parts[-1].startswith("__") else parts[-1:])
    return f"{_plain(short)}:{function.line}"


def _plain(text):
    """Text on one line that any stream of UTF-8 takes."""
    return " ".join(memkit.units.show_text(text).split())


def _text(*parts):
    from rich.text import Text

    text = Text.assemble(*parts)
    text.plain = memkit.units.printable(text.plain)
    return text


def _columns(cells, columns):
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, columns))


def _head(columns):
    return _text((_columns([name for name, _ in columns], columns) + "  function", "dim"))


def _growth(size):
    return memkit.units.show_bytes(size, sign=True) if size else "0"


def _share(part, whole):
    """A percentage in five characters; empty where there is nothing that it could be of."""
    if whole <= 0:
        return ""
    percent = round(100 * part / whole)
    return f"{percent}%" if -1000 < percent < 10_000 else ""


def _count(number, noun):
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named(function, before=""):
    where = place(function)
    return before + _plain(function.name), f"  {where}" if where else ""


# -- the tree ------------------------------------------------------------------------------------------------------


class Tree:
    """The calls that matter, by growth; where nothing grew, by peak; where nothing rose either, by time."""

    def __init__(self, calls, sort=None):
        self._below = {}
        for call in calls:
            self._below.setdefault(call.parent, []).append(call)
        self._count = len(calls)
        roots = self._below.get(None, [])
        self.grown = sum(call.growth for call in roots)
        self.time = sum(call.time for call in roots)
        self._floor = min(call.own_peak for call in calls)
        self._top = max(call.peak for call in calls)
        most = max(abs(call.growth) for call in roots)
        self.by = sort if sort in ("peak", "time") else "growth"
        self.nothing_grew = self.by == "growth" and most < NOISE
        if self.nothing_grew:
            self.by = "peak" if self._top - self._floor >= NOISE else "time"
        whole = {"growth": self.grown if self.grown >= NOISE else most, "peak": self._top - self._floor, "time": self.time}
        self._least = max(1, whole[self.by] * LEAST_SHARE)
        self._to_the_peak = self._way_up() if self.by == "growth" else set()
        self._most_in_passing = max(1, whole[self.by] * STANDS_OUT)

    def _way_up(self):
        """The ids of the calls that led to the highest peak, where that was far above what stayed and growth hides one."""
        stayed = self._floor + max(self.grown, 0)
        if self._top - stayed < max(NOISE, (self._top - self._floor) * STANDS_OUT):
            return set()
        way, hidden, calls = set(), False, self._below.get(None, ())
        while calls:
            call = max(calls, key=lambda call: (call.peak, call.growth))
            if call.peak < self._top:
                break
            way.add(call.id)
            hidden = hidden or abs(call.growth) < self._least
            calls = () if call.own_peak == self._top else self._below.get(call.id, ())
        return way if hidden else set()

    @property
    def middle(self):
        """Memory half way between the lowest and the highest."""
        return (self._floor + self._top) // 2

    @property
    def title(self):
        """What the tree shows, in a line."""
        if self.by == "growth":
            grew = (
                f"grew memory by {memkit.units.show_bytes(self.grown)}" if self.grown > 0 else "did not grow memory in all"
            )
            peak = f", and the one to the peak of {memkit.units.show_bytes(self._top)}" if self._to_the_peak else ""
            return f"calls {grew}; the paths that grew most{peak}"
        nothing = f"in all, calls grew memory by less than {memkit.units.show_bytes(NOISE)}; " if self.nothing_grew else ""
        if self.by == "peak":
            return f"{nothing}the paths to the highest peak, {memkit.units.show_bytes(self._top)}"
        return f"{nothing}the paths that took longest, of {memkit.units.show_time(self.time)}"

    def lines(self):
        """Title, head and rows as rich Text, and how many paths were left out."""
        yield _text((self.title, "bold"))
        yield _head(TREE)
        shown = 0
        for depth, call in self.rows():
            indent = "  " * depth
            if isinstance(call, list):
                shown += len(call)
                own = _growth(sum(each.own_growth for each in call))
                yield _text(
                    (_columns(("", "", own, "", "", "", ""), TREE) + f"  {indent}... {len(call):,} calls between", "dim")
                )
                continue
            shown += 1
            name, where = _named(call.function, indent)
            row, style = _columns(self.cells(call), TREE), "bold yellow" if self.stands_out(call) else self._faint(call)
            yield _text((row, style), "  ", (name, style), (where, "dim"))
        if left := self.left_out(shown):
            yield _text((left, "dim"))

    def left_out(self, shown):
        """How many paths there are more than so many, in words; empty where there are none."""
        less = {"growth": "grew by less", "peak": "rose less", "time": "took less"}[self.by]
        left = self._count - shown
        return f"and {_count(left, 'path')} more that {less}; --csv-calls and --json have them all" if left else ""

    def share(self, growth):
        """A growth as a percentage of all; empty where all is too little."""
        return _share(growth, self.grown if self.grown >= NOISE else 0)

    def cells(self, call):
        """What stands in the columns of a row, in words."""
        size, time = memkit.units.show_bytes, memkit.units.show_time
        sums = _growth(call.growth), self.share(call.growth), _growth(call.own_growth), size(call.peak)
        return (*sums, f"{call.calls:,}", time(call.time), _share(call.time, self.time))

    def stands_out(self, call):
        """Whether the function itself has a good part of all growth."""
        return self.by == "growth" and call.own_growth >= max(self.grown * STANDS_OUT, NOISE)

    def _faint(self, call):
        return "dim" if call.parent is None else ""

    def rows(self):
        """(depth, call) from the top, those that matter most first; a list is of the calls between, in a chain."""
        entries = self._chosen()
        ahead = [(0, chain) for chain in reversed(self._sorted(entries.get(None, ())))]
        while ahead:
            depth, chain = ahead.pop()
            for each in chain:
                yield depth, each
                depth += 1
            following = self._sorted(entries.get(chain[-1].id, ()))
            ahead += [(depth, chain) for chain in reversed(following)]

    def _chosen(self):
        """The chains to be shown, by the call that they hang on: the weightiest first until the page is full."""
        entries, room = {}, MOST_ROWS
        candidates = []
        self._offer(candidates, None)
        while candidates and room > 0:
            _, _, call = heapq.heappop(candidates)
            chain = self._chain(call)
            shown = chain if len(chain) <= LONGEST_CHAIN else [*chain[:3], chain[3:-3], *chain[-3:]]
            entries.setdefault(call.parent, []).append(shown)
            room -= len(shown)
            self._offer(candidates, chain[-1])
        return entries

    def _offer(self, candidates, caller):
        for call in self._followed(caller):
            heapq.heappush(candidates, (-self._weight(call), call.id, call))

    def _chain(self, call):
        """A call and those after it, as long as each makes one call that matters and does little itself."""
        chain = [call]
        while self._passes_on(call) and len(following := self._followed(call)) == 1:
            call = following[0]
            chain.append(call)
        return chain

    def _passes_on(self, call):
        if self.by == "growth":
            return abs(call.own_growth) < self._most_in_passing
        return call.own_peak < call.peak if self.by == "peak" else call.own_time < self._most_in_passing

    def _followed(self, caller):
        """The calls below one that matter. Where memory was high many run, but only those that made it so matter."""
        below = self._below.get(None if caller is None else caller.id, ())
        mattering = [call for call in below if self._weight(call) >= self._least]
        if self.by != "peak" or caller is None:
            return mattering
        at_the_top = [call for call in mattering if call.peak >= caller.peak - NOISE]
        went_there = max(at_the_top, key=lambda call: call.growth, default=None)
        return [call for call in mattering if call is went_there or call.peak >= caller.own_peak + NOISE]

    def _weight(self, call):
        if self.by == "growth":
            return max(abs(call.growth), self._least if call.id in self._to_the_peak else 0)
        return call.peak - self._floor if self.by == "peak" else call.time

    def _sorted(self, chains):
        key = {
            "growth": lambda chain: chain[0].growth,
            "peak": lambda chain: chain[0].peak,
            "time": lambda chain: chain[0].time,
        }
        return sorted(chains, key=key[self.by], reverse=True)


# -- the list ------------------------------------------------------------------------------------------------------


def functions(recording, tree, sort):
    """The functions that come first in an order, over all paths, as rich Text."""
    keys = {"own": "own_growth", "growth": "growth", "peak": "own_peak", "calls": "calls", "time": "own_time"}
    wholes = {"own": tree.grown, "growth": tree.grown, "calls": recording.call_tracing.events, "time": tree.time}
    roots = {call.function for call in recording.calls if call.parent is None}
    values = {call: getattr(call, keys[sort]) for call in recording.called}
    found = [call for call in values if values[call] > 0 and (call.function not in roots or call.own_growth >= NOISE)]
    found.sort(key=values.get, reverse=True)
    least = tree.middle if sort == "peak" else wholes[sort] * LEAST_SHARE
    shown = [call for place, call in enumerate(found[:MOST_FUNCTIONS]) if place < LEAST_FUNCTIONS or values[call] >= least]
    size, time = memkit.units.show_bytes, memkit.units.show_time
    yield _text((ORDERS[sort] if found else "no function grew", "bold"))
    if found:
        yield _head(LIST)
    for call in shown:
        sums = _growth(call.own_growth), tree.share(call.own_growth), _growth(call.growth), size(call.own_peak)
        cells = (*sums, f"{call.calls:,}", time(call.own_time), time(call.time))
        name, where = _named(call.function)
        style = "bold yellow" if call.own_growth >= max(tree.grown * STANDS_OUT, NOISE) else ""
        yield _text((_columns(cells, LIST), style), "  ", (name, style), (where, "dim"))
    if left := len(found) - len(shown):
        yield _text((f"and {_count(left, 'function')} more", "dim"))
