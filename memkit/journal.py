"""The file: JSON lines, one array a row, appended whole.

===========  ================================================  ====================================================
row          values                                            written
===========  ================================================  ====================================================
``memkit``   format version, object                            first; the object's keys are those of ``About``
``sample``   time, memory, rise, pid                           by the sampler; the rise is how far the peak since the row
                                                               before lay above memory, 0 if it is missing; a missing
                                                               pid is the recorded process
``span``     id, time, memory, thread, depth, label            when a span begins
``span_end``  id, time, memory, peak                           when it ends; peak is null where only samples tell
``function``  number, file, qualified name, first line         the first time that code is traced
``line``     function, number, hits, time, growth,             when rows are flushed and the line has run or runs:
             memory, peak                                      the totals so far, so the last row of a line holds
``tracing``  tracer, gate, reason, cost of a line, of a read   when tracing begins; costs are in nanoseconds
``reads``    readings of memory                                when rows are flushed: what came since the row before
``call``     node, parent, function, thread, calls, time,      when rows are flushed: what the node did itself, so far;
             growth, peak                                      the parent has a lower number, or is null for a root
``call_tracing``  tracer, gate, reason, cost of a call, of a read  as ``tracing``, for calls
``call_reads``  readings of memory                             as ``reads``, for calls
``cost``     beats, late beats, CPU time                       about once a second: what came since the row before
``end``      time, kind, error, code, out of memory            by the program as it ends
``exit``     time, code, signal, out of memory                 by the supervisor, who saw the process end
===========  ================================================  ====================================================

The writing half is used in the measured process and imports nothing; the reading half imports what it needs when called.
"""

from __future__ import annotations

import os

from memkit.errors import FormatError

VERSION = 1
SUFFIX = ".memkit"
_BEGINNING = b'["memkit"'
_CHUNK = 1 << 16  # small, so that rows die young and the garbage collector has little to do


def row(*values) -> bytes:
    """A row as it stands in the file. Values are text, integers, floats, None, or bytes that are JSON already."""
    return b"[" + b",".join(map(_spell, values)) + b"]\n"


def _spell(value) -> bytes:
    if value is None:
        return b"null"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bytes):
        return value
    return repr(value).encode()


def quote(text: str) -> bytes:
    """Text as JSON. The json package itself would cost the measured process 6 ms and 1.3 MiB."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import encode_basestring_ascii
    return encode_basestring_ascii(text).encode()


def header(about: dict) -> bytes:
    """The first row. ``about`` has the keys of ``About``."""
    pairs = []
    for key, value in about.items():
        spelled = b"[" + b",".join(map(_spell, value)) + b"]" if isinstance(value, (list, tuple)) else _spell(value)
        pairs.append(quote(key) + b":" + spelled)
    return row("memkit", VERSION, b"{" + b",".join(pairs) + b"}")


def origin(path: str) -> tuple[int, int] | None:
    """The process that a recording is of, and when it began on the monotonic clock; None where there is none yet."""
    import json

    if not is_recording(path):
        return None
    with open(path, "rb") as file:
        about = json.loads(file.readline())[2]
    return about["pid"], about["clock"]


def append(path: str, *values) -> None:
    """Add a row to a finished file, even one that ends inside a row."""
    with open(path, "r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(row(*values))


def is_recording(path: str) -> bool:
    """Whether a file begins as a recording does."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def read(path) -> Recording:  # noqa: F821 (imported when called)
    """The recording in a file, whole or broken off. ``path`` is a path or an open binary file.

    Rows that were broken off, damaged or are unknown are passed over and counted in ``Recording.unread``. Raises
    ``FormatError`` where the file is no recording at all.
    """
    with Reader(path) as reader:
        reader.advance()
        return reader.recording()


