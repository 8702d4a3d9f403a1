"""memory_profiler's names, by memkit: ``memkit.compat.memory_profiler`` is this very module."""

import sys

from memkit_memory_profiler import check

check()

if __name__ == "__main__":
    from memkit.compat.memory_profiler.command import main

    main(own_files=(__file__,))
else:
    from memkit.compat import memory_profiler as _memory_profiler

    sys.modules[__name__] = _memory_profiler
