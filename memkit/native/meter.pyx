"""Bytes of a process now. Every meter is one kernel file, opened once and read with one ``pread``.

========  ===========================================  =============================================================
meter     read from (see ``man 5 proc``)               what it is
========  ===========================================  =============================================================
``rss``   ``statm``, second number, in pages           resident memory: the pages of the process that are in RAM
``anon``  ``statm``, second number less the third      resident memory that belongs to no file and cannot be shared by name
``vms``   ``statm``, first number, in pages            address space, used or not
``swap``  ``status``, ``VmSwap``                       swapped-out pages
``pss``   ``smaps_rollup``, ``Pss``                    resident memory, each shared page divided by its sharers
``uss``   ``smaps_rollup``, the ``Private_`` lines     what would come free if the process ended
========  ===========================================  =============================================================
"""

from libc.errno cimport ENOENT, ESRCH, errno
from libc.stdio cimport snprintf
from libc.string cimport strerror, strlen, strncmp, strstr
from posix.fcntl cimport O_CLOEXEC, O_DIRECTORY, O_RDONLY, open, openat
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport _SC_PAGESIZE, getpid, pread, sysconf

from memkit.base.errors import MeterError
from memkit.native.decimal cimport number_at
from memkit.native.descriptors cimport adopt, is_ours, ours_t, release

cdef extern from "<sys/mman.h>" nogil:
    """
    #ifndef MADV_WIPEONFORK
    #define MADV_WIPEONFORK 18
    #endif
    """
    int MADV_WIPEONFORK
    int madvise(void *, size_t, int)

cdef enum:
    ANONYMOUS = 7               # no column of statm: what is resident less what is of files or shared memory

cdef int64_t PAGE = sysconf(_SC_PAGESIZE)
cdef int64_t nothing = 0
books_size = &nothing
METERS = {                      # file, column, prefix
    "rss": (b"statm", 1, b""),
    "anon": (b"statm", ANONYMOUS, b""),
    "vms": (b"statm", 0, b""),
    "swap": (b"status", 0, b"VmSwap:"),
    "pss": (b"smaps_rollup", 0, b"Pss:"),
    "uss": (b"smaps_rollup", 0, b"Private_"),
}


cdef pid_t *wiped_page() noexcept nogil:
    """A page that the kernel fills with zeros in each forked child, whoever forks; NULL where it does not (before 4.14)."""
    cdef void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if page == MAP_FAILED:
        return NULL
    # An emulator that takes any advice follows none.
    if madvise(page, PAGE, -1) != 0 and madvise(page, PAGE, MADV_WIPEONFORK) == 0:
        return <pid_t *>page
    munmap(page, PAGE)
    return NULL

cdef pid_t *known_pid = wiped_page()


cdef pid_t own_pid() noexcept nogil:
    if known_pid == NULL:
        return getpid()
    if known_pid[0] == 0:
        known_pid[0] = getpid()
    return known_pid[0]


cdef int open_kernel_file(ours_t *file, const char *name, int flags) noexcept nogil:
    cdef char path[64]
    snprintf(path, sizeof(path), b"/proc/self/%s", name)
    return adopted(file, open(path, flags | O_CLOEXEC))


cdef int open_file_of(ours_t *folder, ours_t *file, const char *name) noexcept nogil:
    if not is_ours(folder):
        file.fd = -1
        return ESRCH
    return adopted(file, openat(folder.fd, name, O_RDONLY | O_CLOEXEC))


cdef int adopted(ours_t *file, int fd) noexcept nogil:
    file.fd = -1
    if fd < 0:
        return errno
    adopt(file, fd)
    return 0


cdef int open_folder(meter_t *meter) noexcept nogil:
    cdef char path[64]
    snprintf(path, sizeof(path), b"/proc/%d", <int>meter.pid)
    return adopted(&meter.folder, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC))


cdef ssize_t read_text(ours_t *file, char *text) noexcept nogil:
    cdef ssize_t length = pread(file.fd, text, TEXT - 1, 0) if is_ours(file) else -1
    text[max(length, 0)] = 0
    return length


cdef int64_t sum_of_lines(const char *text, const char *prefix) noexcept nogil:
    """The sum in bytes of the kB lines that start with a prefix, or -1 if there is none."""
    cdef int64_t total = -1
    cdef size_t length = strlen(prefix)
    cdef const char *line = text
    cdef const char *place
    while line != NULL and line[0]:
        if strncmp(line, prefix, length) == 0:
            place = strstr(line, b":")
            if place != NULL:
                place += 1
                total = max(total, 0) + number_at(&place) * 1024
        line = strstr(line, b"\n")
        if line != NULL:
            line += 1
    return total


