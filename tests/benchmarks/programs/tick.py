"""Spins beside a C thread that only wakes every millisecond, and tells what that took.

Arguments: the library, 1 for ``pthread_cond_timedwait`` or 0 for ``clock_nanosleep``, seconds.
"""

import ctypes
import json
import sys
import time

library, with_condition, seconds = ctypes.CDLL(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
result = (ctypes.c_int64 * 3)()
library.start_ticking(ctypes.c_int64(1_000_000), with_condition)
end = time.perf_counter() + seconds
while time.perf_counter() < end:
    pass
library.stop_ticking(result)
print(json.dumps(dict(zip(("beats", "late", "cpu"), result))))
