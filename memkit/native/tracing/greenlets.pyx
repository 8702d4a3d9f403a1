"""The stacks that a tracer keeps for the greenlets of one thread which do not run.

A thread that runs greenlets has a stack of frames for each. A tracer has for each thread the stack of the greenlet that
runs; at a switch it is put aside, and that of the other greenlet taken up. While the tracer is open stacks are not freed,
since a flush may be reading them, but used again. So there are as many as greenlets were ever suspended at once, up to
``MOST_GREENLETS``.

A greenlet is known by its address. It ends with a switch to its parent, also if it is collected while it is suspended, and
its stack is taken away then; so another one at the same address does not find it.
"""

from memkit.native.heap.own cimport own_calloc, own_free
from memkit.native.tracing.growing cimport free_stacks
from libc.stdint cimport INT64_MIN, int64_t, uint64_t

from memkit.native.journal cimport journal_row, journal_t
from memkit.native.tracing.thread_state cimport tracer_t

cdef enum:
    FIRST_SIZE = 64


cdef inline aside_t **place_of(greenlets_t *greenlets, void *greenlet) noexcept:
    """Where the link to a greenlet's stack is, or the one at the end of its chain."""
    cdef uint64_t hash = (<uint64_t>greenlet >> 4) * <uint64_t>0x9E3779B97F4A7C15 >> 33
    cdef aside_t **place = &greenlets.places[<int>hash & (greenlets.size - 1)]
    while place[0] != NULL and place[0].greenlet != greenlet:
        place = &place[0].next
    return place


cdef bint grow_places(greenlets_t *greenlets) noexcept:
    cdef int i, size = greenlets.size
    cdef aside_t **places = greenlets.places
    cdef aside_t **place
    cdef aside_t *aside
    greenlets.places = <aside_t **>own_calloc(2 * size if size else FIRST_SIZE, sizeof(aside_t *))
    if greenlets.places == NULL:
        greenlets.places = places
        return False
    greenlets.size = 2 * size if size else FIRST_SIZE
    for i in range(size):
        while places[i] != NULL:
            aside, places[i] = places[i], places[i].next
            place = place_of(greenlets, aside.greenlet)
            aside.next, place[0] = NULL, aside
    own_free(places)
    return True


cdef aside_t *take_aside(greenlets_t *greenlets, void *greenlet) noexcept:
    cdef aside_t **place
    cdef aside_t *aside
    if greenlets.count >= greenlets.size and not grow_places(greenlets):
        return NULL             # there must be a place for what will be put aside
    place = place_of(greenlets, greenlet)
    aside = place[0]
    if aside != NULL:
        place[0] = aside.next
        greenlets.count -= 1
        return aside
    if greenlets.unused != NULL:
        aside = greenlets.unused
        greenlets.unused, aside.next = aside.next, NULL
        return aside
    return <aside_t *>own_calloc(1, sizeof(aside_t)) if greenlets.count < MOST_GREENLETS else NULL


cdef void put_aside(greenlets_t *greenlets, aside_t *aside, void *greenlet) noexcept:
    cdef aside_t **place
    cdef aside_t *older
    aside.greenlet = greenlet
    if greenlet == NULL:
        aside.depth, aside.next, greenlets.unused = 0, greenlets.unused, aside
        return
    place = place_of(greenlets, greenlet)
    older = place[0]
    aside.next = older.next if older != NULL else NULL
    place[0] = aside
    if older != NULL:           # switches were missed
        put_aside(greenlets, older, NULL)
    else:
        greenlets.count += 1


cdef void forget_asides(greenlets_t *greenlets) noexcept:
    cdef int i
    cdef aside_t *aside
    for i in range(greenlets.size):
        while greenlets.places[i] != NULL:
            aside = greenlets.places[i]
            greenlets.places[i] = aside.next
            put_aside(greenlets, aside, NULL)
    greenlets.count, greenlets.current, greenlets.left, greenlets.highest = 0, NULL, NULL, INT64_MIN


cdef void free_asides(greenlets_t *greenlets) noexcept:
    cdef aside_t *aside
    forget_asides(greenlets)
    while greenlets.unused != NULL:
        aside = greenlets.unused
        greenlets.unused = aside.next
        free_stacks(aside.stack)
        own_free(aside)
    own_free(greenlets.places)
    greenlets.places, greenlets.size = NULL, 0


cdef void write_untold(tracer_t *tracer, journal_t *journal) noexcept nogil:
    cdef int64_t why = tracer.untold
    if why != tracer.written_untold:
        tracer.written_untold = <int>why
        journal_row(journal, b"greenlets", &why, 1)
