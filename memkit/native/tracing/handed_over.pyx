"""Work that is handed over: by whom, until it has begun, and where it hangs in the tree of calls.

``memkit.tracing.handed_over`` says which functions hand work over, and which begin it. The tracer of calls asks here when
one of these is called, and at no other time. What is handed over is known by an address: of the object that stands for it,
or of the frame of a coroutine. It is forgotten when it begins; coroutines stay, since they are resumed. The table is
bounded: of more than it holds, the oldest are forgotten, which then begin where their thread calls them. An address may be
that of a new object: that is handed over in its turn, and takes the place of the other.
"""

from cpython.object cimport PyObject
from memkit.native.heap.own cimport own_calloc, own_free
from libc.stdint cimport uint64_t

from memkit.native.cpython cimport (
    Py_DECREF, PyCodeObject, PyFrame_GetCode, PyFrame_GetLasti, PyFrameObject, PyLong_AsLong,
)
from memkit.native.tracing.calls cimport NOT_HANDED, calls_t, child_of, node_at, node_for, node_t, thread_t
from memkit.native.tracing.code_table cimport (
    BEGINS, COROUTINE, DISPATCHES, FOR_MACHINERY, GIVES, GIVES_COROUTINE, GIVES_JOB, IS_DISPATCHED, MACHINERY, TO_PROCESSES,
    code_info_t, index_of,
)

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
      static PyObject *memkit_local(PyFrameObject *frame, PyObject *name) { return PyFrame_GetVar(frame, name); }
    #else
      static PyObject *memkit_local(PyFrameObject *frame, PyObject *name) {
          PyObject *all = PyFrame_GetLocals(frame), *found;
          if (!all) return NULL;
          found = PyDict_GetItem(all, name);
          Py_XINCREF(found);
          Py_DECREF(all);
          return found;
      }
    #endif
    """
    PyObject *local_of "memkit_local"(PyFrameObject *, PyObject *)

cdef extern from "Python.h":
    PyFrameObject *PyEval_GetFrame()
    PyFrameObject *PyFrame_GetBack(PyFrameObject *)
    PyObject *PyObject_GenericGetAttr(PyObject *, object)
    bint PyCoro_CheckExact(PyObject *)
    bint PyFrame_Check(PyObject *)
    bint PyLong_CheckExact(PyObject *)
    void PyErr_Clear()

cdef enum:
    SMALLEST = 64
    MOST = 65536
    WAYS = 8                    # places in which an entry may be

ROLES = {
    "machinery": MACHINERY, "coroutine": COROUTINE, "gives": GIVES, "gives coroutine": GIVES_COROUTINE,
    "gives job": GIVES_JOB, "for machinery": FOR_MACHINERY, "begins": BEGINS, "dispatches": DISPATCHES,
    "is dispatched": IS_DISPATCHED, "to processes": TO_PROCESSES,
}


# -- the table ---------------------------------------------------------------------------------------------------------

cdef inline given_t *place_of(given_table_t *given, void *key, int way) noexcept:
    cdef int first = <int>((<uint64_t>key) * <uint64_t>0x9E3779B97F4A7C15 >> 33)
    return &given.all[(first + way) & (given.size - 1)]


cdef given_t *given_of(given_table_t *given, void *key) noexcept:
    cdef given_t *entry
    cdef int way
    if given.size and key != NULL:
        for way in range(WAYS):
            entry = place_of(given, key, way)
            if entry.key == key:
                return entry
    return NULL


cdef given_t *free_place(given_table_t *given, void *key) noexcept:
    """A free place for a key, or NULL."""
    cdef int way
    for way in range(WAYS):
        if place_of(given, key, way).key == NULL:
            return place_of(given, key, way)
    return NULL


cdef given_t *oldest(given_table_t *given, void *key) noexcept:
    """The place for a key whose entry is the oldest."""
    cdef given_t *found = place_of(given, key, 0)
    cdef int way
    for way in range(1, WAYS):
        if place_of(given, key, way).order < found.order:
            found = place_of(given, key, way)
    return found


cdef bint grow(given_table_t *given) noexcept:
    """Double the table; False: it has its full size, or there is no memory."""
    cdef given_table_t larger
    cdef given_t *place
    cdef int i
    larger.size = 2 * given.size if given.size else SMALLEST
    larger.all = <given_t *>own_calloc(larger.size, sizeof(given_t)) if larger.size <= MOST else NULL
    if larger.all == NULL:
        return False
    for i in range(given.size):
        if given.all[i].key != NULL:
            place = free_place(&larger, given.all[i].key)
            (place if place != NULL else oldest(&larger, given.all[i].key))[0] = given.all[i]
    own_free(given.all)
    given.all, given.size = larger.all, larger.size
    return True


cdef void put(given_table_t *given, void *key, void *code, node_t *by, int kind) noexcept:
    cdef given_t *entry = given_of(given, key)
    if entry == NULL and given.size:
        entry = free_place(given, key)
    while entry == NULL and grow(given):
        entry = free_place(given, key)
    if entry == NULL and given.size:
        entry = oldest(given, key)
    if entry != NULL:
        given.count += 1
        entry.key, entry.code, entry.by, entry.kind, entry.order = key, code, by, kind, given.count
        entry.home, entry.work, entry.begun = NULL, NULL, False


cdef node_t *taken(given_table_t *given, void *key, int kind) noexcept:
    cdef given_t *entry = given_of(given, key)
    if entry == NULL or entry.kind != kind:
        return NULL
    if not <size_t>key & 1:         # a job has many parts, and its number is no other's
        entry.key = NULL
    return entry.by


cdef void given_close(given_table_t *given) noexcept:
    own_free(given.all)
    given.all, given.size = NULL, 0


# -- what tells work ---------------------------------------------------------------------------------------------------

cdef void *job_of(PyObject *value) noexcept:
    """The key of a job, by its number, or by the object that has this as ``_job``; NULL: it has none."""
    cdef PyObject *number = NULL
    cdef long found = -1
    if PyLong_CheckExact(value):
        found = PyLong_AsLong(value)
    else:
        number = PyObject_GenericGetAttr(value, "_job")
        if number != NULL:
            if PyLong_CheckExact(number):
                found = PyLong_AsLong(number)
            Py_DECREF(number)
    PyErr_Clear()
    return <void *><size_t>(2 * found + 1) if found >= 0 else NULL


cdef void *frame_of(PyObject *coroutine, void **code) noexcept:
    """The address of a coroutine's frame; NULL: it is none, or has ended."""
    cdef PyObject *frame = PyObject_GenericGetAttr(coroutine, "cr_frame") if PyCoro_CheckExact(coroutine) else NULL
    cdef PyCodeObject *found
    if frame == NULL or not PyFrame_Check(frame):
        PyErr_Clear()
        return NULL
    found = PyFrame_GetCode(<PyFrameObject *>frame)
    code[0] = found
    Py_DECREF(<PyObject *>found)
    Py_DECREF(frame)                # the coroutine has another reference
    return frame


