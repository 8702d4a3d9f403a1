# The table of lines of a code object: which line an instruction belongs to.

from memkit.native.sampling.own_memory cimport memory_t

# The line of the instruction at an offset in bytes; the code begins at line `first`, its table is the bytes object `lines`.
cdef int line_at(const memory_t *memory, const char *lines, int first, Py_ssize_t offset) noexcept nogil
