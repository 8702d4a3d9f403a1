"""What ``memkit-run`` is asked to run: refused where it is no Python program, with what to write in its place."""

from __future__ import annotations

import os
import shutil

from memkit.base.errors import UsageError

_MACHINE_CODE = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")
"""How programs of Linux, Windows and macOS begin."""


_INTERPRETERS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "fish", "perl", "ruby", "node", "php", "lua", "Rscript")


def check_script(words: list[str], ours: list[str]) -> None:
    """Refuse what is no script. ``words`` are it and its arguments, ``ours`` what stands before. Raises ``UsageError``."""
    script = words[0]
    if not os.path.exists(script):
        raise UsageError(f"cannot find {script!r}: {_meant(words, ours)}")
    if os.path.isdir(script):
        if not any(os.path.exists(os.path.join(script, f"__main__.py{c}")) for c in ("", "c")):
            raise UsageError(f"cannot run the folder {script!r}: there is no __main__.py in it")
        return
    if not os.access(script, os.R_OK):
        raise UsageError(f"cannot read {script!r}: permission denied")
    if kind := _other_kind(script):
        raise UsageError(f"{script!r} is {kind}, not Python: write --program {_shown(words)}")


def _meant(words: list[str], ours: list[str]) -> str:
    """What to write in the place of a script that is not there."""
    script, *arguments = words
    if ours[-1:] in (["--lines"], ["--calls"]) and arguments:
        return f"if it is what to trace, write {ours[-1]}={script}"
    found = shutil.which(script) if os.path.basename(script) == script else None
    if _is_python(script):
        if arguments and not arguments[0].startswith("-"):
            return f"memkit-run starts Python itself, write memkit-run {_shown(arguments)}"
        return f"memkit-run starts Python itself, leave the word out; --program {_shown(words)} is another interpreter"
    kind = _module(script)
    if kind == "runnable":
        return f"it is a module, write -m {_shown(words)}"
    if found is not None and not _other_kind(found):
        return f"it is a command, write its path: memkit-run {_shown([found, *arguments])}"
    if found is not None:
        return f"it is a command, write --program {_shown(words)}"
    return f"it is a module, write -m {_shown(words)}" if kind else "check the path, or write -m for a module"


def _module(name: str) -> str | None:
    """Whether a word is the name of a module: ``runnable`` where that is a package that can be run, None for no module."""
    import importlib.util

    try:
        found = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    folders = found.submodule_search_locations or () if found is not None else ()
    runnable = any(os.path.exists(os.path.join(folder, "__main__.py")) for folder in folders)
    return "runnable" if runnable else None if found is None else "module"


def _is_python(word: str) -> bool:
    name = os.path.basename(word).removesuffix(".exe")
    return name.startswith(("python", "pypy")) and not name.lstrip("abcdefghijklmnopqrstuvwxyz").strip("0123456789.")


def _shown(words: list[str]) -> str:
    import shlex

    return shlex.join(words) if len(words) < 4 else f"{shlex.join(words[:3])} ..."


def _other_kind(path: str) -> str | None:
    """What a file is, where it is certainly no Python; None elsewhere."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(1024)
    except OSError:
        return None
    if beginning.startswith(_MACHINE_CODE):
        return "machine code"
    first, _, rest = beginning.partition(b"\n")
    if not first.startswith(b"#!") or b"python" in first or b"pypy" in first:
        return None
    if rest.startswith(b"'''exec'"):  # how pip writes a script whose interpreter has a long path
        return None
    names = [os.path.basename(os.fsdecode(word)) for word in first[2:].split()]
    return next((f"a script for {name}" for name in names if name in _INTERPRETERS), None)
