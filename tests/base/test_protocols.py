"""The protocols have what the code that they speak of has."""

import pytest

from memkit.base import protocols
from memkit.system import engine, portable, processes


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        (protocols.Sampler, engine.Sampler),
        (protocols.Sampler, portable.Sampler),
        (protocols.ProcessSource, processes.Proc),
        (protocols.ProcessSource, processes.Elsewhere),
    ],
)
def test_what_a_protocol_names_is_there(protocol, kind):
    names = [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]
    assert names
    assert [name for name in names if not callable(getattr(kind, name, None))] == []


def test_a_tracer_has_what_its_protocol_names(native_only):
    from memkit.tracing import tracers

    test_what_a_protocol_names_is_there(protocols.Tracer, tracers.Tracer)


@pytest.mark.parametrize("meter", ["rss", len])
def test_a_meter_of_either_kind_has_a_name_and_is_read(meter):
    found = engine.meter_named((lambda: 5) if meter is len else meter, "mine")
    assert found.name == ("mine" if meter is len else "rss")
    assert found.read() > 0
