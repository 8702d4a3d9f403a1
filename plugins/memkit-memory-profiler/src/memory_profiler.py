"""memory_profiler's names, by memkit: ``memkit.compat.memory_profiler`` is this very module."""

import sys

from memkit_memory_profiler import check

check()

if __name__ == "__main__":
    import runpy

    runpy.run_module("memkit.compat.memory_profiler", run_name="__main__", alter_sys=True)
else:
    from memkit.compat import memory_profiler as _memory_profiler

    sys.modules[__name__] = _memory_profiler
