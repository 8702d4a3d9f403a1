"""The heap by samples: stacks, read by the threads that allocate, and rows of what each path has allocated by estimate."""

from libc.math cimport llround, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy, memset, strlen

from memkit.base.errors import MeterError
from memkit.native.heap.counted_heap cimport CountedHeap, counting_t, write_sites, write_total, written_t
from memkit.native.heap.own cimport (
    ALL_STACKS, MORE_FUNCTIONS, MORE_STACKS, MOST_FUNCTIONS, NO_STACK, STACKS, function_text, heap, heap_frame_t,
    heap_stack_t, open_sampled, sampling_t, stack_at,
)
from memkit.native.journal cimport NOTHING, journal_row, journal_t, journal_text
from memkit.native.sampling.layouts cimport CODE_SIZE, NO_CODE, find_layout, layout_t, read_code, read_frame, read_string
from memkit.native.sampling.line_table cimport line_at
from memkit.native.sampling.stack_rows cimport LONGEST, put_text, stack_row_t

cdef extern from *:
    const uint64_t GOLDEN "0x9E3779B97F4A7C15"
    const uint64_t MIXER "0xBF58476D1CE4E5B9"

cdef extern from "Python.h":
    void *this_thread_state "PyGILState_GetThisThreadState"() noexcept nogil

NO_MEMORY = "heap cannot be sampled: its books need 40 MB of addresses: raise the limit that ulimit -v shows"

cdef enum:
    FIRST_FUNCTION = 1 << 20    # numbers in the journal: above those of traced functions
    LONGEST_FOLDER = 1024
    TAIL = 128                  # bytes of a name that tell it from others
    SLACK = 64                  # frames without code, at most, for each with
    ROOT = MOST_FUNCTIONS       # the function that stands for all threads

cdef const char *ALL_THREADS = b'"","<all threads>",0'
cdef const char *MORE = b'"","<more functions>",0'

cdef layout_t layout
cdef const char *unknown = find_layout(&layout, <size_t>-1)     # NULL, or why the layout is not known
cdef stack_row_t text           # that was described last, under the lock of the books
cdef char folder[LONGEST_FOLDER]        # memkit's own, with a slash at its end, as JSON without the last quote
cdef size_t folder_length = 0


# -- the stack of a thread, read by itself: it stands still meanwhile ---------------------------------------------------


cdef inline const char *pointer_in(const char *record, size_t offset) noexcept nogil:
    cdef const char *found
    memcpy(&found, record + offset, sizeof(found))
    return found


cdef int walk(heap_frame_t *frames, int most) noexcept nogil:
    """The GIL need not be held: nobody else changes the frames of this thread."""
    cdef const char *thread = <const char *>this_thread_state()
    cdef const char *frame
    cdef const char *code
    cdef const char *instruction
    cdef int count = 0, steps = 0
    if thread == NULL:
        return 0
    frame = pointer_in(thread, layout.top_frame)
    if layout.top_frame_in_cframe >= 0 and frame != NULL:
        frame = pointer_in(frame, layout.top_frame_in_cframe)
    while frame != NULL and count < most and steps < SLACK * most:
        frame = read_frame(&layout, frame, &code, &instruction)
        if code != NULL:
            frames[count].code, frames[count].offset = code, instruction - (code + CODE_SIZE)
            count += 1
        steps += 1
    return count


cdef uint64_t mark_of_string(const char *string, uint64_t mark) noexcept nogil:
    """A mark of the end of a string, mixed with another."""
    cdef uint64_t word
    cdef Py_ssize_t length = 0, at
    cdef int width = 0, start = read_string(string, &width, &length)
    length *= width
    mark = (mark ^ <uint64_t>length) * GOLDEN
    at = max(length - TAIL, <Py_ssize_t>0)
    while start and at < length:
        word = 0
        memcpy(&word, string + start + at, min(<Py_ssize_t>sizeof(word), length - at))
        mark = (mark ^ mark >> 29 ^ word) * MIXER
        at += sizeof(word)
    return mark


cdef uint64_t mark(heap_frame_t frame) noexcept nogil:
    cdef const char *file
    cdef const char *name
    cdef const char *lines
    cdef int first = read_code(frame.code, &file, &name, &lines)
    cdef uint64_t begun = <uint64_t>frame.code ^ <uint64_t>first << 48 ^ <uint64_t>frame.offset * GOLDEN
    return mark_of_string(name, mark_of_string(file, begun)) | 1


