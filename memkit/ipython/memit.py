"""What ``%memit`` does and returns: the memory that a statement takes, run once for each repeat."""

from __future__ import annotations

import time

from memkit.base.units import SECOND
from memkit.ipython.measurement import Stretch
from memkit.ipython.settle import fold_counts, give_back
from memkit.system import engine

MIB = 1 << 20


class MemitResult:
    """What ``%memit -o`` returns; sizes are in MiB.

    ``mem_usage``: the peak of each repeat. ``baseline``: memory before the first. ``repeat``, ``timeout``, ``interval`` and
    ``include_children`` are as they were asked for. ``exact``: whether the peaks are the kernel's; where they are not, they
    are the highest that was seen.
    """

    def __init__(self, mem_usage, baseline, repeat, timeout, interval, include_children, exact=True):
        self.mem_usage = mem_usage
        self.baseline = baseline
        self.repeat = repeat
        self.timeout = timeout
        self.interval = interval
        self.include_children = include_children
        self.exact = exact

    @property
    def repeats(self) -> int:
        """How often the statement was run."""
        return len(self.mem_usage)

    @property
    def peak(self) -> float:
        """The highest peak of all repeats, in MiB."""
        return max(self.mem_usage)

    @property
    def increment(self) -> float:
        """The highest peak less the baseline, in MiB."""
        return self.peak - self.baseline

    def __str__(self):
        return f"peak memory: {self.peak:.2f} MiB, increment: {self.increment:.2f} MiB"

    def __repr__(self):
        return f"<MemitResult : {self}>"

    def _repr_pretty_(self, printer, cycle):
        printer.text(repr(self))


def memit(run, *, repeat=1, timeout=None, interval=0.1, include_children=False) -> MemitResult:
    """Call ``run`` once for each repeat and measure what it takes.

    ``timeout``: seconds after which no further repeat begins. ``include_children``: add the memory of all child processes,
    looked at every ``interval`` seconds; the peak is then the highest that was seen. What is garbage, and what the C library
    keeps for later, is given back before each repeat, so that it does not hide what the statement takes.
    """
    __tracebackhide__ = True
    began, peaks, exact = time.monotonic(), [], True
    if include_children:
        children_memory()  # what the first look takes is not the statement's
    give_back()
    fold_counts()
    baseline = engine.rss() + (children_memory() if include_children else 0)
    for number in range(repeat):
        if number:
            if timeout is not None and time.monotonic() - began >= timeout:
                break
            give_back()
        if include_children:
            with Children(interval) as children:
                run()
            peaks.append(children.peak)
            exact = exact and children.exact
            continue
        stretch = Stretch()
        try:
            run()
        finally:
            measured = stretch.end()
        peaks.append(measured.peak)
        exact = exact and measured.exact
    give_back()
    return MemitResult([peak / MIB for peak in peaks], baseline / MIB, repeat, timeout, interval, include_children, exact)


# -- children ----------------------------------------------------------------------------------------------------------


def children_memory() -> int:
    """Resident memory of all children and their children together, in bytes; pages that they share count for each."""
    from memkit.record.memory_reader import children_of

    return sum(size for _, size in children_of(None))


def _faults_of_children() -> int:
    """How many page faults the children have had that have ended and were waited for: one that came and went had some."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


class Children:
    """Looks at the children of this process every ``interval`` seconds while it is open, in a thread."""

    def __init__(self, interval: float):
        import threading

        self.interval = interval
        self.most = 0
        """The most that they had together, in bytes."""
        self.peak = 0
        """The most that this process and they had together, in bytes."""
        self.exact = True
        """Whether nothing can have been higher: there were no children, and the peak of this process is the kernel's."""
        children_memory()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memkit", daemon=True)

    def __enter__(self) -> Children:
        self._faults = _faults_of_children()
        self._stretch = Stretch()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._enough.set()
        self._thread.join()
        self._look()
        self._stretch.drop()
        self.exact = self.exact and self.most == 0 and _faults_of_children() == self._faults

    def _watch(self):
        wait = self.interval
        while not self._enough.wait(wait):
            began = time.monotonic_ns()
            self._look()
            took = (time.monotonic_ns() - began) / SECOND
            wait = max(self.interval, 10 * took)  # looking takes a tenth of the time at most

    def _look(self):
        theirs = children_memory()
        ours, self._stretch = self._stretch.end(), Stretch()
        self.exact = self.exact and ours.exact
        self.most = max(self.most, theirs)
        self.peak = max(self.peak, ours.peak + theirs)
