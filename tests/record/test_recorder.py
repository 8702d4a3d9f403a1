"""Recording the process one is in."""

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import weakref

import pytest

import memkit
from memkit.base.errors import MeterError
from memkit.model import file_format
from memkit.record import exit_status
from memkit.record.exit_status import how_it_ended
from memkit.system import engine

from engines import forks

MIB = 1 << 20


def test_a_block_is_recorded_from_its_beginning_to_its_end(touched):
    with memkit.record() as run:
        memory = touched(30)
    recording = run.recording
    assert recording.growth == pytest.approx(30 * MIB, abs=MIB)
    assert recording.peak >= recording.end
    assert recording.ending.kind == "ok"
    assert recording.about.pid == os.getpid()
    assert recording.source is None
    memory.close()


def test_before_the_first_start_there_is_no_recording():
    assert memkit.record().recording is None


def test_a_recorder_says_how_far_it_is(tmp_path):
    run = memkit.record()
    assert repr(run) == "<memkit.Recorder not begun, no file>"
    with run:
        assert repr(run) == "<memkit.Recorder recording, no file>"
    assert repr(run) == "<memkit.Recorder ended, no file>"
    assert repr(memkit.record(tmp_path / "a")) == f"<memkit.Recorder not begun, {tmp_path / 'a'}>"


def test_a_recording_can_be_looked_at_while_it_goes_on():
    with memkit.record() as run:
        first = run.recording
        assert first.ending.kind == "unknown"
        assert len(first.samples) >= 1
    assert run.recording is not first
    assert run.recording is run.recording


def test_a_file_that_took_the_number_of_a_closed_descriptor_is_left_alone(tmp_path):
    (tmp_path / "theirs").write_text("theirs\n")
    run = memkit.record()
    with run:
        pass
    theirs = os.open(tmp_path / "theirs", os.O_RDWR)
    os.dup2(theirs, number := run._unnamed._fd)
    with pytest.raises(memkit.JournalError, match="closed the temporary file"):
        run.recording  # noqa: B018
    del run
    assert os.read(number, 9) == b"theirs\n"
    for each in (theirs, number):
        os.close(each)


def test_a_recorder_whose_temporary_file_was_closed_can_be_used_again():
    run = memkit.record()
    with run:
        pass
    os.close(run._unnamed._fd)
    with run:
        pass
    assert run.recording.ending.kind == "ok"


def test_a_path_keeps_the_recording(tmp_path):
    path = tmp_path / "r.memkit"
    with memkit.record(path) as run:
        pass
    assert memkit.read(path) == run.recording
    assert run.recording.source == str(path)


def test_a_recording_that_is_there_already_is_replaced(tmp_path):
    path = tmp_path / "r.memkit"
    for label in ("first", "second"):
        with memkit.record(path), memkit.span(label):
            pass
    assert [span.label for span in memkit.read(path).spans] == ["second"]


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / "precious.csv"
    path.write_text("a,b\n")
    with pytest.raises(memkit.UsageError, match=r"precious.*not a recording"), memkit.record(path):
        pytest.fail("it ran")
    assert path.read_text() == "a,b\n"


def test_a_path_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(memkit.UsageError, match="No such file"), memkit.record(tmp_path / "no" / "r"):
        pytest.fail("it ran")


def test_what_the_body_raises_passes_through_and_is_recorded(tmp_path):
    path = tmp_path / "r.memkit"
    with pytest.raises(ValueError, match="boom"), memkit.record(path):
        raise ValueError("boom")
    assert str(memkit.read(path).ending) == "ended by an exception: ValueError: boom"


@pytest.mark.parametrize(
    ("text", "ending", "asked"),
    [
        ("", "finished", "has_completed_successfully"),
        ("raise ValueError", "ended by an exception: ValueError", "has_crashed_gracefully"),
        ("raise SystemExit(3)", "ended, exit status unknown", "has_crashed_ungracefully"),
    ],
)
def test_a_recording_that_is_never_stopped_claims_no_unknown_success(plain, script, tmp_path, text, ending, asked):
    plain(script(f"import memkit\nmemkit.record('r.memkit').start()\nmemkit.Tracker('t.csv').start()\n{text}\n"))
    assert str(memkit.read(tmp_path / "r.memkit").ending) == ending
    for path in (tmp_path / "r.memkit", tmp_path / "t.csv"):
        asks = ("has_completed_successfully", "has_crashed_gracefully", "has_crashed_ungracefully")
        assert [name for name in asks if getattr(memkit, name)(path)] == [asked]


