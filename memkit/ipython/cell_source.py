"""Code that was typed into a magic: compiled as IPython compiles a cell, and run in the user's namespace."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import sys
import tokenize
from contextlib import contextmanager

from memkit.base.errors import MemkitError, UsageError
from memkit.model.sources import cell_number

_VALUE = "__memkit_value__"
_NOTHING = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class Typed:
    """Code to be run, whose source tracebacks and tables of lines can show. Raises ``UsageError`` for what is no code.

    ``nothing`` is what to say where there is none. ``valued`` is whether the value of a last expression is wanted.
    """

    def __init__(self, shell, source: str, nothing: str = "there is nothing to run", valued: bool = False):
        if not source.strip():
            raise UsageError(nothing)
        from IPython.core.error import InputRejected

        self._shell = shell
        try:
            text = shell.transform_cell(source)
            self.name = shell.compile.cache(text, cell_number(shell), raw_code=text)
            tree = shell.transform_ast(shell.compile.ast_parse(text, filename=self.name))
            if valued and tree.body and isinstance(tree.body[-1], ast.Expr):
                last = tree.body[-1]
                kept = ast.Assign([ast.Name(_VALUE, ast.Store())], last.value)
                tree.body[-1] = ast.fix_missing_locations(ast.copy_location(kept, last))
            with shell.compile.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):
                self.code = shell.compile(tree, self.name, "exec")
        except (SyntaxError, ValueError, OverflowError) as error:
            where = f" in line {error.lineno}" if getattr(error, "lineno", None) else ""
            raise UsageError(f"that is not Python{where}: {getattr(error, 'msg', None) or error}") from None
        except InputRejected as error:
            raise UsageError(f"a transformer of IPython refuses it: {error}") from None
        if self.code.co_flags & inspect.CO_COROUTINE:
            raise UsageError("await cannot be measured by a magic: %memwatch on measures whole cells with await")
        self.silenced = _ends_with_semicolon(text)
        """Whether its value is not to be shown, which is how IPython is told so."""

    def run(self, log=None):
        """Run it; the value of the last expression, if it is wanted. An event log that was paused has what it does."""
        __tracebackhide__ = True
        everywhere, space = self._shell.user_global_ns, self._shell.user_ns
        try:
            if log is not None:
                log.resume()
            exec(self.code, everywhere, space)
        finally:
            if log is not None:
                log.pause()
            value = space.pop(_VALUE, None)
        return value


def _ends_with_semicolon(text: str) -> bool:
    """Whether a semicolon is the last thing in some code, but for comments. IPython looks for it before transforming."""
    last = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        last = last if token.type in _NOTHING else token.string
    return last == ";"


@contextmanager
def profile_is_there(profile=None):
    """``@profile``, memkit's or that which is given, is a builtin meanwhile. What the program makes of the name, stays."""
    if profile is None:
        from memkit.record.profile import profile
    before = vars(builtins).get("profile")
    builtins.profile = profile
    try:
        yield
    finally:
        if vars(builtins).get("profile") is profile:
            if before is None:
                del builtins.profile
            else:
                builtins.profile = before


def end(recorder, *ending) -> None:
    """End what recorded the code that was typed. That rows were lost is told in a line, and is nothing to the code."""
    try:
        recorder.stop(*ending)
    except (MemkitError, OSError) as error:
        tell(f"the recording is incomplete: {error}")


@contextmanager
def harmless(what: str):
    """What is shown of some code when it has run can take neither its value away nor its exception: a line tells of it."""
    try:
        yield
    except (MemkitError, OSError) as error:
        tell(f"{what}: {error}")
    except Exception as error:
        tell(f"{what}: {type(error).__name__}: {error}")


def tell(text: str) -> None:
    """Say in a line what is not the code's fault, and must not take its result away."""
    print(f"memkit: {text}", file=sys.stderr)
