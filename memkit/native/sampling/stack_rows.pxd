# The `stack` row of a thread: its frames as JSON, each with file, line and function.

from libc.stdint cimport int64_t

from memkit.native.sampling.own_memory cimport memory_t

cdef enum:
    MOST_FRAMES = 64            # of a thread, the innermost
    ROOM = 30000                # bytes of a row
    LONGEST = 400               # letters of a name

cdef struct frame_t:            # addresses
    const char *frame
    const char *code
    const char *instruction

cdef struct stack_t:            # the innermost frame first
    frame_t frames[MOST_FRAMES]
    int count

cdef struct stack_row_t:
    size_t used
    char text[ROOM]

# False where nothing of the stack could be read; then there is no row.
cdef bint format_stack(
    stack_row_t *row, const memory_t *memory, int64_t time, unsigned long thread, const stack_t *stack
) noexcept nogil
# Adds a text, of which each letter has `width` bytes, as JSON.
cdef void put_text(stack_row_t *row, const void *letters, int width, Py_ssize_t length) noexcept nogil
