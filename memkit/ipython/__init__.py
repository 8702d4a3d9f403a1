"""The IPython extension: ``%load_ext memkit.ipython`` or ``%load_ext memkit`` registers all magics, those of plugins too."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class _Loaded(NamedTuple):
    """What loading registered in a shell."""

    magics: list[tuple[str, str, object]]
    """Kind, name, and the magic that had this name before, or None."""
    callbacks: list[tuple[str, Callable[..., object]]]
    """Event and function."""


_loaded: weakref.WeakKeyDictionary[InteractiveShell, _Loaded] = weakref.WeakKeyDictionary()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics of memkit and those of plugins. Does nothing if they are registered already."""
    from memkit.base.plugins import Plugins
    from memkit.ipython import magics

    if shell in _loaded:
        return
    before, callbacks = _magics(shell), _callbacks(shell)
    for each in (magics.WatchMagics, magics.MemoryMagics, magics.RecordMagics):
        shell.register_magics(each)
    Plugins().load_ipython(shell)
    registered = [
        (kind, name, before.get((kind, name)))
        for (kind, name), magic in _magics(shell).items()
        if before.get((kind, name)) is not magic
    ]
    _loaded[shell] = _Loaded(registered, [each for each in _callbacks(shell) if each not in callbacks])


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop watching cells, and unregister everything that loading registered."""
    from memkit.ipython.mem_watcher import active

    watcher = active(shell)
    if watcher is not None:
        watcher.stop_watching_memory()
    loaded = _loaded.pop(shell, _Loaded([], []))
    for kind, name, before in loaded.magics:
        magics = shell.magics_manager.magics[kind]
        magics.pop(name, None)
        if before is not None:
            magics[name] = before
    for event, function in loaded.callbacks:
        if function in shell.events.callbacks[event]:
            shell.events.unregister(event, function)


def _magics(shell: InteractiveShell) -> dict[tuple[str, str], object]:
    return {(kind, name): magic for kind, known in shell.magics_manager.magics.items() for name, magic in known.items()}


def _callbacks(shell: InteractiveShell) -> list[tuple[str, Callable[..., object]]]:
    return [(event, function) for event, functions in shell.events.callbacks.items() for function in functions]
