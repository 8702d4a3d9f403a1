"""Being ended by a signal that nobody handles: what was recorded is written first.

``multiprocessing`` ends the workers of a pool with SIGTERM. The handler here wakes the sampler, waits until everything is in
the file, and ends the process as the kernel would have, with the same signal. Python sees no handler: ``signal.getsignal``
tells what the program has set, and setting another replaces this one. A program that is executed has the default again.

A server may handle the signal, shut down in order, set the default again and raise the signal once more, as uvicorn does.
That is the program's last act, and this handler is not there. So once a handler of the program's is seen, Python is asked to
set this one again whenever the program sets the default: see ``record.set_back``.
"""

from libc.signal cimport SIG_DFL, SIG_IGN, SIGTERM
from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from posix.signal cimport kill, sigaction, sigaction_t, sigemptyset
from posix.time cimport nanosleep, timespec
from posix.unistd cimport getpid

from memkit.native.clock cimport MILLISECOND, now
from memkit.native.journal cimport LONGEST_ROW, NOTHING, journal_flush, journal_row, journal_t, journal_text
from memkit.native.threads cimport pthread_cond_signal

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*)(void *) noexcept with gil, void *) nogil

cdef enum:
    LONGEST_WAIT = 400          # milliseconds: the thread that was interrupted may hold the sampler's lock

cdef termination_t *watched = NULL
cdef object handled = None      # what is called once the program handles the signal, in the main thread


cdef void end_process(int number) noexcept nogil:
    """End this process by a signal: at once, or as the handler of that signal returns."""
    cdef sigaction_t default
    default.sa_handler = SIG_DFL
    default.sa_flags = 0
    sigemptyset(&default.sa_mask)
    sigaction(number, &default, NULL)
    kill(getpid(), number)


cdef void on_signal(int number) noexcept nogil:
    cdef termination_t *termination = watched
    cdef timespec pause
    cdef int waited = 0
    pause.tv_sec, pause.tv_nsec = 0, MILLISECOND
    if termination != NULL and termination.owner == getpid():       # not in a process that was forked from it
        if termination.paused and not termination.number:   # it is about to go on, or everything is being written already
            termination.number = number
            return
        termination.number = number
        while waited < LONGEST_WAIT and not termination.paused:
            pthread_cond_signal(termination.wake)       # as ``pause`` does, which first says that it is paused
            nanosleep(&pause, NULL)
            waited += 1
    end_process(number)


cdef void termination_watch(termination_t *termination) noexcept nogil:
    cdef sigaction_t before, ours
    global watched
    termination.number, termination.paused = 0, True
    termination.owner = getpid()
    termination.wanted = True
    if sigaction(SIGTERM, NULL, &before) != 0 or (before.sa_handler != SIG_DFL and before.sa_handler != on_signal):
        return
    watched = termination
    ours.sa_handler = on_signal
    ours.sa_flags = 0
    sigemptyset(&ours.sa_mask)
    sigaction(SIGTERM, &ours, NULL)


cdef void termination_call(function) except *:
    global handled
    handled = function


cdef int on_pending_call(void *_) noexcept with gil:
    global handled
    function, handled = handled, None
    try:
        if function is not None:
            function()
    except Exception:           # memory may have run out
        pass
    return 0


cdef void termination_look(termination_t *termination) noexcept nogil:
    cdef sigaction_t found
    if not termination.wanted or termination.owner != getpid() or sigaction(SIGTERM, NULL, &found) != 0:
        return
    if found.sa_handler != SIG_DFL and found.sa_handler != SIG_IGN and found.sa_handler != on_signal:
        termination.wanted = Py_AddPendingCall(on_pending_call, NULL) != 0


cdef void termination_write(termination_t *termination, journal_t *journal, int64_t began) noexcept nogil:
    cdef char end[LONGEST_ROW]
    cdef int64_t row[4]
    cdef int number = termination.number
    journal_text(journal, end, snprintf(end, sizeof(end), b"[\"end\",%lld,\"ended\"]\n", <long long>(now() - began)))
    row[0], row[1], row[2], row[3] = now() - began, NOTHING, number, NOTHING
    journal_row(journal, b"exit", row, 4)
    journal_flush(journal, now())
    termination.number, termination.paused = 0, True        # the signal may have to wait for the handler to return
    end_process(number)


cdef void termination_forget(termination_t *termination) noexcept nogil:
    cdef sigaction_t handled
    global watched
    if watched != termination or termination.owner != getpid():
        return
    if sigaction(SIGTERM, NULL, &handled) == 0 and handled.sa_handler == on_signal:
        handled.sa_handler = SIG_DFL
        handled.sa_flags = 0
        sigaction(SIGTERM, &handled, NULL)
    watched = NULL
    if termination.number:      # it came meanwhile
        end_process(termination.number)
