"""Spans: which are open in this process, and what each measures. ``memkit.record.portable_spans`` is the same in Python.

Within a step no other thread and no signal handler comes in, but where a meter of Python's, a heap or a tracer is asked.
"""

cimport cython
from cpython.contextvars cimport PyContextVar_New, PyContextVar_Set, get_value
from libc.stdint cimport int64_t

from memkit.native.clock cimport now
from memkit.native.journal cimport NOTHING, Journal, format_integer
from memkit.native.meter cimport Meter, own_pid
from memkit.native.peak cimport mark_resets, scope_close, scope_open, scope_t
from memkit.native.spans_of_label cimport Spreads
from memkit.native.threads cimport own_tid

cdef extern from "<string.h>":
    char *stpcpy(char *, const char *) nogil

cdef enum:
    ROW = 320                   # room for the integers of one

cdef object active = None       # the module memkit.record.active
cdef object spell = None        # writes a value as a row has it
cdef object texts_of = None     # the same of attributes
cdef int64_t whole = 0          # spans of a label that are written whole
cdef list recorders = []
cdef dict open_spans = {}
cdef dict lone_spans = {}
cdef object innermost = PyContextVar_New("memkit span", NULL)


def bind(of_active, of_values, of_attributes, int64_t whole_spans):
    """Say what is at work in this process, and how rows are written; once, before there is a span."""
    global active, spell, texts_of, whole, recorders, open_spans, lone_spans
    active, spell, texts_of, whole = of_active, of_values, of_attributes, whole_spans
    recorders, open_spans, lone_spans = of_active.recorders, of_active.open_spans, of_active.lone_spans


# -- a span ---------------------------------------------------------------------------------------------------------------


@cython.final
@cython.freelist(16)
cdef class Open:
    """A span that has begun, inside ``around``, with what it began in each recording."""

    cdef Open around
    cdef Open before            # that began before in the same span object, and has not ended
    cdef Begun begun            # in the oldest recording, and so on
    cdef object heap            # what counts it, or None
    cdef tuple numbers          # its number there, and that of the one around it
    cdef tuple sums
    cdef long thread
    cdef int depth
    cdef bint recorded
    cdef bint over
    cdef bint overlapped


cdef object begun_here():
    """One of this thread."""
    cdef Open one = Open.__new__(Open)
    one.thread = own_tid(own_pid())
    return one


cdef object open_or_around(Open one):
    """A span, or the innermost around it, that is still open."""
    while one is not None and one.over:
        one = one.around
    return one


cdef int mark_overlapping(Open one) except -1:
    """Find out whether others are open that are not around one that begins: neither can tell its memory from theirs.

    Those for which that is not so yet are around each other, so that there are few.
    """
    cdef Open other
    cdef Open around = one
    cdef Py_ssize_t number = 0
    lone_spans[one] = open_spans[one] = None
    if len(open_spans) == 1:
        return 0
    while around is not None:
        number += 1
        around = open_or_around(around.around)
    if len(open_spans) > number:
        for each in list(lone_spans):
            other, around = each, open_or_around(one.around)
            while around is not None and around is not other:
                around = open_or_around(around.around)
            if around is None:
                other.overlapped = True
                lone_spans.pop(other, None)
    return 0


