"""The table of lines of a code object, read piece by piece from memory that may change meanwhile.

Each entry is a byte with its kind and how many instructions it covers, then bytes with the high bit clear. Source:
``InternalDocs/code_objects.md`` of CPython.
"""

from libc.stdint cimport int64_t

from memkit.native.sampling.layouts cimport BYTES_HEAD, RECORD, PyBytes_Type, has_type, length_of_bytes
from memkit.native.sampling.own_memory cimport copy, memory_t

cdef enum:
    WINDOW = 256                # bytes that are read at once
    ONE_LINE = 10               # kinds of entries: on the same line, one further, two further
    TWO_FURTHER = 12
    NO_COLUMNS = 13             # the difference follows as a number
    LONG = 14                   # so does it here, and columns after it
    NO_LINE = 15

cdef struct table_t:
    const char *start
    Py_ssize_t size
    Py_ssize_t first            # of what is in the window
    unsigned char window[WINDOW]


cdef int byte_at(const memory_t *memory, table_t *table, Py_ssize_t place) noexcept nogil:
    """A byte of the table, or -1 beyond its end."""
    cdef Py_ssize_t rest
    if place >= table.size:
        return -1
    if not table.first <= place < table.first + WINDOW:
        rest = min(table.size - place, <Py_ssize_t>WINDOW)
        if not copy(memory, table.start + place, table.window, rest):
            return -1
        table.first = place
    return table.window[place - table.first]


cdef int step_of(const memory_t *memory, table_t *table, Py_ssize_t place, int kind) noexcept nogil:
    """By how much the line of an entry differs from that of the entry before."""
    cdef unsigned int value = 0
    cdef int shift = 0, byte
    if ONE_LINE <= kind <= TWO_FURTHER:
        return kind - ONE_LINE
    if kind != NO_COLUMNS and kind != LONG:
        return 0
    while shift < 30:
        place += 1
        byte = byte_at(memory, table, place)
        if byte < 0:
            return 0
        value |= <unsigned int>(byte & 63) << shift
        if not byte & 64:
            break
        shift += 6
    return -<int>(value >> 1) if value & 1 else <int>(value >> 1)


cdef int line_at(const memory_t *memory, const char *lines, int first, Py_ssize_t offset) noexcept nogil:
    cdef int64_t head[RECORD]
    cdef table_t table
    cdef Py_ssize_t place = 0, end = 0
    cdef int line = first, known = first, byte, kind
    if not copy(memory, lines, head, BYTES_HEAD) or not has_type(head, &PyBytes_Type):
        return first
    table.start, table.size, table.first = lines + BYTES_HEAD, length_of_bytes(head), -WINDOW
    byte = byte_at(memory, &table, 0)
    while byte >= 0 and end <= offset:
        kind = byte >> 3 & 15
        line += step_of(memory, &table, place, kind)
        if kind != NO_LINE:
            known = line
        end += 2 * ((byte & 7) + 1)
        place += 1
        byte = byte_at(memory, &table, place)
        while byte >= 0 and not byte & 128:
            place += 1
            byte = byte_at(memory, &table, place)
    return known
