"""``python -m memkit.compat.memory_profiler``."""

from memkit.compat.memory_profiler.running import main

main()
