# Lines below other lines, as numbers: what a heap recording books blocks to. All under the GIL, but for what is nogil.

from libc.stdint cimport uint32_t

from memkit.native.journal cimport journal_t

cdef struct line_path_t:        # the lines of a function, called by one line or by none
    uint32_t parent             # the number of that line, or 0
    int function                # the number in the journal
    uint32_t base               # the number of the first line
    int first                   # the first line, and how many there are
    int count

cdef struct line_paths_t:
    line_path_t *paths
    int count
    int room
    int *places                 # places in `paths` + 1, hashed by parent and function
    int size                    # a power of two; at least half of it is free
    uint32_t next
    int written                 # of `paths`, in the journal

# The number of the first line; NO_LINES: no memory, or there are too many.
cdef uint32_t lines_below(line_paths_t *table, uint32_t parent, int function, int first, int count) noexcept nogil
cdef void write_line_paths(line_paths_t *table, journal_t *journal) noexcept nogil
cdef void free_line_paths(line_paths_t *table) noexcept

cdef enum:
    NO_LINES = 0
