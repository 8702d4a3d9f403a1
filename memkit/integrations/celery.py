"""A span around each task of Celery, with its name as the label."""

from __future__ import annotations

import sys

import memkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_open: dict[str, memkit.span] = {}
_wanted_by: list[object] = []
_NAME = {"dispatch_uid": "memkit"}


def connect(signals: ModuleType | None = None, wanted_by: object = None) -> None:
    """Have tasks of this process be spans from now on, in the module that makes the Celery application for instance.

    ``signals`` is the module ``celery.signals``, if it is just being loaded; ``wanted_by`` who may ``disconnect`` it.
    """
    if signals is None:
        import celery.signals as signals  # type: ignore[no-redef, import-untyped, unused-ignore]
    known: Any = signals
    _wanted_by.append(wanted_by)
    known.task_prerun.connect(_begins, weak=False, **_NAME)
    known.task_postrun.connect(_ended, weak=False, **_NAME)


def disconnect(signals: Any, wanted_by: object) -> None:
    """Have tasks that begin from now on be no spans, unless another one still wants them."""
    if wanted_by in _wanted_by:
        _wanted_by.remove(wanted_by)
    if not _wanted_by:
        signals.task_prerun.disconnect(**_NAME)
    _leave(signals)


def _leave(signals: Any) -> None:
    """Leave the signal of the end of tasks, once all that were begun have ended and no more do."""
    if not _wanted_by and not _open:
        signals.task_postrun.disconnect(**_NAME)


def _begins(task_id: str = "", task: Any = None, **_: object) -> None:
    one = memkit.span(str(getattr(task, "name", None) or "<task>"))
    one.__enter__()
    _open[task_id] = one


def _ended(task_id: str = "", **_: object) -> None:
    one = _open.pop(task_id, None)
    if one is not None:
        one.__exit__()
        if not _wanted_by:
            _leave(sys.modules["celery.signals"])
