"""A hash table of code objects, by identity, and what is known of their functions.

Several code objects may be of one function: a program makes new ones by ``eval``, ``exec`` and by reloading. The table holds
none of them alive. Each that it knows is marked, so that the interpreter tells when it is freed, and its entry is removed
before another object can take its address. It is read and changed under the GIL only.
"""

from cpython.exc cimport PyErr_Clear
from memkit.native.heap.own cimport own_calloc, own_free, own_realloc
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
      #define memkit_request_extra PyUnstable_Eval_RequestCodeExtraIndex
      #define memkit_get_extra PyUnstable_Code_GetExtra
      #define memkit_set_extra PyUnstable_Code_SetExtra
    #else
      #define memkit_request_extra _PyEval_RequestCodeExtraIndex
      #define memkit_get_extra _PyCode_GetExtra
      #define memkit_set_extra _PyCode_SetExtra
    #endif
    """
    Py_ssize_t request_extra "memkit_request_extra"(void (*)(void *) noexcept)
    int get_extra "memkit_get_extra"(PyObject *, Py_ssize_t, void **)
    int set_extra "memkit_set_extra"(PyObject *, Py_ssize_t, void *)

cdef enum:
    SMALLEST = 256

cdef code_table_t *opened = NULL
cdef Py_ssize_t extra = -1              # the place of the mark in code objects

# -- code objects that die ---------------------------------------------------------------------------------------------

cdef void remove(code_table_t *codes, void *code) noexcept:
    """Remove an entry, and close the gap."""
    cdef int mask = codes.size - 1
    cdef int place = place_of(codes, code)
    cdef int at = place
    if codes.keys[place] == NULL:
        return
    if codes.values[place] >= 0 and codes.infos[codes.values[place]].code == code:
        codes.infos[codes.values[place]].code = NULL
    while True:
        at = (at + 1) & mask
        if codes.keys[at] == NULL:
            break
        if ((at - home_of(codes, codes.keys[at])) & mask) >= ((at - place) & mask):
            codes.keys[place], codes.values[place] = codes.keys[at], codes.values[at]
            place = at
    codes.keys[place] = NULL
    codes.filled -= 1
    codes.deaths += 1


cdef void code_dies(void *code) noexcept:
    """The interpreter frees a marked code object. No Python may run here."""
    cdef code_table_t *codes = opened
    while code != NULL and codes != NULL:
        remove(codes, code)
        codes = codes.next


cdef bint mark(PyObject *code) noexcept:
    """Have the interpreter tell of the end of a code object; False: it does not."""
    global extra
    cdef void *known = NULL
    if extra < 0:
        extra = request_extra(code_dies)
    if extra < 0:
        return False
    if get_extra(code, extra, &known) or (known == NULL and set_extra(code, extra, code)):
        PyErr_Clear()
        return False
    return True

# -- the table ---------------------------------------------------------------------------------------------------------

cdef bint code_table_open(code_table_t *codes) noexcept:
    global opened
    codes.infos, codes.count, codes.filled, codes.deaths = NULL, 0, 0, 0
    codes.size = SMALLEST
    codes.keys = <void **>own_calloc(codes.size, sizeof(void *))
    codes.values = <int *>own_calloc(codes.size, sizeof(int))
    if codes.keys == NULL or codes.values == NULL:
        return False
    codes.next, opened = opened, codes
    return True


cdef void code_table_close(code_table_t *codes) noexcept:
    global opened
    cdef code_table_t **link = &opened
    cdef int i
    while link[0] != NULL and link[0] != codes:
        link = &link[0].next
    if link[0] == codes:
        link[0] = codes.next
    for i in range(codes.count):
        own_free(codes.infos[i].row_at)
        own_free(codes.infos[i].totals)
        own_free(codes.infos[i])
    own_free(codes.infos)
    own_free(codes.keys)
    own_free(codes.values)
    codes.infos, codes.keys, codes.values, codes.count, codes.size = NULL, NULL, NULL, 0, 0


cdef bint grow(code_table_t *codes) noexcept:
    cdef code_table_t larger
    cdef int i, place
    larger.size = codes.size * 2
    larger.keys = <void **>own_calloc(larger.size, sizeof(void *))
    larger.values = <int *>own_calloc(larger.size, sizeof(int))
    if larger.keys == NULL or larger.values == NULL:
        own_free(larger.keys)
        own_free(larger.values)
        return False
    for i in range(codes.size):
        if codes.keys[i] != NULL:
            place = place_of(&larger, codes.keys[i])
            larger.keys[place], larger.values[place] = codes.keys[i], codes.values[i]
    own_free(codes.keys)
    own_free(codes.values)
    codes.keys, codes.values, codes.size = larger.keys, larger.values, larger.size
    return True


cdef bint set_index(code_table_t *codes, void *code, int value) noexcept:
    cdef int place
    if codes.filled * 2 >= codes.size and not grow(codes):
        return False
    place = place_of(codes, code)
    codes.filled += codes.keys[place] == NULL
    codes.keys[place], codes.values[place] = code, value
    return True


cdef bint set_index_of_code(code_table_t *codes, PyObject *code, int value) noexcept:
    return mark(code) and set_index(codes, <void *>code, value)


cdef code_info_t *add_info(code_table_t *codes, int rows, int units) noexcept:
    cdef code_info_t **infos = codes.infos
    cdef code_info_t *info
    if codes.count & (codes.count - 1) == 0:        # there is room for the next power of two
        infos = <code_info_t **>own_realloc(infos, max(1, 2 * codes.count) * sizeof(code_info_t *))
    if infos == NULL:
        return NULL
    codes.infos = infos
    info = <code_info_t *>own_calloc(1, sizeof(code_info_t))
    if info == NULL:
        return NULL
    info.count, info.units, info.lead = rows, units, -1
    if units:
        info.row_at = <int *>own_calloc(units, sizeof(int))
    if rows:
        info.totals = <total_t *>own_calloc(rows, sizeof(total_t))
    if (units and info.row_at == NULL) or (rows and info.totals == NULL):
        own_free(info.row_at)
        own_free(info.totals)
        own_free(info)
        return NULL
    infos[codes.count] = info
    codes.count += 1
    return info


cdef int index_of_function(code_table_t *codes, code_table_t *answers, const code_info_t *answer) noexcept:
    cdef uint64_t key = <uint64_t>1 << 62 | <uint64_t>answer.number << 32 | <uint64_t>(answer.begins + 1) << 5
    cdef int index
    cdef code_info_t *info
    key |= <uint64_t>answer.target << 4
    index = index_of(answers, <void *>key)
    if index >= 0 and codes.infos[index].role == answer.role and codes.infos[index].kind == answer.kind:
        return index
    info = add_info(codes, 0, 0)
    if info == NULL:
        return NOT_WANTED
    info.number, info.target, info.begins = answer.number, answer.target, answer.begins
    info.role, info.local, info.kind = answer.role, answer.local, answer.kind
    if index < 0:
        set_index(answers, <void *>key, codes.count - 1)
    return codes.count - 1


cdef class NumberTable:
    """Numbers, 0 and above, by hashes of 64 bits: less than a dictionary holds."""

    def __cinit__(self):
        if not code_table_open(&self.table):
            raise MemoryError

    def get(self, Py_hash_t key):
        """The number of a key; negative: it has none."""
        return index_of(&self.table, <void *>(<uint64_t>key | 1))

    def setdefault(self, Py_hash_t key, int number):
        """Give a key a number unless it has one, and return the number that it has now."""
        cdef int known = self.get(key)
        if known >= 0:
            return known
        if not set_index(&self.table, <void *>(<uint64_t>key | 1), number):
            raise MemoryError
        return number

    def __dealloc__(self):
        code_table_close(&self.table)
