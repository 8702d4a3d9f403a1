"""``ReferenceTracing``: logs or counts every object that is created or destroyed, on Python 3.13 and later."""

from __future__ import annotations

import gc
import operator
from typing import TYPE_CHECKING, Literal, Self

from memkit.compat.pymemtrace.textlog import OWN_FILES, TextLog, arguments, counting, path_or_none, text_or_none
from memkit.system import engine

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from memkit.native.tracing.references import References

_HEAD = "HDR: {:>12} {:>16} {:>16} {:<32} {:<80} {:>4} {:<40} {:>16} {:>16}".format(
    "Clock", "Address", "LiveCnt", "Type", "File", "Line", "Function", "RSS", "dRSS"
)


class _Counted:
    """Counts, and suspension, of both kinds of reference tracing."""

    _references: References
    _paused = False

    def suspend(self) -> None:
        """Write and count nothing until ``resume``."""
        self._active("suspend").pause()
        self._paused = True

    def resume(self) -> None:
        """Continue after ``suspend``."""
        self._active("resume").resume()
        self._paused = False

    def count_new(self) -> int:
        """The number of objects that were created."""
        count: int = self._active("count_new").count_new
        return count

    def count_del(self) -> int:
        """The number of objects that were destroyed."""
        count: int = self._active("count_del").count_del
        return count

    def _is_open(self) -> bool:
        raise NotImplementedError

    def _active(self, method: str) -> References:
        if not self._is_open():
            raise RuntimeError(f"{method}(): No reference tracing data is on the stack.")
        return self._references

    def _suspend(self) -> None:
        self._references.pause()

    def _resume(self) -> None:
        if not self._paused:
            self._references.resume()


class ReferenceTracing(_Counted, TextLog):
    """Logs every object that is created or destroyed in the process: a context manager, on Python 3.13 and later.

    ``ReferenceTracing(message=None, filepath=None, include_builtins=False, exclude_tp_names=None, include_tp_names=None,
    gc_collect_on_exit=2)``: types are given by their names in C, ``tp_name``. If some are included, only these are logged;
    excluded types never are. Frames and code objects are left out. At the end the garbage of the given generation is
    collected; -1 collects none.
    """

    kind, letter = "reference", "O"
    detaching = "Detaching this Reference Tracing file wrapper. New file: "
    attaching = "Re-attaching this Reference Tracing file wrapper."

    def __init__(self, *given: object, **named: object) -> None:
        names: dict[str, object] = {"message": None, "filepath": None, "include_builtins": False}
        names |= {"exclude_tp_names": None, "include_tp_names": None, "gc_collect_on_exit": 2}
        values = arguments(names, given, named)
        super().__init__(text_or_none(values["message"], 1), path_or_none(values["filepath"]))
        self._builtins = bool(values["include_builtins"])
        self._excluded = _names(values["exclude_tp_names"], "exclude_tp_names") or ()
        self._included = _names(values["include_tp_names"], "include_tp_names")
        self._generation = operator.index(values["gc_collect_on_exit"])  # type: ignore[arg-type]  # it raises TypeError
        if not -1 <= self._generation <= 2:
            raise ValueError(f"cpyReferenceTracing_init() gc_collect_on_exit must be -1, 0, 1, 2 not {self._generation}.")
        self._references = _references(None, self._included, self._excluded, self._builtins)
        self._last_path = self._filepath

    def _is_open(self) -> bool:
        return self._path is not None

    def suspend(self) -> None:
        """Write and count nothing until ``resume``."""
        self._active("suspend")
        if not self._paused:
            self.write_message_to_log("Suspending reference tracing.")
        super().suspend()

    def resume(self) -> None:
        """Continue after ``suspend``."""
        self._active("resume")
        if self._paused:
            self.write_message_to_log("Resuming reference tracing.")
        super().resume()

    def live_object_counts(self) -> dict[str, int]:
        """The number of live objects of each type that were created in the block."""
        counts: dict[str, int] = self._active("live_object_counts").live()
        return counts

    def log_file_path(self) -> str | None:
        """The path of its log, also after the block; None if it was given none and the block was not entered yet."""
        return self._path or self._last_path

    def _open(self, path: str) -> None:
        self._last_path = path
        try:
            super()._open(path)
        except OSError:
            raise OSError(f"Can not open log file {path}") from None

    def _begin(self, frame: FrameType) -> None:
        self._paused = False
        self._references = _references(self._journal, self._included, self._excluded, self._builtins)
        self._references.start()

    def _end(self, frame: FrameType) -> None:
        if self._generation >= 0:
            self._resume()
            gc.collect(self._generation)
        self._references.stop()

    def _head(self) -> str:
        return _HEAD

    def _now(self) -> str:
        from time import process_time

        return f" {process_time():12.6f}"


class ReferenceTracingSimple(_Counted):
    """Counts the objects that are created and destroyed: a context manager, on Python 3.13 and later."""

    def __init__(self) -> None:
        self._references = _references(None, None, (), False)

    def _is_open(self) -> bool:
        return self in counting

    def __enter__(self) -> Self:
        self._references, self._paused = _references(None, None, (), False), False
        counting.append(self)
        self._references.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._references.stop()
        counting.remove(self)
        return False


def _references(
    journal: engine.Journal | None, included: tuple[bytes, ...] | None, excluded: tuple[bytes, ...], builtins: bool
) -> References:
    with engine.compiled("tracing of references"):
        from memkit.native.tracing.references import References

    return References(journal, engine.Meter("rss"), included, excluded, builtins, tuple(OWN_FILES))


def _names(value: object, name: str) -> tuple[bytes, ...] | None:
    """The names of types, as C has them. Raises ``TypeError``."""
    if value is None:
        return None
    if not hasattr(value, "__getitem__") or isinstance(value, dict):
        raise TypeError(f"cpyReferenceTracing_init() {name} must be a sequence, not type {type(value).__name__}.")
    names = []
    for each in value:  # type: ignore[attr-defined]  # what can be indexed can be iterated over
        if not isinstance(each, str):
            raise TypeError(f"cpyReferenceTracing_init() {name} must hold names of types, not {each!r}.")
        names.append(each.encode("utf-8", "surrogateescape"))
    return tuple(names)


OWN_FILES.append(_names.__code__.co_filename)
