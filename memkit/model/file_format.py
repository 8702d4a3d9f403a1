"""The file: JSON lines, one array a row, appended whole.

===========  ================================================  ====================================================
row          values                                            written
===========  ================================================  ====================================================
``memkit``   format version, object                            first; the object's keys are those of ``About``
``segment``  pid                                               before rows of a process that follows the recorded one, whose
                                                               own rows begin with ``memkit``; 0 is the recorded one
``sample``   time, memory, rise, pid                           by the sampler; the rise is how far the peak since the row
                                                               before lay above memory, 0 if it is missing; a missing
                                                               pid is the recorded process
``span``     id, time, memory, thread, depth, label,           when a span begins; the last, an object, is left out where
             attributes                                        it has none
``span_end``  id, time, memory, peak, overlapped, allocated,   when it ends; peak is null where only samples tell; overlapped
             freed, heap peak                                  is 1 where others were open beside it; the last three where
                                                               heap is counted; by lines or calls only the first is known
``span_call``  span, call, growth, rise                        with a ``span_end`` of the worst of a label: a path that grew
                                                               or rose most inside it, where calls are traced
``span_line``  span, function, line, growth, rise              the same of a line
``span_sums``  label, count, overlapped, time, growth,         now and then, as spans end, and at the end: all spans of the
             rise, allocated, kept, heap peak, alive, sure     label so far; the last row of a label holds. Each measure is
                                                               null, or its total, its highest, and pairs of a bucket and
                                                               how many values are in it; alive is how many spans are a
                                                               block, and the least that was alive in the last blocks;
                                                               sure that of blocks of sizes that no free list has
``span_label``  number, parent, label                          where every block is counted: the first time that a span
                                                               of this label is inside those of the parent, or of none
``span_heap``  number, allocated, freed, blocks, blocks        when sums are written: of such a label so far, without what
             freed, alive at the peak, freed inside            is inside it; the last row of a number holds
``size``     time, size                                        when the program, or ``memkit-run --sizes``, tells how large
                                                               its input is; the last one holds
``function``  number, file, qualified name, first line         the first time that code is traced
``source``   file, text                                        before the first function of code that is in no file,
                                                               where its text is known; at the end of each traced
                                                               file, with ``--keep-source``
``line``     function, number, hits, time, growth,             when rows are flushed and the line has run or runs:
             memory, peak, rise, rises, about, own rise        the totals so far, so the last row of a line holds
``tracing``  tracer, gate, reason, cost of a line, of a read,  when tracing begins; costs are in nanoseconds
             targets
``reads``    readings of memory                                when rows are flushed: what came since the row before
``call``     node, parent, function, thread, calls, time,      when rows are flushed: what the node did itself, so far;
             growth, peak, rise, rises, about                  the parent has a lower number, or is null for a root; the
                                                               rise is that of one call with all that it called
``handed``   node, home, kind                                  before the first row of a call that is work which its parent
                                                               handed over: the function that stands for all such work,
                                                               and the node that called it in its thread, null for a thread
``given``    node, function, function                          the first time that a call hands work of the one function to
                                                               other processes, by the other one
``call_tracing``  tracer, gate, reason, cost of a call, of a   as ``tracing``, for calls; no targets are all calls
             read, targets
``call_reads``  readings of memory                             as ``reads``, for calls
``heap_counting``  allocators, by calls, by lines, why,        when allocations are counted: whose, 1 or 0, why not more;
             distance                                          bytes between samples, null where all are counted
``heap_lines``  base, parent, function, line, count            lines below a line, or null: their numbers begin at the base
``heap``     node, line, allocated, freed, blocks, blocks      sums so far of a node and a line, or null, in bytes; the last
             freed, at the peak, temporary, by line            row of both counts
``heap_in_span``  number, and as ``heap``                       the same of what was allocated in spans: of a ``span_label``,
                                                               without what is inside them; it is in no ``heap`` row
``heap_errors``  node, line, of allocated, of freed, of        after its ``heap`` row, where it is of samples: one standard
             alive, of at the peak, of blocks, of blocks       error of each
             freed
``heap_total``  alive, peak, copies, unbooked, mapped, of      after these; blocks that are in no sum, bytes of maps; of
             alive, of peak                                    samples one standard error of the first two
``balance``  time, moment, pid, resident memory, rows, notes   where allocations are counted: near the peak and at the end;
                                                               each row is key, name, bytes, error, parts, advice, each
                                                               part name, bytes; no rows if it could not be taken
``greenlets``  why                                            when rows are flushed, if greenlets were not told apart:
                                                               1, no settrace; 2, it was taken over; 3, too many
``sums``     time, left                                        after rows of lines and calls: when they were read; left is 1
                                                               where smaller changes were left for later, else missing
``group``    time, name, used, anonymous, shared, files,       by the supervisor, where a control group limits the program:
             kernel                                            what that uses, and what of; null where it is not told
``mapped``   time, bytes                                       before a sample: how much of it were pages of files, if that
                                                               may have changed by 1/64 of memory
``limit``    name, size, used, kind                            when the recording begins: what limits memory
``peaks``    kind, reason                                      when peaks turn out to be known in another way than the first
                                                               row says
``crossing``  time, memory, limit, name, action                when memory reaches what ``--limit`` says
``snapshot``  time, asked                                      when memory has risen by 5 % near a limit; 1 where somebody
                                                               asked for it, else missing; stacks follow
``stack``    time, thread, name, frames                        after a crossing or snapshot, where each thread is: arrays of
                                                               file, line and function, the innermost first
``thread``   thread, name                                      when Python runs after a crossing
``process``  pid, parent, started, command                     when another process of the tree is first seen
``command``  pid, time, command                                when it begins to run another program
``process_end``  pid, time, code, signal, out of memory        when it has ended; null where that is not known
``process_left``  pid, time                                    when the recording ends, of each that still runs
``tree``     kind, reason, seen, reason                        how totals are added up: ``pss``, or ``rss`` and why; how
                                                               processes are found: by ``events`` or ``looks``, and why
``unrecorded``  pid, memory, command                           when the recording ends: a process that the program started
                                                               and that was not recorded, with the highest memory seen
``waited_for``  memory                                         by the program as it ends, where children have ended that were
                                                               not recorded: the highest of any, or of what their parent
                                                               had when it started them
``total``    time, memory, rss, estimated, below, above        at each poll of the tree: all its processes together; the
                                                               last two only where they differ
``cost``     ticks, missed ticks, CPU time                     about once a second: what came since the row before
``end``      time, kind, error, code, out of memory,           by the program as it ends; limit is the one that was set,
             exception, limit                                  of a program that was stopped at it
``exit``     time, code, signal, out of memory                 by the supervisor, who saw the process end; code and signal
                                                               are null where it is not known how; out of memory is which
                                                               count of kills rose, whichever process that was
===========  ================================================  ====================================================

This is the writing half; the measured process uses it, so that it loads nothing that weighs until it is asked to read.
``memkit.model.reader`` is the other.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = 1
SUFFIX = ".memkit"
BEGINNING = b'["memkit"'
DOCUMENTS = (b"<!doctype html>\n<!-- memkit page", b'{\n "format": ')
"""What a page and a document of memkit's begin with."""
PICKLED = "<dynamic-code>"
"""The file of all code that cloudpickle has made, from its version 3.1 on."""
GENERATED = " (generated code)"
"""What follows the name of a file from which code was generated, such as a template: its lines are those of the code."""
MORE_FUNCTIONS = "<more functions>"
"""The name of the functions that are counted together, beyond as many as a recording tells apart."""

