# Every Python that has this folder first on PYTHONPATH runs this as it starts, of any version: so the syntax is old.
# The process joins the recording of its parent. Then the sitecustomize that would have run without this one is imported.
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_OURS = sys.modules.get("sitecustomize")


def _follow():  # type: ignore[no-untyped-def]  # any version of Python runs this
    if not os.environ.get("MEMKIT_FOLLOW", "").startswith("%d.%d\x1f" % sys.version_info[:2]):  # noqa: UP031
        return
    room = os.path.dirname(os.path.dirname(os.path.dirname(_FOLDER)))
    sys.path.append(room)
    try:
        from memkit.run import follow_entry

        follow_entry.begin()
    except Exception as error:
        sys.stderr.write("memkit: process %d does not record itself: %r\n" % (os.getpid(), error))  # noqa: UP031
    finally:
        sys.path.remove(room)


def _import_next():  # type: ignore[no-untyped-def]  # as above
    sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", _OURS)  # type: ignore[arg-type]  # it is being imported, so it is there


def _is_ours(place):  # type: ignore[no-untyped-def]  # as above
    try:
        return os.path.abspath(place or os.curdir) == _FOLDER
    except OSError:  # the working directory is gone
        return False


sys.path[:] = [place for place in sys.path if not _is_ours(place)]  # type: ignore[no-untyped-call]  # as above
_follow()  # type: ignore[no-untyped-call]  # as above
_import_next()  # type: ignore[no-untyped-call]  # as above
