"""``memkit.report``: handing recordings to the reporters, from Python."""

from __future__ import annotations

from memkit.base.errors import MemkitError
from memkit.base.plugins import Plugins
from memkit.model.recording import Recording
from memkit.report.output import naming_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def report(
    recording: Recording | Iterable[Recording],
    *,
    command: str = "report",
    without: Collection[str] = (),
    **options: object,
) -> None:
    """Report on a recording as the commands do: ``memkit.report(recording, csv="a.csv", plot="b.png")``.

    ``recording`` is a ``Recording`` or several; the options are those of ``memkit report``, with ``_`` for ``-`` and
    without the leading dashes. ``without`` names plugins to leave out, as ``-p no:NAME`` does. Raises ``UsageError`` for
    an unknown option or plugin, a value that its option refuses, and several recordings for a report of one, and
    ``MemkitError`` where a report could not be made. Where nobody reads what it prints, it raises ``BrokenPipeError`` as
    ``print`` does, once the other reports have been made.
    """
    complaints: list[str] = []
    plugins = Plugins(without, complain=complaints.append)
    plugins.check_names(without)
    recordings = (recording,) if isinstance(recording, Recording) else tuple(recording)
    chosen = plugins.options(command, options)
    with naming_files(chosen):
        failed = plugins.report(recordings, chosen)
    if failed:
        raise MemkitError("; ".join(complaints))
