"""``--keep-source``: the texts of files in the recording, by which its lines are known when the files change."""

from __future__ import annotations

import os

from memkit.base.errors import FormatError

LONGEST, MOST_IN_ALL = 1 << 20, 1 << 22
"""Characters of one text, and of all: a longer one is not kept."""


def keep_sources(path: str) -> None:
    """Append the text of each file of which lines are known to a recording, unless it was changed since that began.

    Of a heap that was sampled these are the lines of all code that ran: libraries are left out.
    """
    import json
    import tokenize

    from memkit.model.reader import read

    try:
        recording = read(path)
    except FormatError:
        return
    known = {name for name, _ in recording.sources}
    room, rows = MOST_IN_ALL, []
    files = {line.function.file for line in recording.lines}
    files |= {line.function.file for line in recording.hiding().heap_lines}
    for file in sorted(files - known):
        try:
            if os.path.getmtime(file) > recording.about.began:
                continue
            with tokenize.open(file) as text:
                source = text.read(LONGEST + 1)
        except (OSError, SyntaxError, ValueError):  # it is in no file, or no Python
            continue
        if len(source) <= min(LONGEST, room):
            room -= len(source)
            rows.append(f"{json.dumps(['source', file, source])}\n".encode())
    if rows:
        with open(path, "rb+") as journal:
            journal.seek(-1, os.SEEK_END)
            broken_off = journal.read(1) != b"\n"
            journal.write(b"\n" * broken_off + b"".join(rows))
