"""Named stretches of time."""

import asyncio
import gc
import json
import os
import threading
import time
import types

import pytest

import memkit
from memkit.record import active
from memkit.record.spans import SpanRows
from memkit.system.engine import Journal

MIB = 1 << 20


def test_a_span_has_memory_before_and_after_and_the_peak_between(exact_peaks, touched, spike):
    with memkit.record(interval=10) as run:
        with memkit.span("keep"):
            memory = touched(20)
        with memkit.span("transient"):
            spike(50)
    keep, transient = run.recording.spans
    assert keep.growth == pytest.approx(20 * MIB, abs=MIB)
    assert transient.growth == pytest.approx(0, abs=MIB)
    assert transient.peak - transient.before == pytest.approx(50 * MIB, abs=MIB)
    memory.close()


def test_spans_nest_and_know_how_deep():
    with memkit.record() as run, memkit.span("a"):
        with memkit.span("b"), memkit.span("c"):
            pass
        with memkit.span("d"):
            pass
    assert [(span.label, span.depth) for span in run.recording.spans] == [("a", 0), ("b", 1), ("c", 2), ("d", 1)]


def test_a_span_ends_when_its_body_raises():
    with memkit.record() as run, pytest.raises(ZeroDivisionError), memkit.span("a"):
        1 / 0  # noqa: B018
    with memkit.record() as after, memkit.span("b"):
        pass
    assert run.recording.spans[0].end is not None
    assert after.recording.spans[0].depth == 0


def test_without_a_recording_a_span_does_nothing():
    with memkit.span("a"):
        pass


def test_a_span_begun_before_a_recording_is_not_in_it():
    with memkit.span("a"), memkit.record() as run:
        pass
    assert run.recording.spans == ()


def test_a_span_that_outlives_its_recording_is_unfinished():
    run = memkit.record()
    with memkit.span("outer"):
        run.start()
        with memkit.span("inner"):
            run.stop()
    [span] = run.recording.spans
    assert (span.label, span.end) == ("inner", None)


def test_a_span_of_an_earlier_recording_does_not_end_in_the_next():
    run = memkit.record()
    run.start()
    with memkit.span("inner"):
        run.stop()
        run.start()
    run.stop()
    assert run.recording.spans == ()
    assert run.recording.unread == 0


def test_a_decorated_function_is_a_span_at_each_call():
    @memkit.span("work")
    def work(levels):
        return levels and work(levels - 1)

    with memkit.record() as run:
        work(2)
    assert [(span.label, span.depth) for span in run.recording.spans] == [("work", 0), ("work", 1), ("work", 2)]


def test_every_thread_has_a_nesting_of_its_own():
    ready, go = threading.Barrier(5), threading.Barrier(5)

    def work(name):
        with memkit.span(name):
            ready.wait()
            go.wait()

    with memkit.record() as run, memkit.span("main"):
        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        ready.wait()
        go.wait()
        for thread in threads:
            thread.join()
    spans = run.recording.spans
    assert {span.depth for span in spans} == {0}
    assert len({span.thread for span in spans}) == 5


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_generator_may_end_in_another_thread_than_it_began_in():
    @memkit.span("generator")
    def numbers():
        yield 1
        with memkit.span("inner"):
            yield 2

    generator = numbers()
    with memkit.record() as run:
        with memkit.span("first"):
            pass
        in_a_thread(lambda: next(generator))
        assert list(generator) == [2]
        begun_here = numbers()
        next(begun_here)
        in_a_thread(begun_here.close)
        with memkit.span("last"):
            pass
    found = [(span.label, span.depth, span.end is not None) for span in run.recording.spans]
    assert found == [
        ("first", 0, True),
        ("generator", 0, True),
        ("inner", 0, True),
        ("generator", 0, True),
        ("last", 0, True),
    ]


def test_threads_may_share_a_span():
    shared = memkit.span("shared")
    inside, out = threading.Event(), threading.Event()

    def first():
        with shared:
            inside.set()
            out.wait()

    with memkit.record() as run:
        thread = threading.Thread(target=first)
        thread.start()
        inside.wait()
        with shared:
            out.set()
            thread.join()
    began_first, began_second = run.recording.spans
    assert began_first.thread != began_second.thread
    assert began_first.start < began_second.start < began_first.end < began_second.end


def test_a_span_stays_open_across_an_await():
    async def step(name):
        with memkit.span(name):
            await asyncio.sleep(0.001)

    async def both():
        await asyncio.gather(step("a"), step("b"))

    with memkit.record() as run:
        asyncio.run(both())
    a, b = run.recording.spans
    assert a.start < b.start < a.end < b.end


def test_a_span_is_left_out_while_a_meter_tells_nonsense():
    value = 5
    with memkit.record(interval=10, meter=lambda: value) as run:
        with memkit.span("its end"):
            value = 1 << 80
        with memkit.span("its beginning"):
            value = 5
        with memkit.span("known"):
            pass
    assert [(span.label, span.growth) for span in run.recording.spans if span.end] == [("known", 0)]


def test_a_label_is_any_text():
    with memkit.record() as run, memkit.span('é "quoted"\n\ud800 𝄞'):
        pass
    assert run.recording.spans[0].label == 'é "quoted"\n\ud800 𝄞'


def test_a_label_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="text, not 5"):
        memkit.span(5)


