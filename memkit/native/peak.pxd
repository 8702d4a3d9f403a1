# The highest resident memory of this process since a moment.

from libc.stdint cimport int64_t

cdef struct scope_t:            # a stretch of time whose peak is wanted
    int64_t peak                # the highest so far, 0 before anything is known
    bint open
    scope_t *next
    scope_t *previous

# `memory` is resident memory, or -1, and `resets` what `mark_resets` told before it was read.
cdef void scope_open(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil         # its peak starts from now
# Its peak since opened or last taken, 0 if unknown.
cdef int64_t scope_take(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil
cdef int64_t mark_resets() noexcept nogil                       # how often the high-water mark was reset
cdef int64_t scope_close(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil     # the same, and no longer counted
# Call what gives back memory that `books_size` tells of: it must not be in a peak after that.
cdef void give_books_back(void (*give_back)() noexcept nogil) noexcept nogil
