"""Running a program as ``__main__``, just as the interpreter would, and recording it.

``memkit.run.launch`` starts an interpreter on ``bootstrap.py``, which calls ``main`` here: this is the measured process.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import os
import sys

from memkit.base import own_code, paths
from memkit.base.errors import MemkitError
from memkit.base.shadows import StandardModules
from memkit.record import child_process, exit_status
from memkit.record.listening import listen_if_possible
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at, object_at
from memkit.record.settings import RunSettings
from memkit.system import preload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, NoReturn, TypeVar

    from memkit.record.event_log import EventLog
    from memkit.record.watch import Watch

    F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {"script": (), "input": (), "module": ("-m",), "code": ("-c",)}
_INPUT = "<stdin>"
REFUSED = 2
"""The exit code where there is nothing to run."""

_log: EventLog | None = None
"""The event log, which is paused until the program begins."""


def main() -> None:
    """Record the program that the command line names: its mode, its target, settings, ``--``, and its arguments.

    The mode is ``script``, ``input``, ``module`` or ``code``; the settings are words as ``RunSettings`` makes them.
    """
    mode, target, *words = sys.argv[1:]
    split = words.index("--")
    settings, arguments = RunSettings.from_words(words[:split]), words[split + 1 :]
    path = str(settings.path)
    preload.look(bool(settings.heap))
    if not settings.follow:
        preload.restore()
    _look_like_plain_python(mode, target, arguments)
    try:
        recorder = _recorder(mode, target, settings, arguments)
        profile = object_at(settings.profile) if settings.profile else profile_without_import
        vars(sys.modules["builtins"])["profile"] = profile
        if mode == "module":
            _refuse_unknown_module(target, replaces=os.path.isfile(path) and os.path.getsize(path) > 0)
        _make_log(settings)
        recorder.start()
        if settings.keep is not None and settings.follow:
            child_process.ChildEnvironment(settings, by_program=False).set()
    except MemkitError as error:
        _refuse(str(error))
    path = str(recorder.path)
    if settings.requests:
        from memkit.integrations import finding

        finding.install()
    listen_if_possible()
    _start_log(recorder, path)
    try:
        _restore_interrupts()
        {"script": run_script, "input": run_input, "module": run_module, "code": run_code}[mode](target)
        exit_status.told = exit_status.OK
    except BaseException as error:
        if reason := _refused_by_runpy(error):
            recorder.end()
            os.unlink(path)
            _refuse(reason)
        exit_status.told = exit_status.how_it_ended(error)
        hide_own_frames()
        raise


def _recorder(mode: str, target: str, settings: RunSettings, arguments: list[str]) -> Recorder | Watch:
    argv = [*_WORDS[mode], target, *arguments]
    if settings.keep is not None:
        return watch_of(settings, argv)
    settings.meter = meter_at(str(settings.meter))
    if isinstance(settings.lines, list):  # of texts: an empty one is for the program's own code
        settings.lines = [text or _own_code(mode, target) for text in settings.lines]
    return Recorder(settings, argv=argv)


def watch_of(settings: RunSettings, argv: list[str]) -> Watch:
    """What records a program file by file. Raises ``UsageError``."""
    from memkit.record.watch import LIMIT, Asked, Watch

    interval = "1s" if settings.interval == "auto" else settings.interval
    limit = LIMIT if settings.limit is None else settings.limit
    asked = Asked(str(settings.path), str(settings.keep), interval, settings.heap, limit, "auto")
    asked.watch = settings.watch or asked.watch
    return Watch(asked, argv)


def _make_log(settings: RunSettings) -> None:
    global _log
    if settings.call_log is not None:
        from memkit.record.event_log import EventLog

        _log = EventLog(settings.call_log, trigger=settings.trigger)
        for frame in (sys._getframe(), sys._getframe(2)):
            _log.leave_out(frame.f_code)


def _start_log(recorder: Recorder | Watch, path: str) -> None:
    """Start the log after the recording, so that it ends first and has no events of how the recording ends."""
    if _log is None:
        return
    try:
        _log.start()
        _log.pause()
    except MemkitError as error:
        recorder.end()
        os.unlink(path)
        _refuse(str(error))


def _program_begins() -> None:
    """To be called right before the program's first event."""
    if _log is not None:
        _log.resume()


# -- ways to name a program ------------------------------------------------------------------------------------------


def run_script(path: str) -> None:
    """Run a file, or the ``__main__`` of a directory or zip archive."""
    if _holds_modules(path):
        sys.path.insert(0, _absolute(path))  # even with -P, which keeps a script's folder out
        _run_module("__main__", alter_argv=False)
        return
    from importlib.machinery import SourceFileLoader, SourcelessFileLoader

    whole = _absolute(path)
    _put_first(os.path.dirname(os.path.realpath(path)))
    loader = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
    namespace = sys.modules["__main__"].__dict__
    namespace.update(__file__=whole, __loader__=loader("__main__", whole))
    if sys.version_info < (3, 15):
        namespace["__cached__"] = None
    if loader is SourcelessFileLoader:
        code = namespace["__loader__"].get_code("__main__")
    else:
        import io

        with io.open_code(whole) as file:
            source = file.read()
        code = compile(source, whole, "exec", dont_inherit=True)
    _program_begins()
    exec(code, namespace)


