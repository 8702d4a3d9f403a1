"""Files as nobody should have written them: every format that memkit reads, damaged in every way that comes to mind.

``python tests/hostile.py [MINUTES] [SEED]`` tries new ones for so long, and keeps the first that goes wrong as a file.
"""

import contextlib
import csv
import io
import json
import shutil
import sys
import tempfile
import time
import warnings
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import memkit
from memkit.base.errors import MemkitError
from memkit.cli import catalog
from memkit.compat.mprof import profiles
from memkit.model import event_log_file, file_format, mprof_file, tracker_file
from memkit.model.event_log_file import read_log

import profile_proto

ABOUT = {
    "memkit": "0.1.0",
    "argv": ["load.py", "a b"],
    "pid": 42,
    "parent": 1,
    "python": "3.13.1",
    "host": "here",
    "began": 1.7e9,
    "clock": 10**12,
    "meter": "rss",
    "interval": None,
    "engine": "native",
    "peaks": "reset",
    "peaks_reason": None,
    "mark": 10**6,
    "peaks_error": 4096,
    "recorder": None,
    "package": "/lib/memkit/",
}
EVIDENCE = {"cause": "oom_kill", "limits": [["cgroup", "cgroup /jobs", 10**9]], "kind": "cgroup", "before": 0, "after": 1}
SET = {"threshold": 10**9, "share": 0.5, "limit": ["cgroup", "cgroup /jobs", 2 * 10**9]}
ROWS = [
    ["sample", 10**6, 10**7],
    ["sample", 3 * 10**6, 2 * 10**7, 10**6],
    ["sample", 4 * 10**6, 10**6, 0, 43],
    ["span", 1, 10**6, 10**7, 7, 0, "load"],
    ["span", 2, 10**6, 10**7, 7, 1, "load it"],
    ["span_end", 1, 4 * 10**6, 3 * 10**7, None],
    ["function", 0, "/src/load.py", "load", 3],
    ["function", 1, "/usr/lib/python3.13/concurrent/futures/process.py", "_process_worker", 200],
    ["function", 2, "", "<thread MainThread>", 0],
    ["line", 0, 4, 10, 10**6, 5 * 10**6, 2 * 10**7, 3 * 10**7, 10**6, 10**7, 0, 10**6],
    ["line", 0, 90, 10, 10**6, -5 * 10**6, 2 * 10**7, 3 * 10**7],
    ["tracing", "monitoring", "perf", None, 30.5, 400],
    ["reads", 12],
    ["call", 0, None, 2, 7, 1, 10, 0, 10**7, 10**6, 10**6, 0],
    ["call", 1, 0, 0, 7, 3, 10**6, 5 * 10**6, 3 * 10**7, 10**6, 10**7, 0],
    ["call", 2, 1, 1, 7, 3, 10**6, 5 * 10**6, 3 * 10**7, 10**6, 10**7, 0],
    ["handed", 2, 0, 2],
    ["given", 1, 0, 1],
    ["call_tracing", "monitoring", "rusage", "refused", 50, 300],
    ["call_reads", 3],
    ["greenlets", 2],
    ["sums", 2 * 10**6, 1],
    ["limit", "cgroup /jobs", 10**9, 10**8, "cgroup"],
    ["limit", "RLIMIT_AS", 10**9, 10**8],
    ["peaks", "mark", "refused"],
    ["crossing", 3 * 10**6, 10**8, 10**8, "rss", "raise"],
    ["stack", 3 * 10**6, 7, None, [["/src/load.py", 4, "load"], ["/src/load.py", 9, "<module>"]]],
    ["snapshot", 4 * 10**6],
    ["stack", 4 * 10**6, 7, None, [["/src/load.py", 4, "load"]]],
    ["thread", 7, "MainThread"],
    ["process", 43, 42, 10**6, "python worker.py"],
    ["command", 43, 2 * 10**6, "convert a.png"],
    ["process_end", 43, 5 * 10**6, None, 9, EVIDENCE],
    ["process_left", 43, 10**6],
    ["tree", "pss", None, "looks", "refused"],
    ["unrecorded", 44, 10**7, "sh"],
    ["waited_for", 10**7],
    ["total", 10**6, 10**7, 2 * 10**7, 100, 50, 60],
    ["cost", 10, 1, 10**5],
    ["end", 5 * 10**6, "error", "MemoryError: no", 1, "an uncaught MemoryError; RLIMIT_AS", "MemoryError"],
    ["end", 5 * 10**6, "stopped", None, 86, {"cause": "limit", "set": SET}, None, SET],
    ["exit", 6 * 10**6, None, 9, EVIDENCE],
    ["segment", 0],
    ["memkit", 1, {**ABOUT, "pid": 43, "parent": 42, "clock": 10**12 + 10**6}],
    ["segment", 43],
]
DAT = [
    "CMDLINE python 'a b' c",
    "CMDLINE ['python', 'a b']",
    "MEM 10.5 1700000000.1000",
    "MEM 20.5 1700000000.2000",
    "CHLD 43 5.5 1700000000.1500",
    "FUNC main.load 10.0 1700000000.1000 20.0 1700000000.2000 0",
    "FUNC main.load 10.0 1700000000.1000 20.0 1700000000.2000",
]
LOG = [
    ",".join(file_format.EVENT_LOG_HEAD),
    "1,0.000001000,7,CALL,/src/load.py,3,load,10000000,4096",
    '2,0.000002000,7,LINE,"/src/a,b.py",4,"lo""ad\nit",10004096,4096',
    "3,0.000003000,7,C_CALL,/src/load.py,,<built-in>,10004096,0",
]
TRACE = [
    "SOF",
    "HDR:        Event        dEvent  Clock        What     File    #line Function      RSS         dRSS",
    "NEXT: 12          +12        1.700527     CALL     load.py         # 12 load 29384704   8192",
    "NEXT: 12          +12        1.700527     CALL     load.py  12 load 29384704   8192",
    "LAST: 14          +2         1.800527     RETURN   load it.py  13 load 29384704   8192",
]
TRACK = [file_format.TRACKER_HEAD, "0.1,0.5", "0.2,0.75", "0.3,1.5", file_format.RETURNED, file_format.RAISED]

