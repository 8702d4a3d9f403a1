"""A recording for weeks: files that follow one another, within an age and a size, and the last minutes of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import memkit
from memkit.model.last_minutes import last_minutes, latest, origin_of
from memkit.record import active, watch_folder
from memkit.record import watch as watching
from memkit.record.watch_folder import Keep, WatchFolder, files_in

MIB = 1 << 20
DAY = 86_400
linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture
def small(monkeypatch):
    """Files that are full after some thousand bytes, looked at every 20 ms."""
    monkeypatch.setattr(watching, "_TICK", 0.02)
    monkeypatch.setattr(watch_folder, "_LARGEST", 4000)
    monkeypatch.setattr(watch_folder, "_SMALLEST", 4000)


@pytest.fixture
def watch(tmp_path):
    """A function as ``memkit.watch``, into a folder of this test; what it returns is stopped at the end."""
    found = []

    def begin(folder=tmp_path / "watched", **how):
        found.append(memkit.watch(folder, **how))
        return found[-1]

    yield begin
    for each in found:
        each.end("ok")


def until(true, seconds=20):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def requests(count):
    for _ in range(count):
        with memkit.span("request"):
            pass


def several_files(watch, count=3):
    """Have requests until there have been so many files; returns how many requests."""
    seen, made, end = set(watch.files), 0, time.monotonic() + 20
    while len(seen) < count:
        assert time.monotonic() < end, watch.trouble
        requests(10)
        made += 10
        seen |= set(watch.files)
        time.sleep(0.005)
    return made


def together(paths):
    return memkit.merge(map(memkit.read, paths))


# -- files that follow one another -------------------------------------------------------------------------------------


def test_each_file_can_be_read_by_itself_and_all_as_one(small, watch):
    run = watch(heap=False)
    count = several_files(run, 4)
    run.stop()
    each = [memkit.read(path) for path in run.files]
    assert [str(one.ending.kind) for one in each] == ["continued"] * (len(each) - 1) + ["ok"]
    assert all(one.samples and one.unread == 0 and one.peak for one in each)
    whole = memkit.merge(each)
    assert [span.label for span in whole.spans] == ["request"] * count
    assert all(span.end is not None for span in whole.spans)
    assert len(whole.processes) == 1 and whole.others == () and whole.executed == ()
    assert whole.ending.kind == "ok"
    assert len(whole.samples) == sum(len(one.samples) for one in each)


def test_a_span_over_several_files_is_whole_where_it_began(small, watch):
    run = watch()
    with memkit.span("outer"):
        several_files(run, 3)
    run.stop()
    (outer,) = [span for span in together(run.files).spans if span.label == "outer"]
    assert outer.end is not None and outer.end > max(span.end for span in memkit.read(run.files[0]).spans[1:])


def test_a_span_that_stays_open_has_its_peak_from_later_files(small, watch, touched):
    run = watch(interval="10ms")
    before = memkit.rss()
    with memkit.span("outer"):
        several_files(run, 3)
        blocks = touched(30)
        several_files(run, len(run.files) + 3)
        (outer,) = [span for span in together(run.files).spans if span.label == "outer"]
    run.stop()
    blocks.close()
    assert outer.end is None and outer.peak > before + 25 * MIB


@linux
def test_no_thread_and_no_descriptor_is_left(small, tmp_path):
    def left(files):
        run = memkit.watch(tmp_path)
        several_files(run, files)
        run.stop()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    assert left(2) == left(8)


def test_old_files_make_room(small, watch, tmp_path, monkeypatch):
    monkeypatch.setattr(watch_folder, "_LEAST_SIZE", 1)
    run = watch(keep="40kB")
    seen = set()
    for _ in range(300):
        requests(20)
        seen |= set(run.files)
        if len(seen) > 14:
            break
        time.sleep(0.02)
    run.stop()
    assert len(seen) > 14
    assert sum(file.stat().st_size for file in Path(run.folder).iterdir()) <= 40_000
    assert together(run.files).ending.kind == "ok"


def test_only_files_of_watches_are_removed(tmp_path):
    folder = WatchFolder(str(tmp_path), Keep("1d,1MB"))
    names = ["load-4-20200101-000000.watch.memkit", "load-4-20200101-000000-2.snapshot.memkit"]
    others = ["load-20200101-000000.memkit", "notes.txt", "watch.memkit"]
    for name in [*names, *others]:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1))
    folder.tidy(None)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_file_that_another_process_writes_is_left(tmp_path):
    path = tmp_path / "load-1-20200101-000000.watch.memkit"
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    code = f"import fcntl; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); input()"
    pytest.importorskip("fcntl")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        WatchFolder(str(tmp_path), Keep("1d")).tidy(None)
        assert path.exists()
        other.communicate(b"\n")
    WatchFolder(str(tmp_path), Keep("1d")).tidy(None)
    assert not path.exists()


def test_a_clock_that_is_set_removes_nothing(tmp_path, monkeypatch):
    folder = WatchFolder(str(tmp_path), Keep("1d"))
    path = tmp_path / "load-1-20200101-000000.watch.memkit"
    path.write_bytes(b"x")
    really = time.time()
    monkeypatch.setattr(watch_folder.clocks, "time", lambda: really + 30 * DAY)
    folder.tidy(None)
    assert path.exists()


def test_the_more_write_into_a_folder_the_smaller_are_the_files():
    keep = Keep("500MB")
    sizes = [keep.file_size(writers) for writers in (1, 10, 100, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert all(writers * keep.file_size(writers) <= keep.size / 2 for writers in (1, 10, 100, 1000))


@pytest.mark.parametrize(
    ("text", "age", "size"),
    [
        ("7d,500MB", 7 * DAY, 500_000_000),
        ("2 GiB", 7 * DAY, 2 << 30),
        ("1.5d", 1.5 * DAY, 500_000_000),
        ("90min", 5400, 5e8),
    ],
)
def test_what_is_kept_is_an_age_a_size_or_both(text, age, size):
    assert (Keep(text).age, Keep(text).size) == (age * 1e9, size)


@pytest.mark.parametrize("text", ["", "7", "7d,8d", "1d,5MB,6MB", "lots", "1s", "1kB", "-1d", "7d;500MB", "7d,,", None, 7])
def test_what_cannot_be_kept_is_refused(text, tmp_path):
    with pytest.raises(memkit.UsageError, match="keep"):
        memkit.watch(tmp_path / "x", keep=text)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "how",
    [{"heap": True}, {"heap": "all"}, {"interval": "auto"}, {"interval": 0}, {"limit": "0%"}, {"signal": "SIGNOTHING"}],
)
def test_other_arguments_without_sense_are_refused(how, tmp_path):
    with pytest.raises(memkit.UsageError):
        memkit.watch(tmp_path / "x", **how)
    assert not (tmp_path / "x").exists() and active.everything() == []


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(memkit.UsageError, match="cannot record into the folder"):
        memkit.watch(tmp_path / "file")


def test_a_second_watch_of_a_folder_is_the_first(watch):
    first = watch()
    assert watch() is first
    with pytest.raises(memkit.UsageError, match="in another way"):
        watch(interval="2s")


def test_two_watches_of_two_folders_are_two(small, watch, tmp_path):
    first, second = watch(tmp_path / "a"), watch(tmp_path / "b")
    requests(20)
    first.stop()
    second.stop()
    assert len(together(first.files).spans) == len(together(second.files).spans) == 20


def test_a_folder_that_was_removed_is_made_again(small, watch, tmp_path):
    import shutil

    run = watch()
    shutil.rmtree(run.folder)
    until(lambda: os.path.exists(run.path))  # it may have the same name
    requests(3)
    run.stop()
    assert len(memkit.read(run.path).spans) == 3


@linux
def test_a_full_disk_is_said_once_and_left_when_it_has_room(small, watch, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(watching, "_AGAIN", 50_000_000)
    run = watch()
    full = os.open("/dev/full", os.O_WRONLY)
    from memkit.record import files

    real = files.opened
    monkeypatch.setattr(files, "opened", lambda path: os.dup(full))
    os.unlink(run.path)  # another is begun, which finds no room
    until(lambda: run.trouble is not None)
    assert "No space left" in run.trouble
    time.sleep(0.3)
    monkeypatch.setattr(files, "opened", real)
    until(lambda: run.trouble is None)
    requests(2)
    run.stop()
    os.close(full)
    assert len(memkit.read(run.path).spans) == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("memkit: watch: cannot record into")


SERVICE = """
import memkit, time
run = memkit.watch({folder!r})
print(run.path, flush=True)
with memkit.span("serve"):
    while True:
        with memkit.span("request"):
            time.sleep(0.001)
