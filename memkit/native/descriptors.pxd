# Descriptors of memkit in the process of a program, which may close them and get their numbers for files of its own.

from posix.types cimport dev_t, ino_t

cdef struct ours_t:
    int fd                      # -1: none
    dev_t device
    ino_t inode

cdef int moved_up(int fd) noexcept nogil                    # to a high number, or as it is where there is no room
cdef void adopt(ours_t *ours, int fd) noexcept nogil        # take a descriptor over, to a number out of the program's way
cdef bint is_ours(const ours_t *ours) noexcept nogil        # whether it still leads to what was adopted
cdef void release(ours_t *ours) noexcept nogil              # close it, if it is ours still
