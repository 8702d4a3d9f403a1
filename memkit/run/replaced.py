"""Going on from outside with the recording of a program that has replaced itself by another one (``execv``).

The recorder inside is gone with the program that it was in, and the process lives on. So this process looks now and then
whether it still runs what it was started with, and records it as any process from then on, in a segment of the same file.
"""

from __future__ import annotations

import sys

from memkit.base import own_code
from memkit.base.errors import MemkitError
from memkit.system import engine, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.model.file_format import Awaited
    from memkit.run.external import ExternalRecording
    from memkit.system.processes import Reading
    from memkit.tree.unrecorded import Unrecorded
    from memkit.tree.watch import OutsideTree


class Replaced:
    """Watches whether a process replaces its program, beside the tree that is watched meanwhile.

    ``awaited`` is its recording, which it has begun itself.
    """

    def __init__(self, pid: int, awaited: Awaited, tree: OutsideTree | Unrecorded) -> None:
        self._pid, self._awaited, self._tree = pid, awaited, tree
        self._source = processes.here()
        self._image: object = None
        self._recording: ExternalRecording | None = None

    def look(self) -> None:
        """See whether it has, and if so go on from outside."""
        reading = self._source.read(self._pid)
        if reading is None or reading.over or reading.image is None or reading.image == self._image:
            return
        command = self._source.command(self._pid)
        if not command and self._has_died(reading):
            return
        known, self._image = self._image, reading.image
        if known is None and self._is_first(command):
            return
        self.end(None, None)
        self._go_on(reading.parent, command)

    def _has_died(self, reading: Reading) -> bool:
        """Whether it has since a reading of it, and so has no command any more."""
        again = self._source.read(self._pid)
        return again is None or again.over or again.image != reading.image

    def _is_first(self, command: str) -> bool:
        """Whether the process still runs the program that begins the recording; until it has, that is not known."""
        if self._awaited.origin(self._pid) is None:
            self._image = None
            return True
        return any(map(own_code.starts_a_program, command.split()))

    def _go_on(self, parent: int, command: str) -> None:
        from memkit.base.threads import signals_blocked
        from memkit.run.external import ExternalProcess, ExternalRecording  # here: it is rare, and they weigh
        from memkit.tree.watch import OutsideTree

        interval, meter = self._awaited.settings()
        if meter not in processes.METERS:
            return
        process = ExternalProcess(self._pid, parent, (command,))
        try:
            with signals_blocked():  # or the sampling thread would handle signals that the listener waits for
                self._recording = ExternalRecording(process, self._awaited.path, interval, meter, fresh=True, joins=True)
        except MemkitError as error:
            print(f"memkit: the program replaced itself by {process.argv[0]!r}, unrecorded: {error}", file=sys.stderr)
            return
        if isinstance(self._tree, OutsideTree):
            self._tree.shares_file()

    def end(self, code: int | None, killed: int | None) -> bool:
        """End what was recorded from outside, with how the process ended; return whether there was anything."""
        recording, self._recording = self._recording, None
        if recording is None:
            return False
        try:
            recording.end(code, killed)
        except MemkitError as error:
            print(f"memkit: {error}", file=sys.stderr)
        return True


def can_be_seen() -> bool:
    """Whether this system tells that a process has replaced its program."""
    return sys.platform == "linux" and engine.NAME == "native"