cdef void *key_of(PyFrameObject *frame, code_info_t *info, void **code) noexcept:
    """What tells the work that a function hands over or begins; NULL: there is none yet."""
    cdef PyObject *value = local_of(frame, info.local) if frame != NULL else NULL
    cdef void *key = value
    code[0] = NULL
    if value == NULL:
        PyErr_Clear()
        return NULL
    if info.role & GIVES_COROUTINE:
        key = frame_of(value, code)
    elif info.role & GIVES_JOB or PyLong_CheckExact(value):
        key = job_of(value)
    Py_DECREF(value)                # the frame has another reference
    return key


# -- where it hangs ----------------------------------------------------------------------------------------------------

cdef node_t *submitter(calls_t *calls, node_t *node, bint everywhere) noexcept:
    """Who hands over what the running call does: the innermost caller that is not machinery; NULL: it is not in the tree.

    Work that hands over work like itself would make a path without end: it all belongs to the first of its kind.
    """
    cdef node_t *above
    cdef bint handed = False
    while (node.role & MACHINERY or node.home != NOT_HANDED) and node.parent >= 0:
        node = node_at(calls, node.parent)
    if node.parent < 0 and not everywhere:
        return NULL
    above = node
    while above.parent >= 0:
        above = node_at(calls, above.parent)
        if handed and above.function == node.function:
            node = above
        handed = handed or above.home != NOT_HANDED
    return node


cdef node_t *stand_in(calls_t *calls, node_t *by, int kind, node_t *home) noexcept:
    """The node between who handed work over and the work, which stands for all work of a kind."""
    cdef node_t *node = node_for(calls, by, NULL, kind, home.id)
    if node != NULL and node.home != NOT_HANDED:        # else it is one that further paths share
        node.kind, node.is_work = kind, True
    return node


cdef node_t *dispatched(calls_t *calls, given_table_t *given, thread_t *t, PyFrameObject *frame, int *kind) noexcept:
    """By whom the work was given that the running call, a dispatcher, has just called; NULL: that is no work."""
    cdef PyFrameObject *caller = PyFrame_GetBack(frame) if frame != NULL else NULL
    cdef code_info_t *info
    cdef PyCodeObject *code
    cdef void *unused
    cdef node_t *by = NULL
    cdef int index = index_of(&calls.codes, t.top.code)
    if caller == NULL:
        return NULL
    code = PyFrame_GetCode(caller)
    if index >= 0 and <void *>code == t.top.code:
        info = calls.codes.infos[index]
        kind[0] = info.kind
        by = taken(given, key_of(caller, info, &unused), info.kind)
    Py_DECREF(<PyObject *>code)
    Py_DECREF(<PyObject *>caller)
    return by


