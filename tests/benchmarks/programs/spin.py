"""Spins in Python for so many seconds, and counts how far it came."""

import sys
import time

from reply import Reply


def spin(seconds: float) -> int:
    """Rounds that were made in that time."""
    rounds, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        rounds += 1
    return rounds


with Reply() as notes:
    notes["work"] = spin(float(sys.argv[1]))
