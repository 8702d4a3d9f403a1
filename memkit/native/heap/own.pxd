# What a heap recording needs of memkit itself: memory of its own that no heap recording counts.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "counting.h":
    enum:
        SITES "MEMKIT_SITES"
        LABELLED "MEMKIT_LABELLED"
        LABELS "MEMKIT_LABELS"
    ctypedef struct path_t "memkit_path_t":
        int id
    ctypedef struct heap_thread_t "memkit_thread_t":
        path_t **path
        uint32_t *line
        int muted
        bint own
        const void *context
        uint64_t context_version
        uint32_t span
        uint32_t span_serial
    ctypedef struct heap_sums_t "memkit_sums_t":
        int64_t allocated
        int64_t freed
        int64_t blocks
        int64_t blocks_freed
        int64_t temporary
        int64_t temporary_line
        int64_t sure
    enum:
        STACKS "MEMKIT_STACKS"
        NO_STACK "MEMKIT_NO_STACK"
        ALL_STACKS "MEMKIT_ALL_STACKS"
        MORE_STACKS "MEMKIT_MORE_STACKS"
        MORE_FUNCTIONS "MEMKIT_MORE_FUNCTIONS"
        MOST_FUNCTIONS "MEMKIT_MOST_FUNCTIONS"
    ctypedef struct estimate_t "memkit_estimate_t":
        double bytes
        double blocks
        double bytes_variance
        double blocks_variance
    ctypedef struct heap_stack_t "memkit_stack_t":
        uint32_t parent
        uint32_t function
        uint32_t line
        uint32_t path
        estimate_t allocated
        estimate_t freed
        double at_peak
        double at_peak_variance
    ctypedef struct heap_frame_t "memkit_frame_t":
        const void *code
        int64_t offset
    ctypedef struct sampling_t "memkit_sampling_t":
        double distance
        uint64_t seed
        int (*walk)(heap_frame_t *frames, int most) noexcept nogil
        uint64_t (*mark)(heap_frame_t frame) noexcept nogil
        size_t (*describe)(heap_frame_t frame, const char **text, int *line) noexcept nogil
    ctypedef struct span_t "memkit_span_t":
        int64_t allocated
        int64_t alive
        int64_t peak
        uint32_t serial
        uint32_t parent
        uint32_t parent_serial
        uint32_t late
        uint32_t node
        uint32_t is_open
        int64_t sure
    ctypedef struct label_t "memkit_label_t":
        int64_t alive
        int64_t sure
    ctypedef struct stretch_t "memkit_stretch_t":
        int64_t allocated
        int64_t alive
        int64_t peak
    enum:
        STRETCH_NONE "MEMKIT_STRETCH_NONE"
        STRETCH_ENDS "MEMKIT_STRETCH_ENDS"
    ctypedef struct heap_t "memkit_heap_t":
        int on
        uint32_t *path_serials
        uint32_t *line_serials
        int64_t *at_peak
        int64_t peak
        int64_t copies
        int64_t mapped
        int64_t books
        int64_t unbooked
        uint32_t most
        int labelled
        uint32_t most_labelled
        label_t *labels
        uint64_t gates[4]
        int64_t generation
        span_t *spans
        void (*find_span)(heap_thread_t *) noexcept nogil
        sampling_t sampling
        estimate_t sampled
        double peak_variance
        uint32_t stacks
        uint32_t functions
        int stretch_state
        stretch_t stretch[2]

cdef heap_t *heap               # the one of this process

cdef heap_thread_t *heap_thread() noexcept nogil        # of the calling thread
cdef heap_thread_t *joined() noexcept nogil     # the same, whose path and line are those of this heap from now on
# A Python object was made for memkit, with the GIL: it does not count.
cdef void disown(void *thing) noexcept nogil
cdef void disown_events(void *code) noexcept    # what the interpreter keeps for the events of a code object
# What the calling thread allocates from now on is memkit's own, until as many calls of `unmute`.
cdef void mute() noexcept nogil
cdef void unmute() noexcept nogil
cdef void own_thread() noexcept nogil   # the calling one is memkit's: it is muted, and calls in it are of no interest
cdef bint is_own_thread() noexcept nogil
cdef void *own_calloc(size_t count, size_t size) noexcept nogil
cdef void *own_realloc(void *block, size_t size) noexcept nogil
cdef void own_free(void *block) noexcept nogil
# Much room of which little may be used: resident only where it was touched, unlike that of `calloc`. NULL: no memory.
cdef void *own_room(size_t size) noexcept nogil
cdef void give_room_back(void *room, size_t size) noexcept nogil    # or NULL

cdef int open_heap(bint paths, bint lines) noexcept     # 0; -1: no memory
cdef int open_sampled(sampling_t sampling) noexcept     # the same, of few blocks
cdef int open_spans() noexcept                          # the same, by `find_span`, which is to be set before
cdef int open_stretches() noexcept                      # the same, by stretches of time
cdef int begin_stretch() noexcept                       # 0; -1: no memory; -2: another interpreter has a GIL of its own
# Outside of stretches who holds the GIL need not be counted, or ask whether.
cdef void unhook_python() noexcept
# Lead what was loaded meanwhile to the hooks of the C library's allocators, where no library that was preloaded counts them.
cdef void look_for_libraries() noexcept nogil
# Whose allocators are counted, as in a row: those of the C library, too, where "c" is in it.
cdef const char *counted() noexcept
cdef void close_heap() noexcept
cdef void forget_heap() noexcept        # what is booked of blocks, once it is closed
cdef int64_t alive() noexcept nogil
cdef void sums_of(uint32_t site, heap_sums_t *into) noexcept nogil
cdef void parts_of(uint32_t site, uint32_t *label, uint32_t *path, uint32_t *line) noexcept nogil
# From now on sites of paths or lines are told apart by span, too; with the GIL.
cdef void label_sites() noexcept
cdef heap_stack_t stack_at(uint32_t number) noexcept nogil      # of those that were sampled
cdef const char *function_text(uint32_t number, size_t *length) noexcept nogil


cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030E0000    /* it is of a free list, and so is what the program takes next */
      #define memkit_is_for_event(number) 0
    #else
      #define memkit_is_for_event(number) (Py_REFCNT((PyObject *)(number)) == 1)
    #endif
    """
    bint is_for_event "memkit_is_for_event"(void *number) noexcept


cdef inline void disown_if(uint32_t *serials, void *number) noexcept:
    """The number of a line or of an instruction, for an event; NULL: no heap is recorded. Small ones were made long ago."""
    if serials != NULL and is_for_event(number):
        disown(number)


cdef inline void disown_frame_if(uint32_t *serials, void *frame) noexcept:
    """The same of the object of a frame; the garbage collector's head of an object is before it."""
    if serials != NULL:
        disown(<char *>frame - 2 * sizeof(void *))
