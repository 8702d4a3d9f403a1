"""How much of resident memory are pages of files, which the kernel can drop: no limit counts these.

``statm`` has their number together with that of shared memory, at no cost where it is read anyway. Only if that has changed
by much, ``RssFile`` of ``status`` is read, which takes some microseconds. Source: ``man 5 proc``.
"""

from libc.stdlib cimport labs
from posix.unistd cimport _SC_PAGESIZE, sysconf

from memkit.native.journal cimport journal_row
from memkit.native.meter cimport TEXT, read_text, sum_of_lines

cdef enum:
    SHARE = 64

cdef int64_t PAGE = sysconf(_SC_PAGESIZE)


cdef void mapped_write(mapped_t *last, journal_t *journal, meter_t *meter, ours_t *status, int64_t *row) noexcept nogil:
    cdef char text[TEXT]
    cdef int64_t found[2]
    if labs(meter.shared - last.shared) * PAGE * SHARE <= row[1] or read_text(status, text) <= 0:
        return
    last.shared = meter.shared
    found[0], found[1] = row[0], sum_of_lines(text, b"RssFile:")
    if found[1] >= 0:
        journal_row(journal, b"mapped", found, 2)
