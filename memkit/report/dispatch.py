"""``memkit.report``: handing recordings to the reporters, from Python."""

from __future__ import annotations

from memkit.base.errors import MemkitError, UsageError
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
    an unknown option or plugin, a value that its option refuses, and several recordings for a report of one. Once the other
    reports have been made, it raises ``UsageError`` for one that these recordings have nothing for, ``MemkitError`` where
    one could not be made, and ``BrokenPipeError``, as ``print`` does, where nobody reads what it prints.
    """
    complaints: list[str] = []
    plugins = Plugins(without, complain=complaints.append)
    plugins.check_names(without)
    recordings = (recording,) if isinstance(recording, Recording) else tuple(recording)
    chosen = plugins.options(command, options)
    try:
        with naming_files(chosen):
            failed = plugins.report(recordings, chosen)
    except UsageError as refusal:
        if complaints:
            raise MemkitError("; ".join([*complaints, str(refusal)])) from None
        raise
    if failed:
        raise MemkitError("; ".join(complaints))
