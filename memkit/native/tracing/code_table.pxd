# A hash table of code objects, by identity: whether a code object is traced, and what is known of it.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    NOT_WANTED = -1
    UNKNOWN = -2

cdef struct total_t:            # the sums of a line over all threads; only the flush uses it
    int64_t flush               # the number of the flush that computed it
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after the line last ran
    int64_t peak
    uint64_t ended              # when it last ended
    int64_t written[5]          # as in the journal
    uint64_t written_ended

cdef struct code_info_t:        # a traced code object
    void *code                  # compared by identity: equal code objects are different functions
    int number                  # of the function in the journal
    int first                   # line number of row 0
    int count                   # rows
    total_t *totals             # by row
    int *row_at                 # the row of each code unit
    int units
    int lead                    # the index of the code object whose account it shares, or -1: it has its own
    bint target                 # of calls: the tree may begin here
    int begins                  # of calls: the last instruction of a frame that begins

cdef struct code_table_t:
    code_info_t **infos         # by index
    int count
    void **keys                 # code objects, hashed
    int *values                 # an index in infos, NOT_WANTED or UNKNOWN
    int size                    # a power of two; at least half of it is free
    int filled


cdef inline int place_of(code_table_t *codes, void *code) noexcept nogil:
    cdef int place = <int>((<uint64_t>code >> 4) * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (codes.size - 1)
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
# All zero but for code, count, units and lead; NULL: no memory.
cdef code_info_t *add_code(code_table_t *codes, void *code, int rows, int units) noexcept
cdef void forget_not_wanted(code_table_t *codes) noexcept                       # NOT_WANTED becomes UNKNOWN