cdef int meter_open(meter_t *meter) noexcept nogil:
    meter.owner = own_pid()
    if meter.pid:
        return open_file_of(&meter.folder, &meter.file, meter.name)
    return open_kernel_file(&meter.file, meter.name, O_RDONLY)


cdef int64_t pages_in(const char *text, ssize_t length, int column, int64_t *shared) noexcept nogil:
    """A column of statm, or -1 for a text that is not statm's: seven numbers with a blank between, and a newline.

    A zombie has no address space: all its numbers are 0.
    """
    cdef const char *place = text
    cdef const char *end = text + length
    cdef int64_t pages = -1, number, resident = 0
    cdef int field
    for field in range(7):
        if not c'0' <= place[0] <= c'9':
            return -1
        number = number_at(&place)
        if place[0] != (c' ' if field < 6 else c'\n'):
            return -1
        place += 1
        if field == 0 and number == 0:
            return -1
        if field == column:
            pages = number
        if field == 1:
            resident = number
        elif field == 2:
            shared[0] = number
            if column == ANONYMOUS:
                pages = resident - number if resident > number else 0
    return pages if place == end else -1


cdef int64_t read_statm(meter_t *meter) noexcept nogil:
    """The fastest reading: the form of the text, not another system call, shows whether the descriptor is still ours."""
    cdef char text[128]
    cdef ssize_t length = pread(meter.file.fd, text, sizeof(text) - 1, 0)
    if length <= 0:
        return -1
    text[length] = 0
    return pages_in(text, length, meter.column, &meter.shared)


cdef int64_t without_books(int64_t memory) noexcept nogil:
    return max(memory - books_size[0], 0) if memory >= 0 else memory


cdef int64_t meter_read(meter_t *meter) noexcept nogil:
    cdef int64_t memory = meter_read_whole(meter)
    return without_books(memory) if meter.with_books else memory


cdef int64_t meter_read_whole(meter_t *meter) noexcept nogil:
    cdef char text[TEXT]
    cdef int64_t pages
    cdef ssize_t length
    if not meter.prefix[0]:
        pages = read_statm(meter)
        if pages < 0 and not is_ours(&meter.file) and meter_open(meter) == 0:
            pages = read_statm(meter)
        return pages * PAGE if pages >= 0 else -1
    if not is_ours(&meter.file):
        meter_open(meter)
    length = read_text(&meter.file, text)
    if length <= 0 and meter.pid:       # it runs another program: smaps_rollup is of an address space
        release(&meter.file)
        if meter_open(meter) == 0:
            length = read_text(&meter.file, text)
    return sum_of_lines(text, meter.prefix) if length > 0 else -1


cdef void meter_close(meter_t *meter) noexcept nogil:
    release(&meter.file)
    release(&meter.folder)


cdef class Meter:
    """One number of one process, in bytes.

    ``name`` is one of ``METERS``; ``pid`` is a process, or None for this one. Raises ``MeterError`` where the kernel
    does not give it.
    """

    def __cinit__(self, str name, pid=None):
        self.meter.file.fd = self.meter.folder.fd = -1
        if name not in METERS:
            raise MeterError(f"unknown meter {name!r}: this machine has {', '.join(METERS)}")
        file, self.meter.column, prefix = METERS[name]
        self.meter.name, self.meter.prefix = file, prefix       # bytes that METERS keeps alive
        self.meter.costly = file == b"smaps_rollup"
        self.meter.pid = pid or 0
        self.meter.with_books = not pid and name not in ("vms", "swap")
        self.name, self.pid = name, pid
        cdef int refused = open_folder(&self.meter) if pid else 0
        refused = refused or meter_open(&self.meter)
        if refused or self.read() is None:
            raise MeterError(self.refusal(refused or ESRCH))

    def refusal(self, int code):
        file = self.meter.name.decode()
        whose = "this process" if self.pid is None else f"process {self.pid}"
        if self.pid is not None and code in (ENOENT, ESRCH):
            return f"there is no process {self.pid}, or it has just ended"
        return f"meter {self.name!r} of {whose} cannot be read: /proc/{self.pid or 'self'}/{file}: " \
               f"{strerror(code).decode()}"

    cdef int64_t bytes(self) noexcept:
        if self.meter.pid == 0 and self.meter.owner != own_pid():
            meter_close(&self.meter)
            meter_open(&self.meter)
        return meter_read(&self.meter)

    cpdef object read(self):
        """Bytes now, or None when the process is gone; of this process without what memkit needs to count its heap."""
        cdef int64_t value = self.bytes()
        return None if value < 0 else value

    @property
    def costly(self):
        """Whether the kernel adds up page tables for each reading."""
        return self.meter.costly

    def __dealloc__(self):
        meter_close(&self.meter)