class Reader:
    """A recording read bit by bit, while it is still being written."""

    def __init__(self, path):
        from memkit import recording
        from memkit.calls import Tally

        self._rows = recording
        self._named = None if hasattr(path, "read") else os.fspath(path)
        self._file = path if self._named is None else _open(self._named)
        self._rest = b""
        self._about = None
        self._samples = []
        self._spans = {}
        self._ends = {}
        self._functions = {}
        self._lines = {}
        self._tracing = None
        self._reads = 0
        self._calls = Tally()
        self._call_tracing = None
        self._call_reads = 0
        self._cost = (0, 0, 0)
        self._end = None
        self._exit = None
        self._unread = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._named is not None:
            self._file.close()

    def advance(self) -> None:
        """Take in what was appended since the last call."""
        while block := self._file.read(_CHUNK):
            if self._about is None and not (self._rest + block).startswith(_BEGINNING[: len(self._rest + block)]):
                raise FormatError(self._refusal(self._rest + block))
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            self._take(lines)

    def recording(self):
        """What has been read so far."""
        if self._about is None:
            raise FormatError(self._refusal())
        about = self._about
        spans = tuple(self._span(id, begin) for id, begin in self._spans.items())
        beats, late, cpu = self._cost
        exit = self._exit
        ended = exit[0] if exit else self._end[0] if self._end else None
        ending = self._ending()
        process = self._rows.Process(about.pid, about.parent, about.command, 0, ended, ending)
        return self._rows.Recording(
            about=about,
            samples=tuple(self._samples),
            lines=self._all_lines(),
            spans=spans,
            processes=(process,),
            ending=ending,
            cost=self._rows.Cost(beats, late, cpu if about.engine == "native" else None),
            tracing=self._how_traced(),
            calls=self._calls.calls(self._functions),
            call_tracing=self._how_calls_were_traced(),
            unread=self._unread + bool(self._rest),
            source=self._named,
        )

    # -- rows ------------------------------------------------------------------------------------------------------

    def _take(self, lines: list[bytes]) -> None:
        if self._about is None:
            if not lines:
                return
            self._begin(lines.pop(0))
        rows = self._decode(lines)
        new, Sample, pid = tuple.__new__, self._rows.Sample, self._about.pid
        try:
            samples = [  # nearly every row is a short one of these; adding 0 refuses what is no number
                new(Sample, (row[1] + 0, pid, row[2] + 0, row[2])) if len(row) == 3 else self._sample(*row[1:])
                for row in rows
                if row[0] == "sample"
            ]
        except (TypeError, LookupError):
            samples = None  # one is damaged: go through them singly
        if samples is not None:
            self._samples += samples
            rows = [row for row in rows if row[0] != "sample"]
        for row in rows:
            self._take_one(row)

    def _take_one(self, row) -> None:
        kind = row[0] if isinstance(row, list) and row else None
        try:
            if kind == "sample":
                self._samples.append(self._sample(*row[1:]))
            else:
                _TAKE[kind](self, *row[1:])
        except (TypeError, KeyError, OverflowError):  # without its values, or of an unknown kind
            self._unread += 1

    def _decode(self, lines: list[bytes]) -> list:
        """The rows; decoding many at once is several times faster than one by one."""
        import json

        try:
            return json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            pass
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:
                self._unread += 1
        return rows

    def _begin(self, line: bytes) -> None:
        import json

        try:
            tag, version, about = json.loads(line)
            if tag != "memkit" or not isinstance(about, dict):
                raise ValueError(tag)
        except (ValueError, TypeError):
            raise FormatError(self._refusal(line)) from None
        if version != VERSION:
            raise FormatError(
                f"{self._name()} is a recording of format {version!r} and this memkit reads {VERSION}: "
                f"read it with memkit {about.get('memkit', '?')} or newer"
            )
        known = {key: about.get(key) for key in self._rows.About._fields}
        try:
            known["argv"] = tuple(map(str, known["argv"]))
            known["began"] = float(known["began"])
        except (TypeError, ValueError):
            raise FormatError(f"{self._name()} is damaged in its first row: nothing can be read from it") from None
        self._about = self._rows.About(**known)

    # Adding 0 or "" refuses what is no number or no text.

    def _sample(self, time, memory, rise=0, pid=None):
        return self._rows.Sample(time + 0, pid or self._about.pid, memory + 0, memory + max(rise, 0))

    def _span_begin(self, id, time, memory, thread, depth, label, *_):
        self._spans[id + 0] = (time + 0, memory + 0, thread, depth + 0, "" + label)

    def _span_end(self, id, time, memory, peak, *_):
        self._ends[id + 0] = (time + 0, memory + 0, peak if peak is None else peak + 0)

    def _function(self, number, file, name, line, *_):
        self._functions[number + 0] = self._rows.Function("" + file, "" + name, line + 0)

    def _line(self, function, number, hits, time, growth, memory, peak, *_):
        self._lines[function + 0, number + 0] = (hits + 0, time + 0, growth + 0, memory + 0, peak + 0)

    def _traced(self, tracer, gate, reason, event_cost, read_cost, *_):
        self._tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read(self, reads, *_):
        self._reads += reads

    def _call(self, *values):
        self._calls.take(*values)

    def _calls_traced(self, tracer, gate, reason, event_cost, read_cost, *_):
        self._call_tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read_at_calls(self, reads, *_):
        self._call_reads += reads

    def _spent(self, beats, late, cpu, *_):
        so_far = self._cost
        self._cost = (so_far[0] + beats, so_far[1] + late, so_far[2] + cpu)

    def _ended(self, time, kind, error=None, code=None, out_of_memory=None, *_):
        self._end = (time + 0, "" + kind, error, code, out_of_memory)

    def _exited(self, time, code, signal, out_of_memory, *_):
        self._exit = (time + 0, code, signal, out_of_memory)

    # -- what they add up to ---------------------------------------------------------------------------------------

    def _all_lines(self):
        """The lines, function by function in the order of their files; the same function under two numbers is one."""
        sums = {}
        for (number, line), (hits, time, growth, memory, peak) in self._lines.items():
            function = self._functions.get(number)
            if function is None:  # its row was lost
                continue
            before = sums.get((function, line), (0, 0, 0, 0, 0))
            sums[function, line] = (
                before[0] + hits,
                before[1] + time,
                before[2] + growth,
                memory,
                max(before[4], peak),
            )
        order = sorted(sums, key=lambda place: (place[0].file, place[0].line, place[0].name, place[1]))
        return tuple(self._rows.Line(*place, *sums[place]) for place in order)

    def _how_traced(self):
        if self._tracing is None:
            return None
        events = sum(hits for hits, *_ in self._lines.values())
        return self._rows.Tracing(*self._tracing, events, self._reads)

    def _how_calls_were_traced(self):
        if self._call_tracing is None:
            return None
        return self._rows.Tracing(*self._call_tracing, self._calls.entered, self._call_reads)

    def _span(self, id, begin):
        start, before, thread, depth, label = begin
        end, after, peak = self._ends.get(id, (None, None, None))
        if peak is None:
            within = [s.memory for s in self._samples if s.time >= start and (end is None or s.time <= end)]
            peak = max(within, default=before)
        return self._rows.Span(label, thread, depth, start, end, before, after, max(peak, before, after or 0))

    def _ending(self):
        Ending = self._rows.Ending
        _, kind, error, code, shortage = self._end or (None, None, None, None, None)
        if self._exit:
            _, exit_code, signal, exit_shortage = self._exit
            if signal is not None:
                return Ending("killed", error=error, signal=signal, out_of_memory=exit_shortage or shortage, finished=False)
            if self._end is None:
                return Ending("exited", code=exit_code, finished=False)
            if kind == "ok" and exit_code:
                return Ending("exited", code=exit_code)
        if self._end is None:
            return Ending("unknown", finished=False)
        return Ending(kind, error=error, code=code, out_of_memory=shortage)

    # -- words -----------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return repr(self._named) if self._named else "the file"

    def _refusal(self, line: bytes | None = None) -> str:
        beginning = self._rest if line is None else line
        if not beginning:
            return f"{self._name()} is empty: nothing was recorded into it"
        if beginning.startswith(_BEGINNING):
            return f"{self._name()} breaks off in its first row: nothing can be read from it"
        return f"{self._name()} is not a memkit recording: it begins with {beginning[:20]!r}"


_TAKE = {
    "function": Reader._function,
    "line": Reader._line,
    "tracing": Reader._traced,
    "reads": Reader._was_read,
    "call": Reader._call,
    "call_tracing": Reader._calls_traced,
    "call_reads": Reader._was_read_at_calls,
    "span": Reader._span_begin,
    "span_end": Reader._span_end,
    "cost": Reader._spent,
    "end": Reader._ended,
    "exit": Reader._exited,
}


def _open(path: str):
    try:
        return open(path, "rb")
    except OSError as error:
        raise FormatError(f"cannot read {path!r}: {error.strerror}") from None
