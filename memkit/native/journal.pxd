# Appends rows of integers to a file, from any thread, without the GIL.

from libc.stdint cimport int64_t
from posix.types cimport pid_t

from memkit.native.descriptors cimport ours_t
from memkit.native.threads cimport pthread_mutex_t

cdef enum:
    CAPACITY = 32768
    LONGEST_ROW = 320
    LONGEST_HEAD = 64
    MOST_VALUES = 12

cdef int64_t NOTHING        # a value that is written as null

cdef struct journal_t:
    ours_t file
    const char *path        # to open it again if the program closes our descriptor; NULL: it has no name
    pid_t owner             # a forked child inherits this struct and must not write
    int error               # errno of the first write that failed, 0 if none did
    int64_t lost            # rows that could not be written
    bint torn               # the file ends inside a row
    int64_t flushed         # when the buffer last went to the file
    size_t headed           # the length of the head
    bint table              # CSV instead: of each sample seconds and GiB, in the file at once
    int64_t offset          # bytes that the sizes of a table are less
    int64_t before          # memory in the table's last row
    size_t used
    pthread_mutex_t lock
    char head[LONGEST_HEAD] # a row that each write begins with, where several processes write into one file
    char buffer[CAPACITY]

cdef struct writer_t:       # what has rows to add before each flush
    # Adds the rows that have changed, at most so many if `most` is not negative, those first that have changed most, and
    # returns how many have changed. `memory` is what memory is now, or -1.
    int64_t (*write)(void *whose, journal_t *journal, int64_t memory, int64_t most) noexcept nogil
    void *whose
    writer_t *next

# Adds `["tag",values...]` to the buffer; a table takes samples, and passes over other rows.
cdef void journal_row(journal_t *journal, const char *tag, const int64_t *values, int count) noexcept nogil
# Adds rows that are formatted already, each ending in a newline.
cdef void journal_text(journal_t *journal, const char *text, size_t length) noexcept nogil
# Hands the buffer to the kernel in one write.
cdef void journal_flush(journal_t *journal, int64_t time) noexcept nogil
# Writes a comma and a number, or null for NOTHING; returns what is behind it.
cdef char *format_integer(char *end, int64_t value) noexcept nogil


# A capsule with a writer of some object, and a reference to that.
cdef object capsule_of(writer_t *writer, object owner)


cdef class Journal:
    cdef journal_t journal
    cdef bytes name
    cpdef object text(self, bytes rows)
