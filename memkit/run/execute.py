"""Running somebody's program as ``__main__``, as the interpreter itself would, with a recording around it.

This is the body of the measured process: ``memkit.run.launch`` starts an interpreter on ``bootstrap.py``, which
calls ``main``.
"""

from __future__ import annotations

import _signal
import os
import sys

from memkit.base import own_code, paths
from memkit.base.errors import MemkitError
from memkit.record import exit_status
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at, object_at

_WORDS = {"script": (), "input": (), "module": ("-m",), "code": ("-c",)}
_INPUT = "<stdin>"
REFUSED = 2
"""The exit code where there is nothing to run."""

_log = None
"""The event log, which waits until the program begins."""


def main() -> None:
    """Record the program that the command line names: its mode, its target, settings, ``--``, and its arguments.

    The mode is ``script``, ``input``, ``module`` or ``code``, the target what that is. Settings are ``name=value``:
    ``path``, ``interval`` and ``meter``; ``lines`` and ``calls``, a target on each line, an empty one for the program's own
    code or for all calls; and, whatever their value, ``c_calls``, ``no_peak_reset`` and ``follow``; ``limit`` and
    ``on_limit`` are those of ``record``, ``call_log`` and ``trigger`` the arguments of ``EventLog``;
    ``profile`` is what ``@profile`` is to be, as ``package.module:name``.
    """
    mode, target, *words = sys.argv[1:]
    split = words.index("--")
    settings, arguments = dict(word.split("=", 1) for word in words[:split]), words[split + 1 :]
    path = settings["path"]
    _look_like_plain_python(mode, target, arguments)
    try:
        recorder = _recorder(mode, target, settings, arguments)
        told = settings.get("profile")
        sys.modules["builtins"].profile = object_at(told) if told else profile_without_import
        if mode == "module":
            _refuse_unknown_module(target, sure=os.path.exists(path) and os.path.getsize(path) > 0)
        _make_log(settings)
        recorder.start()
    except MemkitError as error:
        _refuse(str(error))
    _open_log(recorder)
    try:
        _let_interrupts_in()
        {"script": run_script, "input": run_input, "module": run_module, "code": run_code}[mode](target)
        exit_status.told = exit_status.OK
    except BaseException as error:
        if reason := _refused_by_runpy(error):
            recorder.stop()
            os.unlink(path)
            _refuse(reason)
        exit_status.told = exit_status.how_it_ended(error)
        hide_own_frames()
        raise


def _recorder(mode: str, target: str, settings: dict[str, str], arguments: list[str]) -> Recorder:
    lines, calls = (settings[name].split("\n") if name in settings else None for name in ("lines", "calls"))
    return Recorder(
        settings["path"],
        interval=settings["interval"],
        meter=meter_at(settings["meter"]),
        lines=[text or _own_code(mode, target) for text in lines or ()],
        calls=calls if calls is not None and all(calls) else calls is not None,
        c_calls="c_calls" in settings,
        peak_reset="no_peak_reset" not in settings,
        follow="follow" in settings,
        limit=settings.get("limit"),
        on_limit=settings.get("on_limit"),
        argv=[*_WORDS[mode], target, *arguments],
    )


def _make_log(settings: dict[str, str]) -> None:
    global _log
    if "call_log" in settings:
        from memkit.record.event_log import EventLog

        _log = EventLog(settings["call_log"], trigger=settings.get("trigger"))
        for frame in (sys._getframe(), sys._getframe(2)):
            _log.leave_out(frame.f_code)


def _open_log(recorder: Recorder) -> None:
    """Begin the log after the recording, so that it ends first, and has nothing of how that ends."""
    if _log is None:
        return
    try:
        _log.start()
        _log.pause()
    except MemkitError as error:
        recorder.stop()
        os.unlink(recorder.path)
        _refuse(str(error))


def _begins() -> None:
    """The next thing that happens is the program's."""
    if _log is not None:
        _log.resume()


# -- the ways to name a program --------------------------------------------------------------------------------------


def run_script(path: str) -> None:
    """Run a file, or the ``__main__`` of a directory or zip archive."""
    if _holds_modules(path):
        sys.path.insert(0, _absolute(path))  # even where the script's folder would be kept out
        _run_module("__main__", named=False)
        return
    from importlib.machinery import SourceFileLoader, SourcelessFileLoader

    whole = _absolute(path)
    _put_first(os.path.dirname(os.path.realpath(path)))
    loader = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
    space = sys.modules["__main__"].__dict__
    space.update(__file__=whole, __loader__=loader("__main__", whole))
    if sys.version_info < (3, 15):
        space["__cached__"] = None
    if loader is SourcelessFileLoader:
        code = space["__loader__"].get_code("__main__")
    else:
        import io

        with io.open_code(whole) as file:
            source = file.read()
        code = compile(source, whole, "exec", dont_inherit=True)
    _begins()
    exec(code, space)


