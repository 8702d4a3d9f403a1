"""The peak from one look to the next."""

import os

import pytest

import memkit

MIB = 1 << 20


def test_each_counts_for_itself_and_transients_are_in_it(exact_peaks, spike):
    one, other = memkit.PeakSince(), memkit.PeakSince()
    before = memkit.rss()
    spike(40)
    assert one.take() - before == pytest.approx(40 * MIB, abs=2 * MIB)
    assert one.take() - memkit.rss() < 2 * MIB
    with memkit.record() as run:
        spike(20)
    assert other.take() - before == pytest.approx(40 * MIB, abs=2 * MIB)
    assert one.take() - before == pytest.approx(20 * MIB, abs=2 * MIB)
    assert run.recording.peak - before == pytest.approx(20 * MIB, abs=2 * MIB)


def test_it_is_at_least_what_memory_is_and_was(touched):
    peak = memkit.PeakSince()
    blocks = touched(10)
    high = memkit.rss()
    assert peak.take() >= high - MIB
    blocks.close()
    assert peak.take() >= high - MIB  # as it was when it was last taken


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_begins_anew(touched, python, exact_peaks):
    told = python(
        """
import json, os, memkit
peak = memkit.PeakSince()
bytearray(60 << 20)
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, b"%d" % (peak.take() - memkit.rss()))
    os._exit(0)
print(json.dumps([int(os.read(reading, 99)), peak.take() - memkit.rss()]))
"""
    )
    assert told[0] < 5 * MIB and told[1] > 50 * MIB
