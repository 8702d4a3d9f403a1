"""``python -m memkit.compat.memory_profiler``."""

from memkit.compat.memory_profiler.command import main

main()
