"""Compiled: the sampler thread, stacks of threads, limits, process events."""
