"""The rows of an event log, as CSV, and padded to columns for people to read.

Nothing is cut and any text survives. In CSV a text with a comma, a quote or a line break stands in quotes (RFC 4180), and
one that a spreadsheet would take for a formula, or that begins with an apostrophe, has an apostrophe before it.
Between blanks, where a text must not have any, a blank, a control character and a backslash are ``\\x20`` and the like.
Numbers are formatted by hand, because ``printf`` would write whatever decimal point the program has set its locale to.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset, strlen

cdef enum:
    NUMBERS = 512               # more than all numbers, separators and paddings of a row take
    ESCAPED = 4                 # bytes for one, at most

cdef const char *HEX = b"0123456789abcdef"


cdef bint make_room(row_t *row, size_t length) noexcept nogil:
    """Room for numbers and texts of a length."""
    cdef size_t needed = ESCAPED * length + NUMBERS
    cdef char *text
    row.used = 0
    if needed <= row.room:
        return True
    text = <char *>realloc(row.text, needed)
    if text == NULL:
        return False
    row.text, row.room = text, needed
    return True


cdef void row_close(row_t *row) noexcept nogil:
    free(row.text)
    row.text, row.room = NULL, 0


cdef inline void put(row_t *row, char letter) noexcept nogil:
    row.text[row.used] = letter
    row.used += 1


cdef void put_text(row_t *row, const char *text, size_t length) noexcept nogil:
    memcpy(row.text + row.used, text, length)
    row.used += length


cdef void put_digits(row_t *row, uint64_t value, int least) noexcept nogil:
    """A number of at least so many digits."""
    cdef char digits[20]
    cdef int count = 0
    while value or count < least:
        digits[count] = c'0' + <char>(value % 10)
        count += 1
        value //= 10
    while count:
        count -= 1
        put(row, digits[count])


cdef void put_number(row_t *row, int64_t value) noexcept nogil:
    if value < 0:
        put(row, c'-')
    put_digits(row, -<uint64_t>value if value < 0 else <uint64_t>value, 1)


cdef void put_seconds(row_t *row, int64_t time, int digits) noexcept nogil:
    """Nanoseconds as seconds with so many decimals."""
    cdef uint64_t unit = 1
    cdef int i
    for i in range(9 - digits):
        unit *= 10
    put_digits(row, <uint64_t>time // 1000000000, 1)
    put(row, c'.')
    put_digits(row, <uint64_t>time % 1000000000 // unit, digits)


# -- CSV ---------------------------------------------------------------------------------------------------------------

cdef bint is_guarded(char letter) noexcept nogil:
    """Whether what begins so has an apostrophe before it."""
    if letter == c'=' or letter == c'+' or letter == c'-' or letter == c'@' or letter == c"'":
        return True
    return letter == c'\t' or letter == c'\n' or letter == c'\r'


cdef void put_field(row_t *row, const text_t *text) noexcept nogil:
    cdef size_t i
    cdef bint plain = True
    cdef bint guarded = text.length > 0 and is_guarded(text.text[0])
    for i in range(text.length):
        if text.text[i] == c',' or text.text[i] == c'"' or text.text[i] == c'\n' or text.text[i] == c'\r':
            plain = False
            break
    if not plain:
        put(row, c'"')
    if guarded:
        put(row, c"'")
    if plain:
        put_text(row, text.text, text.length)
        return
    for i in range(text.length):
        if text.text[i] == c'"':
            put(row, c'"')
        put(row, text.text[i])
    put(row, c'"')


cdef bint format_csv(row_t *row, const event_t *event) noexcept nogil:
    """event, time_s, thread, what, file, line, function, memory_bytes, change_bytes"""
    if not make_room(row, event.file.length + event.function.length):
        return False
    put_number(row, event.number)
    put(row, c',')
    put_seconds(row, event.time, 9)
    put(row, c',')
    put_number(row, event.thread)
    put(row, c',')
    put_text(row, event.what, strlen(event.what))
    put(row, c',')
    put_field(row, &event.file)
    put(row, c',')
    if event.line > 0:          # code that was made by hand may have none
        put_number(row, event.line)
    put(row, c',')
    put_field(row, &event.function)
    put(row, c',')
    put_number(row, event.memory)
    put(row, c',')
    put_number(row, event.change)
    put(row, c'\n')
    return True


# -- padded ------------------------------------------------------------------------------------------------------------

cdef void put_blanks(row_t *row, size_t begun, size_t width) noexcept nogil:
    """Fill up with blanks what begins here, to a width."""
    while row.used - begun < width:
        put(row, c' ')


cdef void put_escaped(row_t *row, const text_t *text, size_t width) noexcept nogil:
    cdef size_t i, begun = row.used
    cdef unsigned char letter
    for i in range(text.length):
        letter = text.text[i]
        if letter <= c' ' or letter == 127 or letter == c'\\':
            put_text(row, b"\\x", 2)
            put(row, HEX[letter >> 4])
            put(row, HEX[letter & 15])
        else:
            put(row, letter)
    put_blanks(row, begun, width)


cdef void put_right(row_t *row, int64_t value, size_t width) noexcept nogil:
    """A number that ends where the column ends."""
    cdef size_t begun = row.used, length
    put_number(row, value)
    length = row.used - begun
    if length < width:
        memcpy(row.text + begun + width, row.text + begun, length)     # out of the way: the two may overlap
        memcpy(row.text + begun + width - length, row.text + begun + width, length)
        memset(row.text + begun, c' ', width - length)
        row.used = begun + width


cdef bint format_padded(row_t *row, const char *tag, const event_t *event) noexcept nogil:
    """``printf``'s ``"%-6s%-12zu +%-6ld %-12.6f %-8s %-80s %4d %-32s %12zu %12ld"``, the texts escaped."""
    cdef size_t begun
    if not make_room(row, event.file.length + event.function.length):
        return False
    put_text(row, tag, strlen(tag))
    put_blanks(row, 0, 6)
    put_number(row, event.number)
    put_blanks(row, 6, 12)
    put_text(row, b" +", 2)
    begun = row.used
    put_number(row, event.since)
    put_blanks(row, begun, 6)
    put(row, c' ')
    begun = row.used
    put_seconds(row, event.time, 6)
    put_blanks(row, begun, 12)
    put(row, c' ')
    begun = row.used
    put_text(row, event.what, strlen(event.what))
    put_blanks(row, begun, 8)
    put(row, c' ')
    put_escaped(row, &event.file, 80)
    put(row, c' ')
    put_right(row, event.line, 4)
    put(row, c' ')
    put_escaped(row, &event.function, 32)
    put(row, c' ')
    put_right(row, event.memory, 12)
    put(row, c' ')
    put_right(row, event.change, 12)
    put(row, c'\n')
    return True


