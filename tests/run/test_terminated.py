"""SIGTERM ends a program when everything is written, also where the program handles it first and raises it again."""

import os
import signal
import sys

import pytest

from memkit.system import engine

pytestmark = pytest.mark.skipif(engine.NAME != "native", reason=f"needs the native engine: {engine.REASON}")
GROW = """
import mmap, os, signal, sys, time
def grow():
    block = mmap.mmap(-1, 30 << 20)
    for place in range(0, 30 << 20, 4096):
        block[place] = 1
    return block
"""
RAISED_AGAIN = f"""{GROW}
def looked_at():
    return any(sys.monitoring.get_tool(number) == "memkit" for number in range(6))
def stop(*_):
    stopped.append(grow())
stopped = []
before = signal.signal(signal.SIGTERM, stop)
end = time.monotonic() + 20
while not looked_at():
    assert time.monotonic() < end
    time.sleep(0.001)
os.kill(os.getpid(), signal.SIGTERM)
assert stopped and signal.getsignal(signal.SIGTERM) is stop
signal.signal(signal.SIGTERM, before)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL is before
signal.raise_signal(signal.SIGTERM)
"""
monitored = pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")


def nothing_is_lost(done):
    found = done.recording
    assert (done.returncode, done.stderr) == (143, "")
    assert str(found.ending) == "killed by SIGTERM" and found.ending.signal == signal.SIGTERM
    assert found.unseen == 0 and found.peak_is_exact == (found.about.peaks == "reset")
    assert found.peak > found.start + (29 << 20)


def test_nothing_is_lost_where_the_program_does_not_handle_it(memkit_run, script):
    nothing_is_lost(memkit_run(script(f"{GROW}block = grow()\nsignal.raise_signal(signal.SIGTERM)\n")))


@monitored
def test_nothing_is_lost_where_the_program_raises_it_again(memkit_run, script):
    nothing_is_lost(memkit_run(script(RAISED_AGAIN)))


@monitored
def test_nothing_is_lost_in_the_last_file_of_many(memkit_run, script, tmp_path):
    import memkit

    done = memkit_run(script(RAISED_AGAIN), options=("-q", "--keep", "1d"), path="kept")
    (path,) = (tmp_path / "kept").iterdir()
    done.recording = memkit.read(path)
    nothing_is_lost(done)


@monitored
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_a_forked_process_that_sets_the_default_again_dies_of_it(memkit_run, script):
    before, _, _ = RAISED_AGAIN.partition("os.kill(")
    text = f"""{before}
child = os.fork()
if not child:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
    done = memkit_run(script(text))
    assert (done.returncode, done.stdout, done.stderr) == (0, "-15\n", "")
    assert done.recording.ending.kind == "ok"