@pytest.mark.parametrize("flags", [(), ("-i",)])
def test_a_recorder_that_a_script_keeps_is_freed_in_silence(plain, script, flags):
    done = plain(
        script("import memkit\nwith memkit.record() as run:\n    pass\n"),
        flags=flags,
        input="raise SystemExit\n",
        stdin=None,
    )
    assert (done.returncode, done.stderr.replace(">>> ", "").strip()) == (0, "")


def test_under_memkit_run_it_knows_how_the_program_ends(memkit_run, script, tmp_path):
    memkit_run(script("import memkit\nmemkit.record('r.memkit').start()\nraise SystemExit(3)\n"))
    assert str(memkit.read(tmp_path / "r.memkit").ending) == "exited with code 3"


def test_the_same_recorder_can_be_used_again():
    run = memkit.record()
    with run, memkit.span("one"):
        pass
    with run, memkit.span("two"):
        pass
    assert [span.label for span in run.recording.spans] == ["two"]


def test_recordings_nest_and_each_is_whole(touched):
    with memkit.record() as outer:
        with memkit.record() as inner, memkit.span("both"):
            memory = touched(20)
        memory.close()
    assert inner.recording.growth == pytest.approx(20 * MIB, abs=MIB)
    assert outer.recording.growth == pytest.approx(0, abs=MIB)
    assert [span.label for span in outer.recording.spans] == [span.label for span in inner.recording.spans] == ["both"]


def test_a_recorder_does_not_start_twice():
    with memkit.record() as run, pytest.raises(memkit.UsageError, match="recording already"):
        run.start()


def test_two_recordings_do_not_share_a_file(tmp_path):
    path = tmp_path / "r.memkit"
    with memkit.record(path), pytest.raises(memkit.UsageError, match="being recorded into already"), memkit.record(path):
        pytest.fail("it ran")
    assert memkit.read(path).ending.kind == "ok"


def test_a_recording_may_be_stopped_by_another_thread():
    run = memkit.record()
    run.start()
    thread = threading.Thread(target=run.stop)
    thread.start()
    thread.join()
    assert (run.running, run.recording.ending.kind) == (False, "ok")


def test_recordings_of_many_threads_do_not_meet():
    found = []

    def work():
        with memkit.record(interval="1ms") as run, memkit.span(threading.current_thread().name):
            pass
        found.append(run.recording)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [recording.ending.kind for recording in found] == ["ok"] * 16
    assert all(recording.unread == 0 for recording in found)


