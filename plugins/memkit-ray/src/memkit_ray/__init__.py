"""The memory of a Ray cluster: every worker, each task and actor method, and what Ray's memory monitor killed."""

from memkit_ray.cluster import Worker
from memkit_ray.nodes import Clock, End
from memkit_ray.run import Run, record

__all__ = ["Clock", "End", "Run", "Worker", "record"]
