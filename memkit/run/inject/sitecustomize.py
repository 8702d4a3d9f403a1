# What every Python that finds it first on PYTHONPATH runs as it starts: it may be any version, so nothing here is new.
# It has the process follow the recording that its parent makes, and then makes way for the sitecustomize behind it.
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_OURS = sys.modules.get("sitecustomize")


def _follow():
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


def _make_way():
    sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", _OURS)


def _is_ours(place):
    try:
        return os.path.abspath(place or os.curdir) == _FOLDER
    except OSError:  # the working directory is gone, and with it what is relative to it
        return False


sys.path[:] = [place for place in sys.path if not _is_ours(place)]
_follow()
_make_way()