WHOLE_SPANS = 1000
"""Spans of a label that are written whole. Of further ones only the worst are: more than any before, by 1/16."""
_BITS = 5  # of a number that a bucket tells: half a bucket is 1/32 of it


def bucket(value: int) -> int:
    """The number of the bucket that a value is counted in: a value below 32 has one of its own, others 16 an octave."""
    if value < 0:
        return -1 - bucket(-value)
    shift = max(0, value.bit_length() - _BITS)
    return (shift << (_BITS - 1)) + (value >> shift)


def middle(number: int) -> int:
    """The middle of a bucket, which is off by at most 1/32."""
    if number < 0:
        return -middle(-1 - number)
    shift = max(0, (number >> (_BITS - 1)) - 1)
    return ((number - (shift << (_BITS - 1))) << shift) + ((1 << shift) >> 1)


def row(*values: object) -> bytes:
    """A row as it stands in the file. Values are text, numbers, None, lists or dicts of these, or bytes of JSON."""
    return b"[" + b",".join(map(spelled, values)) + b"]\n"


def spelled(value: object) -> bytes:
    """A value as a row has it."""
    if value is None:
        return b"null"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(map(spelled, value)) + b"]"
    if isinstance(value, dict):
        return b"{" + b",".join(quote(key) + b":" + spelled(each) for key, each in value.items()) + b"}"
    return repr(value).encode()