def run_input(_: str) -> None:
    """Run the text on standard input, after reading all of it, as the interpreter does."""
    namespace = sys.modules["__main__"].__dict__
    namespace["__file__"] = _INPUT
    if sys.version_info < (3, 15):
        namespace["__cached__"] = None
    code = compile(sys.stdin.buffer.read(), _INPUT, "exec", dont_inherit=True)
    _program_begins()
    exec(code, namespace)


def run_module(name: str) -> None:
    """Run a module or package by its dotted name."""
    _run_module(name, alter_argv=True)


def run_code(text: str) -> None:
    """Run a string of code."""
    if sys.version_info >= (3, 14):
        from textwrap import dedent

        text = dedent(text)
    if sys.version_info >= (3, 13):  # where tracebacks show the lines of -c
        import linecache

        linecache.cache["<string>"] = (len(text), None, text.splitlines(keepends=True), "<string>")
    code = compile(text, "<string>", "exec", dont_inherit=True)
    _program_begins()
    exec(code, sys.modules["__main__"].__dict__)


def _run_module(name: str, alter_argv: bool) -> None:
    import runpy

    # The function that the interpreter calls for -m; run_module would put another module into sys.modules["__main__"].
    _program_begins()
    runpy._run_module_as_main(name, alter_argv=alter_argv)  # type: ignore[attr-defined]  # it is private


# -- what the program sees ---------------------------------------------------------------------------------------------


def _look_like_plain_python(mode: str, target: str, arguments: list[str]) -> None:
    """Set argv, path and ``__main__`` to what they would be without memkit."""
    words = [*_WORDS[mode], target]
    ours = len(sys.argv)
    sys.orig_argv = [*sys.orig_argv[:-ours], *words, *arguments]
    sys.argv = [words[0], *arguments]
    if mode in ("code", "input"):
        _put_first("")
    elif mode == "module" and (folder := paths.working_folder()):
        _put_first(folder)
    namespace = sys.modules["__main__"].__dict__
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]
    del namespace["__file__"]
    namespace.pop("__cached__", None)
    namespace["__loader__"] = sys.modules["builtins"].__loader__


def _restore_interrupts() -> None:
    """Have Ctrl-C raise KeyboardInterrupt again; ``bootstrap.py`` has had it end the process."""
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _put_first(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)


def _absolute(path: str) -> str:
    # As the interpreter does it: joined, but not normalised.
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def profile_without_import(function: F) -> F:
    """``@profile`` without an import, as in memory_profiler."""
    with StandardModules():
        from memkit.record.profile import profile

        decorated: F = profile(function)
    return decorated


def _own_code(mode: str, target: str) -> str:
    """The target for the program's own code."""
    if mode in ("code", "input"):
        return "<string>" if mode == "code" else _INPUT
    if mode == "script" and _holds_modules(target):
        return os.path.join(os.path.abspath(target), "*")
    from memkit.tracing.libraries import own_target

    if mode == "script":
        return own_target(_absolute(target), module=False, package=False)
    from memkit.tracing.targets import find_module

    file = find_module(target) or find_module(f"{target}.__main__")
    return target if file is None else own_target(file, module=True, package=file.endswith("__init__.py"))


def _holds_modules(path: str) -> bool:
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


# -- what can go wrong -------------------------------------------------------------------------------------------------


def _refuse(reason: str) -> NoReturn:
    print(f"memkit-run: {reason}", file=sys.stderr)
    sys.exit(REFUSED)


def _refuse_unknown_module(name: str, replaces: bool) -> None:
    """Refuse a module that cannot be found.

    If the recording ``replaces`` an earlier one, which a mistyped name must not destroy, the module must be found down to
    its file. Otherwise its package is enough: the rest is known only when that is imported.
    """
    from importlib.util import find_spec

    from memkit.tracing.targets import find_module

    top = name.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    found = spec is not None
    if spec is not None and replaces:
        is_package = spec.submodule_search_locations is not None and name == top
        found = bool(find_module(f"{name}.__main__") or (not is_package and find_module(name)))
    if not top or not found:
        _refuse(f"there is no module named {name!r} to run: check the name, and that {sys.executable} has it")


def _refused_by_runpy(error: BaseException) -> str | None:
    """What runpy says if it finds nothing to run: the text of a SystemExit, without the interpreter's name before it."""
    start = f"{sys.executable}: "
    if not isinstance(error, SystemExit) or not isinstance(error.code, str) or not error.code.startswith(start):
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_by = None if trace is None else trace.tb_frame.f_code.co_name
    return error.code.removeprefix(start) if raised_by == "_run_module_as_main" else None


def hide_own_frames(files: Iterable[str] = ()) -> None:
    """Leave memkit's frames out of the traceback of an uncaught exception, whichever hook the program has set.

    ``files`` are further ones to leave out.
    """
    hook = sys.excepthook
    hidden = frozenset(files)

    def is_hidden(file: str) -> bool:
        return own_code.is_own(file) or file in hidden

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = hook
        while trace is not None and is_hidden(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        sys.last_traceback = trace
        try:
            hook(kind, error.with_traceback(trace), trace)
        except Exception as failure:  # in the words of the interpreter
            print("Error in sys.excepthook:", file=sys.stderr)
            inner = failure.__traceback__.tb_next if failure.__traceback__ is not None else None
            sys.__excepthook__(type(failure), failure.with_traceback(inner), None)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = show
