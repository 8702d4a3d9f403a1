"""What is told of one process, and of several."""

import os
import subprocess
import sys

import memkit_prometheus
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import memkit

MIB = 1 << 20


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def told(registry):
    """The values of a scrape, by name and labels."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}


def test_a_scrape_tells_memory_its_peak_and_all_limits():
    registry = CollectorRegistry()
    memkit_prometheus.register(registry)
    found = told(registry)
    assert found["process_resident_memory_bytes",] == pytest.approx(memkit.rss(), abs=5 * MIB)
    assert found["process_resident_memory_peak_bytes",] >= found["process_resident_memory_bytes",] - MIB
    for limit in memkit.limits():
        labels = (("kind", limit.kind), ("limit", limit.name))
        assert found["memkit_memory_limit_bytes", *labels] == limit.size
        assert 0 <= found["memkit_memory_headroom_bytes", *labels] <= limit.size


def test_a_transient_is_in_the_next_scrape_and_in_no_other():
    registry = CollectorRegistry()
    memkit_prometheus.register(registry)
    told(registry)
    bytearray(80 * MIB)
    peaks = [told(registry)["process_resident_memory_peak_bytes",] for _ in range(2)]
    assert peaks[0] >= 80 * MIB
    if subprocess.run(
        [sys.executable, "-c", "import memkit; memkit.peak_rss(reset=True)"], stderr=subprocess.DEVNULL
    ).returncode:
        pytest.skip("the high-water mark cannot be reset here")
    assert peaks[0] - peaks[1] == pytest.approx(80 * MIB, abs=8 * MIB)


def test_what_the_registry_has_already_is_left_to_it():
    from prometheus_client import Gauge

    registry = CollectorRegistry()
    Gauge("process_resident_memory_bytes", "theirs", registry=registry).set(1)
    memkit_prometheus.register(registry)
    assert told(registry)["process_resident_memory_bytes",] == 1


def test_a_registry_takes_it_once():
    registry = CollectorRegistry()
    memkit_prometheus.register(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        memkit_prometheus.register(registry)


WORKERS = """
import os, sys, time
import memkit_prometheus as tool
from prometheus_client import generate_latest
tool.register()
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        bytearray((number + 1) * 50 << 20)
        time.sleep(30)
    children.append(child)
time.sleep(2.5)
for _ in range(3):
    print(generate_latest(tool.registry_of_workers()).decode(), end="-----\\n", flush=True)
    time.sleep(2.5)
for child in children:
    os.kill(child, 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_worker_tells_its_own_and_peaks_begin_anew_with_a_scrape(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WORKERS]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    scrapes = []
    for text in done.stdout.split("-----\n")[:-1]:
        families = {family.name: family.samples for family in text_string_to_metric_families(text)}
        peaks = {each.labels["pid"]: each.value for each in families["process_resident_memory_peak_bytes"]}
        assert {each.labels["pid"] for each in families["process_resident_memory_bytes"]} == set(peaks)
        assert len(families["memkit_memory_limit_bytes"]) == len(memkit.limits())
        scrapes.append(sorted(peaks.values()))
    first, _, last = scrapes
    assert len(first) == 3
    assert first[2] - first[1] == pytest.approx(50 * MIB, abs=10 * MIB)
    assert first[2] > 100 * MIB and last[2] < 100 * MIB


def test_a_folder_that_is_gone_does_not_end_a_worker(tmp_path):
    code = """
import os, shutil, time
import memkit_prometheus
memkit_prometheus.register()
shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
time.sleep(1.5)
print("here")
"""
    (tmp_path / "folder").mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "folder")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


# -- spans ---------------------------------------------------------------------------------------------------------------

kept = []


def request(label, size):
    with memkit.span(label):
        kept.append(bytes(size))
        bytearray(100_000)


def test_a_scrape_tells_what_the_spans_of_each_label_kept():
    registry = CollectorRegistry()
    memkit_prometheus.register(registry)
    assert not [name for name, *_ in told(registry) if "span" in name]
    with memkit.record(heap="spans"):
        for _ in range(50):
            request("GET /a", 10_000)
        request("GET /b", 20_000)
        found = told(registry)
    of = {name: found[f"memkit_{name}", ("label", "GET /a")] for name in ("spans_total", "span_kept_bytes_total")}
    assert of["spans_total"] == 50
    assert 500_000 <= of["span_kept_bytes_total"] < 520_000
    assert found["memkit_span_allocated_bytes_total", ("label", "GET /b")] >= 120_000
    assert 200_000 < found["memkit_span_alive_bytes", ("label", "GET /a")] < 520_000
    assert ("memkit_span_alive_bytes", ("label", "GET /b")) not in found


SPANS = """
import os
import memkit, memkit_prometheus as tool
from prometheus_client import generate_latest
tool.register()
kept = []

def requests(number):
    with memkit.record(heap="spans"):
        for _ in range(number):
            with memkit.span("GET /a"):
                kept.append(bytes(10_000))
        tool.register().update()


for number in range(2):
    child = os.fork()
    if child == 0:
        requests(10 + number)
        requests(5)
        os._exit(0)
    os.waitpid(child, 0)
print(generate_latest(tool.registry_of_workers()).decode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_spans_of_all_workers_kept_is_added_up(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SPANS]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    families = text_string_to_metric_families(done.stdout)
    found = {each.name: each.value for family in families for each in family.samples if each.labels.get("label")}
    assert found["memkit_spans_total"] == 31
    assert 310_000 <= found["memkit_span_kept_bytes_total"] < 330_000
