"""Where each Python thread is, read from any thread without the GIL: at once, even while a C call holds it.

The interpreter's own records are read as a debugger would read those of another process: through ``/proc/self/mem``, where
an address that leads nowhere is an error and not a crash. So whatever the threads do meanwhile, nothing can happen to them.

They may run on while they are looked at. Each stack is therefore read until two readings in a row agree. Where a thread
calls and returns too fast for that, those calls are told that were there both times: it was in them all the while.

Sources: ``pycore_frame.h`` of each version of Python, and ``InternalDocs/code_objects.md`` for the table of lines.
"""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy
from posix.fcntl cimport O_RDONLY
from posix.unistd cimport getpid, pread

from memkit.native.clock cimport now
from memkit.native.descriptors cimport is_ours, release
from memkit.native.journal cimport Journal, journal_t, journal_text
from memkit.native.meter cimport open_kernel_file

cdef extern from *:
    """
    #include <stddef.h>
    #if PY_VERSION_HEX < 0x030E0000 && defined(__has_include)
      #if __has_include("internal/pycore_frame.h")
        #ifndef Py_BUILD_CORE
          #define Py_BUILD_CORE 1
        #endif
        #include "internal/pycore_frame.h"
        #define MEMKIT_WALKS 1
      #endif
    #endif

    #define MEMKIT_COPY 512
    #define MEMKIT_CODE offsetof(PyCodeObject, co_code_adaptive)
    #define MEMKIT_NEXT offsetof(PyThreadState, next)
    #define MEMKIT_THREAD offsetof(PyThreadState, native_thread_id)

    #ifdef MEMKIT_WALKS
      #define MEMKIT_FRAME offsetof(_PyInterpreterFrame, localsplus)
      #if PY_VERSION_HEX >= 0x030D0000
        #define MEMKIT_TOP offsetof(PyThreadState, current_frame)
        #define MEMKIT_BETWEEN -1
        #define memkit_executable f_executable
        #define memkit_instruction instr_ptr
      #else
        #define MEMKIT_TOP offsetof(PyThreadState, cframe)
        #define MEMKIT_BETWEEN ((int)offsetof(_PyCFrame, current_frame))
        #define memkit_executable f_code
        #define memkit_instruction prev_instr
      #endif
      static inline const char *memkit_frame(const char *copy, const char **code, const char **at) {
          const _PyInterpreterFrame *frame = (const _PyInterpreterFrame *)copy;
          *code = (const char *)frame->memkit_executable;
          *at = (const char *)frame->memkit_instruction;
      #if PY_VERSION_HEX >= 0x030C0000
          if (frame->owner == FRAME_OWNED_BY_CSTACK)      /* between two runs of the interpreter's loop */
              *code = NULL;
      #endif
          return (const char *)frame->previous;
      }
    #else
      #define MEMKIT_WALKS 0
      #define MEMKIT_FRAME 0
      #define MEMKIT_TOP 0
      #define MEMKIT_BETWEEN -1
      static inline const char *memkit_frame(const char *copy, const char **code, const char **at) { return NULL; }
    #endif

    static inline int memkit_code(const char *copy, const char **file, const char **name, const char **lines) {
        const PyCodeObject *code = (const PyCodeObject *)copy;
        *file = (const char *)code->co_filename;
        *name = (const char *)code->co_qualname;
        *lines = (const char *)code->co_linetable;
        return code->co_firstlineno;
    }
    static inline int memkit_is(const char *copy, void *type) {
        return (void *)((const PyObject *)copy)->ob_type == type;
    }
    /* Where the letters of a text are, and the bytes of each; 0 for a text that has none in its object. */
    static inline int memkit_text(const char *copy, int *kind, Py_ssize_t *length) {
        const PyASCIIObject *text = (const PyASCIIObject *)copy;
        *kind = text->state.kind;
        *length = text->length;
        return !text->state.compact ? 0 : text->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    }
    static inline const char *memkit_first_thread(void) {
        PyInterpreterState *main = PyInterpreterState_Main();
        return main == NULL ? NULL : (const char *)PyInterpreterState_ThreadHead(main);
    }
    """
    bint WALKS "MEMKIT_WALKS"
    size_t FRAME "MEMKIT_FRAME"
    size_t CODE "MEMKIT_CODE"
    size_t NEXT "MEMKIT_NEXT"
    size_t THREAD "MEMKIT_THREAD"
    size_t TOP "MEMKIT_TOP"
    int BETWEEN "MEMKIT_BETWEEN"
    size_t TEXT_HEAD "sizeof(PyCompactUnicodeObject)"
    size_t BYTES_HEAD "offsetof(PyBytesObject, ob_sval)"
    const char *frame_of "memkit_frame"(const char *, const char **, const char **) noexcept nogil
    int code_of "memkit_code"(const char *, const char **, const char **, const char **) noexcept nogil
    bint is_a "memkit_is"(const char *, void *) noexcept nogil
    int letters_of "memkit_text"(const char *, int *, Py_ssize_t *) noexcept nogil
    Py_ssize_t size_of "Py_SIZE"(const char *) noexcept nogil
    const char *first_thread "memkit_first_thread"() noexcept nogil
    int PyCode_Type
    int PyUnicode_Type
    int PyBytes_Type

