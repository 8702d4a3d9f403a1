"""What an event log must hold, found by a profile and a trace function in Python: a program of its own, as ``oracle.py`` is.

::

    python tests/events_oracle.py python|memkit FOLDER

runs every program in the folder and prints as JSON, for each, how often each event happened in it: what, line and function.
"""

import json
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from oracle import MADE, SWITCH, run

NAMES = {
    "call": "CALL",
    "return": "RETURN",
    "line": "LINE",
    "exception": "EXCEPT",
    "c_call": "C_CALL",
    "c_return": "C_RETURN",
    "c_exception": "C_EXCEPT",
}


def under_python(file):
    found = Counter()

    def add(frame, event, argument):
        if frame.f_code.co_filename in (str(file), MADE):
            name = argument.__name__ if event.startswith("c_") else frame.f_code.co_qualname
            found[NAMES[event], frame.f_lineno, name] += 1

    def trace(frame, event, argument):
        if event in ("line", "exception"):
            add(frame, event, argument)
        return trace

    threading.setprofile(add)
    threading.settrace(trace)
    sys.setprofile(add)
    sys.settrace(trace)
    try:
        run(file)
    finally:
        sys.settrace(None)
        sys.setprofile(None)
        threading.setprofile(None)
        threading.settrace(None)
    return found


def under_memkit(file):
    import memkit

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "events.csv")
        with memkit.EventLog(path, trigger=0) as log:
            run(file)
        rows = list(memkit.read_log(path))
    assert [row.event for row in rows] == list(range(1, log.events + 1))
    found = Counter()
    for row in rows:
        if row.file in (str(file), MADE):
            found[row.what, row.line, row.function.rpartition(".")[2] if row.what.startswith("C_") else row.function] += 1
    return found


def main(way, folder):
    under = {"python": under_python, "memkit": under_memkit}[way]
    sys.setswitchinterval(SWITCH)
    found = {}
    for file in sorted(Path(folder).glob("*.py")):
        run(file)
        found[file.stem] = sorted([what, line or 0, name, n] for (what, line, name), n in under(file).items())
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