def test_tasks_that_begin_one_another_keep_none_that_is_over():
    async def turn(left):
        with memkit.span("turn"):
            if left:
                following = asyncio.create_task(turn(left - 1))
                await asyncio.sleep(0)  # it begins in this one, which ends before it
                return following
        return None

    async def all_of_them():
        following = await turn(100)
        while following is not None:
            following = await following
        return [kind.__name__ for kind in map(type, gc.get_objects()) if kind.__name__ in ("Open", "_Open")]

    gc.collect()
    with memkit.record() as run:
        assert len(asyncio.run(all_of_them())) < 10
    assert len(run.recording.spans) == 101


class Interrupting:
    """A meter that raises in this thread, and not in the sampler's, once it is due."""

    def __init__(self):
        self.due, self.thread = False, threading.get_ident()

    def __call__(self):
        if self.due and threading.get_ident() == self.thread:
            self.due = False
            raise KeyboardInterrupt
        return 5


def test_a_span_whose_beginning_is_interrupted_is_over():
    meter = Interrupting()
    with memkit.record(meter=meter) as run:
        for _ in range(3):
            meter.due = True
            with pytest.raises(KeyboardInterrupt), memkit.span("interrupted"):
                pass
        with memkit.span("next") as one:
            pass
    assert not active.open_spans and not active.lone_spans
    assert one.overlapped is False
    assert [(span.label, span.depth, span.end is None) for span in run.recording.spans] == [("next", 0, False)]


def test_a_span_whose_end_is_interrupted_is_over():
    meter = Interrupting()
    with memkit.record(meter=meter) as run:
        one = memkit.span("interrupted")
        one.__enter__()
        meter.due = True
        with pytest.raises(KeyboardInterrupt):
            one.__exit__(None, None, None)
        with memkit.span("next") as after:
            pass
    assert not active.open_spans and after.overlapped is False
    assert [(span.label, span.depth, span.end is None) for span in run.recording.spans] == [
        ("interrupted", 0, True),
        ("next", 0, False),
    ]


def test_a_span_whose_sums_are_interrupted_has_its_row(monkeypatch):
    from memkit.record.span_sums import SpanSums

    def interrupted(self, *values):
        raise KeyboardInterrupt

    with memkit.record() as run:
        with monkeypatch.context() as patched:
            patched.setattr(SpanSums, "add", interrupted)
            with pytest.raises(KeyboardInterrupt), memkit.span("interrupted"):
                pass
        with memkit.span("next"):
            pass
    assert [(span.label, span.end is None) for span in run.recording.spans] == [("interrupted", False), ("next", False)]


@pytest.mark.usefixtures("native_only")
@pytest.mark.parametrize("step", ["begin", "end"])
def test_an_interrupt_between_two_steps_leaves_no_span_open(monkeypatch, step):
    from memkit.tracing.session import InsideSpans

    whole = getattr(InsideSpans, step)

    def interrupted(self, *values, **more):
        whole(self, *values, **more)
        raise KeyboardInterrupt

    with memkit.record(heap="spans") as run:
        monkeypatch.setattr(InsideSpans, step, interrupted)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt), memkit.span("interrupted"):
                pass
        monkeypatch.undo()
        with memkit.span("next") as one:
            made = bytes(1 << 20)
    assert not active.open_spans and not active.lone_spans
    assert one.overlapped is False and one.kept >= len(made)
    assert [(span.label, span.depth, span.end is None) for span in run.recording.spans] == [
        *[("interrupted", 0, False)] * 3,
        ("next", 0, False),
    ]


class Handing:
    """A meter, at whose reading another thread may have the recording go on in the next file."""

    def __init__(self):
        self.hand_over = None

    def read(self):
        if self.hand_over is not None:
            hand_over, self.hand_over = self.hand_over, None
            hand_over()
        return MIB


@pytest.fixture
def two_files(tmp_path):
    """The meter, the spans of two files and the paths; the recording is in the first one."""
    made = []
    meter = Handing()
    for name in ("first", "second"):
        path = tmp_path / name
        made.append((path, SpanRows(Journal(os.open(path, os.O_CREAT | os.O_RDWR)), meter, False, time.monotonic_ns())))
    (first, rows), (second, others) = made
    current = types.SimpleNamespace(spans=rows)
    active.recorders.append(current)

    def hand_over():
        current.spans = others
        rows.end_later(others, rows.journal.close)

    def written():
        rows.journal.close()
        others.journal.close()
        kinds = [[json.loads(row)[0] for row in path.read_text().splitlines()] for path in (first, second)]
        return [[kind for kind in each if kind != "span_sums"] for each in kinds]

    yield meter, hand_over, written
    active.recorders.remove(current)


def test_a_span_that_begins_while_files_change_is_in_the_next(two_files):
    meter, hand_over, written = two_files
    meter.hand_over = hand_over
    with memkit.span("a"):
        pass
    assert written() == [[], ["span", "span_end"]]


def test_a_span_that_ends_while_files_change_is_whole(two_files):
    meter, hand_over, written = two_files
    with memkit.span("a"):
        meter.hand_over = hand_over
    assert written() == [["span", "span_end"], []]


def test_a_span_that_began_before_files_changed_is_whole(two_files):
    _, hand_over, written = two_files
    with memkit.span("a"):
        hand_over()
        with memkit.span("b"):
            pass
    assert written() == [["span", "span_end"], ["span", "span_end"]]