def run_input(_: str) -> None:
    """Run what can be read from standard input: all of it, as the interpreter does."""
    space = sys.modules["__main__"].__dict__
    space["__file__"] = _INPUT
    if sys.version_info < (3, 15):
        space["__cached__"] = None
    code = compile(sys.stdin.buffer.read(), _INPUT, "exec", dont_inherit=True)
    _begins()
    exec(code, space)


def run_module(name: str) -> None:
    """Run a module or package by its dotted name."""
    _run_module(name, named=True)


def run_code(text: str) -> None:
    """Run a text of code."""
    if sys.version_info >= (3, 14):
        from textwrap import dedent

        text = dedent(text)
    if sys.version_info >= (3, 13):  # tracebacks show the lines of -c
        import linecache

        linecache.cache["<string>"] = (len(text), None, text.splitlines(keepends=True), "<string>")
    code = compile(text, "<string>", "exec", dont_inherit=True)
    _begins()
    exec(code, sys.modules["__main__"].__dict__)


def _run_module(name: str, named: bool) -> None:
    import runpy

    # The function that the interpreter calls for -m; run_module would put a stand-in for __main__ into sys.modules.
    _begins()
    runpy._run_module_as_main(name, alter_argv=named)


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
    space = sys.modules["__main__"].__dict__
    for name in [name for name in space if not name.startswith("__")]:
        del space[name]
    del space["__file__"]
    space.pop("__cached__", None)
    space["__loader__"] = sys.modules["builtins"].__loader__


def _let_interrupts_in() -> None:
    """Have Ctrl-C raise KeyboardInterrupt as usual; ``bootstrap.py`` let it end the process instead."""
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _put_first(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)


def _absolute(path: str) -> str:
    # As the interpreter does it: joined, not normalised.
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def profile_without_import(function):
    """``@profile`` without an import, as memory_profiler's users know it."""
    from memkit.record.profile import profile

    return profile(function)


def _own_code(mode: str, target: str) -> str:
    """The target for the program's own code."""
    if mode in ("code", "input"):
        return "<string>" if mode == "code" else _INPUT
    if mode == "module":
        from memkit.tracing.targets import find_module

        file = find_module(target) or find_module(f"{target}.__main__")
        return os.path.join(os.path.dirname(file), "*") if file and file.endswith("__init__.py") else file or target
    return os.path.join(os.path.abspath(target), "*") if _holds_modules(target) else _absolute(target)


def _holds_modules(path: str) -> bool:
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def _refuse(reason: str) -> None:
    print(f"memkit-run: {reason}", file=sys.stderr)
    sys.exit(REFUSED)


def _refuse_unknown_module(name: str, sure: bool) -> None:
    """Refuse a module that cannot be found; where it must be ``sure``, one that cannot without importing its package.

    An earlier recording is about to be replaced then, which a slip of the pen must not cost.
    """
    from importlib.util import find_spec

    from memkit.tracing.targets import find_module

    top = name.partition(".")[0]
    try:
        found = find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is not None and sure:
        package = found.submodule_search_locations is not None and name == top
        found = find_module(f"{name}.__main__") or (None if package else find_module(name))
    if not top or found is None:
        _refuse(f"there is no module named {name!r} to run: check the name, and that {sys.executable} has it")


def _refused_by_runpy(error: BaseException) -> str | None:
    """What runpy says where it found nothing to run; it says so by SystemExit, with the interpreter's name before it."""
    start = f"{sys.executable}: "
    if not isinstance(error, SystemExit) or not isinstance(error.code, str) or not error.code.startswith(start):
        return None
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return error.code.removeprefix(start) if trace.tb_frame.f_code.co_name == "_run_module_as_main" else None


def hide_own_frames(files: tuple[str, ...] = ()) -> None:
    """Have the traceback shown as it would be without memkit, by whatever hook the program chose.

    ``files`` are further ones that it does not show.
    """
    hook = sys.excepthook

    def is_hidden(file):
        return own_code.is_own(file) or file in files

    def show(kind, error, trace):
        sys.excepthook = hook
        while trace is not None and is_hidden(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        sys.last_traceback = trace
        try:
            hook(kind, error.with_traceback(trace), trace)
        except Exception as failure:  # as the interpreter says it
            print("Error in sys.excepthook:", file=sys.stderr)
            sys.__excepthook__(type(failure), failure.with_traceback(failure.__traceback__.tb_next), None)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = show