WORDS = [
    "",
    "\0",
    "\x1b]0;x\x07",
    "\x9b31m",
    "\ud800",
    "=1+1",
    "@x",
    "²",
    "-1",
    "x" * 300,
    "<b>&",
    "a\r\nb",
    "$x$",
    "\u202e",
]
NASTY = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, True, None, [], {}, [[]], "x"]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.5, 1e303, -0.0]),
    st.integers(-(10**20), 10**20),
    st.sampled_from(WORDS),
)
PIECES = ["[" * 2000, "-" * 3000, "\n", "\r", "\0", '"', "'", ",", " ", "9" * 5000, "1e305", "nan", "²", "\x1b[2J", "{}"]


@st.composite
def recordings(draw):
    """The bytes of a recording: true rows, some with a value that cannot be, in any order, and torn."""
    rows = [list(row) for row in draw(st.lists(st.sampled_from(ROWS), max_size=25))]
    for _ in range(draw(st.integers(0, 4))):
        if rows and (row := draw(st.sampled_from(rows))):
            place = draw(st.integers(0, len(row) - 1))
            inner = row[place]
            if isinstance(inner, dict) and inner and draw(st.booleans()):
                row[place] = {**inner, draw(st.sampled_from(sorted(inner))): draw(NASTY)}
            elif draw(st.integers(0, 5)) == 0:
                del row[place:]
            else:
                row[place] = draw(NASTY)
    about = dict(ABOUT)
    if draw(st.integers(0, 3)) == 0:
        about[draw(st.sampled_from(sorted(about)))] = draw(NASTY)
    return draw(torn("\n".join(map(json.dumps, [["memkit", 1, about], *rows])) + "\n"))


@st.composite
def torn(draw, text):
    """A text as bytes, with pieces put in and taken out."""
    for _ in range(draw(st.integers(0, 2))):
        place, length = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 7, 200]))
        piece = draw(st.sampled_from(["", *PIECES]))
        text = text[:place] + piece + text[place + length :]
    return text.encode("utf-8", "surrogatepass")


@st.composite
def texts(draw, head, lines):
    """The bytes of a file of lines, words of which were exchanged, and torn."""
    found = [*head, *draw(st.lists(st.sampled_from(lines), max_size=20))]
    for _ in range(draw(st.integers(0, 3))):
        if found:
            place = draw(st.integers(0, len(found) - 1))
            between = "," if "," in found[place] else " "
            words = found[place].split(between)
            words[draw(st.integers(0, len(words) - 1))] = str(draw(st.one_of(NASTY, st.sampled_from(PIECES))))
            found[place] = between.join(words)
    return draw(torn("\n".join(found) + draw(st.sampled_from(["\n", ""]))))


FILES = {
    "recording": recordings(),
    "dat": texts(DAT[:1], DAT),
    "log": texts(LOG[:1], LOG),
    "trace": texts(TRACE[:2], TRACE),
    "track": texts(TRACK[:1], TRACK),
}
"""What each format's files are drawn from."""


# -- what is done with them ---------------------------------------------------------------------------------------------

COMMANDS = frozenset(map(chr, (*range(32), *range(127, 160))))