cdef enum:
    COPY = 512                  # more than any record that is read whole
    WINDOW = 256                # of a table of lines
    TRIES = 16
    LONGEST = 400               # letters of a name
    LONGEST_FRAME = 2 * LONGEST * 12 + 64


cdef struct table_t:            # of lines, read piece by piece
    const char *start
    Py_ssize_t size
    Py_ssize_t first            # of what is in the window
    unsigned char window[WINDOW]


# -- reading -----------------------------------------------------------------------------------------------------------

cdef inline bint copy(stacks_t *s, const char *place, void *to, size_t size) noexcept nogil:
    return place != NULL and pread(s.memory.fd, to, size, <int64_t>place) == <ssize_t>size


cdef const char *pointer_at(stacks_t *s, const char *place) noexcept nogil:
    cdef const char *found = NULL
    return found if copy(s, place, &found, sizeof(found)) else NULL


cdef void look(stacks_t *s, const char *thread, look_t *found) noexcept nogil:
    """Follow the frames of a thread, from the one that runs."""
    cdef char record[COPY]
    cdef place_t *place
    cdef const char *frame = pointer_at(s, thread + TOP)
    if BETWEEN >= 0 and frame != NULL:
        frame = pointer_at(s, frame + BETWEEN)
    cdef int steps = 0
    found.count = 0
    while found.count < MOST_FRAMES and steps < 2 * MOST_FRAMES and copy(s, frame, record, FRAME):
        place = &found.places[found.count]
        place.frame = frame
        frame = frame_of(record, &place.code, &place.at)
        found.count += place.code != NULL
        steps += 1


cdef inline bint same(const place_t *one, const place_t *other) noexcept nogil:
    return one.frame == other.frame and one.code == other.code


cdef bint agree(const look_t *one, const look_t *other) noexcept nogil:
    """Whether two readings are of one stack; what runs may have gone on to another instruction."""
    cdef int i
    if one.count != other.count:
        return False
    for i in range(one.count):
        if not same(&one.places[i], &other.places[i]) or (i and one.places[i].at != other.places[i].at):
            return False
    return True


cdef void keep_common(look_t *last, const look_t *before) noexcept nogil:
    """Leave out of a reading what was not in the one before it."""
    cdef int i, k, kept = 0
    for i in range(last.count):
        for k in range(before.count):
            if same(&last.places[i], &before.places[k]):
                last.places[kept] = last.places[i]
                kept += 1
                break
    last.count = kept


cdef look_t *stack_of(stacks_t *s, const char *thread) noexcept nogil:
    cdef look_t *last = &s.looks[0]
    cdef look_t *before = &s.looks[1]
    cdef int attempt
    look(s, thread, last)
    for attempt in range(TRIES):
        last, before = before, last
        look(s, thread, last)
        if agree(last, before):
            return last
    keep_common(last, before)
    return last


# -- lines -------------------------------------------------------------------------------------------------------------

cdef int byte_at(stacks_t *s, table_t *table, Py_ssize_t place) noexcept nogil:
    """A byte of the table, or -1 beyond its end."""
    cdef Py_ssize_t rest
    if place >= table.size:
        return -1
    if not table.first <= place < table.first + WINDOW:
        rest = min(table.size - place, <Py_ssize_t>WINDOW)
        if not copy(s, table.start + place, table.window, rest):
            return -1
        table.first = place
    return table.window[place - table.first]


cdef int step_of(stacks_t *s, table_t *table, Py_ssize_t place, int kind) noexcept nogil:
    """By how much the line of an entry differs from that of the entry before."""
    cdef unsigned int value = 0
    cdef int shift = 0, byte
    if 10 <= kind <= 12:
        return kind - 10
    if kind != 13 and kind != 14:
        return 0
    while shift < 30:
        place += 1
        byte = byte_at(s, table, place)
        if byte < 0:
            return 0
        value |= <unsigned int>(byte & 63) << shift
        if not byte & 64:
            break
        shift += 6
    return -<int>(value >> 1) if value & 1 else <int>(value >> 1)


cdef int line_at(stacks_t *s, table_t *table, int line, Py_ssize_t offset) noexcept nogil:
    """The line of the instruction at an offset in bytes, where the code begins at a line."""
    cdef Py_ssize_t place = 0, end = 0
    cdef int known = line, byte = byte_at(s, table, 0)
    while byte >= 0 and end <= offset:
        line += step_of(s, table, place, byte >> 3 & 15)
        if byte >> 3 & 15 != 15:        # which has no line of its own
            known = line
        end += 2 * ((byte & 7) + 1)
        place += 1
        byte = byte_at(s, table, place)
        while byte >= 0 and not byte & 128:
            place += 1
            byte = byte_at(s, table, place)
    return known


