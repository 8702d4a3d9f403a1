"""``ReferenceTracing``: every object that begins or ends, on Python 3.13 and later."""

from __future__ import annotations

import gc
import operator

from memkit.compat.pymemtrace.textlog import OWN, TextLog, arguments, path_or_none, stack_of, text_or_none
from memkit.system import engine

_HEAD = "HDR: {:>12} {:>16} {:>16} {:<32} {:<80} {:>4} {:<40} {:>16} {:>16}".format(
    "Clock", "Address", "LiveCnt", "Type", "File", "Line", "Function", "RSS", "dRSS"
)


class _Counted:
    """What both kinds of tracing have: counts, and pauses."""

    kind = ""
    _references = None
    _paused = False

    def suspend(self) -> None:
        """Write and count nothing until ``resume``."""
        self._active("suspend").pause()
        self._paused = True

    def resume(self) -> None:
        """Go on after ``suspend``."""
        self._active("resume").resume()
        self._paused = False

    def count_new(self) -> int:
        """How many objects have begun."""
        return self._active("count_new").count_new

    def count_del(self) -> int:
        """How many objects have ended."""
        return self._active("count_del").count_del

    def _active(self, method: str):
        if self not in stack_of(self.kind):
            raise RuntimeError(f"{method}(): No reference tracing data is on the stack.")
        return self._references

    def _suspend(self):
        self._references.pause()

    def _resume(self):
        if not self._paused:
            self._references.resume()


class ReferenceTracing(_Counted, TextLog):
    """Logs every object that begins or ends, in the whole process: a context manager, on Python 3.13 and later.

    ``ReferenceTracing(message=None, filepath=None, include_builtins=False, exclude_tp_names=None, include_tp_names=None,
    gc_collect_on_exit=2)``: types are told by their name in C; where some are included, these are all, and excluded ones are
    never among them. Frames and code objects are left out. At the end the garbage of that generation is collected, or none
    for -1.
    """

    kind, letter = "reference", "O"
    detaching = "Detaching this Reference Tracing file wrapper. New file: "
    attaching = "Re-attaching this Reference Tracing file wrapper."

    def __init__(self, *given, **named):
        names = {"message": None, "filepath": None, "include_builtins": False}
        names |= {"exclude_tp_names": None, "include_tp_names": None, "gc_collect_on_exit": 2}
        values = arguments(names, given, named)
        super().__init__(text_or_none(values["message"], 1), path_or_none(values["filepath"]))
        self._builtins = bool(values["include_builtins"])
        self._excluded = _names(values["exclude_tp_names"], "exclude_tp_names") or ()
        self._included = _names(values["include_tp_names"], "include_tp_names")
        self._generation = operator.index(values["gc_collect_on_exit"])
        if not -1 <= self._generation <= 2:
            raise ValueError(f"cpyReferenceTracing_init() gc_collect_on_exit must be -1, 0, 1, 2 not {self._generation}.")
        self._references = _references(None, self._included, self._excluded, self._builtins)
        self._last = self._filepath

    def suspend(self) -> None:
        """Write and count nothing until ``resume``."""
        self._active("suspend")
        if not self._paused:
            self.write_message_to_log("Suspending reference tracing.")
        super().suspend()

    def resume(self) -> None:
        """Go on after ``suspend``."""
        self._active("resume")
        if self._paused:
            self.write_message_to_log("Resuming reference tracing.")
        super().resume()

    def live_object_counts(self) -> dict[str, int]:
        """How many objects there are of each type, of those that began in the block."""
        return self._active("live_object_counts").live()

    def log_file_path(self) -> str | None:
        """Its log, also when the block has ended; None before a log without a given path has got its name."""
        return self._path or self._last

    def _open(self, path):
        self._last = path
        try:
            super()._open(path)
        except OSError:
            raise OSError(f"Can not open log file {path}") from None

    def _begin(self, frame):
        self._paused = False
        self._references = _references(self._journal, self._included, self._excluded, self._builtins)
        self._references.start()

    def _end(self, frame):
        if self._generation >= 0:
            self._resume()
            gc.collect(self._generation)
        self._references.stop()

    def _head(self):
        return _HEAD

    def _now(self):
        from time import process_time

        return f" {process_time():12.6f}"


class ReferenceTracingSimple(_Counted):
    """Counts the objects that begin and end: a context manager, on Python 3.13 and later."""

    kind = "reference, simple"

    def __init__(self):
        self._references = _references(None, None, (), False)

    def __enter__(self):
        self._references, self._paused = _references(None, None, (), False), False
        stack_of(self.kind).append(self)
        self._references.start()
        return self

    def __exit__(self, kind, error, trace):
        self._references.stop()
        stack_of(self.kind).remove(self)
        return False


def _references(journal, included, excluded, builtins):
    with engine.compiled("tracing of references"):
        from memkit.native.tracing.references import References

    return References(journal, engine.Meter("rss"), included, excluded, builtins, tuple(OWN))


def _names(value, name: str) -> tuple[bytes, ...] | None:
    """Names of types as C has them."""
    if value is None:
        return None
    if not hasattr(value, "__getitem__") or isinstance(value, dict):
        raise TypeError(f"cpyReferenceTracing_init() {name} must be a sequence, not type {type(value).__name__}.")
    for each in value:
        if not isinstance(each, str):
            raise TypeError(f"cpyReferenceTracing_init() {name} must hold names of types, not {each!r}.")
    return tuple(each.encode("utf-8", "surrogateescape") for each in value)


OWN.append(_names.__code__.co_filename)
