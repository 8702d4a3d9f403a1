"""The ``stack`` row of a thread, written as JSON without Python: its strings are copied from where Python keeps them."""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy
from posix.unistd cimport getpid

from memkit.native.sampling.layouts cimport (
    CODE_SIZE, NO_CODE, RECORD, STRING_HEAD, PyCode_Type, PyUnicode_Type, has_type, read_code, read_string,
)
from memkit.native.sampling.line_table cimport line_at
from memkit.native.sampling.own_memory cimport copy, memory_t

cdef enum:
    LONGEST_FRAME = 2 * LONGEST * 12 + 64


cdef inline void put(stack_row_t *row, char letter) noexcept nogil:
    row.text[row.used] = letter
    row.used += 1


cdef void put_letter(stack_row_t *row, unsigned int letter) noexcept nogil:
    cdef char *end = row.text + row.used
    if letter == c'"' or letter == c'\\':
        put(row, c'\\')
        put(row, letter)
    elif 32 <= letter < 127:
        put(row, letter)
    elif letter < 0x10000:
        row.used += snprintf(end, 8, b"\\u%04x", letter)
    else:
        letter -= 0x10000
        row.used += snprintf(end, 16, b"\\u%04x\\u%04x", 0xD800 | letter >> 10 & 0x3FF, 0xDC00 | letter & 0x3FF)


cdef void put_text(stack_row_t *row, const void *letters, int width, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    put(row, c'"')
    for i in range(length):
        if width == 1:
            put_letter(row, (<unsigned char *>letters)[i])
        elif width == 2:
            put_letter(row, (<unsigned short *>letters)[i])
        else:
            put_letter(row, (<unsigned int *>letters)[i])
    put(row, c'"')


cdef bint put_string(stack_row_t *row, const memory_t *memory, const char *string) noexcept nogil:
    """Add a string of Python's; of one that is very long only the end. False for what is no string."""
    cdef int64_t head[RECORD]
    cdef unsigned int letters[LONGEST]      # room for the widest, and aligned for them
    cdef Py_ssize_t length = 0
    cdef int width = 0, start
    if not copy(memory, string, head, STRING_HEAD) or not has_type(head, &PyUnicode_Type):
        return False
    start = read_string(head, &width, &length)
    if not start or length < 0 or width not in (1, 2, 4):
        return False
    string += start
    if length > LONGEST:
        string += (length - LONGEST) * width
        length = LONGEST
    if length and not copy(memory, string, letters, length * width):
        return False
    put_text(row, letters, width, length)
    return True


cdef bint put_frame(stack_row_t *row, const memory_t *memory, const frame_t *frame) noexcept nogil:
    """Add file, line and function; False for what is no code."""
    cdef int64_t record[RECORD]
    cdef const char *file
    cdef const char *name
    cdef const char *lines
    cdef int first
    if not copy(memory, frame.code, record, CODE_SIZE) or not has_type(record, &PyCode_Type):
        return False
    first = read_code(record, &file, &name, &lines)
    if first == NO_CODE:
        return False
    put(row, c'[')
    if not put_string(row, memory, file):
        return False
    row.used += snprintf(
        row.text + row.used, 16, b",%d,", line_at(memory, lines, first, frame.instruction - (frame.code + CODE_SIZE))
    )
    if not put_string(row, memory, name):
        return False
    put(row, c']')
    return True


cdef bint format_stack(
    stack_row_t *row, const memory_t *memory, int64_t time, unsigned long thread, const stack_t *stack
) noexcept nogil:
    cdef int i, frames = 0
    cdef size_t before
    cdef const char *name = b"\"MainThread\"" if thread == <unsigned long>getpid() else b"null"
    row.used = snprintf(row.text, 96, b"[\"stack\",%lld,%lu,%s,[", <long long>time, thread, name)
    for i in range(stack.count):
        if row.used + LONGEST_FRAME > ROOM:
            break
        before = row.used
        if frames:
            put(row, c',')
        if put_frame(row, memory, &stack.frames[i]):
            frames += 1
        else:
            row.used = before
    memcpy(row.text + row.used, b"]]\n", 3)
    row.used += 3
    return frames > 0
