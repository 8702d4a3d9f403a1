# distutils: include_dirs = memkit/native/heap
"""Lines below other lines, as numbers: what a heap recording books blocks to.

A function has a number for each of its lines below each line that calls it, directly or through code that is not traced.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from memkit.native.heap.own cimport LABELLED, give_room_back, own_calloc, own_free, own_room
from memkit.native.journal cimport NOTHING, journal_row, journal_t

cdef extern from *:
    """
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    void publish_count "memkit_publish"(int, int) noexcept nogil
    int load_count "memkit_load"(int) noexcept nogil

cdef enum:
    FIRST = 256
    MOST = 65536


cdef int place_of(line_paths_t *table, int *places, int size, uint32_t parent, int function) noexcept nogil:
    cdef int place = <int>((<uint64_t>parent << 32 | <uint32_t>function) * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (size - 1)
    cdef line_path_t *path
    while places[place]:
        path = &table.paths[places[place] - 1]
        if path.parent == parent and path.function == function:
            break
        place = (place + 1) & (size - 1)
    return place


cdef bint grow(line_paths_t *table) noexcept nogil:
    cdef int size = 2 * table.size if table.size else FIRST
    cdef int *places = <int *>own_calloc(size, sizeof(int))
    cdef int i
    if table.paths == NULL:             # all at once: a flush may be reading it
        table.paths = <line_path_t *>own_room(MOST * sizeof(line_path_t))
        table.next = 1
    if places == NULL or table.paths == NULL:
        own_free(places)
        return False
    for i in range(table.count):
        places[place_of(table, places, size, table.paths[i].parent, table.paths[i].function)] = i + 1
    own_free(table.places)
    table.places, table.size = places, size
    return True


cdef uint32_t lines_below(line_paths_t *table, uint32_t parent, int function, int first, int count) noexcept nogil:
    cdef line_path_t *path
    cdef int place
    if table.count * 2 >= table.size and not grow(table):
        return NO_LINES
    place = place_of(table, table.places, table.size, parent, function)
    if table.places[place]:
        return table.paths[table.places[place] - 1].base
    if table.count == MOST or table.next + count >= LABELLED:
        return NO_LINES
    path = &table.paths[table.count]
    path.parent, path.function, path.first, path.count, path.base = parent, function, first, count, table.next
    table.next += count
    table.places[place] = table.count + 1
    publish_count(table.count, table.count + 1)
    return path.base


cdef void write_line_paths(line_paths_t *table, journal_t *journal) noexcept nogil:
    cdef int64_t row[5]
    cdef line_path_t *path
    cdef int count = load_count(table.count)
    while table.written < count:
        path = &table.paths[table.written]
        row[0], row[1], row[2] = path.base, path.parent if path.parent else NOTHING, path.function
        row[3], row[4] = path.first, path.count
        journal_row(journal, b"heap_lines", row, 5)
        table.written += 1


cdef void free_line_paths(line_paths_t *table) noexcept:
    give_room_back(table.paths, MOST * sizeof(line_path_t))
    own_free(table.places)
    table.paths = NULL
    table.places = NULL
    table.count = table.size = table.written = 0
