"""Sums of the spans of a label: exact totals, quantiles within their error, in bounded memory, and the leak test."""

import asyncio
import os
import random
import signal
import subprocess
import sys

import pytest

import memkit
from memkit.model.file_format import WHOLE_SPANS as WHOLE
from memkit.model.file_format import bucket, middle
from memkit.model.span_sums import LabelSums
from memkit.record.span_sums import BLOCK, MOST_LABELS, PythonSpreads, SpanSums, Spreads
from memkit.system import engine

from engines import forks

native = pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")


class Rows:
    """A journal that keeps the last row of each label."""

    def __init__(self):
        self.found = LabelSums()
        self.count = self.size = 0

    def text(self, rows):
        import json

        for row in rows.splitlines():
            self.count += 1
            self.size += len(row)
            _, *values = json.loads(row)
            self.found.take(*values)

    def of(self, label):
        return next(each for each in self.found.found(()) if each.label == label)


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def sums(rows):
    return SpanSums(rows, 0)


# -- buckets -------------------------------------------------------------------------------------------------------------


def test_the_middle_of_a_bucket_is_within_its_error_of_every_value_in_it():
    values = [*range(-3000, 3000), *(1 << n for n in range(62)), *((1 << n) - 1 for n in range(62))]
    for value in [*values, *(random.Random(1).getrandbits(60) for _ in range(2000))]:
        assert abs(middle(bucket(value)) - value) <= abs(value) / 32
    assert [bucket(value) for value in range(-40, 40)] == sorted(bucket(value) for value in range(-40, 40))
    assert len({bucket(value) for value in range(32)}) == 32


def test_quantiles_are_within_their_error_and_totals_exact(rows, sums):
    generator = random.Random(7)
    values = [int(generator.lognormvariate(12, 2)) for _ in range(20_000)]
    for value in values:
        sums.add("a", value, value - 1000, None, False, None)
    sums.flush()
    found, values = rows.of("a"), sorted(values)
    assert (found.number, found.time.total, found.time.worst) == (20_000, sum(values), values[-1])
    assert found.growth.total == sum(values) - 20_000_000
    assert (found.rise, found.allocated, found.kept, found.heap_peak) == (None,) * 4
    for share, value in ((0.5, found.time.median), (0.95, found.time.p95), (0.01, found.time.quantile(0.01))):
        assert value == pytest.approx(values[round(share * 20_000) - 1], rel=1 / 31)


@native
def test_what_is_compiled_counts_as_python_does():
    generator, compiled, python = random.Random(3), Spreads(), PythonSpreads()
    assert Spreads is not PythonSpreads
    for _ in range(3000):
        time, growth, rise, *heap = (generator.getrandbits(generator.randrange(1, 61)) for _ in range(6))
        if heap[0] % 3 == 0:
            rise = None
        span = heap[1] % 2 == 0, time, growth - (1 << 40), rise, tuple(heap) if time % 5 else None
        assert compiled.add(*span) == python.add(*span)
    assert compiled.as_lists() == python.as_lists()
    assert (compiled.number, compiled.overlapped) == (python.number, python.overlapped)


def test_spreads_add_up(rows, sums):
    for value in range(100):
        sums.add("a", value, 0, value, value < 3, None)
        sums.add("b", value * 2, 0, value, False, None)
    sums.flush()
    both = rows.of("a").plus(rows.of("b"))
    assert (both.number, both.overlapped) == (200, 3)
    assert (both.time.total, both.time.worst) == (3 * sum(range(100)), 198)
    assert sum(number for _, number in both.time.buckets) == 200


# -- bounds --------------------------------------------------------------------------------------------------------------


def test_a_million_spans_are_a_row_now_and_then(monkeypatch, rows, sums):
    from memkit.base import clocks

    now = iter(range(0, 10**15, 10**7))  # one each hundredth of a second
    monkeypatch.setattr(clocks, "monotonic_ns", lambda: next(now))
    for number in range(200_000):
        sums.add("a", number % 977, 0, 0, False, None)
    assert rows.of("a").number > 200_000 * 0.98
    assert rows.count < 100 * 12
    assert rows.size < 2 << 20


def test_labels_beyond_a_thousand_are_one(rows, sums):
    for number in range(MOST_LABELS + 500):
        sums.add(f"label {number}", 1, 1, 1, False, None)
    sums.flush()
    assert len(rows.found.found(())) == MOST_LABELS + 1
    assert rows.of("<more spans>").number == 500


