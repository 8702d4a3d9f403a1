"""What a program under a watcher says of itself, for the benchmark to read."""

import json
import os
import time


def parent_cpu() -> int:
    """CPU time in nanoseconds of the process that started this one."""
    return time.clock_gettime_ns(~os.getppid() << 3 | 2)  # CPUCLOCK_SCHED of another process, see clock_getcpuclockid


class Reply:
    """A stretch of time that counts: it prints when it was, the CPU its parent took, and what was noted."""

    def __enter__(self):
        self.notes = {"began": time.time()}
        self._cpu = parent_cpu()
        return self.notes

    def __exit__(self, *_):
        self.notes |= {"ended": time.time(), "cpu": parent_cpu() - self._cpu}
        print(json.dumps(self.notes), flush=True)
