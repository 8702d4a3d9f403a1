"""A span around each job of RQ, with the name of its function as the label."""

from __future__ import annotations

from typing import Any

import rq.job  # type: ignore[import-not-found, import-untyped, unused-ignore]

import memkit
from memkit.record import active


class SpanJob(rq.job.Job):  # type: ignore[misc, unused-ignore]
    """A job that is a ``memkit.span`` while it runs.

    ::

        memkit-run --follow --heap=spans -m rq.cli worker --job-class memkit.integrations.rq.SpanJob

    The worker runs each job in a process of its own, so that ``--follow`` is needed; a ``SimpleWorker`` does not.
    """

    def perform(self) -> Any:
        """Run it."""
        try:
            with memkit.span(str(self.func_name)):
                return super().perform()
        finally:
            for each in list(active.recorders):  # the process ends by os._exit, of which memkit is not told
                each.flush()