def test_after_a_thousand_spans_only_the_worst_are_kept_whole():
    with memkit.record() as run:
        for _ in range(WHOLE + 500):
            with memkit.span("fast"):
                pass
        with memkit.span("slow", number=7):
            pass
    (sums,) = [each for each in run.recording.span_sums if each.label == "fast"]
    whole = [span for span in run.recording.spans if span.label == "fast"]
    assert sums.number == WHOLE + 500
    assert WHOLE <= len(whole) < WHOLE + 200
    assert all(span.end is not None for span in whole)
    assert sums.time.worst >= max(span.duration for span in whole)
    assert run.recording.spans[-1].attributes == (("number", 7),)
    assert run.recording.unread == 0


def test_a_kill_keeps_the_sums(tmp_path):
    path = tmp_path / "killed.memkit"
    text = f"""if True:
        import memkit, os, signal, time
        with memkit.record({str(path)!r}):
            for number in range(2000):
                with memkit.span("turn"):
                    pass
            time.sleep(0.6)
            with memkit.span("turn"):
                pass
            time.sleep(0.6)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -signal.SIGKILL
    (sums,) = memkit.read(path).span_sums
    assert sums.number == 2001


def test_a_kill_within_the_first_spans_loses_none_of_them(tmp_path):
    path = tmp_path / "killed.memkit"
    text = f"""if True:
        import memkit, os, signal, time
        with memkit.record({str(path)!r}) as run:
            for number in range(20):
                with memkit.span("turn"):
                    pass
            time.sleep(0.6)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -signal.SIGKILL
    (sums,) = memkit.read(path).span_sums
    spans = memkit.read(path).spans
    assert (sums.number, len(spans)) == (20, 20)
    assert sums.time.total == sum(span.duration for span in spans)
    assert sums.time.worst == max(span.duration for span in spans)


@forks
def test_sums_of_processes_are_added(tmp_path):
    path = tmp_path / "forks.memkit"
    with memkit.record(path, follow=True), memkit.span("work"):
        pid = os.fork()
        if pid == 0:
            with memkit.span("work"):
                pass
            os._exit(0)
        os.waitpid(pid, 0)
    assert [(sums.label, sums.number) for sums in memkit.read(path).span_sums] in ([("work", 2)], [("work", 1)])


# -- the document ----------------------------------------------------------------------------------------------------------


def test_the_json_document_brings_everything_back(tmp_path):
    with memkit.record() as run:
        for number in range(12):
            with memkit.span("a", number=number, name="é", ok=True, none=None, share=0.5):
                pass
    memkit.report(run.recording, json=str(tmp_path / "a.json"), quiet=True)
    again = memkit.read(tmp_path / "a.json")
    assert again.span_sums == run.recording.span_sums
    assert again.spans == run.recording.spans


# -- leaks ---------------------------------------------------------------------------------------------------------------


def of(alive, number=None, sure=()):
    """Sums of a label at whose looks so much was alive, and in blocks of sizes that no free list has."""
    none, number = (None,) * 6, len(alive) * BLOCK if number is None else number
    return memkit.SpanSums("a", number, 0, *none, BLOCK, tuple(alive[-41:]), tuple(sure[-41:]))


def test_what_grows_in_every_block_is_a_leak():
    leak = of([block * 2500 + block % 3 for block in range(80)]).leak
    assert leak.kept == pytest.approx(100, rel=0.01)
    assert 0 < leak.least <= leak.kept
    assert (leak.chance, leak.spans) == (2**-40, 1000)


def test_jumps_in_both_directions_do_not_hide_a_leak():
    jumps = {3: 30_000, 17: -25_000, 29: 40_000, 30: -31_000}
    alive = [sum(2000 + jumps.get(number % 40, 0) for number in range(block)) for block in range(80)]
    leak = of(alive).leak
    assert (leak.kept, leak.least) == (80, 80)


@pytest.mark.parametrize(
    "alive",
    [
        [1000] * 80,
        [min(block, 50) * 100_000 for block in range(80)],  # a cache that is full
        [block % 2 * 1000 for block in range(80)],
        [1_000_000 if block > 50 else 0 for block in range(80)],  # something that is made once
        [-block * 100 for block in range(80)],
    ],
)
def test_what_does_not_grow_for_ever_is_none(alive):
    assert of(alive).leak is None


def test_too_few_spans_tell_nothing():
    assert of([block * 5000 for block in range(41)], number=1050).leak is None
    assert memkit.leaks([of([block * 5000 for block in range(5)])]) == ()


def test_what_may_be_of_free_lists_is_named_only_where_it_is_alone():
    small, large = of([block * 50 for block in range(80)]), of([block * 50_000 for block in range(30)], number=750)
    assert small.leak is not None
    assert small.sure_leak is None
    assert memkit.leaks([small, large]) == memkit.leaks([small, of([block * 10 for block in range(30)])]) == ()
    ((named, _),) = memkit.leaks([small, of([block * 6 for block in range(30)], number=750)])
    assert named is small


