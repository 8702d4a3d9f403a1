"""Objects that are created and destroyed: counts by type, and a row for each where a journal is given.

Python 3.13 and later call one function for every object that is created and every one that is about to be destroyed
(``PyRefTracer_SetTracer``). That function must create no object and leave exceptions alone, so its records are C: the types
by name, and the addresses of the objects that were created while it was on. An object from before, or from a pause, is not
counted as live, so its end does not lower the count.

Another tool's function, such as that of ``tracemalloc``, is called too, and put back at the end.
"""

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport strchr, strcmp, strdup, strlen
from posix.unistd cimport getpid

from memkit.base.errors import MeterError
from memkit.native.clock cimport MILLISECOND, now, process_cpu
from memkit.native.cpython cimport PyCodeObject, PyThreadState_Get
from memkit.native.tracing.event_places cimport text_of
from memkit.native.journal cimport Journal, journal_flush, journal_text
from memkit.native.tracing.event_rows cimport format_reference, reference_t, row_close
from memkit.native.tracing.hook_chain cimport REFERENCE, HookChain, reference_hook_t
from memkit.native.meter cimport Meter, meter_close, meter_open, meter_read

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
      #define memkit_has_references 1
      /* Not the frame object, which would have to be made. */
      static PyObject *memkit_current_code(int *line) {
          struct _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
          PyObject *code = frame != NULL ? PyUnstable_InterpreterFrame_GetCode(frame) : NULL;
          if (code != NULL && !PyCode_Check(code)) {
              Py_DECREF(code);
              code = NULL;
          }
          *line = code != NULL ? PyUnstable_InterpreterFrame_GetLine(frame) : 0;
          return code;
      }
    #else
      #define memkit_has_references 0
      static PyObject *memkit_current_code(int *line) { return NULL; }
    #endif
    #define memkit_is_heap(type) ((type)->tp_flags & Py_TPFLAGS_HEAPTYPE)
    """
    ctypedef struct PyTypeObject:
        const char *tp_name
    bint has_references "memkit_has_references"
    PyObject *current_code "memkit_current_code"(int *)
    bint is_heap "memkit_is_heap"(PyTypeObject *)
    PyTypeObject *Py_TYPE(PyObject *)
    PyTypeObject PyFrame_Type
    PyTypeObject PyCode_Type
    void Py_XDECREF(PyObject *)
    void Py_INCREF(object)
    void Py_DECREF(object)

cdef enum:
    CREATED = 0
    ENDED = 1
    FIRST_SLOTS = 1024
    FLUSH_EVERY = 250 * MILLISECOND


# -- live objects ------------------------------------------------------------------------------------------------------

cdef inline size_t slot_of(lives_t *lives, void *address) noexcept nogil:
    return ((<uint64_t>address >> 4) * <uint64_t>0x9E3779B97F4A7C15 >> 20) & lives.mask


cdef bint widen(lives_t *lives) noexcept nogil:
    """Double the table, or make the first."""
    cdef lives_t wider
    cdef size_t i, count = 0 if lives.slots == NULL else lives.mask + 1
    wider.mask = (count * 2 if count else FIRST_SLOTS) - 1
    wider.used = 0
    wider.slots = <live_t *>calloc(wider.mask + 1, sizeof(live_t))
    if wider.slots == NULL:
        return False
    for i in range(count):
        if lives.slots[i].address != NULL:
            insert(&wider, lives.slots[i].address, lives.slots[i].kind)
    free(lives.slots)
    lives[0] = wider
    return True


cdef bint insert(lives_t *lives, void *address, kind_t *kind) noexcept nogil:
    """False where there is no memory for it."""
    cdef size_t i
    if lives.slots == NULL or lives.used * 2 > lives.mask:
        if not widen(lives):
            return False
    i = slot_of(lives, address)
    while lives.slots[i].address != NULL and lives.slots[i].address != address:
        i = (i + 1) & lives.mask
    if lives.slots[i].address == NULL:
        lives.used += 1
    lives.slots[i].address, lives.slots[i].kind = address, kind
    return True


cdef kind_t *remove(lives_t *lives, void *address) noexcept nogil:
    """What kind of object was there, or NULL if there was none."""
    cdef size_t i, j, home
    cdef kind_t *kind
    if lives.slots == NULL:
        return NULL
    i = slot_of(lives, address)
    while lives.slots[i].address != address:
        if lives.slots[i].address == NULL:
            return NULL
        i = (i + 1) & lives.mask
    kind = lives.slots[i].kind
    j = i
    while True:         # what stands further on moves up, so that no gap hides it
        j = (j + 1) & lives.mask
        if lives.slots[j].address == NULL:
            break
        home = slot_of(lives, lives.slots[j].address)
        if ((j - home) & lives.mask) >= ((j - i) & lives.mask):
            lives.slots[i] = lives.slots[j]
            i = j
    lives.slots[i].address = NULL
    lives.used -= 1
    return kind


# -- what the interpreter calls ----------------------------------------------------------------------------------------

cdef int on_reference(PyObject *thing, int event, void *data) noexcept:
    cdef References me
    if thing == NULL:           # Python 3.14: another function has been set; the one that we pass events on to knows already
        return 0
    me = <References><PyObject *>data
    if not (me.stopped or me.busy):
        me.busy = True
        if event == CREATED:
            me.begun(thing)
        elif event == ENDED:
            me.ended(thing)
        me.busy = False
    if me.links != NULL:
        (<reference_hook_t>me.links.hook.function)(thing, event, me.links.hook.argument)
    return 0


cdef class References(HookChain):
    """Counts the objects that are created and destroyed, and writes a row for each into ``journal``, if that is not None.

    ``included`` and ``excluded`` are names of types as bytes; where ``included`` is None these are all but the excluded
    ones, and those of the interpreter itself only if ``builtins``. ``own`` are names of files, as for an event log.
    """

    def __cinit__(self, Journal journal, Meter meter, included, tuple excluded, bint builtins, tuple own):
        if not has_references:
            raise MeterError("references can be traced from Python 3.13 on: earlier versions do not report them")
        self.kind, self.function = REFERENCE, <void *>on_reference
        self.journal, self.included, self.excluded, self.builtins = journal, included, excluded, builtins
        self.own = own
        self.memory = -1
        self.meter = meter.meter
        self.meter.file.fd = -1
        if meter_open(&self.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")

    def start(self):
        """Trace every object from now on."""
        self.take()
        if not self.is_installed():
            raise MeterError("references cannot be traced")
        Py_INCREF(self)         # the interpreter does not count its own reference

    def stop(self):
        self.stopped = True
        if self.restore():
            Py_DECREF(self)     # otherwise another hook goes on calling ours, for an unknown time

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def live(self):
        """How many objects there are of each type, by name, of those that were created while they were traced."""
        cdef kind_t *kind
        cdef int i
        self.busy = True
        counts = {}
        for i in range(BUCKETS):
            kind = self.kinds[i]
            while kind != NULL:
                if kind.live:
                    name = kind.name.decode("utf-8", "surrogateescape")
                    counts[name] = counts.get(name, 0) + kind.live
                kind = kind.next
        self.busy = False
        return counts

    # -- an object -------------------------------------------------------------------------------------------------

    cdef void begun(self, PyObject *thing) noexcept:
        cdef kind_t *kind = remove(&self.lives, thing)
        if kind != NULL:        # Python 3.13.0 does not report every end
            kind.live -= 1
        if self.paused:
            return
        kind = self.kind_of(thing)
        if kind == NULL or not kind.wanted or self.in_own_code() or not insert(&self.lives, thing, kind):
            return
        kind.live += 1
        self.count_new += 1
        self.write(b"NEW: ", thing, kind)

    cdef void ended(self, PyObject *thing) noexcept:
        cdef kind_t *kind = remove(&self.lives, thing)
        if kind != NULL:
            kind.live -= 1
        if self.paused:
            return
        if kind == NULL and not self.in_own_code():
            kind = self.kind_of(thing)
        if kind != NULL and kind.wanted:
            self.count_del += 1
            self.write(b"DEL: ", thing, kind)

    cdef bint in_own_code(self) noexcept:
        cdef int line
        cdef PyObject *code = current_code(&line)
        cdef bint own = False
        if code != NULL:
            for name in self.own:
                own = own or <PyObject *>name == (<PyCodeObject *>code).co_filename
            Py_XDECREF(code)
        return own

    cdef kind_t *kind_of(self, PyObject *thing) noexcept:
        cdef PyTypeObject *type = Py_TYPE(thing)
        cdef bint heap = is_heap(type)
        cdef const char *letter = type.tp_name
        cdef uint64_t number = 14695981039346656037U + heap
        cdef kind_t *kind
        while letter[0]:
            number = (number ^ <unsigned char>letter[0]) * 1099511628211U
            letter += 1
        kind = self.kinds[number % BUCKETS]
        while kind != NULL and (kind.heap != heap or strcmp(kind.name, type.tp_name) != 0):
            kind = kind.next
        if kind == NULL:
            kind = <kind_t *>calloc(1, sizeof(kind_t))
            if kind == NULL:
                return NULL
            kind.name = strdup(type.tp_name)
            if kind.name == NULL:
                free(kind)
                return NULL
            kind.heap, kind.wanted = heap, self.decide(thing, type.tp_name, heap)
            kind.next = self.kinds[number % BUCKETS]
            self.kinds[number % BUCKETS] = kind
        return kind

    cdef bint decide(self, PyObject *thing, const char *name, bint heap) noexcept:
        cdef PyTypeObject *type = Py_TYPE(thing)
        if type == &PyFrame_Type or type == &PyCode_Type:
            return False        # they come and go with every call
        for excluded in self.excluded:
            if strcmp(<const char *>excluded, name) == 0:
                return False
        if self.included is not None:
            for included in self.included:
                if strcmp(<const char *>included, name) == 0:
                    return True
            return False
        return self.builtins or heap or strchr(name, c'.') != NULL

    cdef void write(self, const char *tag, PyObject *thing, kind_t *kind) noexcept:
        cdef PyObject *kept[2]
        cdef PyObject *error[3]
        cdef PyCodeObject *code
        cdef reference_t row
        cdef int64_t memory
        if self.journal is None or self.journal.journal.owner != getpid():
            return
        PyErr_Fetch(&error[0], &error[1], &error[2])
        memory = meter_read(&self.meter)
        row.time, row.address, row.live = process_cpu(), <uint64_t>thing, kind.live
        row.type.text, row.type.length = kind.name, strlen(kind.name)
        row.memory, row.change = memory, memory - self.memory if self.memory >= 0 else 0
        self.memory = memory
        code = <PyCodeObject *>current_code(&row.line)
        kept[0] = kept[1] = NULL
        row.file.text, row.file.length = b"?", 1
        row.function = row.file
        if code != NULL:
            row.file, row.function = text_of(code.co_filename, &kept[0]), text_of(code.co_name, &kept[1])
        if format_reference(&self.row, tag, &row):
            journal_text(&self.journal.journal, self.row.text, self.row.used)
        else:
            self.journal.journal.lost += 1
        if now() - self.journal.journal.flushed >= FLUSH_EVERY:
            journal_flush(&self.journal.journal, now())
        Py_XDECREF(kept[0])
        Py_XDECREF(kept[1])
        Py_XDECREF(<PyObject *>code)
        PyErr_Restore(error[0], error[1], error[2])

    def __dealloc__(self):
        cdef kind_t *kind
        cdef int i
        for i in range(BUCKETS):
            while self.kinds[i] != NULL:
                kind = self.kinds[i]
                self.kinds[i] = kind.next
                free(kind.name)
                free(kind)
        free(self.lives.slots)
        row_close(&self.row)
        meter_close(&self.meter)