def test_stopping_what_does_not_run_is_harmless():
    memkit.record().stop()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"interval": 0}, "too short"),
        ({"interval": "soon"}, "'soon' is not a time"),
        ({"path": print}, r"@memkit\.record\(\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_their_value(settings, reason):
    with pytest.raises(memkit.UsageError, match=reason):
        memkit.record(**settings)


def test_an_unknown_meter_is_refused_with_the_nearest_name():
    with pytest.raises(memkit.UsageError, match=r"'rsss' \(did you mean 'rss'\?\)"), memkit.record(meter="rsss"):
        pytest.fail("it ran")


@pytest.mark.parametrize("meter", ["rss", "anon", "vms", "uss", "pss", "swap"])
def test_every_meter_can_be_recorded(meter):
    with memkit.record(meter=meter) as run:
        pass
    assert run.recording.about.meter == meter
    assert all(sample.peak >= sample.memory >= 0 for sample in run.recording.samples)


def test_the_meter_of_the_control_group_counts_what_all_in_it_use(touched):
    try:
        engine.meter_named("cgroup")
    except MeterError as error:
        pytest.skip(str(error))
    with memkit.record(meter="cgroup") as run:
        memory = touched(64)
    memory.close()
    assert run.recording.about.meter == "cgroup"
    assert run.recording.samples[-1].memory > 64 * MIB


def test_a_meter_may_be_a_callable():
    values = iter(range(1000, 100_000, 10))

    def shelf():
        return next(values)

    with memkit.record(meter=shelf, interval="1ms") as run:
        while len(run.recording.samples) < 5:
            pass
    assert run.recording.about.meter.endswith("shelf")
    assert [sample.memory for sample in run.recording.samples[:3]] == [1010, 1020, 1030]
    assert (run.recording.about.peaks, run.recording.about.engine) == ("samples", "portable")


def test_a_plugins_meter_is_recorded_under_its_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shelf_module.py").write_text(
        "import memkit\ndef seven(): return 7\n@memkit.hookimpl\ndef memkit_meters(): return {'shelf': seven}\n"
    )
    (tmp_path / "shelf-1.dist-info").mkdir()
    (tmp_path / "shelf-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
    (tmp_path / "shelf-1.dist-info" / "entry_points.txt").write_text("[memkit]\nshelf = shelf_module\n")
    with memkit.record(meter="shelf") as run:
        pass
    assert run.recording.about.meter == "shelf"
    assert {sample.memory for sample in run.recording.samples} == {7}
    sys.modules.pop("shelf_module")


def test_a_callable_that_gives_no_bytes_is_refused():
    with pytest.raises(memkit.MeterError, match="does not give bytes: TypeError"), memkit.record(meter=lambda: None):
        pytest.fail("it ran")


def test_a_callable_that_fails_later_ends_the_sampling_and_not_the_program():
    answers = iter([1, 2])
    with memkit.record(meter=lambda: next(answers), interval="1ms") as run:
        pass
    assert [sample.memory for sample in run.recording.samples] == [2]


def test_a_transient_shorter_than_the_interval_is_seen_exactly(exact_peaks, spike):
    with memkit.record(interval=10) as run:
        spike(60)
    assert run.recording.peak - run.recording.start == pytest.approx(60 * MIB, abs=MIB)
    assert run.recording.peak_is_exact


def test_without_resets_the_recording_says_so(native_only):
    with memkit.record(peak_reset=False) as run:
        pass
    assert (run.recording.about.peaks, run.recording.about.peaks_reason) == ("mark", "switched off")
    with memkit.record() as run:
        pass
    assert run.recording.about.peaks == "reset"


def test_a_decorated_function_is_recorded_call_by_call(touched):
    @memkit.record()
    def load(megabytes, fail=False):
        """Load it."""
        if fail:
            raise KeyError(megabytes)
        return touched(megabytes)

    assert load.__doc__ == "Load it."
    memory = load(10)
    assert load.recorder.recording.growth == pytest.approx(10 * MIB, abs=MIB)
    with pytest.raises(KeyError):
        load(3, fail=True)
    assert load.recorder.recording.ending.error == "KeyError: 3"
    memory.close()


DECORATORS = [memkit.record(), memkit.Tracker("t.csv"), memkit.span("work")]


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("given", [dict, 5, None])
def test_only_functions_can_be_decorated(decorator, given):
    with pytest.raises(memkit.UsageError, match=f"{given!r} is no function"):
        decorator(given)


@pytest.mark.parametrize("decorator", DECORATORS)
def test_a_method_of_a_class_can_be_decorated(decorator, tmp_path, monkeypatch):
    monkeypatch.setattr(decorator, "path", str(tmp_path / "t.csv"), raising=False)

    class Twice:
        @decorator
        @staticmethod
        def of(number):
            return 2 * number

        @decorator
        @classmethod
        def name(cls):
            return cls.__name__

    assert (Twice.of(2), Twice().of(3), Twice.name(), Twice().name()) == (4, 6, "Twice", "Twice")


def test_a_recursion_is_one_recording():
    @memkit.record()
    def deep(levels):
        with memkit.span(str(levels)):
            return levels and deep(levels - 1)

    deep(3)
    assert [span.label for span in deep.recorder.recording.spans] == ["3", "2", "1", "0"]


def test_a_coroutine_is_recorded_until_it_ends(touched):
    @memkit.record()
    async def load():
        memory = touched(10)
        await asyncio.sleep(0.01)
        return memory

    memory = asyncio.run(load())
    assert load.recorder.recording.growth == pytest.approx(10 * MIB, abs=MIB)
    assert load.recorder.recording.duration >= 10_000_000
    memory.close()


def test_a_generator_is_recorded_until_it_is_exhausted():
    @memkit.record()
    def chunks():
        sent = yield 1
        yield sent

    running = chunks()
    assert next(running) == 1
    assert chunks.recorder.running
    assert running.send(5) == 5
    assert list(running) == []
    assert not chunks.recorder.running


def test_a_generator_of_which_nobody_wants_more_has_not_failed(tmp_path):
    @memkit.record(tmp_path / "r.memkit")
    @memkit.Tracker(tmp_path / "t.csv")
    def numbers():
        yield 1
        yield 2

    found = numbers()
    next(found)
    found.close()
    assert memkit.read(tmp_path / "r.memkit").ending.kind == "ok"
    assert memkit.has_completed_successfully(tmp_path / "t.csv")


def test_an_asynchronous_generator_that_is_closed_early_has_not_failed(tmp_path):
    @memkit.record(tmp_path / "r.memkit")
    @memkit.Tracker(tmp_path / "t.csv")
    async def numbers():
        yield 1
        yield 2

    async def main():
        found = numbers()
        await anext(found)
        await found.aclose()

    asyncio.run(main())
    assert memkit.read(tmp_path / "r.memkit").ending.kind == "ok"
    assert memkit.has_completed_successfully(tmp_path / "t.csv")


def test_what_is_sent_into_a_decorated_asynchronous_generator_arrives():
    @memkit.record()
    async def echoes():
        heard = None
        while True:
            try:
                heard = yield heard
            except KeyError as error:
                heard = error

    async def main():
        found = echoes()
        thrown = KeyError("x")
        heard = [await anext(found), await found.asend(1), await found.athrow(thrown), await found.asend(2)]
        await found.aclose()
        assert heard == [None, 1, thrown, 2]

    asyncio.run(main())


def test_an_asynchronous_generator_is_recorded_until_it_is_exhausted():
    @memkit.record()
    async def chunks():
        yield 1
        yield 2

    async def collect():
        return [value async for value in chunks()]

    assert asyncio.run(collect()) == [1, 2]
    assert chunks.recorder.recording.ending.kind == "ok"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@forks
def test_a_forked_child_leaves_its_parents_recording_alone(tmp_path):
    path = tmp_path / "r.memkit"
    with memkit.record(path, interval="1ms") as run, memkit.span("around"):
        pid = os.fork()
        if pid == 0:
            try:
                with memkit.span("child"):
                    pass
                run.stop()
                with memkit.record() as own:
                    pass
                os._exit(own.recording.about.pid != os.getpid())
            finally:
                os._exit(77)
        assert os.waitpid(pid, 0)[1] == 0
        samples = len(run.recording.samples)
        while len(run.recording.samples) < samples + 3:  # it went on after the fork
            pass
    rows = path.read_bytes().splitlines()
    assert sum(row.startswith(b'["end"') for row in rows) == 1
    assert [span.label for span in memkit.read(path).spans] == ["around"]
    times = [sample.time for sample in memkit.read(path).samples]
    assert times == sorted(times)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_a_thread_forked_waits_for_no_fork_of_its_parents(plain):
    """It found the frame that forks in its stack, and asked itself at every step whether that was over."""
    program = """
import os, sys, threading, memkit
from memkit.record import active
memkit.record().start()
seen = []
os.register_at_fork(after_in_child=lambda: os._exit(4 if active._forking is None else 5))
def fork():
    pid = os.fork()
    seen.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
thread = threading.Thread(target=fork)
thread.start()
thread.join()
sys.exit(seen != [4])
"""
    assert plain("-c", program).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@forks
def test_a_pool_of_forked_workers_leaves_it_alone_too(tmp_path):
    path = tmp_path / "r.memkit"
    with memkit.record(path, interval="1ms"), multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
    assert {sample.pid for sample in memkit.read(path).samples} == {os.getpid()}
    assert path.read_bytes().count(b'["end"') == 1


def test_rows_that_did_not_reach_the_disk_are_an_error_at_the_end(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = memkit.record(tmp_path / "r.memkit")
    run.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(run.path), hard))
    try:
        with pytest.raises(memkit.JournalError, match=r"rows did not reach .*r.memkit"):
            run.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.recording.ending.kind == "unknown"


