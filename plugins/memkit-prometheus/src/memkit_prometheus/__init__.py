"""The memory of this process, or of all workers of a service, as metrics for Prometheus."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

import memkit

__all__ = ["MemoryCollector", "WorkerMemory", "register", "registry_of_workers"]

RESIDENT = ("process_resident_memory_bytes", "Resident memory size in bytes.")
PEAK = ("process_resident_memory_peak_bytes", "Highest resident memory since the scrape before, in bytes.")
LIMIT = ("memkit_memory_limit_bytes", "What limits memory, in bytes.")
HEADROOM = ("memkit_memory_headroom_bytes", "What is left until the limit is reached, in bytes.")
SPANS = ("memkit_spans", "Requests, tasks and other spans that have ended.")
ALLOCATED = ("memkit_span_allocated_bytes", "What spans allocated, in bytes.")
KEPT = ("memkit_span_kept_bytes", "What of it was alive as each span ended, in bytes.")
ALIVE = ("memkit_span_alive_bytes", "What is alive of spans that are over, in bytes: the least of the last 25 spans.")
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SCRAPED = "memkit-scraped"
_TICK = 1.0

_worker: WorkerMemory | None = None


def register(registry: CollectorRegistry = REGISTRY) -> MemoryCollector | WorkerMemory:
    """Have the memory of this process in a registry.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set, this process is one of several workers, and tells its memory in files there;
    ``registry_of_workers()`` has that of all. Calling it again there does nothing.
    """
    global _worker
    if not os.environ.get(_FOLDER):
        collector = MemoryCollector(resident=not _has(registry, RESIDENT[0]))
        registry.register(collector)
        return collector
    if _worker is None:
        _worker = WorkerMemory()
    _worker.start()
    return _worker


def _has(registry: CollectorRegistry, name: str) -> bool:
    return name in getattr(registry, "_names_to_collectors", {})


class MemoryCollector(Collector):
    """The memory of this process at each scrape. ``resident`` is whether resident memory is in it, not only its peak."""

    def __init__(self, resident: bool = True) -> None:
        self._resident = resident
        self._peak = memkit.PeakSince()

    def describe(self) -> Iterator[Metric]:
        """The metrics without values: no scrape, so that no peak is used up."""
        for name, text in (*([RESIDENT] if self._resident else []), PEAK, LIMIT, HEADROOM):
            yield GaugeMetricFamily(name, text)

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        if self._resident:
            yield GaugeMetricFamily(*RESIDENT, value=memkit.rss())
        yield GaugeMetricFamily(*PEAK, value=self._peak.take())
        size = GaugeMetricFamily(*LIMIT, labels=("limit", "kind"))
        left = GaugeMetricFamily(*HEADROOM, labels=("limit", "kind"))
        for limit in memkit.limits():
            size.add_metric((limit.name, limit.kind), limit.size)
            left.add_metric((limit.name, limit.kind), limit.left)
        yield size
        yield left
        yield from _spans()


def _spans() -> Iterator[Metric]:
    """What is known of the spans of each label, where this process is recorded."""
    sums = memkit.span_sums()
    for name, text in (SPANS, ALLOCATED, KEPT):
        family = CounterMetricFamily(name, text, labels=("label",))
        for each in sums:
            value = _counted(each)[name]
            if value is not None:
                family.add_metric((each.label,), value)
        if family.samples:
            yield family
    alive = GaugeMetricFamily(*ALIVE, labels=("label",))
    for each in sums:
        if each.alive:
            alive.add_metric((each.label,), each.alive[-1])
    if alive.samples:
        yield alive


def _counted(sums: memkit.SpanSums) -> dict[str, int | None]:
    """What is counted of a label, by the names of the metrics."""
    allocated, kept = sums.allocated and sums.allocated.total, sums.kept and sums.kept.total
    return {SPANS[0]: sums.number, ALLOCATED[0]: allocated, KEPT[0]: kept}


class WorkerMemory:
    """The memory of this worker, written once a second into the files that all workers share."""

    def __init__(self) -> None:
        self._resident = Gauge(*RESIDENT, multiprocess_mode="liveall", registry=None)
        self._highest = Gauge(*PEAK, multiprocess_mode="liveall", registry=None)
        self._size = Gauge(*LIMIT, ("limit", "kind"), multiprocess_mode="livemax", registry=None)
        self._left = Gauge(*HEADROOM, ("limit", "kind"), multiprocess_mode="livemin", registry=None)
        self._counters = {each[0]: Counter(*each, ("label",), registry=None) for each in (SPANS, ALLOCATED, KEPT)}
        self._alive = Gauge(*ALIVE, ("label",), multiprocess_mode="livesum", registry=None)
        self._told: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._peak = memkit.PeakSince()
        self._value = 0
        self._scrape: object = None
        self._pid = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        if self._pid:  # a worker of a process that told its memory, which has no thread of it
            self.start()

    def start(self) -> None:
        """Tell it now, and from now on, in this process."""
        if self._pid == os.getpid():
            return
        self._pid, self._value, self._told = os.getpid(), 0, {}
        self._lock = threading.Lock()  # a forked process has that of its parent as it was
        self.update()
        threading.Thread(target=self._run, name="memkit-prometheus", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(_TICK):
            try:
                self.update()
            except (OSError, memkit.MemkitError):  # no descriptor is left, or the folder is gone: the service goes on
                continue

    def update(self) -> None:
        """Write how things stand."""
        peak, scrape = self._peak.take(), _last_scrape()
        self._value = max(peak, self._value if scrape == self._scrape else 0)
        self._scrape = scrape
        self._resident.set(memkit.rss())
        self._highest.set(self._value)
        for limit in memkit.limits():
            self._size.labels(limit.name, limit.kind).set(limit.size)
            self._left.labels(limit.name, limit.kind).set(limit.left)
        with self._lock:  # what asks for an answer to Prometheus updates, too
            self._tell_spans()

    def _tell_spans(self) -> None:
        for sums in memkit.span_sums():
            for name, value in _counted(sums).items():
                if value is None:
                    continue
                before = self._told.get((name, sums.label), 0)
                self._counters[name].labels(sums.label).inc(value - before if value >= before else value)
                self._told[name, sums.label] = value
            if sums.alive:
                self._alive.labels(sums.label).set(sums.alive[-1])


def _last_scrape() -> object:
    try:
        return os.stat(os.path.join(os.environ[_FOLDER], _SCRAPED)).st_mtime_ns
    except (OSError, KeyError):
        return None


class _Scraped(Collector):
    """No metric: it notes for all workers that there was a scrape, after which they count peaks anew."""

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            with open(os.path.join(os.environ[_FOLDER], _SCRAPED), "wb"):
                pass
        except OSError:  # peaks are then since the beginning
            pass
        return iter(())


def registry_of_workers() -> CollectorRegistry:
    """A registry with what all workers told, for one answer to Prometheus.

    Raises ``ValueError`` where ``PROMETHEUS_MULTIPROC_DIR`` is no folder.
    """
    registry = CollectorRegistry()
    if _worker is not None:
        _worker.update()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
    registry.register(_Scraped())
    return registry
