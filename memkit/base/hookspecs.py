"""The hooks, each in a sentence. A plugin implements those it wants, with as few of the arguments as it needs.

A plugin is a module or object named by an entry point in the group ``memkit``; ``memkit.hookimpl`` marks its hooks.
"""

from __future__ import annotations

import pluggy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from IPython.core.interactiveshell import InteractiveShell

    from memkit.base.protocols import Meters, OptionParser, Recording, Registry

hookspec = pluggy.HookspecMarker("memkit")
hookimpl = pluggy.HookimplMarker("memkit")


@hookspec
def memkit_add_options(parser: OptionParser) -> None:
    """Add command-line options; their values come back in ``options``.

    ``parser`` has argparse's ``add_argument``. An option must be inert by default: a plugin acts when its own was given.
    Set ``one_recording = True`` on an option that must not be given for several recordings, and ``needs`` to ``"calls"``,
    ``"lines"`` or ``"heap"`` on one that makes nothing of a recording without these, or to a function of its value that
    returns one of them. ``goes_with`` is the name of an option without which it says nothing.
    """


@hookspec
def memkit_report(recording: Recording, recordings: tuple[Recording, ...], options: Namespace) -> None:
    """Report on finished recordings.

    Take ``recording`` to be called once for each, or ``recordings`` (a tuple) to be called once with all of them.
    """


@hookspec
def memkit_follow(recording: Recording, options: Namespace) -> None:
    """Called about once a second while a process is recorded by a command, with what has been recorded so far.

    One that fails is not called again for that recording.
    """


@hookspec
def memkit_meters() -> Meters:  # type: ignore[empty-body]  # a specification has none
    """Further meters: a dict of name -> module-level callable that returns bytes, for ``--meter NAME``."""


@hookspec
def memkit_register_commands(commands: Registry) -> None:
    """Add commands: ``commands.add("NAME", command)`` makes ``memkit NAME``.

    A command is an object, or a module, with a ``description``, ``add_options(parser)`` for an argparse parser, and
    ``run(options)``, which returns the exit code.
    """


@hookspec
def memkit_load_ipython(shell: InteractiveShell) -> None:
    """``%load_ext memkit`` was typed: register magics, and functions at events, with the ``shell`` of IPython."""
