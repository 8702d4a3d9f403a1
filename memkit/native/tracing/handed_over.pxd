# Work that is handed over: by whom, until it has begun, and where it hangs in the tree of calls.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from memkit.native.cpython cimport PyFrameObject
from memkit.native.tracing.calls cimport NOT_HANDED, calls_t, node_t, thread_t
from memkit.native.tracing.code_table cimport code_info_t

cdef struct given_t:            # work that was handed over
    void *key                   # an address; of jobs an odd number
    void *code                  # of a coroutine
    node_t *by                  # who handed it over
    node_t *home                # of a coroutine: by whom it was last resumed, and its node there
    node_t *work
    int kind
    bint begun
    uint64_t order

cdef struct given_table_t:
    given_t *all
    int size                    # a power of two
    uint64_t count              # of all that was ever put in

# -- under the GIL

cdef void given_close(given_table_t *given) noexcept
# What a thread started by, or NULL; it is forgotten.
cdef node_t *taken(given_table_t *given, void *key, int kind) noexcept
# The node of a call that begins, which may be work that was handed over, and may hand over work; NULL: it is not in the
# tree. `begins` is -1 where only the frame tells it from a resumption. Python may run, as garbage is collected.
cdef node_t *watched_call(
    calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, int begins, bint everywhere
) noexcept
# Who hands over what the running call does: the innermost caller that is not machinery; NULL: it is not in the tree.
cdef node_t *submitter(calls_t *calls, node_t *node, bint everywhere) noexcept
# A call of code with the role GIVES_JOB returns.
cdef void give_job(calls_t *calls, given_table_t *given, thread_t *t, code_info_t *info, bint everywhere) noexcept


cdef inline bint is_outside(thread_t *t, code_info_t *info) noexcept nogil:
    """Whether a call is none of a target's, nor of a thread that one started."""
    return t.top.parent < 0 and not info.target


cdef inline void *marked(void *code) noexcept nogil:
    """What stands for code on a stack if the return of the call is to be noticed: it is equal to no code."""
    return <void *>(<size_t>code | 1)
