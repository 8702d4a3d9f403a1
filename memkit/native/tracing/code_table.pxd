# Which code objects are wanted: a table from a code object, by identity, to an index.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    NOT_WANTED = -1
    UNKNOWN = -2

cdef struct total_t:            # what a line comes to in all threads; for whoever flushes
    int64_t flush               # which one it was worked out for
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after it last ran
    int64_t peak
    uint64_t ended              # when it last did
    int64_t written[5]          # what stands in the journal already
    uint64_t written_ended

cdef struct code_t:             # a code object that is traced
    void *code                  # by identity; equal code objects are different functions
    int number                  # of the function in the journal
    int first                   # line number of row 0
    int count                   # rows
    total_t *totals             # by row
    int *row_at                 # the row of each code unit
    int units
    int lead                    # the index of the code object in whose book it is entered, or -1: its own
    bint target                 # of calls: the tree may begin here
    int begins                  # of calls: the last instruction, in a frame that begins

cdef struct codes_t:
    code_t **wanted             # by index
    int count
    void **keys                 # code objects, hashed
    int *values                 # an index in wanted, or NOT_WANTED, or UNKNOWN
    int size                    # a power of two, never full
    int filled


cdef inline int place_of(codes_t *codes, void *code) noexcept nogil:
    cdef int place = <int>((<uint64_t>code >> 4) * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (codes.size - 1)
    while codes.keys[place] != NULL and codes.keys[place] != code:
        place = (place + 1) & (codes.size - 1)
    return place


cdef inline int index_of(codes_t *codes, void *code) noexcept nogil:
    """The index of a code object among those that are wanted, NOT_WANTED, or UNKNOWN."""
    cdef int place = place_of(codes, code)
    return codes.values[place] if codes.keys[place] != NULL else UNKNOWN


cdef inline int row_of(code_t *about, int line) noexcept nogil:
    """The row of a line number; row 0 for one that is out of the code's range."""
    cdef int row = line - about.first
    return row if 0 <= row < about.count else 0


cdef bint codes_open(codes_t *codes) noexcept                           # whether there was memory
cdef void codes_close(codes_t *codes) noexcept
cdef bint note(codes_t *codes, void *code, int value) noexcept          # whether there was memory
cdef code_t *want(codes_t *codes, void *code, int rows, int units) noexcept     # all zero but for size and lead, or NULL
cdef void forget_unwanted(codes_t *codes) noexcept
