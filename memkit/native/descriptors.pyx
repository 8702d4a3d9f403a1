"""Descriptors of memkit in the process of a program.

Programs that turn themselves into daemons close descriptors that they did not open, and the next file they open takes the
lowest free number. So memkit's are moved to high numbers, and checked before they are read, written or closed.
"""

import os

from libc.errno cimport EAGAIN, errno
from posix.fcntl cimport O_RDONLY, fcntl, open
from posix.stat cimport fstat, struct_stat
from posix.unistd cimport _SC_OPEN_MAX, close, read, sysconf

cdef extern from "<fcntl.h>" nogil:
    int F_DUPFD_CLOEXEC, O_CLOEXEC

cdef extern from "<sys/file.h>" nogil:
    int LOCK_EX, LOCK_SH, LOCK_NB
    int flock(int, int)

cdef enum:
    HIGHEST = 1024              # select() and some old programs take no higher number
    PAGE = 4096                 # files of /proc come a page at a time


cdef int moved_up(int fd) noexcept nogil:
    cdef long most = sysconf(_SC_OPEN_MAX)
    cdef int moved
    if most <= 0 or most > HIGHEST:
        most = HIGHEST
    moved = fcntl(fd, F_DUPFD_CLOEXEC, <int>(most * 7 // 8))
    if moved < 0:
        return fd
    close(fd)
    return moved


cdef void adopt(ours_t *ours, int fd) noexcept nogil:
    cdef struct_stat found
    ours.fd = -1
    if fd < 0 or fstat(fd, &found) != 0:
        return
    ours.device, ours.inode = found.st_dev, found.st_ino
    ours.fd = moved_up(fd)


cdef bint is_ours(const ours_t *ours) noexcept nogil:
    cdef struct_stat found
    return ours.fd >= 0 and fstat(ours.fd, &found) == 0 and found.st_dev == ours.device and found.st_ino == ours.inode


cdef void release(ours_t *ours) noexcept nogil:
    if is_ours(ours):
        close(ours.fd)
    ours.fd = -1


def lock(int fd, bint alone):
    """Lock a file, alone or with others; False where somebody else has it. Where there are no locks nobody has."""
    return flock(fd, (LOCK_EX if alone else LOCK_SH) | LOCK_NB) == 0 or errno != EAGAIN


def content(str path not None):
    """What a file of the kernel's says, that takes no lock of a process which could keep us waiting. Raises ``OSError``.

    The GIL is held, so that no thread of Python closes the descriptor meanwhile and uses its number.
    """
    cdef bytes name = os.fsencode(path)
    cdef char part[2 * PAGE]
    cdef ssize_t size = 1
    cdef bytes text = b""
    cdef int code, fd = open(name, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        code = errno
        raise OSError(code, os.strerror(code), path)
    try:
        while size > 0:             # until the end: a list comes in pieces of about a page
            size = read(fd, part, sizeof(part))
            if size < 0:
                code = errno
                raise OSError(code, os.strerror(code), path)
            text += part[:size]
        return text
    finally:
        close(fd)