def attributes(given: Mapping[str, object]) -> dict[str, str | float | bytes | None]:
    """The attributes of a span, as a row has them. Raises ``TypeError`` for one that no row can have."""
    return {name: _attribute(name, value) for name, value in given.items()}


def _attribute(name: str, value: object) -> str | float | bytes | None:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and value - value == 0):
        return value
    if isinstance(value, float):  # none that JSON has
        return repr(value)
    raise TypeError(f"a span's attributes are text or numbers, not {name}={value!r}: write {name}=str(...)")


def quote(text: str) -> bytes:
    """Text as JSON. The json package itself would cost the measured process 6 ms and 1.3 MiB."""
    global _encoded
    if _encoded is None:
        try:
            from _json import encode_basestring_ascii
        except ImportError:
            from json.encoder import encode_basestring_ascii
        _encoded = encode_basestring_ascii
    return _encoded(text).encode()


_encoded: Callable[[str], str] | None = None


def header(about: dict[str, object]) -> bytes:
    """The first row. ``about`` has the keys of ``About``."""
    return row("memkit", VERSION, about)


def origin(path: str) -> tuple[int, int] | None:
    """The process that a recording is of, and when it began on the monotonic clock; None where there is none, or not yet.

    A first row may break off, on a full disk.
    """
    import json

    if not is_recording(path):
        return None
    try:
        with open(path, "rb") as file:
            about = json.loads(file.readline())[2]
        return about["pid"], about["clock"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


class Awaited:
    """The recording that another process is about to begin in a file, where an earlier one may be.

    The earlier one may be of a process with the same number: in a container that is the rule. Make this before the process
    can begin.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._earlier = _first_row(path)

    def origin(self, pid: int | None) -> int | None:
        """When the process with this number began it, on the monotonic clock; None as long as it has not."""
        found = origin(self.path)
        if found is None or found[0] != pid or _first_row(self.path) == self._earlier:
            return None
        return found[1]

    def settings(self) -> tuple[int, str]:
        """The interval of samples in nanoseconds, 0 for one that grows, and the meter's name, of the one that has begun."""
        import json

        about = json.loads(_first_row(self.path))[2]
        return about["interval"] or 0, about["meter"]


def _first_row(path: str) -> bytes:
    """The first row of a recording, which no two have alike; empty where there is none."""
    if not is_recording(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.readline()
    except OSError:
        return b""


def segment(pid: int) -> bytes:
    """The row before those of one of the processes that write into a recording; 0 is the recorded one."""
    return row("segment", pid)


def append(path: str, *values: object, head: bytes = b"") -> None:
    """Add a row, and one before it, to a file that others may be appending to, even one that ends inside a row."""
    rows = head + row(*values)
    with open(path, "a+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                rows = b"\n" + rows
        while rows:  # a disk that is nearly full takes some of it, and only then refuses
            rows = rows[file.write(rows) :]


def _opened_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe has a writer, or is empty


def is_recording(path: str) -> bool:
    """Whether a file begins as a recording does."""
    try:
        with open(path, "rb", opener=_opened_at_once) as file:
            return file.read(len(BEGINNING)) == BEGINNING
    except OSError:
        return False


def samples_in(rows: bytes) -> tuple[tuple[int, int, int], ...]:
    """The samples among rows of one process that stand without a first row: time, memory, peak since the last.

    Rows that were broken off, by a full disk, are passed over.
    """
    import json

    lines = rows.splitlines()
    try:
        decoded = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        whole = [line for line in lines if line.startswith(b"[") and line.endswith(b"]")]
        decoded = json.loads(b"[" + b",".join(whole) + b"]")
    return tuple((row[1], row[2], row[2] + sum(row[3:4])) for row in decoded if row[0] == "sample")


# -- the other files that memkit writes --------------------------------------------------------------------------------

EVENT_LOG_HEAD = ("event", "time_s", "thread", "what", "file", "line", "function", "memory_bytes", "change_bytes")
"""The columns of an event log, in its first row."""
TRACKER_HEAD = "delta,ram"
"""The columns of a tracker's file, in its first line: seconds, and GiB."""
RETURNED, RAISED = "0,0", "-1,-1"
"""The last line of a tracker's file: the block has ended; after it, where the block raised an exception."""
GIB = 1 << 30