def test_what_no_free_list_has_is_named_beside_any_other():
    grows = [block * 50 for block in range(80)]
    small, large = of(grows, sure=grows), of([block * 50_000 for block in range(80)])
    jumps = of([block * 50 + block % 2 * 90 for block in range(80)], sure=grows)
    assert jumps.leak is None
    assert [(each, leak.kept) for each, leak in memkit.leaks([small, jumps, large])] == [
        (large, 2000),
        (small, 2),
        (jumps, 2),
    ]


@native
@pytest.mark.parametrize(("text", "named"), [(False, set()), (True, {"route 0"})])
def test_objects_of_free_lists_do_not_make_others_leak(text, named):
    generator, kept = random.Random(1), []

    def objects(number):
        return [(number / 5, number / 7, {number: [number / 3]}) for _ in range(5)]

    with memkit.record(heap="spans") as run:
        for number in range(9000):
            route = generator.randrange(4)
            with memkit.span(f"route {route}"):
                made = [objects(number) for _ in range(generator.randrange(1, 4))]
                if route == 0:
                    kept.append((made[0], str(number) * 3 if text else None))
                del made
    assert any(sums.leak for sums in run.recording.span_sums if sums.label != "route 0")
    assert {sums.label for sums, _ in memkit.leaks(run.recording.span_sums)} == named


@native
def test_five_services_that_leak_are_named_and_five_that_do_not_are_not():
    generator = random.Random(17)
    kept = {number: [] for number in range(5)}
    caches = {number: {} for number in range(5, 10)}

    def serve(number):
        bytes(generator.randrange(100, 5000))
        if number < 5 and generator.random() < (1, 0.5, 0.3, 0.2, 0.9)[number]:
            kept[number].append(bytes(generator.randrange(1, 2000)))
        if number >= 5:
            caches[number][generator.randrange(10 * (number - 4))] = bytes(generator.randrange(1, 4000))

    with memkit.record(heap="spans") as run:
        for turn in range(20_000):
            number = turn % 10
            with memkit.span(f"service {number}"):
                serve(number)
    named = {sums.label for sums, _ in memkit.leaks(run.recording.span_sums)}
    assert named == {f"service {number}" for number in range(5)}
    first = next(sums for sums in run.recording.span_sums if sums.label == "service 0")
    assert first.leak.least <= sum(map(sys.getsizeof, kept[0])) / 2000 <= 2 * first.leak.kept


@native
def test_a_small_leak_is_named_among_requests_that_take_turns():
    kept = []

    async def request(number):
        with memkit.span("leak" if number % 3 == 0 else f"route {number % 3}"):
            await asyncio.sleep(0)
            bytes(1000 + number % 5000)
            if number % 3 == 0:
                kept.append(bytes(10))
            await asyncio.sleep(0)

    async def main():
        for _ in range(60):
            await asyncio.gather(*map(request, range(100)))

    with memkit.record(heap="spans") as run:
        asyncio.run(main())
    ((sums, leak),) = memkit.leaks(run.recording.span_sums)
    assert sums.label == "leak"
    assert leak.kept == pytest.approx(sys.getsizeof(bytes(10)), abs=5)


# -- so far --------------------------------------------------------------------------------------------------------------


def test_sums_so_far_are_those_that_the_recording_will_have():
    assert memkit.span_sums() == ()
    with memkit.record() as run:
        for label in ("b", "a", "b"):
            with memkit.span(label):
                assert label not in {each.label for each in memkit.span_sums()} or label == "b"
        found = memkit.span_sums()
    assert [(each.label, each.number) for each in found] == [("a", 1), ("b", 2)]
    assert run.recording.span_sums == found
    assert memkit.span_sums() == ()


@native
def test_another_recording_that_counts_the_heap_adds_what_was_kept():
    with memkit.record():
        for _ in range(3):
            with memkit.span("a"):
                pass
        with memkit.record(heap="spans"):
            with memkit.span("a"):
                kept = bytes(100_000)
            (found,) = memkit.span_sums()
        (after,) = memkit.span_sums()
    assert (found.number, after.number) == (4, 4)  # a counter that goes on, whatever begins and ends beside it
    assert found.kept.total >= len(kept)


@native
def test_sums_so_far_are_those_of_the_recording_that_counts_the_heap():
    with memkit.record(), memkit.record(heap="spans"):
        with memkit.span("a"):
            kept = bytes(100_000)
        (found,) = memkit.span_sums()
    assert found.kept.total >= len(kept)
