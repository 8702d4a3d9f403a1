"""The memory of this process as metrics of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider

import memkit

__all__ = ["instrument"]

_UNIT = "By"
_LABEL = "memkit.span.label"
_instrumented: WeakSet[MeterProvider] = WeakSet()


def instrument(meter_provider: MeterProvider | None = None) -> None:
    """Have the memory of this process among the metrics of a provider, the global one if none is given.

    Doing so again does nothing.
    """
    provider = get_meter_provider() if meter_provider is None else meter_provider
    if provider in _instrumented:
        return
    _instrumented.add(provider)
    meter = provider.get_meter("memkit_opentelemetry", memkit.__version__)
    peak = memkit.PeakSince()

    def highest(_: CallbackOptions) -> Iterator[Observation]:
        yield Observation(peak.take())

    meter.create_observable_up_down_counter(
        "process.memory.usage", [_resident], _UNIT, "The amount of physical memory in use."
    )
    meter.create_observable_gauge(
        "memkit.process.memory.peak", [highest], _UNIT, "The highest physical memory in use since the export before."
    )
    meter.create_observable_up_down_counter("memkit.process.memory.limit", [_sizes], _UNIT, "What limits memory.")
    meter.create_observable_gauge(
        "memkit.process.memory.headroom", [_left], _UNIT, "What is left until the limit is reached."
    )
    meter.create_observable_counter("memkit.span.count", [_ended], "{span}", "Spans, such as requests, that have ended.")
    meter.create_observable_counter("memkit.span.allocated", [_allocated], _UNIT, "What spans allocated.")
    meter.create_observable_counter("memkit.span.kept", [_kept], _UNIT, "What of it was alive as each span ended.")
    meter.create_observable_up_down_counter(
        "memkit.span.alive", [_alive], _UNIT, "What is alive of spans that are over: the least of the last 25 spans."
    )


def _resident(_: CallbackOptions) -> Iterator[Observation]:
    yield Observation(memkit.rss())


def _sizes(_: CallbackOptions) -> Iterator[Observation]:
    for limit in memkit.limits():
        yield Observation(limit.size, _attributes(limit))


def _left(_: CallbackOptions) -> Iterator[Observation]:
    for limit in memkit.limits():
        yield Observation(limit.left, _attributes(limit))


def _ended(_: CallbackOptions) -> Iterator[Observation]:
    for sums in memkit.span_sums():
        yield Observation(sums.number, {_LABEL: sums.label})


def _allocated(_: CallbackOptions) -> Iterator[Observation]:
    for sums in memkit.span_sums():
        if sums.allocated is not None:
            yield Observation(sums.allocated.total, {_LABEL: sums.label})


def _kept(_: CallbackOptions) -> Iterator[Observation]:
    for sums in memkit.span_sums():
        if sums.kept is not None:
            yield Observation(sums.kept.total, {_LABEL: sums.label})


def _alive(_: CallbackOptions) -> Iterator[Observation]:
    for sums in memkit.span_sums():
        if sums.alive:
            yield Observation(sums.alive[-1], {_LABEL: sums.label})


def _attributes(limit: memkit.Limit) -> dict[str, str]:
    return {"memkit.limit.name": limit.name, "memkit.limit.kind": limit.kind}
