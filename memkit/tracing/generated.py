"""Code that was generated from a file, such as a template: it has the name of the file, and lines of its own.

Nobody says so, but the functions of such code are not named in the file where they begin, or it has lines that the file has
not. Code in Python, and languages whose lines are kept, as by Hy and xonsh, pass.
"""

from __future__ import annotations

from memkit.model.file_format import GENERATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

LONGEST = 1 << 20
"""Bytes of a file that are looked at; of a longer one it is not told."""
_MOST = 10_000  # answers that are remembered
_DECORATORS = 50  # lines that they may take before the name of their function

_known: set[tuple[str, str, int]] = set()  # code that its file can be the text of
_generated: set[str] = set()


def file_of(code: CodeType) -> str:
    """The file of code, marked where the code was generated from it."""
    file = code.co_filename
    if not file or file.startswith("<") or file.endswith((".py", ".pyw")):
        return file
    if file not in _generated and _key(code) not in _known and len(_known) < _MOST:
        if _stands_in(file, code):
            _known.update(map(_key, with_nested(code)))  # all that is in it was looked at, too
        else:
            _generated.add(file)
    return file + GENERATED if file in _generated else file


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def with_nested(code: CodeType) -> Iterator[CodeType]:
    """Code, and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from with_nested(constant)


def _stands_in(file: str, code: CodeType) -> bool:
    """Whether a file can be what code was compiled from; where it cannot be read nobody will show its lines."""
    try:
        with open(file, "rb") as opened:
            text = opened.read(LONGEST + 1)
    except (OSError, ValueError):
        return True
    if len(text) > LONGEST:
        return True
    lines = text.replace(b"-", b"_").splitlines()  # as Hy has it
    last = max((line for each in with_nested(code) for _, _, line in each.co_lines() if line), default=0)
    return last <= len(lines) and all(_begins_in(lines, each) for each in with_nested(code))


def _begins_in(lines: list[bytes], code: CodeType) -> bool:
    """Whether the name of a function stands where it begins; not all have a name of their own."""
    name = code.co_name
    if not name.isidentifier() or name.startswith("__"):
        return True
    begins = lines[max(code.co_firstlineno - 1, 0) :][:_DECORATORS]
    if not begins or not begins[0].lstrip().startswith(b"@"):
        begins = begins[:1]
    return any(name in _words(line) for line in begins)


def _words(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace")
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split()
