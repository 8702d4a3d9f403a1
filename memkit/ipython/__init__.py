"""``%load_ext memkit.ipython``, or ``%load_ext memkit``: the magics, those of plugins too, and how they leave again."""

from __future__ import annotations

import weakref

_loaded = weakref.WeakKeyDictionary()
"""What loading put into each shell: magics (kind, name, what was there before), and functions at events."""


def load_ipython_extension(shell) -> None:
    """Register the magics of memkit, and let plugins register theirs. Harmless where that was done before."""
    from memkit.base.plugins import Plugins
    from memkit.ipython import magics

    if shell in _loaded:
        return
    before, called = _magics(shell), _called(shell)
    for each in (magics.WatchMagics, magics.MemoryMagics, magics.RecordMagics):
        shell.register_magics(each)
    Plugins().load_ipython(shell)
    put = [(*place, before.get(place)) for place, magic in _magics(shell).items() if before.get(place) is not magic]
    _loaded[shell] = put, [each for each in _called(shell) if each not in called]


def unload_ipython_extension(shell) -> None:
    """Stop watching, and take away what loading brought."""
    from memkit.ipython.mem_watcher import active

    watcher = active(shell)
    if watcher is not None:
        watcher.stop_watching_memory()
    put, called = _loaded.pop(shell, ((), ()))
    for kind, name, before in put:
        magics = shell.magics_manager.magics[kind]
        magics.pop(name, None)
        if before is not None:
            magics[name] = before
    for event, function in called:
        if function in shell.events.callbacks[event]:
            shell.events.unregister(event, function)


def _magics(shell) -> dict:
    return {(kind, name): magic for kind, known in shell.magics_manager.magics.items() for name, magic in known.items()}


def _called(shell) -> list:
    return [(event, function) for event, functions in shell.events.callbacks.items() for function in functions]
