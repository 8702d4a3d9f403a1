"""Where each Python thread is, read from any thread without the GIL: at once, even while a C call holds it.

The interpreter's own records are read through ``/proc/self/mem``, where an address that leads nowhere is an error and not a
crash. So whatever the threads do meanwhile, nothing can happen to them.

They may run on while they are read. Each stack is therefore read until two readings in a row agree. Where a thread calls and
returns too fast for that, the row has the calls that were in both of the last two readings: they were active throughout.
"""

from libc.stdint cimport int64_t
from posix.fcntl cimport O_RDONLY

import os

from memkit.native.clock cimport now
from memkit.native.descriptors cimport is_ours, ours_t, release
from memkit.native.journal cimport Journal, journal_t, journal_text
from memkit.native.meter cimport open_kernel_file
from memkit.native.sampling.layouts cimport RECORD, find_layout, first_thread, layout_t, read_frame
from memkit.native.sampling.own_memory cimport copy, memory_t, pointer_at
from memkit.native.sampling.stack_rows cimport MOST_FRAMES, format_stack, frame_t, stack_t

cdef enum:
    TRIES = 16

cdef layout_t layout
cdef const char *unknown = find_layout(&layout, RECORD * sizeof(int64_t))       # NULL, or why the layout is not known


cdef void read_stack(const memory_t *memory, const char *thread, stack_t *stack) noexcept nogil:
    """Follow the frames of a thread, from the one that runs."""
    cdef int64_t record[RECORD]
    cdef frame_t *found
    cdef const char *frame = pointer_at(memory, thread + layout.top_frame)
    if layout.top_frame_in_cframe >= 0 and frame != NULL:
        frame = pointer_at(memory, frame + layout.top_frame_in_cframe)
    cdef int steps = 0
    stack.count = 0
    while stack.count < MOST_FRAMES and steps < 2 * MOST_FRAMES and copy(memory, frame, record, layout.frame_size):
        found = &stack.frames[stack.count]
        found.frame = frame
        frame = read_frame(&layout, record, &found.code, &found.instruction)
        stack.count += found.code != NULL
        steps += 1


cdef inline bint same_frame(const frame_t *one, const frame_t *other) noexcept nogil:
    return one.frame == other.frame and one.code == other.code


cdef bint agree(const stack_t *one, const stack_t *other) noexcept nogil:
    """Whether two readings are of one stack; what runs may have gone on to another instruction."""
    cdef int i
    if one.count != other.count:
        return False
    for i in range(one.count):
        if not same_frame(&one.frames[i], &other.frames[i]):
            return False
        if i and one.frames[i].instruction != other.frames[i].instruction:
            return False
    return True


cdef void keep_common(stack_t *last, const stack_t *before) noexcept nogil:
    """Leave out of a reading what was not in the one before it."""
    cdef int i, k, kept = 0
    for i in range(last.count):
        for k in range(before.count):
            if same_frame(&last.frames[i], &before.frames[k]):
                last.frames[kept] = last.frames[i]
                kept += 1
                break
    last.count = kept


cdef stack_t *stack_of(stacks_t *stacks, const char *thread) noexcept nogil:
    cdef stack_t *last = &stacks.readings[0]
    cdef stack_t *before = &stacks.readings[1]
    cdef int attempt
    read_stack(&stacks.memory, thread, last)
    for attempt in range(TRIES):
        last, before = before, last
        read_stack(&stacks.memory, thread, last)
        if agree(last, before):
            return last
    keep_common(last, before)
    return last


cdef int stacks_write(stacks_t *stacks, journal_t *journal, int64_t time) noexcept nogil:
    cdef const char *thread
    cdef unsigned long id = 0
    cdef int threads = 0
    if not is_ours(&stacks.memory.file):
        return 0
    thread = first_thread()
    while thread != NULL and threads < MOST_THREADS and copy(&stacks.memory, thread + layout.thread_id, &id, sizeof(id)):
        if format_stack(&stacks.row, &stacks.memory, time, id, stack_of(stacks, thread)):
            journal_text(journal, stacks.row.text, stacks.row.used)
        thread = pointer_at(&stacks.memory, thread + layout.next_thread)
        threads += 1
    return threads


cdef void stacks_open(stacks_t *stacks) noexcept nogil:
    stacks.memory.file.fd = -1
    if unknown == NULL:
        open_kernel_file(&stacks.memory.file, b"mem", O_RDONLY)


cdef void stacks_close(stacks_t *stacks) noexcept nogil:
    release(&stacks.memory.file)


def unreadable_because():
    """Why stacks cannot be read here without the help of Python, or None."""
    cdef ours_t file
    cdef int error
    if unknown != NULL:
        return (<bytes>unknown).decode()
    error = open_kernel_file(&file, b"mem", O_RDONLY)
    release(&file)
    return f"/proc/self/mem cannot be read: {os.strerror(error)}" if error else None


def write_stacks(Journal journal):
    """Write where all threads are now, at their time on the monotonic clock; how many there were."""
    cdef stacks_t stacks
    cdef int threads
    with nogil:
        stacks_open(&stacks)
        threads = stacks_write(&stacks, &journal.journal, now())
        stacks_close(&stacks)
    return threads