"""


@pytest.fixture
def service(tmp_path):
    """A process that is being watched, the folder, and its first file."""
    folder = str(tmp_path / "service")
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(folder=folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, folder, process.stdout.readline().strip()
        process.kill()


@linux
def test_a_kill_leaves_all_but_the_last_flush(service):
    process, _, path = service
    until(lambda: b"request" in Path(path).read_bytes())
    time.sleep(0.5)
    process.kill()
    process.wait()
    found = memkit.read(path)
    assert found.unread == 0 and found.ending.kind == "unknown"
    assert len(found.spans) > 50


# -- processes ---------------------------------------------------------------------------------------------------------

WORKERS = """
import memkit, os, sys, time
run = memkit.watch({folder!r})
def work(label):
    for _ in range(30):
        with memkit.span(label):
            time.sleep(0.05)
    sys.exit()
for number in range(2):
    if os.fork() == 0:
        work(f"worker {{number}}")
if os.fork() == 0:
    os._exit(0)
for _ in range(3):
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_have_files_of_their_own_if_they_live(tmp_path):
    folder = str(tmp_path / "workers")
    code = WORKERS.format(folder=folder)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    each = [memkit.read(file.path) for file in files_in(folder)]
    assert len(each) == len({one.about.pid for one in each}) == 3
    labels = [{span.label for span in one.spans} for one in each]
    assert sorted(labels, key=str) == [set(), {"worker 0"}, {"worker 1"}] or set(map(len, labels)) == {0, 1}
    assert all(one.ending.kind != "unknown" for one in each)


