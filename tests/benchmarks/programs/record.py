"""Spins while it records itself every millisecond, for the second time in its life, and tells what that took.

Argument: seconds.
"""

import json
import sys
import time

import memkit


def spin(seconds: float) -> None:
    """What a busy program does."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


for seconds in (0.05, float(sys.argv[1])):
    with memkit.record(interval=0.001) as run:
        spin(seconds)
print(json.dumps(run.recording.cost._asdict()))