cdef void put_string(const char *string) noexcept nogil:
    """Of one that is very long only the end."""
    cdef Py_ssize_t length = 0
    cdef int width = 0, start = read_string(string, &width, &length)
    if not start:
        length = 0
    string += start
    if length > LONGEST:
        string += (length - LONGEST) * width
        length = LONGEST
    put_text(&text, string, width, length)


cdef size_t describe(heap_frame_t frame, const char **into, int *line) noexcept nogil:
    cdef const char *file
    cdef const char *name
    cdef const char *lines
    cdef int first = read_code(frame.code, &file, &name, &lines)
    text.used = 0
    if first == NO_CODE:
        return 0
    put_string(file)
    if folder_length and text.used > folder_length and memcmp(text.text, folder, folder_length) == 0:
        return 0
    text.text[text.used] = c','
    text.used += 1
    put_string(name)
    text.used += snprintf(text.text + text.used, 16, b",%d", first)
    into[0] = text.text
    # What begins a module is at line 0.
    line[0] = max(line_at(NULL, lines, first, frame.offset) if lines != NULL else first, 1)
    return text.used


# -- rows --------------------------------------------------------------------------------------------------------------


cdef struct flush_t:
    counting_t counting
    uint32_t stacks             # how many the journal knows
    uint32_t functions
    bint has_more_functions     # whether it knows what stands for further ones
    bint has_more_stacks


cdef inline int64_t error_of(double variance) noexcept nogil:
    return llround(sqrt(max(variance, 0.0)))


cdef void write_function(journal_t *journal, uint32_t number, const char *described, size_t length) noexcept nogil:
    cdef stack_row_t row
    row.used = snprintf(row.text, 64, b"[\"function\",%d,", FIRST_FUNCTION + number)
    memcpy(row.text + row.used, described, length)
    memcpy(row.text + row.used + length, b"]\n", 2)
    journal_text(journal, row.text, row.used + length + 2)


cdef void write_functions(flush_t *flush, journal_t *journal) noexcept nogil:
    """Those that are new; the number of what all others are below is the next one."""
    cdef const char *described
    cdef size_t length
    cdef uint32_t number, count = heap.functions
    if flush.functions == 0:
        write_function(journal, ROOT, ALL_THREADS, strlen(ALL_THREADS))
    for number in range(max(flush.functions, <uint32_t>MORE_FUNCTIONS + 1), count):
        described = function_text(number, &length)
        write_function(journal, number, described, length)
    flush.functions = count


cdef void write_call(flush_t *flush, journal_t *journal, uint32_t number, heap_stack_t *stack) noexcept nogil:
    """A stack as a call that was not counted, or as a line below that of its caller."""
    cdef int64_t row[8]
    memset(row, 0, sizeof(row))
    if stack.line:
        row[0], row[1] = number, stack.parent if stack.parent != ALL_STACKS else NOTHING
        row[2], row[3], row[4] = FIRST_FUNCTION + stack.function, stack.line, 1
        journal_row(journal, b"heap_lines", row, 5)
        return
    if stack.function == MORE_FUNCTIONS and number != ALL_STACKS and not flush.has_more_functions:
        write_function(journal, MORE_FUNCTIONS, MORE, strlen(MORE))
        flush.has_more_functions = True
    row[0], row[1], row[2] = number, stack.parent, FIRST_FUNCTION + stack.function
    if number == ALL_STACKS:
        row[1], row[2] = NOTHING, FIRST_FUNCTION + ROOT
    journal_row(journal, b"call", row, 8)


cdef void write_stacks(flush_t *flush, journal_t *journal) noexcept nogil:
    """Those that are new."""
    cdef heap_stack_t stack
    cdef uint32_t number, count = heap.stacks
    write_functions(flush, journal)
    for number in range(max(flush.stacks, <uint32_t>ALL_STACKS), count):
        stack = stack_at(number)
        if number != MORE_STACKS:
            write_call(flush, journal, number, &stack)
    stack = stack_at(MORE_STACKS)
    if stack.allocated.blocks > 0 and not flush.has_more_stacks:
        write_call(flush, journal, MORE_STACKS, &stack)
        flush.has_more_stacks = True
    flush.stacks = count


cdef void read_stack(uint32_t number, written_t *now) noexcept nogil:
    cdef heap_stack_t stack = stack_at(number)
    now.allocated, now.freed = llround(stack.allocated.bytes), llround(stack.freed.bytes)
    now.at_peak = llround(stack.at_peak)


