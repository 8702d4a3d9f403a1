"""A recording for each worker of gunicorn, by the hooks of its configuration file."""

from __future__ import annotations

import os

import memkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Workers:
    """Records each worker into a file of its own, in a folder: hooks for ``gunicorn.conf.py``.

    ::

        from memkit.integrations.gunicorn import Workers

        workers = Workers("recordings", heap="spans")
        post_fork, worker_exit, worker_abort = workers.post_fork, workers.worker_exit, workers.worker_abort

    Settings are those of ``memkit.record``. The file is ``worker-PID.memkit``.
    """

    def __init__(self, folder: str | os.PathLike[str], **settings: Any) -> None:
        self._folder = os.path.abspath(folder)
        self._settings = settings
        self._run: memkit.Recorder | None = None

    def post_fork(self, server: Any, worker: Any) -> None:
        """A worker begins: record it. What cannot be recorded is told in gunicorn's log, and the worker works."""
        try:
            os.makedirs(self._folder, exist_ok=True)
            self._run = memkit.record(os.path.join(self._folder, f"worker-{os.getpid()}.memkit"), **self._settings)
            self._run.start()
        except (memkit.MemkitError, OSError) as error:
            self._run = None
            server.log.warning("memkit does not record worker %d: %s", os.getpid(), error)

    def worker_exit(self, server: Any, worker: Any) -> None:
        """A worker ends: so does its recording."""
        run, self._run = self._run, None
        if run is None:
            return
        try:
            run.stop()
        except memkit.MemkitError as error:
            server.log.warning("memkit: %s", error)

    def worker_abort(self, worker: Any) -> None:
        """A worker is killed, because it took too long: all that is known is written at once."""
        if self._run is not None:
            self._run.flush()
