"""How much is used of a limit: the sum of a few numbers in files of the kernel, such as those of a cgroup."""

from libc.stdint cimport int64_t
from libc.string cimport strlen, strstr
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport pread

from memkit.native.decimal cimport number_at
from memkit.native.descriptors cimport adopt, is_ours, release
from memkit.native.meter cimport TEXT


cdef int64_t read_counter(counter_t *counter) noexcept nogil:
    """The number, or -1."""
    cdef char text[TEXT]
    cdef const char *place = text
    cdef const char *end
    cdef ssize_t length
    if not is_ours(&counter.file):
        adopt(&counter.file, open(counter.path, O_RDONLY | O_CLOEXEC))
    length = pread(counter.file.fd, text, TEXT - 1, 0) if counter.file.fd >= 0 else -1
    if length <= 0:
        return -1
    text[length] = 0
    while counter.key[0]:
        place = strstr(place, counter.key)
        if place == NULL:
            return -1
        end = place + strlen(counter.key)
        if (place == text or place[-1] == c'\n') and end[0] in (c' ', c':'):
            place = end + 1
            break
        place = end
    return number_at(&place)


cdef int64_t add(counters_t *counters, bint costly) noexcept nogil:
    """The sum, with or without what is costly to read; -1 where a file cannot be read."""
    cdef int64_t sum = counters.base
    cdef int64_t value
    cdef int i
    for i in range(counters.count):
        if counters.counters[i].costly and not costly:
            continue
        value = read_counter(&counters.counters[i])
        if value < 0:
            return -1
        sum += value * counters.counters[i].unit
    return max(sum, <int64_t>0)


cdef int64_t counters_read(counters_t *counters, int64_t threshold) noexcept nogil:
    cdef int64_t memory = add(counters, False)
    return add(counters, True) if memory >= threshold else memory


cdef void counters_close(counters_t *counters) noexcept nogil:
    cdef int i
    for i in range(counters.count):
        release(&counters.counters[i].file)
