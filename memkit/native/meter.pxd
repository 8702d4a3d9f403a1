# Bytes of a process now, from the kernel's files.

from libc.stdint cimport int64_t
from posix.types cimport pid_t

from memkit.native.descriptors cimport ours_t

cdef struct meter_t:
    const char *name            # of the file below /proc/PID
    int column                  # of statm, a short line of page counts
    const char *prefix          # of the lines that count, in files of named lines in kB; empty: statm
    int64_t shared              # with statm: pages of files and of shared memory, at the last reading
    bint with_books             # what memkit needs to count allocations is in it
    bint costly                 # the kernel sums it up for each reading: milliseconds per GB
    pid_t pid                   # 0: this process
    pid_t owner                 # who opened it: /proc/self names the opener for ever
    ours_t file
    ours_t folder               # of another process: its name may be a stranger's later, the descriptor stays its own

cdef int meter_open(meter_t *meter) noexcept nogil              # 0, or errno
cdef int64_t meter_read(meter_t *meter) noexcept nogil          # bytes, or -1 when it cannot be read
cdef int64_t meter_read_whole(meter_t *meter) noexcept nogil    # the same with `books_size`
# Resident bytes of this process that memkit needs to tell blocks of a counted heap apart, where that is; at first 0.
cdef const int64_t *books_size
cdef int64_t without_books(int64_t memory) noexcept nogil       # -1 stays so
cdef void meter_close(meter_t *meter) noexcept nogil
# The number of this process, which the kernel is asked for once, and again after a fork.
cdef pid_t own_pid() noexcept nogil

# -- kernel files --------------------------------------------------------------------------------------------------

cdef enum:
    TEXT = 4096                 # room for a file: smaps_rollup and status are below 2 KiB

cdef int open_kernel_file(ours_t *file, const char *name, int flags) noexcept nogil     # of this process; 0, or errno
cdef int open_file_of(ours_t *folder, ours_t *file, const char *name) noexcept nogil    # of another; 0, or errno
cdef ssize_t read_text(ours_t *file, char *text) noexcept nogil  # -1 also where the descriptor is ours no more
cdef int64_t sum_of_lines(const char *text, const char *prefix) noexcept nogil   # bytes, or -1 if there is none


cdef class Meter:
    cdef meter_t meter
    cdef readonly str name
    cdef readonly object pid
    cdef int64_t bytes(self) noexcept       # -1 when it cannot be read
    cpdef object read(self)