cdef void put_seconds_right(row_t *row, int64_t time, size_t width) noexcept nogil:
    """Seconds of CPU time that end where the column ends; six decimals, so seven characters before them."""
    cdef int64_t whole = time // 1000000000
    cdef size_t digits = 1
    while whole >= 10:
        whole //= 10
        digits += 1
    put_blanks(row, row.used, width - digits - 7 if width > digits + 7 else 0)
    put_seconds(row, time, 6)


cdef void put_address(row_t *row, uint64_t address, size_t width) noexcept nogil:
    cdef char digits[16]
    cdef size_t count = 0
    while address or not count:
        digits[count] = HEX[address & 15]
        address >>= 4
        count += 1
    put_blanks(row, row.used, width - count - 2 if width > count + 2 else 0)
    put_text(row, b"0x", 2)
    while count:
        count -= 1
        put(row, digits[count])


cdef bint format_reference(row_t *row, const char *tag, const reference_t *reference) noexcept nogil:
    """``printf``'s ``"%s%12.6f %16p %16ld %-32s %-80s %4d %-40s %16zd %16ld"``, the texts escaped."""
    if not make_room(row, reference.type.length + reference.file.length + reference.function.length):
        return False
    put_text(row, tag, strlen(tag))
    put_seconds_right(row, reference.time, 12)
    put(row, c' ')
    put_address(row, reference.address, 16)
    put(row, c' ')
    put_right(row, reference.live, 16)
    put(row, c' ')
    put_escaped(row, &reference.type, 32)
    put(row, c' ')
    put_escaped(row, &reference.file, 80)
    put(row, c' ')
    put_right(row, reference.line, 4)
    put(row, c' ')
    put_escaped(row, &reference.function, 40)
    put(row, c' ')
    put_right(row, reference.memory, 16)
    put(row, c' ')
    put_right(row, reference.change, 16)
    put(row, c'\n')
    return True
