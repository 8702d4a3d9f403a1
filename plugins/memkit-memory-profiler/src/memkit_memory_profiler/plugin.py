"""A plugin without hooks: every command of memkit says where the original has overwritten the drop-in's files."""

from memkit_memory_profiler import check

check()
