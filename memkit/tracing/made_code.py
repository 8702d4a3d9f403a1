"""Code that was compiled from a text in no file: the text, where it can be had, and a name for it.

The interpreter keeps no such text. ``linecache`` has it if whoever compiled it has put it there, as IPython, doctest and
attrs do, and the loader of a module may have it. The text that ``exec`` was given is mostly in a variable of who called it:
one is believed if it compiles to the very same code. An audit hook would see all texts, but it can never be removed again,
and makes each ``open``, ``import`` and ``id`` slower; so there is none, and a text in no variable is not found.
"""

from __future__ import annotations

import os
import sys

from memkit.base import own_code
from memkit.tracing import generated
from memkit.tracing.generated import with_nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

MOST_TEXTS = 200
"""So many are looked for in a recording."""
LONGEST = 1 << 16
"""Characters of a text that is kept; a longer one is not."""
MOST_IN_ALL = 1 << 20
"""Characters of all texts that are kept."""
_MOST_TRIES = 8  # texts that are compiled for one code object
_MOST_FILES = 10_000  # names that are remembered
_ANYBODYS = ("<string>", "<stdin>", "<unknown>", "<dynamic-code>")  # names that tell nothing about the text
_FUTURES = 0x1FE0000  # flags of code that come from a ``from __future__ import`` around it
_OPTIMIZED = 0x1  # the flag of code whose variables are no dict


class MadeCode:
    """The texts of a recording. ``write`` writes a row."""

    def __init__(self, write: Callable[..., None]) -> None:
        import binascii  # noqa: F401  # now, and not on a line of the program's
        import warnings  # noqa: F401

        self._write = write
        self._looked_for: set[int] = set()
        self._file_of: dict[int, str] = {}
        self._wanted: set[int] = set()
        self._asked: set[str] = set()
        self._texts: dict[str, str] = {}
        self._length = 0
        self._written: set[str] = set()

    def look(self, code: CodeType, wanted: Callable[[CodeType], bool]) -> bool:
        """Look for the text of code that begins to run; whether it counts as nested in what is wanted, which executed it."""
        if not code.co_filename.startswith("<"):
            return False
        key = _key(code)
        if code.co_name == "<module>" and key not in self._looked_for and len(self._looked_for) < MOST_TEXTS:
            self._looked_for.add(key)
            self._search(code, wanted)
        return key in self._wanted

    def file_of(self, code: CodeType) -> str:
        """What to call the file of code that is traced. Its text is written, if it is in no file and is known."""
        file = code.co_filename
        name = self._file_of.get(_key(code)) if file.startswith("<") else generated.file_of(code)
        if name is None:  # another text with this name may be known
            name = f"{file[:-1]} #?>" if file in self._file_of.values() else file
        if name not in self._asked and len(self._asked) < _MOST_FILES:
            self._asked.add(name)
            if name not in self._texts and name not in _ANYBODYS and not os.path.exists(name):
                self._keep(name, _text_of(name) or _loaded_text(code) or "")
        if name in self._texts and name not in self._written:
            self._written.add(name)
            self._write("source", name, self._texts[name])
        return name

    def _search(self, code: CodeType, wanted: Callable[[CodeType], bool]) -> None:
        frame = _frame_of(code)
        maker = frame.f_back if frame is not None else None
        if maker is None:
            return
        found = ((text, named, _mode_that_makes(text, code)) for text, named in _candidates(code, maker))
        text, is_named, mode = next((each for each in found if each[-1]), ("", False, None))
        file = code.co_filename if is_named else f"{code.co_filename[:-1]} #{_number_of(text):08x}>"
        if self._keep(file, text):
            keys = [_key(each) for each in with_nested(code)]
            self._file_of.update(dict.fromkeys(keys, file))
            if mode == "exec" and (wanted(maker.f_code) or _key(maker.f_code) in self._wanted):
                self._wanted.update(keys)

    def _keep(self, file: str, text: str) -> bool:
        if file not in self._texts and text and len(text) <= LONGEST and self._length + len(text) <= MOST_IN_ALL:
            self._texts[file] = text
            self._length += len(text)
        return file in self._texts


def _key(code: CodeType) -> int:
    """The same for code that is made anew of the same text, and another for any other; the code is not kept."""
    return hash((code, code.co_filename, code.co_qualname, code.co_firstlineno))


def _number_of(text: str) -> int:
    """A number for a text, the same in every process."""
    from binascii import crc32

    return crc32(text.encode("utf-8", "surrogatepass"))


def _frame_of(code: CodeType) -> FrameType | None:
    """The innermost frame of this thread that runs the code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


# -- where a text may be -----------------------------------------------------------------------------------------------


def _candidates(code: CodeType, maker: FrameType) -> Iterator[tuple[str, bool]]:
    """Texts that code may be made of, and of each whether the name of the file is its own."""
    cached = _text_of(code.co_filename)
    if cached:
        yield cached, True
    least = max((line for _, _, line in code.co_lines() if line), default=0)
    own = own_code.is_own(maker.f_code.co_filename)
    texts = (text for text in map(_as_text, _values(maker, own)) if text and text.count("\n") + 1 >= least)
    for text, _ in zip(dict.fromkeys(texts), range(_MOST_TRIES)):
        yield text, own  # a program that memkit runs was not in a file


def _values(maker: FrameType, own: bool) -> Iterator[object]:
    """The values of the variables and constants that the code of a frame names."""
    code = maker.f_code
    if sys.version_info >= (3, 13) or own or not code.co_flags & _OPTIMIZED:
        variables = maker.f_locals  # before 3.13, those of a function would be kept alive by it
        for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars, *code.co_names):
            yield variables.get(name)
    for name in code.co_names:
        yield maker.f_globals.get(name)
    yield from code.co_consts


def _as_text(value: object) -> str | None:
    if type(value) is bytes and len(value) <= LONGEST:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if type(value) is str and len(value) <= LONGEST else None


def _mode_that_makes(text: str, code: CodeType) -> str | None:
    """How the text has to be compiled to be this very code; None: it is another."""
    import warnings

    for mode, given in ("exec", text), ("eval", text.lstrip(" \t")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # whoever compiled it has been warned
                made = compile(given, code.co_filename, mode, code.co_flags & _FUTURES, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if made == code:
            return mode
    return None


def _text_of(file: str) -> str | None:
    """What ``linecache`` was given as the text of a file that is none."""
    linecache = sys.modules.get("linecache")
    entry = getattr(linecache, "cache", {}).get(file)
    try:
        if entry is not None and len(entry) == 1:
            return _as_text(entry[0]())
        return None if entry is None or entry[1] is not None else _as_text("".join(entry[2]))
    except Exception:  # it is the program's
        return None


def _loaded_text(code: CodeType) -> str | None:
    """What the loader of the module that runs has as its text, for a module out of a zip file for instance."""
    frame = _frame_of(code)
    space = frame.f_globals if frame is not None else {}
    try:
        return _as_text(space["__loader__"].get_source(space["__name__"]))
    except Exception:  # there is none, or it has no text
        return None
