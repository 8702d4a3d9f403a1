# Stacks that grow while a flush may be reading them: those that were too small stay allocated until all are freed.

from libc.string cimport memcpy

from memkit.native.heap.own cimport own_calloc, own_free

cdef struct stack_t:
    void *at                    # items, the root first
    int capacity
    stack_t *before             # that it has taken the place of

cdef extern from *:
    """
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    void publish_stack "memkit_publish"(stack_t *, stack_t *) noexcept nogil
    stack_t *load_stack "memkit_load"(stack_t *) noexcept nogil
    stack_t *load_stack "memkit_load"(stack_t *) noexcept nogil
    stack_t *load_stack "memkit_load"(stack_t *) noexcept nogil


cdef inline void *grown(stack_t **newest, int depth, int first, size_t size) noexcept:
    """The items of a stack that takes the place of the newest, with a copy of what is there; NULL: no memory."""
    cdef stack_t *stack = <stack_t *>own_calloc(1, sizeof(stack_t))
    if stack == NULL:
        return NULL
    stack.capacity = 2 * newest[0].capacity if newest[0] != NULL else first
    stack.at = own_calloc(stack.capacity, size)
    if stack.at == NULL:
        own_free(stack)
        return NULL
    if newest[0] != NULL:
        memcpy(stack.at, newest[0].at, depth * size)
    stack.before = newest[0]
    publish_stack(newest[0], stack)
    return stack.at


cdef inline void free_stacks(void *newest) noexcept:
    cdef stack_t *stack = <stack_t *>newest
    cdef stack_t *gone
    while stack != NULL:
        gone, stack = stack, stack.before
        own_free(gone.at)
        own_free(gone)
