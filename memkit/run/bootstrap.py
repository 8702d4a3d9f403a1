# The first code that a measured interpreter runs: it removes its own traces, and imports the rest of memkit.
# It is a file, not a -c, whose text would show up in the program's tracebacks from Python 3.13 on.
import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import sys

# Until the program begins, Ctrl-C ends it silently: a traceback would show memkit's imports.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
del sys.path[: not sys.flags.safe_path]  # memkit's own folder, which the program must not see
sys.path.insert(0, __file__.removesuffix("/memkit/run/bootstrap.py").removesuffix("\\memkit\\run\\bootstrap.py"))
from memkit.run.execute import main  # noqa: E402

del sys.path[0]
main()
