"""memory_time_tracker's names: a tracker of the whole system's memory, and functions that read its files."""

from __future__ import annotations

import os
import time

from memkit.model import tracker_file
from memkit.record import tracker
from memkit.record.tracker import get_used_ram
from memkit.report import overlay_plot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Tracker",
    "get_last_line",
    "get_used_ram",
    "has_completed_successfully",
    "has_crashed_gracefully",
    "has_crashed_ungracefully",
    "plot_reports",
]

GIB = 1 << 30


class Tracker(tracker.Tracker):
    """Writes the whole system's memory in GiB over the time of a block into a CSV file; see ``memkit.Tracker``, which it is.

    Folders of ``file_name`` are made. ``calibrate``: subtract what is in use as the tracker is made, one reading or the mean
    of ``calibration_seconds``. ``start_delay`` and ``end_delay``: seconds to wait before the block and after it.
    ``verbose``: print progress and results.
    """

    def __init__(
        self,
        file_name: str,
        end_delay: float = 0,
        calibrate: bool = True,
        calibration_seconds: float = 0,
        verbose: bool = False,
        start_delay: float = 0,
    ):
        os.makedirs(os.path.dirname(os.path.abspath(file_name)), exist_ok=True)
        super().__init__(file_name, scope="system", start_delay=start_delay, end_delay=end_delay)
        self.file_name, self.verbose = file_name, verbose
        self.end_delay, self.start_delay = end_delay, start_delay
        self._say(f"Logging results into: {file_name}")
        if calibrate:
            self._say("Starting calibration")
            self.calibration = self._measured(calibration_seconds)
            mean, spread = (size / GIB for size in self.calibration)
            self._say(f"Calibration done, the mean ram used by the system is {mean} ± {spread} Gb ")

    @property
    def calibration_offset(self) -> float:
        """GiB that are subtracted."""
        return self._offset() / GIB

    def __enter__(self) -> Tracker:
        self.start()
        self.start_time = time.time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end_time = time.time()
        if kind is not None:
            self._say(f"The program had an exception {error}")
        super().__exit__(kind, error, trace)
        if self.afterwards is not None:
            mean, spread = (size / GIB for size in self.afterwards)
            self._say(f"The ram used one che process finished is {mean} ± {spread} Gb")
        self._say(f"The process took {self.end_time - self.start_time} seconds")

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)


def has_completed_successfully(path: str) -> bool:
    """Whether the block ended without an exception. Raises ``ValueError`` if there is no such file."""
    return tracker_file.has_completed_successfully(_existing(path))


def has_crashed_gracefully(path: str) -> bool:
    """Whether the block raised an exception. Raises ``ValueError`` if there is no such file."""
    return tracker_file.has_crashed_gracefully(_existing(path))


def has_crashed_ungracefully(path: str) -> bool:
    """Whether the block was killed, or still runs. Raises ``ValueError`` if there is no such file."""
    return tracker_file.has_crashed_ungracefully(_existing(path))


def plot_reports(paths: str | list[str]) -> None:
    """Plot one or several files into a new pyplot figure, which pyplot's functions show or save."""
    from matplotlib import pyplot

    overlay_plot.plot_reports(paths, figure=pyplot.figure(figsize=(5, 5), dpi=200, layout="constrained"))


def get_last_line(path: str, number_of_lines_to_read: int = 2) -> str | None:
    """The text after the n-th line end, counted from the end of a file, stripped of line ends; None if there are fewer."""
    with open(path) as file:
        text = file.read()
    place = len(text)
    for _ in range(number_of_lines_to_read):
        place = text.rfind("\n", 0, place)
        if place < 0:
            return None
    return text[place:].strip("\n")


def _existing(path: str) -> str:
    if not os.path.exists(path):
        raise ValueError(f"The file at the provided path {path} does not exist.")
    return path