cdef node_t *resumed(
    calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, PyFrameObject *frame, bint begins
) noexcept:
    """The node of a coroutine that was handed over and has this frame; NULL: there is none."""
    cdef given_t *entry = given_of(given, frame)
    cdef node_t *between
    if entry == NULL:
        return NULL
    if entry.code != info.code or (begins and entry.begun):     # of another coroutine, whose frame had the same address
        entry.key = NULL
        return NULL
    if entry.home != t.top:
        between = stand_in(calls, entry.by, entry.kind, t.top)
        entry.work = node_for(calls, between, info.code, info.number, NOT_HANDED) if between != NULL else NULL
        entry.home = t.top
        if entry.work == NULL:
            return NULL
        entry.work.is_work = entry.work.code == info.code       # else it is one that further paths share
        between.peak = max(between.peak, t.state.memory)
        between.calls += not entry.begun
    entry.begun = True
    return entry.work


cdef node_t *resumed_below(calls_t *calls, given_table_t *given, thread_t *t, PyFrameObject *frame) noexcept:
    """The same for a coroutine that others may await which have not been resumed, as at a cancellation.

    An exception is thrown into the innermost one; the others have no event, but are its callers.
    """
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef int index = index_of(&calls.codes, code)
    cdef node_t *node = NULL
    cdef node_t *above = NULL
    cdef PyFrameObject *caller
    if index >= 0 and calls.codes.infos[index].role & COROUTINE:
        calls.codes.infos[index].code = code
        caller = PyFrame_GetBack(frame)
        if caller != NULL and is_coroutine(calls, caller):
            above = resumed_below(calls, given, t, caller)
            node = node_for(calls, above, code, calls.codes.infos[index].number, NOT_HANDED) if above != NULL else NULL
        else:
            node = resumed(calls, given, t, calls.codes.infos[index], frame, False)
        if caller != NULL:
            Py_DECREF(<PyObject *>caller)
        if node != NULL and node.code == <void *>code:
            node.role, node.is_work = calls.codes.infos[index].role, True
    Py_DECREF(<PyObject *>code)
    return node


cdef bint is_coroutine(calls_t *calls, PyFrameObject *frame) noexcept:
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef int index = index_of(&calls.codes, code)
    Py_DECREF(<PyObject *>code)
    return index >= 0 and calls.codes.infos[index].role & COROUTINE


cdef void give(
    calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, PyFrameObject *frame, bint everywhere
) noexcept:
    """The running call hands over work, by the function that it has just called."""
    cdef void *code = NULL
    cdef void *key
    cdef node_t *by = NULL
    if t.top.role & MACHINERY or not info.role & FOR_MACHINERY:
        key = key_of(frame, info, &code)
        by = submitter(calls, t.top, everywhere) if key != NULL else NULL
    if by != NULL:
        put(given, key, code, by, info.kind)


cdef node_t *work_begun(
    calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, PyFrameObject *frame, int begins
) noexcept:
    """The node of a call that is work which was handed over, or NULL."""
    cdef void *unused
    cdef int kind = info.kind
    cdef node_t *node = NULL
    cdef node_t *by = NULL
    if info.role & COROUTINE:
        if begins < 0 and PyFrame_GetLasti(frame) != info.begins:
            return resumed_below(calls, given, t, frame)
        return resumed(calls, given, t, info, frame, begins != 0)
    if info.role & BEGINS:
        by = taken(given, key_of(frame, info, &unused), kind)
        return stand_in(calls, by, kind, t.top) if by != NULL else NULL
    if t.top.role & DISPATCHES and (info.role & IS_DISPATCHED or not info.role & MACHINERY):
        by = dispatched(calls, given, t, frame, &kind)
        node = stand_in(calls, by, kind, t.top) if by != NULL else NULL
    if node == NULL:
        return NULL
    node.peak = max(node.peak, t.state.memory)
    node.calls += 1
    node = node_for(calls, node, info.code, info.number, NOT_HANDED)
    if node != NULL and node.code == info.code:     # else it is one that further paths share
        node.is_work = True
    return node


cdef node_t *watched_call(
    calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, int begins, bint everywhere
) noexcept:
    cdef bint inner = info.role & COROUTINE and t.top.role & COROUTINE      # it is awaited
    cdef node_t *node = NULL
    if info.role & (GIVES | GIVES_COROUTINE):
        give(calls, given, t, info, PyEval_GetFrame(), everywhere)
    elif given.size and not inner:
        node = work_begun(calls, given, t, info, PyEval_GetFrame(), begins)
        if node != NULL and info.role & BEGINS:
            return node                 # it stands for the call
    if node == NULL and not everywhere and is_outside(t, info):
        return NULL
    if node == NULL and inner:
        node = child_of(calls, t.top, info.code, info.number)
    elif node == NULL:
        node = node_for(calls, t.top, info.code, info.number, NOT_HANDED)
    if node != NULL and node.code == info.code:         # it is no node that further paths share
        node.role = info.role
    return node


cdef void give_job(calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, bint everywhere) noexcept:
    cdef void *unused
    cdef void *key = key_of(PyEval_GetFrame(), info, &unused)
    cdef node_t *by = submitter(calls, t.top, everywhere) if key != NULL else NULL
    if by != NULL:
        put(given, key, NULL, by, info.kind)
