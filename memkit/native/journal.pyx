"""The writing end of a recording's file.

Rows collect in a fixed buffer and reach the file whole, many to one ``write`` on an ``O_APPEND`` descriptor, so a
killed process leaves at most one unfinished row and the recorder's memory never grows. A failing write is kept, not
raised: a full disk is no reason to stop somebody's program.

A journal may be a table instead: CSV, of each sample its time in seconds and its size in GiB, each in the file at once. A
peak between two samples is a row of its own, before the second and at its time, where it stands out from both. Since others
read such a file, a part of a row that the disk has no room for is taken back.
"""

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EBADF, EINTR, errno
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.stdio cimport SEEK_END, snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strcmp
from posix.fcntl cimport O_APPEND, O_CLOEXEC, O_WRONLY, open
from posix.types cimport off_t
from posix.unistd cimport ftruncate, lseek, write

import os

from memkit.native.clock cimport now
from memkit.native.descriptors cimport adopt, is_ours, ours_t, release
from memkit.native.meter cimport own_pid
from memkit.native.threads cimport pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock


cdef enum:
    STANDS_OUT = 1000           # a peak is a row of a table where it is above its neighbours by 1/1000

cdef int64_t SECOND = 1000000000
cdef uint64_t GIB = 1 << 30
cdef uint64_t DECIMALS = 10000000000        # ten: the fewest that tell one byte from the next


cdef bint reachable(journal_t *journal) noexcept nogil:
    """Whether the descriptor still leads to the recording, perhaps opened anew."""
    cdef ours_t again
    if is_ours(&journal.file):
        return True
    if journal.path == NULL:
        return False
    adopt(&again, open(journal.path, O_WRONLY | O_APPEND | O_CLOEXEC))
    if again.device != journal.file.device or again.inode != journal.file.inode:
        release(&again)
    if again.fd < 0:
        return False
    journal.file = again
    return True


cdef int64_t rows_in(const char *text, size_t length) noexcept nogil:
    cdef size_t i
    cdef int64_t rows = 0
    for i in range(length):
        rows += text[i] == c'\n'
    return rows


cdef bint taken_back(int fd, size_t length) noexcept nogil:
    """Whether so much could be cut off the end of the file."""
    cdef off_t size = lseek(fd, 0, SEEK_END)
    return size >= <off_t>length and ftruncate(fd, size - <off_t>length) == 0


cdef void send(journal_t *journal, const char *text, size_t length) noexcept nogil:
    cdef ssize_t written = -1
    cdef size_t whole = length
    cdef int code = EBADF
    if reachable(journal):
        if journal.torn:
            write(journal.file.fd, b"\n", 1)
            journal.torn = False
        written = write(journal.file.fd, text, length)
        while written < 0 and errno == EINTR:
            written = write(journal.file.fd, text, length)
        while 0 < written < <ssize_t>length:
            # A nearly full disk takes a part: the rest follows at once, or the row stays torn.
            journal.torn = text[written - 1] != c'\n'
            text += written
            length -= written
            written = write(journal.file.fd, text, length)
        code = errno
    if written == <ssize_t>length:
        journal.torn = False
        return
    if journal.error == 0:
        journal.error = code
    if journal.table and length < whole and taken_back(journal.file.fd, whole - length):
        text -= whole - length
        length = whole
        journal.torn = False
    journal.lost += rows_in(text, length)


cdef void send_long(journal_t *journal, const char *text, size_t length) noexcept nogil:
    """Send more than the buffer holds, in one write with its head."""
    cdef char *whole = <char *>malloc(journal.headed + length) if journal.headed else NULL
    if whole == NULL:
        send(journal, text, length)
        return
    memcpy(whole, journal.head, journal.headed)
    memcpy(whole + journal.headed, text, length)
    send(journal, whole, journal.headed + length)
    free(whole)


cdef void append(journal_t *journal, const char *text, size_t length) noexcept nogil:
    if journal.used + length > CAPACITY:
        send(journal, journal.buffer, journal.used)
        journal.used = 0
    if journal.headed + length > CAPACITY:
        send_long(journal, text, length)
        return
    if journal.used == 0:
        memcpy(journal.buffer, journal.head, journal.headed)
        journal.used = journal.headed
    memcpy(journal.buffer + journal.used, text, length)
    journal.used += length


NOTHING = INT64_MIN


cdef char *format_integer(char *end, int64_t value) noexcept nogil:
    """Write a comma and a number; snprintf would take three times as long."""
    cdef char digits[20]
    cdef int count = 0
    cdef uint64_t rest = -<uint64_t>value if value < 0 else <uint64_t>value
    end[0] = c','
    end += 1
    if value == NOTHING:
        memcpy(end, b"null", 4)
        return end + 4
    if value < 0:
        end[0] = c'-'
        end += 1
    while True:
        digits[count] = c'0' + <char>(rest % 10)
        count += 1
        rest //= 10
        if rest == 0:
            break
    while count:
        count -= 1
        end[0] = digits[count]
        end += 1
    return end


cdef void journal_text(journal_t *journal, const char *text, size_t length) noexcept nogil:
    pthread_mutex_lock(&journal.lock)
    append(journal, text, length)
    pthread_mutex_unlock(&journal.lock)


