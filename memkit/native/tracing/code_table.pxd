# A hash table of code objects, by identity: whether a code object is traced, and what is known of its function.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    NOT_WANTED = -1
    UNKNOWN = -2
    OF_THREADS = -3             # not traced, but it starts threads or is where they begin: its calls are told to Python
    STATEMENT_AT = 20           # the bit above the number of a row from which Python passes the number of its statement

cdef enum:                      # what code does with work; may be combined
    MACHINERY = 1               # it belongs to a library that passes work on for others
    COROUTINE = 2               # it is a coroutine, which is work if it has been handed over
    GIVES = 4                   # it hands over the object that its local variable holds
    GIVES_COROUTINE = 8         # the coroutine that its local variable holds
    GIVES_JOB = 16              # the job of multiprocessing, whose number the object has when the call returns
    FOR_MACHINERY = 32          # only if machinery calls it
    BEGINS = 64                 # it is the work that its local variable holds
    DISPATCHES = 128            # what it calls is the work that its local variable holds
    IS_DISPATCHED = 256         # though it is machinery
    TO_PROCESSES = 512          # it hands work to other processes, which its local variable holds

cdef struct total_t:            # the sums of a line over all threads; only the flush uses it
    int64_t flush               # the number of the flush that computed it
    int statement               # the number of the statement, if it has several lines, else 0
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after the line last ran
    int64_t peak
    int64_t rise
    int64_t rises
    int64_t about
    int64_t own_rise
    uint64_t ended              # when it last ended
    int64_t written[9]          # as in the journal
    uint64_t written_ended

cdef struct code_info_t:        # a traced function: all code objects with its number
    void *code                  # the one that was met first; NULL: it is gone
    int number                  # of the function in the journal
    int line                    # where it begins
    int first                   # line number of row 0
    int count                   # rows
    total_t *totals             # by row
    int *row_at                 # the row of each code unit of ``code``
    int units
    int lead                    # the index of the function whose account it shares, or -1: it has its own
    int64_t flush               # that has counted its changes
    bint target                 # of calls: the tree may begin here
    int begins                  # of calls: the last instruction of a frame that begins
    int role                    # of calls: its part in handing work over, see handed_over.pxd
    int kind                    # of that work: a function's number
    PyObject *local             # of the function: the name of the local variable that tells the work

cdef struct code_table_t:
    code_info_t **infos         # by index
    int count
    void **keys                 # code objects, hashed
    int *values                 # an index in infos, or NOT_WANTED
    int size                    # a power of two; at least half of it is free
    int filled
    unsigned int deaths         # of code objects in it
    code_table_t *next          # of the tables that are open


cdef inline int home_of(code_table_t *codes, void *code) noexcept nogil:
    return <int>((<uint64_t>code >> 4) * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (codes.size - 1)


cdef inline int place_of(code_table_t *codes, void *code) noexcept nogil:
    cdef int place = home_of(codes, code)
    while codes.keys[place] != NULL and codes.keys[place] != code:
        place = (place + 1) & (codes.size - 1)
    return place


cdef inline int index_of(code_table_t *codes, void *code) noexcept nogil:
    """The index of a traced code object, NOT_WANTED, or UNKNOWN."""
    cdef int place = place_of(codes, code)
    return codes.values[place] if codes.keys[place] != NULL else UNKNOWN


cdef inline int row_of(code_info_t *info, int line) noexcept nogil:
    """The row of a line number; 0 for a line outside the code object."""
    cdef int row = line - info.first
    return row if 0 <= row < info.count else 0


# -- under the GIL

cdef bint code_table_open(code_table_t *codes) noexcept                         # False: no memory
cdef void code_table_close(code_table_t *codes) noexcept
cdef bint set_index(code_table_t *codes, void *code, int value) noexcept        # False: no memory
# The same of a code object, whose entry goes with it: its address may be another's then.
cdef bint set_index_of_code(code_table_t *codes, PyObject *code, int value) noexcept
# The index of what is known of a function: of an equal one, if there is one in `answers`. NOT_WANTED: no memory.
cdef int index_of_function(code_table_t *codes, code_table_t *answers, const code_info_t *answer) noexcept
# One more function, all zero but for count, units and lead; NULL: no memory.
cdef code_info_t *add_info(code_table_t *codes, int rows, int units) noexcept


cdef class NumberTable:
    cdef code_table_t table
