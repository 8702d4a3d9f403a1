"""The commands that plugins add to memkit's: ``memkit NAME``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memkit.base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.base.protocols import Command


class Commands:
    """The commands of plugins by name. ``own`` are the names of memkit's; ``caller`` says which plugin registers now."""

    def __init__(self, own: Iterable[str], caller: Callable[[], str | None]):
        self._owners = dict.fromkeys(own, "memkit")
        self._caller = caller
        self.found: dict[str, Command] = {}

    def add(self, name: str, command: Command) -> None:
        """Add ``memkit NAME``. Raises ``UsageError`` for a name that is none, or is taken, and for what is no command."""
        if not isinstance(name, str) or not name or name.startswith("-") or name != "".join(name.split()):
            raise UsageError(f"{name!r} cannot be the name of a command: give a word that does not begin with a dash")
        if name in self._owners:
            raise UsageError(f"there is already a command {name!r}, of {self._owners[name]}")
        missing = [part for part in ("description", "add_options", "run") if not hasattr(command, part)]
        if missing:
            raise UsageError(f"the command {name!r} has no {' and no '.join(missing)}")
        self._owners[name] = f"plugin {self._caller()!r}"
        self.found[name] = command

    def owner(self, name: str) -> str:
        """Whose a command is, such as ``plugin 'fit'``."""
        return self._owners[name]
