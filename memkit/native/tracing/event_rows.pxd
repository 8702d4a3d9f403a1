# The rows of an event log, written in two ways.

from libc.stdint cimport int64_t, uint64_t

cdef struct text_t:
    const char *text
    size_t length

cdef struct row_t:              # grows to the longest row there was, and no further
    char *text
    size_t room
    size_t used

cdef struct event_t:
    int64_t number              # among all events
    int64_t since               # how many after the one that was written before
    int64_t time                # nanoseconds
    unsigned long thread
    const char *what
    text_t file
    int line
    text_t function
    int64_t memory              # bytes
    int64_t change              # since the one that was written before

cdef struct reference_t:        # an object that begins or ends
    int64_t time
    uint64_t address
    int64_t live                # of its type
    text_t type
    text_t file
    int line
    text_t function
    int64_t memory
    int64_t change

# All return False where there is no memory for the row.
cdef bint format_csv(row_t *row, const event_t *event) noexcept nogil
cdef bint format_padded(row_t *row, const char *tag, const event_t *event) noexcept nogil
cdef bint format_reference(row_t *row, const char *tag, const reference_t *reference) noexcept nogil
cdef void row_close(row_t *row) noexcept nogil