# -- near a limit ------------------------------------------------------------------------------------------------------


def test_more_is_recorded_from_the_limit_on(small, watch, touched, native_only):
    run = watch(limit=memkit.rss() + 30 * MIB)
    first = run.path
    blocks = touched(40)
    until(lambda: run.path != first)
    grown = bytearray(20 * MIB)
    until(lambda: b'"heap"' in Path(run.path).read_bytes())
    blocks.close()
    run.stop()
    assert memkit.read(first).crossings
    *_, near = later = [memkit.read(path) for path in run.files if path != first]
    assert near.about.interval == 100_000_000
    assert any(each.crossings for each in later)  # the last file may have begun just now
    assert near.heap is not None and near.heap.alive > 5 * MIB
    assert len(grown) == 20 * MIB


def test_less_is_recorded_again_below_it(small, watch, touched, native_only, monkeypatch):
    monkeypatch.setattr(watching, "_AGAIN", 100_000_000)
    run = watch(limit=memkit.rss() + 30 * MIB)
    first = run.path
    blocks = touched(40)
    until(lambda: run.path != first)
    blocks.close()
    until(lambda: memkit.read(run.path).about.interval == 10**9 and len(run.files) > 2)
    run.stop()


def test_a_heap_goes_on_from_file_to_file(small, watch, native_only):
    run = watch(heap="sampled:1KiB")
    kept = [bytes(10_000) for _ in range(1000)]
    several_files(run, 2)
    del kept[:500]
    seen = len(run.files)
    several_files(run, seen + 2)
    run.stop()
    each = [memkit.read(path) for path in run.files]
    assert all(one.heap is not None for one in each[:-1])
    whole = memkit.merge(each)
    here = [call for call in whole.calls if call.function.name.endswith(("several_files", "from_file_to_file"))]
    alive = sum(call.heap.allocated - call.heap.freed for call in here if call.heap is not None)
    assert alive == pytest.approx(5_000_000, rel=0.2)


