"""mprof's names, by memkit: ``memkit.compat.mprof`` is this very module."""

import sys

from memkit_memory_profiler import check

check()

from memkit.compat import mprof as _mprof  # noqa: E402

if __name__ == "__main__":
    _mprof.main()
else:
    sys.modules[__name__] = _mprof
