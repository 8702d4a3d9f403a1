"""Waiting for the end of a thread."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

_PATIENCE = 1000


def wait_for_end(thread: threading.Thread) -> None:
    """Join a thread, and wait until the system knows it no more.

    Before Python 3.13 joining may return a moment before that, and a fork that counts the threads would warn of it.
    """
    thread.join()
    task = f"/proc/self/task/{thread.native_id}"
    for _ in range(_PATIENCE):  # another thread may get its number
        if not os.path.exists(task):
            return
        time.sleep(0.0001)