cdef char *format_pair(char *end, int64_t time, int64_t size) noexcept nogil:
    """Write seconds and GiB."""
    cdef uint64_t magnitude = -<uint64_t>size if size < 0 else <uint64_t>size
    cdef uint64_t rest = magnitude % GIB
    return end + snprintf(
        end, LONGEST_ROW // 2, b"%lld.%09lld,%s%llu.%010llu\n", <long long>(time // SECOND), <long long>(time % SECOND),
        b"-" if size < 0 else b"", <unsigned long long>(magnitude // GIB),
        <unsigned long long>((rest * DECIMALS + GIB // 2) // GIB),
    )


cdef void table_row(journal_t *journal, int64_t time, int64_t memory, int64_t rise) noexcept nogil:
    cdef char rows[LONGEST_ROW]
    cdef char *end = rows
    cdef int64_t around
    pthread_mutex_lock(&journal.lock)
    around = max(memory, journal.before)
    if memory + rise - around > around // STANDS_OUT:
        end = format_pair(end, time, memory + rise - journal.offset)
    end = format_pair(end, time, memory - journal.offset)
    journal.before = memory
    append(journal, rows, end - rows)
    send(journal, journal.buffer, journal.used)
    journal.used = 0
    pthread_mutex_unlock(&journal.lock)


cdef void journal_row(journal_t *journal, const char *tag, const int64_t *values, int count) noexcept nogil:
    cdef char row[LONGEST_ROW]
    cdef int i
    cdef char *end
    if journal.table:
        if count > 1 and strcmp(tag, b"sample") == 0:
            table_row(journal, values[0], values[1], values[2] if count > 2 else 0)
        return
    end = row + snprintf(row, LONGEST_ROW, b"[\"%.20s\"", tag)
    for i in range(min(count, MOST_VALUES)):
        end = format_integer(end, values[i])
    end[0], end[1] = c']', c'\n'
    journal_text(journal, row, end + 2 - row)


cdef void journal_flush(journal_t *journal, int64_t time) noexcept nogil:
    pthread_mutex_lock(&journal.lock)
    if journal.used:
        send(journal, journal.buffer, journal.used)
        journal.used = 0
    journal.flushed = time
    pthread_mutex_unlock(&journal.lock)


cdef void drop_owner(object capsule) noexcept:
    Py_DECREF(<object>PyCapsule_GetContext(capsule))


cdef object capsule_of(writer_t *writer, object owner):
    capsule = PyCapsule_New(writer, b"memkit.writer", drop_owner)
    PyCapsule_SetContext(capsule, <void *>owner)
    Py_INCREF(owner)
    return capsule


cdef class Journal:
    """A file that rows are appended to.

    ``fd`` is a descriptor opened for appending, which the journal now owns; ``path`` is the file's absolute name, or
    None where it has none. With ``offset``, a number of bytes, it is a table, and its sizes are less by that much.
    """

    def __cinit__(self, int fd, path=None, offset=None):
        pthread_mutex_init(&self.journal.lock, NULL)
        adopt(&self.journal.file, fd)
        if self.journal.file.fd < 0:
            raise OSError(errno, "not an open descriptor")
        self.journal.owner = own_pid()
        self.journal.flushed = now()
        self.journal.table = offset is not None
        self.journal.offset = offset or 0
        if path is not None:
            self.name = os.fsencode(path)
            self.journal.path = self.name

    def begin_writes_with(self, bytes head):
        """Have each write to the file begin with a row, which tells whose the others are."""
        if len(head) > LONGEST_HEAD:
            raise ValueError(f"a head holds at most {LONGEST_HEAD} bytes, not {len(head)}")
        self.flush()
        memcpy(self.journal.head, <const char *>head, len(head))
        self.journal.headed = len(head)

    def duplicate(self):
        """Another descriptor of the file, for a journal of its own in a forked child; None where the program closed this."""
        return os.dup(self.journal.file.fd) if is_ours(&self.journal.file) else None

    def row(self, str tag, *values):
        """Append one row of integers."""
        cdef int64_t numbers[MOST_VALUES]
        cdef int i, count = len(values)
        if count > MOST_VALUES:
            raise ValueError(f"a row holds at most {MOST_VALUES} integers, not {count}")
        for i in range(count):
            numbers[i] = values[i]
        cdef bytes name = tag.encode()
        cdef const char *text = name
        if self.journal.owner == own_pid():
            with nogil:
                journal_row(&self.journal, text, numbers, count)

    cpdef object text(self, bytes rows):
        """Append rows that are already formatted, each ending in a newline."""
        cdef const char *text = rows
        cdef size_t length = len(rows)
        if self.journal.owner != own_pid():      # forked, perhaps while a thread of the parent held the lock
            return
        with nogil:
            journal_text(&self.journal, text, length)

    def flush(self):
        """Hand everything appended so far to the kernel."""
        if self.journal.owner == own_pid():
            with nogil:
                journal_flush(&self.journal, now())

    @property
    def error(self):
        """errno of the first write that failed, or None."""
        return self.journal.error or None

    @property
    def lost(self):
        """How many rows could not be written."""
        return self.journal.lost

    def close(self):
        """Flush and give the descriptor back; harmless when closed already."""
        if self.journal.file.fd >= 0:
            self.flush()
            release(&self.journal.file)

    def __dealloc__(self):
        release(&self.journal.file)
