"""What arrives at a receiver of OTLP: real requests over HTTP, decoded as the protocol says."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import memkit_opentelemetry
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader

import memkit

MIB = 1 << 20


class Receiver(ThreadingHTTPServer):
    """Takes metrics by OTLP over HTTP."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.received = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}/v1/metrics"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        assert (self.path, self.headers["Content-Type"]) == ("/v1/metrics", "application/x-protobuf")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(ExportMetricsServiceRequest.FromString(body))
        answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def provider(receiver):
    """A provider that exports to the receiver when it is told to."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=receiver.endpoint), export_interval_millis=3_600_000)
    provider = MeterProvider([reader])
    yield provider
    provider.shutdown()


def metrics_in(request):
    """The metrics of a request, by name."""
    scopes = [scope for resource in request.resource_metrics for scope in resource.scope_metrics]
    assert {scope.scope.name for scope in scopes} == {"memkit_opentelemetry"}
    return {metric.name: metric for scope in scopes for metric in scope.metrics}


def test_a_receiver_gets_memory_its_peak_and_all_limits(provider, receiver):
    memkit_opentelemetry.instrument(provider)
    assert provider.force_flush()
    found = metrics_in(receiver.received[-1])
    assert {metric.unit for metric in found.values()} == {"By"}
    usage = found["process.memory.usage"].sum
    assert not usage.is_monotonic
    assert usage.data_points[0].as_int == pytest.approx(memkit.rss(), abs=5 * MIB)
    assert found["memkit.process.memory.peak"].gauge.data_points[0].as_int >= usage.data_points[0].as_int - MIB
    assert not found["memkit.process.memory.limit"].sum.is_monotonic
    sizes = {
        tuple(sorted((each.key, each.value.string_value) for each in point.attributes)): point.as_int
        for point in found["memkit.process.memory.limit"].sum.data_points
    }
    assert sizes == {
        (("memkit.limit.kind", limit.kind), ("memkit.limit.name", limit.name)): limit.size for limit in memkit.limits()
    }
    assert all(point.as_int >= 0 for point in found["memkit.process.memory.headroom"].gauge.data_points)


def test_a_transient_is_in_the_next_export_and_in_no_other(provider, receiver):
    memkit_opentelemetry.instrument(provider)
    provider.force_flush()
    bytearray(80 * MIB)
    for _ in range(2):
        provider.force_flush()
    peaks = [metrics_in(each)["memkit.process.memory.peak"].gauge.data_points[0].as_int for each in receiver.received]
    assert peaks[1] >= 80 * MIB
    code = "import memkit; memkit.peak_rss(reset=True)"
    if subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the high-water mark cannot be reset here")
    assert peaks[1] - peaks[2] == pytest.approx(80 * MIB, abs=8 * MIB)


def test_doing_so_twice_is_doing_so_once():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    memkit_opentelemetry.instrument(provider)
    memkit_opentelemetry.instrument(provider)
    scopes = reader.get_metrics_data().resource_metrics[0].scope_metrics
    usage = [metric for scope in scopes for metric in scope.metrics if metric.name == "process.memory.usage"]
    assert len(usage) == 1 and len(usage[0].data.data_points) == 1
    provider.shutdown()


WORKERS = """
import os, sys
import memkit_opentelemetry
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import ProcessResourceDetector, get_aggregated_resources
for _ in range(2):
    if os.fork() == 0:
        resource = get_aggregated_resources([ProcessResourceDetector()])
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1]))
        metrics.set_meter_provider(MeterProvider([reader], resource=resource))
        memkit_opentelemetry.instrument()
        metrics.get_meter_provider().shutdown()
        os._exit(0)
for _ in range(2):
    assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_worker_is_a_resource_of_its_own(receiver):
    words = [sys.executable, "-c", WORKERS, receiver.endpoint]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    pids = {
        attribute.value.int_value
        for request in receiver.received
        for resource in request.resource_metrics
        for attribute in resource.resource.attributes
        if attribute.key == "process.pid"
    }
    assert len(pids) == 2


def test_a_receiver_gets_what_the_spans_of_each_label_kept(provider, receiver):
    kept = []
    memkit_opentelemetry.instrument(provider)
    with memkit.record(heap="spans"):
        for _ in range(50):
            with memkit.span("GET /a"):
                kept.append(bytes(10_000))
        assert provider.force_flush()
    found = metrics_in(receiver.received[-1])
    points = {name: found[f"memkit.span.{name}"].sum for name in ("count", "allocated", "kept", "alive")}
    for one in points.values():
        (attribute,) = one.data_points[0].attributes
        assert (attribute.key, attribute.value.string_value) == ("memkit.span.label", "GET /a")
    values = {name: one.data_points[0].as_int for name, one in points.items()}
    assert values["count"] == 50
    assert 500_000 <= values["kept"] <= values["allocated"] < 600_000
    assert 200_000 < values["alive"] < 520_000
    assert {name: one.is_monotonic for name, one in points.items()} == dict.fromkeys(points, True) | {"alive": False}