def test_lost_rows_do_not_hide_the_programs_own_exception(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = memkit.record(tmp_path / "r.memkit")
    try:
        with pytest.raises(ZeroDivisionError), run:
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(run.path), hard))
            raise ZeroDivisionError
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_rise_is_on_the_disk_before_the_kill_that_it_may_bring(tmp_path):
    path = tmp_path / "r.memkit"
    code = f"""
import memkit, os, signal, time
memkit.record({str(path)!r}).start()
block = bytearray(b"x" * (50 << 20))
time.sleep(0.15)        # less than rows are kept for otherwise
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert memkit.read(path).peak > 50 * MIB


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (None, ("ok",)),
        (SystemExit(), ("ok",)),
        (SystemExit(0), ("ok",)),
        (SystemExit(3), ("exited", None, 3)),
        (SystemExit(-1), ("exited", None, 255)),
        (SystemExit("no such thing"), ("exited", None, 1)),
        (ValueError("no"), ("error", "ValueError: no", None, None, "ValueError")),
        (KeyboardInterrupt(), ("error", "KeyboardInterrupt", None, None, "KeyboardInterrupt")),
        (Unprintable(), ("error", "Unprintable", None, None, "Unprintable")),
        (
            OSError(2, "No such file"),
            ("error", "FileNotFoundError: [Errno 2] No such file", None, None, "FileNotFoundError"),
        ),
        (
            RuntimeError("can't start new thread"),
            ("error", "RuntimeError: can't start new thread", None, None, "RuntimeError"),
        ),
    ],
)
def test_what_a_program_raises_is_how_it_ended(error, row):
    assert how_it_ended(error) == row


def test_of_an_uncaught_memory_error_what_may_have_refused_is_told(monkeypatch):
    found = [("cgroup /jobs", 9, 1, "cgroup"), ("RLIMIT_DATA", 9, 1, "data"), ("RLIMIT_AS", 9, 5, "address space")]
    monkeypatch.setattr(exit_status.limits, "find", lambda: found)
    monkeypatch.setattr(exit_status.limits, "address_space_peak", lambda: 7)
    limits = [["address space", "RLIMIT_AS", 9], ["data", "RLIMIT_DATA", 9]]
    evidence = {"cause": "refused", "refused": "MemoryError", "limits": limits, "address_space_peak": 7}
    assert how_it_ended(MemoryError()) == ("error", "MemoryError", None, evidence, "MemoryError")


def test_a_memory_error_that_only_speaks_of_the_limit_is_not_the_limits(monkeypatch):
    monkeypatch.setattr(exit_status.limits, "find", list)
    assert how_it_ended(MemoryError("the limit that was set"))[3]["cause"] == "refused"


def test_two_thousand_recordings_leave_nothing_behind(tmp_path):
    run = memkit.record(tmp_path / "r.memkit")
    for _ in range(100):
        with run:
            pass
    gc.collect()  # what earlier tests left to be found may hold descriptors
    before = memkit.rss(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(2000):
        with run:
            pass
    after = memkit.rss(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after[1] <= before[1]
    assert after[0] - before[0] < 2 * MIB
    assert file_format.is_recording(run.path)


@pytest.mark.parametrize("settings", [{}, {"lines": True}, {"calls": True}, {"children": True}], ids=str)
def test_a_recorder_is_freed_with_its_last_name(native_only, settings):
    def work():
        return 1

    settings = {**settings, "lines": work} if "lines" in settings else settings
    gc.disable()
    try:
        recorder = memkit.record(**settings)
        with recorder:
            work()
        assert recorder.recording.ending.kind == "ok"
        freed = weakref.ref(recorder)
        del recorder
        assert freed() is None
    finally:
        gc.enable()
