# Objects that are created and destroyed, as Python 3.13 and later report them.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from memkit.native.journal cimport Journal
from memkit.native.tracing.event_rows cimport row_t
from memkit.native.tracing.hook_chain cimport HookChain
from memkit.native.meter cimport meter_t

cdef enum:
    BUCKETS = 1024              # of names; there are hundreds in a program

cdef struct kind_t:             # all types of one name
    char *name
    bint heap                   # made by a class statement, or by C code like one
    bint wanted
    int64_t live                # of those that were created while it was traced
    kind_t *next

cdef struct live_t:             # an object
    void *address               # NULL: a free slot
    kind_t *kind

cdef struct lives_t:            # objects that were created and are not destroyed, by address
    live_t *slots
    size_t mask                 # slots - 1, of which there are a power of two
    size_t used


cdef class References(HookChain):
    cdef Journal journal        # None: they are only counted
    cdef meter_t meter
    cdef int64_t memory         # at the last row, -1 before any
    cdef bint paused            # ends are noted, but nothing is written or counted
    cdef bint busy              # the objects that are made here are not the program's
    cdef bint builtins
    cdef tuple included, excluded
    cdef tuple own              # names of files that are not the program's
    cdef kind_t *kinds[BUCKETS]
    cdef lives_t lives
    cdef row_t row
    cdef readonly int64_t count_new
    cdef readonly int64_t count_del

    cdef kind_t *kind_of(self, PyObject *thing) noexcept
    cdef bint decide(self, PyObject *thing, const char *name, bint heap) noexcept
    cdef bint in_own_code(self) noexcept
    cdef void begun(self, PyObject *thing) noexcept
    cdef void ended(self, PyObject *thing) noexcept
    cdef void write(self, const char *tag, PyObject *thing, kind_t *kind) noexcept
