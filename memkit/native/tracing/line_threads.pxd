# The calling thread as the tracer of lines knows it. Each module that has this has threads of its own: line_events alone.

from memkit.native.tracing.lines cimport lines_t, thread_t
from memkit.native.tracing.thread_state cimport SLOTS

cdef extern from *:
    """
    #ifdef __GLIBC__        /* keeps room for modules that are loaded late; musl has none for the faster model */
      #define memkit_tls_model __attribute__((tls_model("initial-exec")))
    #else
      #define memkit_tls_model
    #endif
    static __thread void *memkit_lines_of_thread[8] memkit_tls_model;
    """
    void *current "memkit_lines_of_thread"[SLOTS]


cdef inline thread_t *known_thread(lines_t *lines) noexcept:
    """NULL: the calling thread is not attached."""
    cdef thread_t *t = <thread_t *>current[lines.tracer.slot]
    return t if t != NULL and t.state.generation == lines.tracer.generation else NULL


cdef inline void set_known_thread(lines_t *lines, thread_t *t) noexcept:
    current[lines.tracer.slot] = t