# -- writing -----------------------------------------------------------------------------------------------------------

cdef void spell_letter(stacks_t *s, unsigned int letter) noexcept nogil:
    cdef char *end = s.row + s.used
    if letter == c'"' or letter == c'\\':
        end[0], end[1] = c'\\', letter
        s.used += 2
    elif 32 <= letter < 127:
        end[0] = letter
        s.used += 1
    elif letter < 0x10000:
        s.used += snprintf(end, 8, b"\\u%04x", letter)
    else:
        letter -= 0x10000
        s.used += snprintf(end, 16, b"\\u%04x\\u%04x", 0xD800 | letter >> 10, 0xDC00 | letter & 0x3FF)


cdef bint spell_text(stacks_t *s, const char *text) noexcept nogil:
    """Add a text of Python's as JSON; a longer one than is usual loses its beginning."""
    cdef char head[COPY]
    cdef unsigned char letters[LONGEST * 4]
    cdef Py_ssize_t length = 0, i
    cdef int kind = 0, start
    if not copy(s, text, head, TEXT_HEAD) or not is_a(head, &PyUnicode_Type):
        return False
    start = letters_of(head, &kind, &length)
    if not start or length < 0 or kind not in (1, 2, 4):
        return False
    if length > LONGEST:
        start += (length - LONGEST) * kind
        length = LONGEST
    if length and not copy(s, text + start, letters, length * kind):
        return False
    s.row[s.used] = c'"'
    s.used += 1
    for i in range(length):
        if kind == 1:
            spell_letter(s, letters[i])
        elif kind == 2:
            spell_letter(s, (<unsigned short *>letters)[i])
        else:
            spell_letter(s, (<unsigned int *>letters)[i])
    s.row[s.used] = c'"'
    s.used += 1
    return True


cdef bint spell_place(stacks_t *s, const place_t *place) noexcept nogil:
    """Add file, line and function; False for what is no code."""
    cdef char record[COPY]
    cdef char head[COPY]
    cdef table_t table
    cdef const char *file
    cdef const char *name
    cdef const char *lines
    cdef int line
    if not copy(s, place.code, record, CODE) or not is_a(record, &PyCode_Type):
        return False
    line = code_of(record, &file, &name, &lines)
    if copy(s, lines, head, BYTES_HEAD) and is_a(head, &PyBytes_Type):
        table.start, table.size, table.first = lines + BYTES_HEAD, size_of(head), -WINDOW
        line = line_at(s, &table, line, place.at - (place.code + CODE))
    s.row[s.used] = c'['
    s.used += 1
    if not spell_text(s, file):
        return False
    s.used += snprintf(s.row + s.used, 16, b",%d,", line)
    if not spell_text(s, name):
        return False
    s.row[s.used] = c']'
    s.used += 1
    return True


cdef void write_stack(
    stacks_t *s, journal_t *journal, int64_t time, unsigned long thread, const look_t *found
) noexcept nogil:
    cdef int i, frames = 0
    cdef size_t whole
    cdef const char *name = b"\"MainThread\"" if thread == <unsigned long>getpid() else b"null"
    s.used = snprintf(s.row, 96, b"[\"stack\",%lld,%lu,%s,[", <long long>time, thread, name)
    for i in range(found.count):
        if s.used + LONGEST_FRAME > ROOM:
            break
        whole = s.used
        if frames:
            s.row[s.used] = c','
            s.used += 1
        if spell_place(s, &found.places[i]):
            frames += 1
        else:
            s.used = whole
    if frames:
        memcpy(s.row + s.used, b"]]\n", 3)
        journal_text(journal, s.row, s.used + 3)


cdef int stacks_write(stacks_t *stacks, journal_t *journal, int64_t time) noexcept nogil:
    cdef const char *thread
    cdef unsigned long number = 0
    cdef int threads = 0
    if not is_ours(&stacks.memory):
        return 0
    thread = first_thread()
    while thread != NULL and threads < MOST_THREADS and copy(stacks, thread + THREAD, &number, sizeof(number)):
        write_stack(stacks, journal, time, number, stack_of(stacks, thread))
        thread = pointer_at(stacks, thread + NEXT)
        threads += 1
    return threads


cdef void stacks_open(stacks_t *stacks) noexcept nogil:
    stacks.memory.fd = -1
    if WALKS:
        open_kernel_file(&stacks.memory, b"mem", O_RDONLY)


cdef void stacks_close(stacks_t *stacks) noexcept nogil:
    release(&stacks.memory)


def write_stacks(Journal journal):
    """Write where all threads are now, at their time on the monotonic clock; how many there were."""
    cdef stacks_t stacks
    cdef int threads
    with nogil:
        stacks_open(&stacks)
        threads = stacks_write(&stacks, &journal.journal, now())
        stacks_close(&stacks)
    return threads
