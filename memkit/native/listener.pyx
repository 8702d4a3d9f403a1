"""The socket by which other processes ask this one to be recorded, and the thread that waits there.

The thread is a bare POSIX thread until somebody asks: no Python thread state, no wake-ups, every signal blocked. Only then
does it take the GIL and call a function. The socket has an abstract name, so nothing is left in the file system however the
process ends. Source: ``man 7 unix``.
"""

from cpython.exc cimport PyErr_WriteUnraisable
from cpython.ref cimport Py_INCREF
from libc.errno cimport errno
from libc.stdio cimport snprintf
from libc.string cimport memset
from posix.types cimport pid_t
from posix.unistd cimport close, getpid

from memkit.native.descriptors cimport adopt, is_ours, moved_up, ours_t, release
from memkit.native.threads cimport pthread_detach, pthread_join, pthread_self, pthread_t, start_thread

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    int AF_UNIX, SOCK_SEQPACKET, SOCK_CLOEXEC, SOCK_NONBLOCK, SHUT_RDWR
    int socket(int, int, int)
    int bind(int, const sockaddr *, socklen_t)
    int connect(int, const sockaddr *, socklen_t)
    int listen(int, int)
    int accept4(int, sockaddr *, socklen_t *, int)
    int shutdown(int, int)

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        unsigned short sun_family
        char *sun_path          # an array

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd *, unsigned long, int)

cdef enum:
    STACK = 2 * 1024 * 1024     # Python runs on it, and imports; touched only then
    WAITING = 8                 # connections that nobody has accepted yet

cdef struct listener_t:
    ours_t socket
    int patience                # milliseconds between two calls if nobody asks, -1 for any time
    bint at_once                # the first call comes without anybody asking
    bint stopping
    pthread_t thread
    void *owner


cdef socklen_t address(sockaddr_un *found) noexcept nogil:
    """The abstract name of this process; returns its length."""
    memset(found, 0, sizeof(sockaddr_un))
    found.sun_family = AF_UNIX
    return <socklen_t>(sizeof(unsigned short) + 1 + snprintf(found.sun_path + 1, 64, b"memkit-%d", <int>getpid()))


cdef int opened() noexcept nogil:
    """A socket that listens under that name, or -1."""
    cdef sockaddr_un name
    cdef socklen_t size = address(&name)
    cdef int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    cdef int code
    if fd >= 0 and (bind(fd, <sockaddr *>&name, size) or listen(fd, WAITING)):
        code = errno
        close(fd)
        (&errno)[0] = code
        return -1
    return fd


cdef bint woken() noexcept nogil:
    """Whether the thread could be woken by a connection: where the program has closed the descriptor of the socket."""
    cdef sockaddr_un name
    cdef socklen_t size = address(&name)
    cdef int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    cdef bint done = fd >= 0 and connect(fd, <sockaddr *>&name, size) == 0
    if fd >= 0:
        close(fd)
    return done


cdef void *run(void *argument) noexcept nogil:
    cdef listener_t *l = <listener_t *>argument
    cdef pollfd one
    one.fd, one.events = l.socket.fd, <short>POLLIN
    while True:
        if not l.at_once and poll(&one, 1, l.patience) < 0:
            continue
        l.at_once = False
        if l.stopping or not called(l):
            return NULL
        one.fd = l.socket.fd


cdef bint called(listener_t *l) noexcept with gil:
    """Call the function; whether the thread is to go on."""
    if l.stopping:
        return False
    cdef Listener me = <Listener>l.owner
    cdef bint more = False
    try:
        more = me.function()
    except Exception:
        PyErr_WriteUnraisable(me.function)
    if more or l.stopping:                      # in the second case it is about to be joined
        return more
    pthread_detach(pthread_self())
    me.running = False
    release(&l.socket)
    return False


cdef class Listener:
    """Listens, from now on, and has a function called in a thread when somebody connects, or nobody has for ``patience``.

    That is in milliseconds. With ``at_once`` it is called first of all. It returns whether to go on listening. Raises
    ``OSError``.
    """

    cdef listener_t listener
    cdef object function
    cdef bint running
    cdef pid_t home

    def __cinit__(self, function, int patience=-1, bint at_once=False):
        cdef int code, fd = opened()
        if fd < 0:
            raise OSError(errno, "cannot listen")
        adopt(&self.listener.socket, fd)
        self.function, self.home = function, getpid()
        self.listener.patience, self.listener.at_once, self.listener.owner = patience, at_once, <void *>self
        code = start_thread(&self.listener.thread, run, &self.listener, STACK)
        if code:
            release(&self.listener.socket)
            raise OSError(code, "a thread that listens cannot be started")
        self.running = True

    @property
    def descriptor(self):
        """Readable when somebody connects, or ``stop`` was called; None if the program has closed it."""
        return self.listener.socket.fd if is_ours(&self.listener.socket) else None

    def accept(self):
        """The descriptor of a connection, or None where there is none."""
        cdef int fd
        if not is_ours(&self.listener.socket):
            return None
        fd = accept4(self.listener.socket.fd, NULL, NULL, SOCK_CLOEXEC)
        return moved_up(fd) if fd >= 0 else None

    def reopen(self):
        """Listen again where the program has closed the socket; to be called in the thread. Raises ``OSError``."""
        if is_ours(&self.listener.socket):
            return
        cdef int fd = opened()
        if fd < 0:
            raise OSError(errno, "cannot listen")
        adopt(&self.listener.socket, fd)

    def stop(self):
        """Listen no more, and end the thread; the function must return soon once the descriptor is readable."""
        if not self.running:
            return
        self.running = False
        if self.home != getpid():               # forked, which copies no thread
            release(&self.listener.socket)
            return
        self.listener.stopping = True
        if is_ours(&self.listener.socket):
            shutdown(self.listener.socket.fd, SHUT_RDWR)
        elif not woken():
            pthread_detach(self.listener.thread)            # it ends when somebody connects
            Py_INCREF(self)
            return
        with nogil:
            pthread_join(self.listener.thread, NULL)
        release(&self.listener.socket)

    def __dealloc__(self):
        self.stop()
