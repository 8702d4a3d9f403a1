"""``%memit``: measures the memory that a statement takes; the statement runs once per repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memkit.base import clocks
from memkit.base.shadows import resource_module
from memkit.base.units import SECOND
from memkit.ipython.measurement import Measurement
from memkit.ipython.settle import flush_page_counters, release_free_memory
from memkit.system import engine

if TYPE_CHECKING:
    from IPython.lib.pretty import RepresentationPrinter

MIB = 1 << 20


class MemitResult:
    """The result of ``%memit -o``; sizes are in MiB.

    ``mem_usage``: the peak of each repeat. ``baseline``: memory before the first. ``repeat``, ``timeout``, ``interval`` and
    ``include_children`` are the options of the call. ``exact``: whether the peaks are the kernel's; where they are not, they
    are the highest that was sampled.
    """

    def __init__(
        self,
        mem_usage: list[float],
        baseline: float,
        repeat: int,
        timeout: float | None,
        interval: float,
        include_children: bool,
        exact: bool = True,
    ) -> None:
        self.mem_usage = mem_usage
        self.baseline = baseline
        self.repeat = repeat
        self.timeout = timeout
        self.interval = interval
        self.include_children = include_children
        self.exact = exact

    @property
    def repeats(self) -> int:
        """How many times the statement was run."""
        return len(self.mem_usage)

    @property
    def peak(self) -> float:
        """The highest peak of all repeats, in MiB."""
        return max(self.mem_usage)

    @property
    def increment(self) -> float:
        """The highest peak less the baseline, in MiB."""
        return self.peak - self.baseline

    def __str__(self) -> str:
        return f"peak memory: {self.peak:.2f} MiB, increment: {self.increment:.2f} MiB"

    def __repr__(self) -> str:
        return f"<MemitResult : {self}>"

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(repr(self))


def memit(
    run: Callable[[], object],
    *,
    repeat: int = 1,
    timeout: float | None = None,
    interval: float = 0.1,
    include_children: bool = False,
) -> MemitResult:
    """Call ``run`` once per repeat and measure the memory that it takes.

    ``timeout``: seconds after which no further repeat begins. ``include_children``: add the memory of all child processes,
    polled every ``interval`` seconds; the peak is then the highest that was sampled. Before each repeat garbage and the
    free memory of the C library are returned to the system, since the statement would reuse them and grow by less.
    """
    __tracebackhide__ = True
    began, exact = clocks.monotonic(), True
    peaks: list[int] = []
    if include_children:
        children_memory()  # the first poll imports psutil, which is not the statement's memory
    release_free_memory()
    flush_page_counters()
    baseline = engine.rss() + (children_memory() if include_children else 0)
    for number in range(repeat):
        if number:
            if timeout is not None and clocks.monotonic() - began >= timeout:
                break
            release_free_memory()
        if include_children:
            with Children(interval) as children:
                run()
            peaks.append(children.peak)
            exact = exact and children.exact
            continue
        measurement = Measurement()
        try:
            run()
        finally:
            measured = measurement.end()
        peaks.append(measured.peak)
        exact = exact and measured.exact
    release_free_memory()
    return MemitResult([peak / MIB for peak in peaks], baseline / MIB, repeat, timeout, interval, include_children, exact)


# -- children ----------------------------------------------------------------------------------------------------------


def children_memory() -> int:
    """The sum of the resident memory of all descendants, in bytes; a page that several share counts once for each."""
    from memkit.record.memory_reader import children_of

    return sum(size for _, size in children_of(None))


def _faults_of_children() -> int:
    """Page faults of all children that have been reaped. It rises if a child starts and ends between two polls."""
    resource = resource_module()
    return 0 if resource is None else int(resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt)


class Children:
    """Polls the memory of this process's children in a thread, every ``interval`` seconds while the context is open."""

    def __init__(self, interval: float):
        import threading

        self.interval = interval
        self.most = 0
        """The highest sum of the children's memory, in bytes."""
        self.peak = 0
        """The highest sum of the memory of this process and its children, in bytes."""
        self.exact = True
        """Whether the peak is the kernel's: there were no children, and this process's high-water mark was available."""
        children_memory()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="memkit", daemon=True)

    def __enter__(self) -> Children:
        self._faults = _faults_of_children()
        self._measurement = Measurement()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._poll()
        self._measurement.cancel()
        self.exact = self.exact and self.most == 0 and _faults_of_children() == self._faults

    def _poll_until_stopped(self) -> None:
        wait = self.interval
        while not self._stopped.wait(wait):
            began = clocks.monotonic_ns()
            self._poll()
            took = (clocks.monotonic_ns() - began) / SECOND
            wait = max(self.interval, 10 * took)  # polling takes at most a tenth of the time

    def _poll(self) -> None:
        theirs = children_memory()
        ours, self._measurement = self._measurement.end(), Measurement()
        self.exact = self.exact and ours.exact
        self.most = max(self.most, theirs)
        self.peak = max(self.peak, ours.peak + theirs)
