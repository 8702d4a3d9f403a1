"""The table of five columns, to the character, and a log for a stream."""

from __future__ import annotations

import linecache
import sys

_ROW = "{:>6} {:>12} {:>12}  {:>10}   {}"
_HEAD = _ROW.format("Line #", "Mem usage", "Increment", "Occurrences", "Line Contents")


def show_results(prof, stream=None, precision=1):
    """Print the table of each function that a profiler measured. ``stream`` is standard output unless it is given."""
    stream = sys.stdout if stream is None else stream
    if stream is None:  # a program without a console
        return
    for filename, lines in prof.code_map.items():
        texts = linecache.getlines(filename)
        for text in (f"Filename: {filename}\n\n", f"{_HEAD}\n", f"{'=' * len(_HEAD)}\n"):  # a LogFile chooses among them
            stream.write(text)
        for number, measured in lines:
            cells = ("", "", "")
            if measured:
                increment, memory, occurrences = measured
                cells = _mebibytes(memory, precision), _mebibytes(increment, precision), occurrences
            text = texts[number - 1] if 0 < number <= len(texts) else "\n"
            stream.write(_ROW.format(number, *cells, text))
        stream.write("\n\n")


def _mebibytes(size, precision):
    return f"{size:{precision + 4}.{precision}f} MiB"


class LogFile:
    """A stream over ``logging.getLogger(name)``.

    With ``reportIncrementFlag`` only the rows of lines that grew are logged, and the heads of tables.
    """

    def __init__(self, name=None, reportIncrementFlag=False):
        import logging

        self.logger = logging.getLogger(name)
        self.reportIncrementFlag = reportIncrementFlag

    def write(self, msg, level=20):
        """Log a text, at the level ``logging.INFO`` unless another is given."""
        if not self.reportIncrementFlag or "Filename:" in msg or "Line Contents" in msg or _grew(msg):
            self.logger.log(level, msg)

    def flush(self):
        for handler in self.logger.handlers:
            handler.flush()


def _grew(text):
    parts = text.split("MiB")
    try:
        return len(parts) > 2 and float(parts[1]) > 0
    except ValueError:
        return False
