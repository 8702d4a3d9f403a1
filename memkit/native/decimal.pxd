# Numbers in the kernel's files: header only. strtoll would be another symbol from glibc 2.38 on, and a wheel that is built
# there would not load where glibc is older.

from libc.stdint cimport INT64_MAX, int64_t, uint64_t


cdef inline int64_t number_at(const char **place) noexcept nogil:
    """The number there, after blanks, and `place` is behind it; 0 if there is none. What is too large is INT64_MAX."""
    cdef uint64_t number = 0
    cdef uint64_t most = INT64_MAX
    cdef bint negative
    while place[0][0] == c' ' or place[0][0] == c'\t':
        place[0] += 1
    negative = place[0][0] == c'-'
    place[0] += negative
    while c'0' <= place[0][0] <= c'9':
        number = min(number * 10 + <uint64_t>(place[0][0] - c'0'), most) if number <= most // 10 else most
        place[0] += 1
    return -<int64_t>number if negative else <int64_t>number