# -- the last minutes --------------------------------------------------------------------------------------------------


def test_the_last_moments_are_a_recording_of_their_own(small, watch):
    run = watch(interval="10ms")
    several_files(run, 2)
    with memkit.span("open"):
        several_files(run, len(run.files) + 3)
        path = run.snapshot("0.05")
    found = memkit.read(path)
    run.stop()
    assert found.unread == 0
    assert found.ending.kind == "detached"
    assert 0 < found.duration <= 100_000_000
    assert found.samples[0].time == 0
    assert [span.label for span in found.spans if span.end is None] == ["open"]
    assert found.snapshot is not None and found.snapshot.asked
    assert any(stack.thread == threading.get_native_id() for stack in found.snapshot.stacks)
    assert run.trouble is None


def test_sums_are_written_though_no_further_span_of_the_label_ends(watch):
    run = watch()
    requests(1500)
    until(lambda: [sums.number for sums in memkit.read(run.path).span_sums] == [1500])


def test_a_span_that_began_before_the_last_minutes_began_before_them(small, watch):
    run = watch(interval="10ms")
    with memkit.span("long"):
        time.sleep(0.3)
        path = run.snapshot(0.1)
    run.stop()
    (long,) = memkit.read(path).spans
    assert long.start < -100_000_000
    memkit.report(memkit.read(path), quiet=True, html=str(Path(run.folder) / "page.html"))


def test_no_snapshot_without_time_or_a_recording(watch):
    run = watch()
    with pytest.raises(memkit.UsageError, match="some time"):
        run.snapshot(0)
    run.stop()
    with pytest.raises(memkit.UsageError, match="nothing is being recorded"):
        run.snapshot()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="needs SIGUSR2")
def test_the_signal_writes_the_last_minutes_and_the_program_goes_on(small, watch):
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    run = watch()
    requests(3)
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: [each for each in files_in(run.folder) if "snapshot" in each.path and each.size])
    run.stop()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    (path,) = [each.path for each in files_in(run.folder) if "snapshot" in each.path]
    assert len(memkit.read(path).spans) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="needs SIGUSR2")
def test_a_server_may_set_all_handlers_back_after_the_beginning(small, watch):
    run = watch()
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    until(lambda: signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL)
    run.stop()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="needs SIGUSR2")
def test_a_handler_of_the_program_is_left_alone_unless_asked(watch, tmp_path):
    called = []
    before = signal.signal(signal.SIGUSR2, lambda *_: called.append(1))
    try:
        theirs = signal.getsignal(signal.SIGUSR2)
        watch()
        assert signal.getsignal(signal.SIGUSR2) is theirs
        watch(tmp_path / "other", signal="SIGUSR2")
        assert signal.getsignal(signal.SIGUSR2) is not theirs
    finally:
        for each in list(active.others):
            each.end("ok")
        signal.signal(signal.SIGUSR2, before)


def test_damaged_rows_do_not_spoil_the_last_minutes(tmp_path, watch):
    run = watch(interval="10ms")
    requests(5)
    time.sleep(0.1)
    run.stop()
    path = run.files[0]
    with open(path, "ab") as file:
        file.write(b'["sample","x"]\n["span",1]\n["snapshot"]\n["sums",]\nnonsense\n["sample",12')
    with open(tmp_path / "cut.memkit", "wb") as into:
        last_minutes([path], into, 10**12, latest(path, origin_of(path)), alive=False)
    found = memkit.read(tmp_path / "cut.memkit")
    assert found.ending.kind == "ok" and len(found.spans) == 5 and found.samples
