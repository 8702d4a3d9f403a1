"""The code given to a magic: compiled as IPython compiles a cell, and run in the user's namespace."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memkit.base.errors import MemkitError, UsageError
from memkit.base.stderr import to_stderr
from memkit.model.sources import cell_number

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from memkit.record.event_log import EventLog

_VALUE = "__memkit_value__"
_NOTHING = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class CellSource:
    """Code that can be run, and whose source IPython keeps for tracebacks and line tables.

    ``empty`` is the message for empty code. ``valued``: whether ``run`` returns the value of a last expression. Raises
    ``UsageError`` for code that cannot be compiled.
    """

    def __init__(
        self, shell: InteractiveShell, source: str, empty: str = "there is nothing to run", valued: bool = False
    ) -> None:
        if not source.strip():
            raise UsageError(empty)
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
            line = getattr(error, "lineno", None)
            where = f" in line {line}" if line else ""
            raise UsageError(f"that is not Python{where}: {getattr(error, 'msg', None) or error}") from None
        except InputRejected as error:
            raise UsageError(f"a transformer of IPython refuses it: {error}") from None
        if self.code.co_flags & inspect.CO_COROUTINE:
            raise UsageError("await cannot be measured by a magic: %memwatch on measures whole cells with await")
        self.silenced = _ends_with_semicolon(text)
        """Whether it ends with a semicolon, which tells IPython not to show its value."""

    def run(self, log: EventLog | None = None) -> object:
        """Run the code and return the value of its last expression, or None. ``log``: a paused log to resume meanwhile."""
        __tracebackhide__ = True
        global_names, names = self._shell.user_global_ns, self._shell.user_ns
        try:
            if log is not None:
                log.resume()
            exec(self.code, global_names, names)
        finally:
            if log is not None:
                log.pause()
            value = names.pop(_VALUE, None)
        return value


def _ends_with_semicolon(text: str) -> bool:
    """Whether the last token of the code, comments aside, is a semicolon: the same rule as IPython's."""
    last = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        last = last if token.type in _NOTHING else token.string
    return last == ";"


@contextmanager
def builtin_profile(profile: object = None) -> Iterator[None]:
    """Make ``profile``, memkit's by default, a builtin for a while. A value that the code assigns to it stays."""
    if profile is None:
        from memkit.record.profile import profile
    names = vars(builtins)
    before = names.get("profile")
    names["profile"] = profile
    try:
        yield
    finally:
        if names.get("profile") is profile:
            if before is None:
                del names["profile"]
            else:
                names["profile"] = before


@contextmanager
def errors_as_warnings(what: str) -> Iterator[None]:
    """Report an error of the code in this context in one line, so that it does not replace the result of the user's code."""
    try:
        yield
    except (MemkitError, OSError) as error:
        warn(f"{what}: {error}")
    except Exception as error:
        warn(f"{what}: {type(error).__name__}: {error}")


def warn(text: str) -> None:
    """Report on stderr, in one line, a problem of memkit's own."""
    to_stderr(text)