cdef class SpanBase:
    """SpanBase(label, **attributes)\n--\n\nWhat ``memkit.span`` does, which says more."""

    cdef readonly str label
    cdef readonly dict attributes
    cdef readonly object growth
    cdef readonly object rise
    cdef readonly object duration
    cdef readonly object overlapped
    cdef readonly object allocated
    cdef readonly object freed
    cdef readonly object heap_peak
    cdef public bint _everywhere
    cdef dict texts
    cdef Open open              # the last that began

    def __init__(self, label, **attributes):
        if not isinstance(label, str):
            raise TypeError(f"a span's label is text, not {label!r}: write memkit.span('load')")
        self.label, self.attributes = label if type(label) is str else str.__str__(label), attributes
        self.texts = texts_of(attributes) if attributes else None

    def __enter__(self):
        cdef Open one = None
        if not recorders:
            self.hold(begun_here())
            return self
        heap = active.span_heap
        try:
            if heap is not None:        # what this allocates is not the program's
                heap.pause()
            one = begun_here()
            one.recorded, one.around = True, open_or_around(get_value(innermost))
            if one.around is not None:
                one.depth = one.around.depth + 1
                one.around.around = open_or_around(one.around.around)   # tasks that begin one another for ever keep none
            for each in recorders if len(recorders) == 1 else recorders[::-1]:
                (<RowsBase?>each.spans).begin(self, one)
            mark_overlapping(one)
            PyContextVar_Set(innermost, one)
            self.hold(one)
            if heap is not None:
                one.heap, one.numbers = heap, heap.enter(self.label, self._everywhere)
        except BaseException:           # nobody will call __exit__
            if one is not None:
                self.abandon(one)
            raise
        finally:
            if heap is not None:
                heap.begin()
        return self

    def __exit__(self, kind=None, error=None, trace=None):
        cdef Open one = None
        heap = None
        try:
            one = self.open if self.open is not None and self.open.before is None else self.ending()
            self.let_go(one)
            heap = one.heap
            if heap is not None:
                heap.pause()
                one.sums = heap.exit(*one.numbers)
            if one.recorded:
                self.end(one)
        except BaseException:
            if one is not None:
                self.abandon(one)
            raise
        finally:
            if heap is not None:
                heap.begin()

    cdef int abandon(self, Open one) except -1:
        """End one in whose beginning or end something was raised. Each step may have been done."""
        self.let_go(one)
        if one.heap is not None and one.sums is None:
            one.sums = one.heap.exit(*one.numbers)
        return self.end(one)

    cdef void hold(self, Open one) noexcept:
        one.before, self.open = self.open, one

    cdef void let_go(self, Open one) noexcept:
        """The one is not open in this object any more, if it was."""
        cdef Open each = self.open
        if each is one:
            self.open = one.before
        while each is not None:
            if each.before is one:
                each.before = one.before
            each = each.before
        one.before = None

    cdef bint holds(self, Open one) noexcept:
        cdef Open each = self.open
        while each is not None and each is not one:
            each = each.before
        return each is not None

    cdef Open ending(self):
        """The one that ends where several are inside one span object: that of this context, or that of this thread."""
        cdef Open one = get_value(innermost)
        cdef long thread = own_tid(own_pid())
        while one is not None and not self.holds(one):
            one = one.around
        if one is None:
            one = self.open
            while one is not None and one.thread != thread:
                one = one.before
            one = self.open if one is None else one
        if one is None:
            raise RuntimeError("this span has not begun")
        return one

    cdef int end(self, Open one) except -1:
        cdef Begun begun = one.begun
        one.over = True
        open_spans.pop(one, None)
        if not one.overlapped:
            lone_spans.pop(one, None)
        if get_value(innermost) is one:         # a generator may end in another context than it began in
            PyContextVar_Set(innermost, open_or_around(one.around))
        self.overlapped = one.overlapped
        if one.sums is not None or self.allocated is not None:
            self.allocated, self.freed, self.heap_peak = one.sums or (None, None, None)
        while begun is not None:
            begun.rows.end(begun, self, one)
            begun = begun.next
        return 0


# -- its rows -------------------------------------------------------------------------------------------------------------


@cython.final
@cython.freelist(16)
cdef class Begun:
    """A span that has begun in one recording. It is known once its memory is, until it ends."""

    cdef RowsBase rows
    cdef Begun next             # of the next recording
    cdef scope_t scope
    cdef int64_t number
    cdef int64_t time
    cdef int64_t memory
    cdef bint known
    cdef bint written

    def __dealloc__(self):
        if self.scope.open:
            scope_close(&self.scope, -1, 0)


