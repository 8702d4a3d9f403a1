# This process's memory, read as a debugger reads another's: an address that leads nowhere is an error and not a crash.
# Where NULL stands for it, it is read as it lies: by a thread that knows that it stands still.

from libc.stdint cimport int64_t
from libc.string cimport memcpy
from posix.unistd cimport pread

from memkit.native.descriptors cimport ours_t

cdef struct memory_t:
    ours_t file                 # /proc/self/mem; -1: it cannot be read here


# Whether so many bytes were read.
cdef inline bint copy(const memory_t *memory, const char *address, void *to, size_t size) noexcept nogil:
    if memory == NULL:
        memcpy(to, address, size)
        return True
    return address != NULL and pread(memory.file.fd, to, size, <int64_t>address) == <ssize_t>size


# The pointer that is stored at an address, or NULL.
cdef inline const char *pointer_at(const memory_t *memory, const char *address) noexcept nogil:
    cdef const char *found = NULL
    return found if copy(memory, address, &found, sizeof(found)) else NULL
