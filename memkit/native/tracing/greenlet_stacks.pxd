# What the tracers of calls and of lines do when one greenlet switches to another. All of it under the GIL.

from memkit.native.tracing.calls cimport calls_t, thread_t as call_thread_t
from memkit.native.tracing.greenlets cimport switch_t
from memkit.native.tracing.lines cimport lines_t, thread_t as line_thread_t

cdef void switch_calls(calls_t *calls, call_thread_t *t, switch_t *switch) noexcept
cdef void switch_lines(lines_t *lines, line_thread_t *t, switch_t *switch) noexcept
