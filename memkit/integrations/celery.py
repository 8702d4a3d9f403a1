"""A span around each task of Celery, with its name as the label."""

from __future__ import annotations

import memkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_open: dict[str, memkit.span] = {}


def connect(signals: ModuleType | None = None) -> None:
    """Have tasks of this process be spans from now on, in the module that makes the Celery application for instance.

    ``signals`` is the module ``celery.signals``, if it is just being loaded.
    """
    if signals is None:
        import celery.signals as signals  # type: ignore[no-redef, import-untyped, unused-ignore]
    known: Any = signals
    known.task_prerun.connect(_begins, weak=False, dispatch_uid="memkit")
    known.task_postrun.connect(_ended, weak=False, dispatch_uid="memkit")


def _begins(task_id: str = "", task: Any = None, **_: object) -> None:
    one = memkit.span(str(getattr(task, "name", None) or "<task>"))
    one.__enter__()
    _open[task_id] = one


def _ended(task_id: str = "", **_: object) -> None:
    one = _open.pop(task_id, None)
    if one is not None:
        one.__exit__()
