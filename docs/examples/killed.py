"""Grows by 10 MiB at a time and is killed half-way, as by a kernel that has run out of memory."""

import os
import signal
import time

import memkit

held = []
with memkit.span("load"):
    for step in range(20):
        if step == 10:
            time.sleep(0.5)  # what happens less than 250 ms before a kill may be lost
            os.kill(os.getpid(), signal.SIGKILL)
        held.append(b"x" * (10 << 20))
        time.sleep(0.02)
