# What sums were before they changed: so it can be told, once a stretch of time is over, what each of them got in it.
#
# A sum is noted when it first changes after a mark. What it had at a mark is in the first note of it that came later; and
# rises since then are in the further notes of it, and in the sum. So a mark costs nothing, however many sums there are.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from memkit.native.heap.own cimport own_calloc, own_free

cdef enum:
    MOST_NOTED = 16384          # the last ones; a power of two

cdef struct noted_t:
    int64_t *sum                # its growth, which goes on, and tells sums apart
    int64_t *highest            # its rise since it was noted, and its own rise, or NULL
    int64_t *own_highest
    int64_t growth
    int64_t rise                # the highest between the note before and this one
    int64_t own_rise
    int which                   # the number of a call and of its caller, or of a function and a line
    int other

cdef struct notes_t:
    noted_t *at                 # NULL: there has been no mark
    uint32_t marks
    uint64_t count              # of all notes


cdef inline void note(
    notes_t *notes, uint32_t *mark, int64_t *growth, int64_t *highest, int64_t *own_highest, int which, int other
) noexcept nogil:
    """A sum is about to change; ``mark`` is the last one before it was noted."""
    cdef noted_t *noted
    if mark[0] == notes.marks:
        return
    noted = &notes.at[notes.count & (MOST_NOTED - 1)]
    noted.sum, noted.highest, noted.own_highest, noted.which, noted.other = growth, highest, own_highest, which, other
    noted.growth, noted.rise, mark[0], highest[0] = growth[0], highest[0], notes.marks, 0
    if own_highest != NULL:
        noted.own_rise, own_highest[0] = own_highest[0], 0
    notes.count += 1


cdef inline int64_t begin_stretch(notes_t *notes) noexcept:
    """A stretch begins: its number, or -1 where there is no memory."""
    if notes.at == NULL:
        notes.at = <noted_t *>own_calloc(MOST_NOTED, sizeof(noted_t))
        if notes.at == NULL:
            return -1
    notes.marks += 1
    return notes.count


cdef inline object noted_since(notes_t *notes, int64_t begun) except *:
    """Each sum that has changed since: its two numbers, growth, rise and own rise; None where that is not known any more."""
    cdef noted_t *noted
    cdef uint64_t place
    cdef dict found = {}
    if begun < 0 or notes.at == NULL or notes.count - <uint64_t>begun > MOST_NOTED:
        return None
    for place in range(<uint64_t>begun, notes.count):
        noted = &notes.at[place & (MOST_NOTED - 1)]
        row = found.get(<size_t>noted.sum)
        if row is None:
            found[<size_t>noted.sum] = [
                noted.which, noted.other, noted.sum[0] - noted.growth, noted.highest[0],
                noted.own_highest[0] if noted.own_highest != NULL else 0,
            ]
        else:
            row[3], row[4] = max(<object>row[3], noted.rise), max(<object>row[4], noted.own_rise)
    return list(found.values())


cdef inline void forget_notes(notes_t *notes) noexcept:
    own_free(notes.at)
    notes.at, notes.marks, notes.count = NULL, 0, 0