cdef void write_stack(counting_t *counting, journal_t *journal, uint32_t number) noexcept nogil:
    cdef written_t *written = &counting.written[number]
    cdef heap_stack_t stack = stack_at(number)
    cdef int64_t row[9]
    written.allocated, written.freed = llround(stack.allocated.bytes), llround(stack.freed.bytes)
    written.at_peak = llround(stack.at_peak)
    row[0], row[1] = stack.path if number != NO_STACK else NOTHING, number if stack.line else NOTHING
    row[2], row[3], row[6] = written.allocated, written.freed, written.at_peak
    row[4], row[5] = llround(stack.allocated.blocks), llround(stack.freed.blocks)
    row[7] = row[8] = NOTHING
    journal_row(journal, b"heap", row, 9)
    row[2], row[3] = error_of(stack.allocated.bytes_variance), error_of(stack.freed.bytes_variance)
    row[4] = error_of(stack.allocated.bytes_variance - stack.freed.bytes_variance)
    row[5] = error_of(stack.at_peak_variance)
    row[6], row[7] = error_of(stack.allocated.blocks_variance), error_of(stack.freed.blocks_variance)
    journal_row(journal, b"heap_errors", row, 8)


cdef int64_t write_samples(counting_t *counting, journal_t *journal, int64_t most) noexcept nogil:
    cdef flush_t *flush = <flush_t *>counting
    cdef int64_t changed
    cdef int64_t row[7]
    write_stacks(flush, journal)
    changed = write_sites(counting, journal, flush.stacks, 0, 0, most, read_stack, write_stack)
    row[0], row[1], row[2] = llround(heap.sampled.bytes), heap.peak, heap.copies
    row[3], row[4] = heap.unbooked, heap.mapped
    row[5], row[6] = error_of(heap.sampled.bytes_variance), error_of(heap.peak_variance)
    write_total(counting, journal, changed, row, 7)
    return changed


cdef class SampledHeap(CountedHeap):
    """Counts samples, one byte in ``distance``.

    ``seed`` is that of all random numbers. ``own_folder`` is how the files of memkit begin, as JSON without its last quote:
    their functions are left out of stacks. Raises ``MeterError`` where it is not known how this Python keeps its frames.
    """

    cdef flush_t state
    cdef sampling_t sampling

    def __cinit__(self, double distance, uint64_t seed, bytes own_folder=b""):
        global folder_length
        if unknown != NULL:
            raise MeterError(f"heap cannot be sampled: {(<bytes>unknown).decode()}")
        self.sampling.distance, self.sampling.seed = distance, seed
        self.sampling.walk, self.sampling.mark, self.sampling.describe = walk, mark, describe
        if 0 < len(own_folder) < LONGEST_FOLDER:
            memcpy(folder, <const char *>own_folder, len(own_folder))
            folder_length = len(own_folder)
        self.state.counting.written = <written_t *>self.prepare(
            &self.state.counting, STACKS * sizeof(written_t), NO_MEMORY
        )
        self.state.counting.write = write_samples

    cdef int open(self) noexcept:
        return open_sampled(self.sampling)

    def write_anew(self):
        """Write all definitions and sums at the next flush, into another journal; none may be under way."""
        cdef counting_t counting = self.state.counting
        memset(counting.written, 0, STACKS * sizeof(written_t))
        counting.total = counting.peak = 0
        memset(&self.state, 0, sizeof(flush_t))
        self.state.counting = counting

    def estimates(self):
        """For tests: by the text of the function that allocated itself and its line, pairs of an estimate and its variance.

        They are bytes allocated, bytes alive and blocks allocated.
        """
        cdef heap_stack_t stack
        cdef size_t length
        cdef const char *found
        sums = {}
        for number in range(heap.stacks):
            stack = stack_at(number)
            found = function_text(stack.function, &length)
            place = ("", 0) if number <= ALL_STACKS else (found[:length].decode(), stack.line)
            pairs = (
                (stack.allocated.bytes, stack.allocated.bytes_variance),
                (stack.allocated.bytes - stack.freed.bytes, stack.allocated.bytes_variance - stack.freed.bytes_variance),
                (stack.allocated.blocks, stack.allocated.blocks_variance),
            )
            before = sums.get(place, ((0, 0),) * 3)
            sums[place] = tuple((one[0] + other[0], one[1] + other[1]) for one, other in zip(before, pairs))
        return sums
