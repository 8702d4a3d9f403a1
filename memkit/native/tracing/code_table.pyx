"""Which code objects are wanted, found by identity: two functions with equal code are two functions.

All of it happens under the GIL; a reader never sees a table half made.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc

cdef enum:
    SMALLEST = 256


cdef bint codes_open(codes_t *codes) noexcept:
    codes.wanted, codes.count, codes.filled = NULL, 0, 0
    codes.size = SMALLEST
    codes.keys = <void **>PyMem_RawCalloc(codes.size, sizeof(void *))
    codes.values = <int *>PyMem_RawCalloc(codes.size, sizeof(int))
    return codes.keys != NULL and codes.values != NULL


cdef void codes_close(codes_t *codes) noexcept:
    cdef int i
    for i in range(codes.count):
        PyMem_RawFree(codes.wanted[i].row_at)
        PyMem_RawFree(codes.wanted[i].totals)
        PyMem_RawFree(codes.wanted[i])
    PyMem_RawFree(codes.wanted)
    PyMem_RawFree(codes.keys)
    PyMem_RawFree(codes.values)
    codes.wanted, codes.keys, codes.values, codes.count = NULL, NULL, NULL, 0


cdef bint grow(codes_t *codes) noexcept:
    cdef codes_t larger
    cdef int i, place
    larger.size = codes.size * 2
    larger.keys = <void **>PyMem_RawCalloc(larger.size, sizeof(void *))
    larger.values = <int *>PyMem_RawCalloc(larger.size, sizeof(int))
    if larger.keys == NULL or larger.values == NULL:
        PyMem_RawFree(larger.keys)
        PyMem_RawFree(larger.values)
        return False
    for i in range(codes.size):
        if codes.keys[i] != NULL:
            place = place_of(&larger, codes.keys[i])
            larger.keys[place], larger.values[place] = codes.keys[i], codes.values[i]
    PyMem_RawFree(codes.keys)
    PyMem_RawFree(codes.values)
    codes.keys, codes.values, codes.size = larger.keys, larger.values, larger.size
    return True


cdef bint note(codes_t *codes, void *code, int value) noexcept:
    cdef int place
    if codes.filled * 2 >= codes.size and not grow(codes):
        return False
    place = place_of(codes, code)
    codes.filled += codes.keys[place] == NULL
    codes.keys[place], codes.values[place] = code, value
    return True


cdef code_t *want(codes_t *codes, void *code, int rows, int units) noexcept:
    cdef code_t **wanted = <code_t **>PyMem_RawRealloc(codes.wanted, (codes.count + 1) * sizeof(code_t *))
    cdef code_t *about
    if wanted == NULL:
        return NULL
    codes.wanted = wanted
    about = <code_t *>PyMem_RawCalloc(1, sizeof(code_t))
    if about == NULL:
        return NULL
    about.code, about.count, about.units, about.lead = code, rows, units, -1
    about.row_at = <int *>PyMem_RawCalloc(max(1, units), sizeof(int))
    about.totals = <total_t *>PyMem_RawCalloc(max(1, rows), sizeof(total_t))
    if about.row_at == NULL or about.totals == NULL or not note(codes, code, codes.count):
        PyMem_RawFree(about.row_at)
        PyMem_RawFree(about.totals)
        PyMem_RawFree(about)
        return NULL
    wanted[codes.count] = about
    codes.count += 1
    return about


cdef void forget_unwanted(codes_t *codes) noexcept:
    cdef int i
    for i in range(codes.size):
        if codes.values[i] == NOT_WANTED:
            codes.values[i] = UNKNOWN
