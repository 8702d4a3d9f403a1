# POSIX threads, locks and signal masks, declared once.

from posix.signal cimport sigset_t
from posix.time cimport clockid_t, timespec
from posix.types cimport pid_t

cdef extern from *:
    """
    #include <sys/syscall.h>
    #include <unistd.h>

    static inline pid_t memkit_own_tid(pid_t process)
    {
        static __thread pid_t known_in, known;
        if (known_in != process) {      /* the first time, and in a forked child */
            known = (pid_t)syscall(SYS_gettid);
            known_in = process;
        }
        return known;
    }
    """
    pid_t own_tid "memkit_own_tid"(pid_t process) nogil

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_condattr_t:
        pass

    int pthread_attr_init(pthread_attr_t *)
    int pthread_attr_setstacksize(pthread_attr_t *, size_t)
    int pthread_attr_destroy(pthread_attr_t *)
    int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *) noexcept nogil, void *)
    int pthread_join(pthread_t, void **)
    int pthread_detach(pthread_t)
    pthread_t pthread_self()

    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_atfork(void *, void *, void (*)() noexcept nogil)

    int pthread_condattr_init(pthread_condattr_t *)
    int pthread_condattr_setclock(pthread_condattr_t *, clockid_t)
    int pthread_cond_init(pthread_cond_t *, const pthread_condattr_t *)
    int pthread_cond_signal(pthread_cond_t *)
    int pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const timespec *)

cdef extern from "<signal.h>" nogil:
    int SIG_SETMASK
    int sigfillset(sigset_t *)
    int pthread_sigmask(int, const sigset_t *, sigset_t *)


cdef inline int start_thread(
    pthread_t *thread, void *(*run)(void *) noexcept nogil, void *argument, size_t stack
) noexcept nogil:
    """Start a thread with every signal blocked, for signals are the program's; 0, or what the system has against it."""
    cdef pthread_attr_t attributes
    cdef sigset_t every, before
    cdef int code
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stack)
    sigfillset(&every)
    pthread_sigmask(SIG_SETMASK, &every, &before)           # inherited by the thread
    code = pthread_create(thread, &attributes, run, argument)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    pthread_attr_destroy(&attributes)
    return code