def look_at(recording, *, shown=True):
    """Ask a recording for all that reports ask it for; ``shown``: what a notebook shows of it, too."""
    assert recording.about.when and repr(recording)
    for name in ("duration", "peak", "peak_is_exact", "unseen", "together", "growth", "functions", "called"):
        getattr(recording, name)
    recording.columns(30)
    assert len(recording.lanes) == len(recording.processes)
    for limit in recording.limits:
        recording.left(limit)
    assert all(sample.time >= 0 for sample in recording.samples)
    for text in memkit.mimebundle(recording, by_thread=True).values() if shown else ():
        assert is_plain(text.replace("\n", "").replace("\t", "")), "control characters"


def write_all(recording, folder):
    """Write all reports that are text, and read those that memkit reads."""
    from memkit.report.page.build import html_page
    from memkit.report.reporters import call_paths, folded, lines, pprof, recording_json, samples_csv, speedscope

    for text in (*folded.lines(recording), *speedscope.document(recording)) if recording.calls else ():
        assert is_plain(text.rstrip("\n"))
    if recording.calls:
        profile = profile_proto.message("Profile", b"".join(pprof.profile(recording)))
        assert all(map(is_plain, profile.string_table))
    for module, name in ((call_paths, "calls.csv"), (lines, "lines.csv")):
        module.write_csv(recording, str(folder / name))
        with open(folder / name, newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                assert all(is_plain(cell) and cell[:1] not in ("=", "@", "+") for cell in row)
    samples_csv.memkit_report(recording, Namespace(csv=str(folder / "a.csv")))
    recording_json.memkit_report(recording, Namespace(json=str(folder / "a.json")))
    json.loads((folder / "a.json").read_text())
    again = memkit.read(folder / "a.json")
    assert replace(again, source=None, given=()) == replace(recording, source=None, replaced=False, given=())
    (folder / "a.html").write_text("".join(html_page(recording)), encoding="utf-8")
    assert memkit.read(folder / "a.html").peak == recording.peak
    (folder / "b.dat").write_text("".join(mprof_file.mprof_lines(recording)), encoding="utf-8", errors="backslashreplace")
    memkit.read(folder / "b.dat")
    compare_with_part(recording)


def compare_with_part(recording):
    """Compare a recording with a part of it, and write that in all ways that are text."""
    from memkit.report.comparing import document, markdown, tables

    part = replace(recording, lines=recording.lines[1:], samples=recording.samples[1:])
    comparison = memkit.compare(recording, part)
    json.loads("".join(document.document([comparison])))
    for text in (*(row.plain for row in tables.page(comparison)), *markdown.markdown(comparison)):
        assert is_plain(text)


def is_plain(text):
    """Whether a text has nothing in it that commands a terminal."""
    return COMMANDS.isdisjoint(text)


def read_as(kind, content, folder):
    """Read a file by all that read its kind; what they refuse they refuse in a line. Returns whether it was read."""
    path = Path(folder) / f"file{'.memkit' if kind == 'recording' else '.dat' if kind == 'dat' else '.csv'}"
    path.write_bytes(content)
    found = 0
    for reader in (_whole, _tracked, _logged, _listed, _as_mprof_does):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                reader(path)
            found += 1
        except MemkitError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000, error
    return found


def _whole(path):
    recording = memkit.read(path)
    look_at(recording)
    write_all(recording, path.parent)
    look_at(memkit.merge([recording, recording]), shown=False)


def _tracked(path):
    track = tracker_file.read(path)
    assert len(track.times) == len(track.sizes) and track.ending


def _logged(path):
    log = read_log(path)
    for row in log:
        assert isinstance(row, event_log_file.LogRow)


def _listed(path):
    catalog.row_of(str(path))
    file_format.origin(str(path))


def _as_mprof_does(path):
    found = profiles.read_mprofile_file(str(path))
    list(profiles.peak_lines(found))


def attempts(kind, folder, count, seed_of=0):
    """A function that reads so many files of a kind, always the same ones."""

    @seed(seed_of)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(content=FILES[kind])
    def attempt(content):
        try:
            read_as(kind, content, folder)
        except BaseException:
            Path(folder, f"hostile.{kind}").write_bytes(content)
            raise

    return attempt


def fuzz(minutes, seed_of=0, at_once=500):
    """Try files for so long; returns how many. The first that goes wrong is kept, and its exception raised."""
    until, count = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < until:
        for kind in FILES:
            folder = tempfile.mkdtemp(prefix="hostile-")
            attempts(kind, folder, at_once, seed_of + count)()
            shutil.rmtree(folder)
            count += at_once
    return count


if __name__ == "__main__":
    warnings.simplefilter("error")
    given_words = [float(word) for word in sys.argv[1:]] or [1.0]
    print(f"{fuzz(given_words[0], int(sum(given_words[1:]))):,} files were read, or refused in a line")
