"""The memory of a Dask cluster: every worker, whatever becomes of it, and every task, in one recording of memkit's."""

from memkit_dask.cluster import Clock, Prefix, Word, Worker
from memkit_dask.run import Run, record

__all__ = ["Clock", "Prefix", "Run", "Word", "Worker", "record"]
