# The first thing that a measured interpreter runs: it makes way for the program before anything else is imported.
# A file and not a -c, which would leave its text behind in the program's tracebacks from Python 3.13 on.
import _signal
import sys

# Until the program begins, Ctrl-C ends it without a word: a traceback would be of memkit's imports.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
del sys.path[: not sys.flags.safe_path]  # memkit's own folder, which the program must not see
sys.path.insert(0, __file__.removesuffix("/memkit/run/bootstrap.py").removesuffix("\\memkit\\run\\bootstrap.py"))
from memkit.run.execute import main  # noqa: E402

del sys.path[0]
main()