cdef class RowsBase:
    """Writes the spans of one recording as they begin and end.

    ``scoped`` is whether the kernel keeps the peak of what its meter reads, times count from ``began``; ``sums`` are a
    ``memkit.record.span_sums.SpanSums``.
    """

    cdef readonly Journal journal
    cdef readonly object meter
    cdef readonly bint scoped
    cdef readonly int64_t began
    cdef readonly object sums
    cdef public object inside   # of the tracers, or None
    cdef public object at_last  # to be told once no span is open, or None
    cdef public RowsBase following  # writes those that begin from now on, or None
    cdef public bint ended      # no row is written any more
    cdef readonly int64_t open  # spans that have begun and not ended
    cdef int64_t numbers
    cdef Meter compiled         # the meter, if it is memkit's own
    cdef dict labels            # of the sums

    def __init__(self, Journal journal, meter, bint scoped, int64_t began, sums):
        self.journal, self.meter, self.scoped, self.began, self.sums = journal, meter, scoped, began, sums
        self.compiled = meter if isinstance(meter, Meter) else None
        self.labels = sums.labels

    def next_number(self):
        """The number of one more span."""
        self.numbers += 1
        return self.numbers - 1

    cdef bint read(self, int64_t *memory) except -1:
        """Whether memory is known now, which a plugin's meter may fail to tell."""
        if self.compiled is not None:
            memory[0] = self.compiled.bytes()
            return memory[0] >= 0
        value = self.meter.read()
        memory[0] = -1 if value is None else value
        return value is not None

    cdef int begin(self, SpanBase span, Open one) except -1:
        """Write that a span begins, unless there are many of its label; ``following`` does so if that is known."""
        cdef Begun begun = Begun.__new__(Begun)
        cdef int64_t resets = mark_resets()
        begun.rows, begun.number = self, self.numbers
        self.numbers += 1
        begun.known = self.read(&begun.memory)
        if self.scoped:
            scope_open(&begun.scope, begun.memory, resets)
        begun.time = now() - self.began
        if not begun.known:             # leave the span out
            return 0
        if self.following is not None:  # asked only now: a meter of Python's may let another thread set it
            return self.following.begin(span, one)
        self.open += 1
        begun.next, one.begun = one.begun, begun
        label = self.labels.get(span.label)
        if not ((<Spreads>label).number >= whole if label is not None else self.sums.are_many(span.label)):
            self.journal.text(beginning(begun, span, one))
            begun.written = True
        if self.inside is not None:
            self.inside.begin(begun.number)
        return 0

    cdef int end(self, Begun begun, SpanBase span, Open one) except -1:
        """Sum up a span that has ended, and write that it has, if its row is there or it is one of the worst.

        ``span`` gets its growth, rise and duration, if the recording has not ended before.
        """
        if not begun.known:
            return 0
        begun.known = False
        try:
            if not self.ended:
                self.write_end(begun, span, one)
        finally:
            self.open -= 1              # all that is written of it is
            if self.at_last is not None:
                self.end_if_none()
        return 0

    cdef int write_end(self, Begun begun, SpanBase span, Open one) except -1:
        cdef int64_t resets = mark_resets(), time = now() - self.began, peak = 0, memory = 0, growth, rise
        cdef bint known = self.read(&memory), worst = False
        if self.scoped:
            peak = scope_close(&begun.scope, memory, resets)
        try:
            if known:
                growth = memory - begun.memory
                rise = -1 if peak == 0 else max(peak, max(memory, begun.memory)) - begun.memory
                span.growth, span.rise, span.duration = growth, None if rise < 0 else rise, time - begun.time
                worst = self.add(begun, span, one, time, growth, rise)
        finally:                        # a signal handler may have raised
            if known and (worst or begun.written):
                rows = ending(begun.number, time, memory, peak, one)
                self.journal.text(rows if begun.written else beginning(begun, span, one) + rows)
            if self.inside is not None:
                self.journal.text(self.inside.end(begun.number, tell=worst))
        return 0

    cdef bint add(self, Begun begun, SpanBase span, Open one, int64_t time, int64_t growth, int64_t rise) except -1:
        """Count a span that has ended; whether it is one of the worst so far."""
        cdef Spreads label = self.labels.get(span.label)
        cdef bint worst
        if label is None or one.sums is not None:
            return self.sums.add(span.label, span.duration, span.growth, span.rise, one.overlapped, one.sums)
        worst = label.count(0, time - begun.time) | label.count(1, growth)
        label.number += 1
        label.overlapped += one.overlapped
        if rise >= 0:
            worst |= label.count(2, rise)
        if time + self.began >= label.due:
            self.sums.write(label, time + self.began)
        return worst


cdef object beginning(Begun begun, SpanBase span, Open one):
    """The row of a span that has begun."""
    cdef char row[ROW]
    cdef char *end = stpcpy(row, b"[\"span\"")
    end = format_integer(format_integer(format_integer(end, begun.number), begun.time), begun.memory)
    end = format_integer(format_integer(end, one.thread), one.depth)
    texts = b"" if span.texts is None else b"," + spell(span.texts)
    return row[:end - row] + b"," + spell(span.label) + texts + b"]\n"


cdef object ending(int64_t number, int64_t time, int64_t memory, int64_t peak, Open one):
    """The row of a span that has ended."""
    cdef char row[ROW]
    cdef char *end = stpcpy(row, b"[\"span_end\"")
    end = format_integer(format_integer(format_integer(end, number), time), memory)
    end = format_integer(end, peak if peak else NOTHING)
    if one.overlapped or one.sums is not None:
        end = format_integer(end, one.overlapped)
    if one.sums is not None:
        for value in one.sums:
            end = format_integer(end, NOTHING if value is None else value)
    return row[:end - row] + b"]\n"
