"""A hash table of code objects, by identity: two functions with equal code objects are two functions.

It is read and changed under the GIL only.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc

cdef enum:
    SMALLEST = 256


cdef bint code_table_open(code_table_t *codes) noexcept:
    codes.infos, codes.count, codes.filled = NULL, 0, 0
    codes.size = SMALLEST
    codes.keys = <void **>PyMem_RawCalloc(codes.size, sizeof(void *))
    codes.values = <int *>PyMem_RawCalloc(codes.size, sizeof(int))
    return codes.keys != NULL and codes.values != NULL


cdef void code_table_close(code_table_t *codes) noexcept:
    cdef int i
    for i in range(codes.count):
        PyMem_RawFree(codes.infos[i].row_at)
        PyMem_RawFree(codes.infos[i].totals)
        PyMem_RawFree(codes.infos[i])
    PyMem_RawFree(codes.infos)
    PyMem_RawFree(codes.keys)
    PyMem_RawFree(codes.values)
    codes.infos, codes.keys, codes.values, codes.count = NULL, NULL, NULL, 0


cdef bint grow(code_table_t *codes) noexcept:
    cdef code_table_t larger
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


cdef bint set_index(code_table_t *codes, void *code, int value) noexcept:
    cdef int place
    if codes.filled * 2 >= codes.size and not grow(codes):
        return False
    place = place_of(codes, code)
    codes.filled += codes.keys[place] == NULL
    codes.keys[place], codes.values[place] = code, value
    return True


cdef code_info_t *add_code(code_table_t *codes, void *code, int rows, int units) noexcept:
    cdef code_info_t **infos = <code_info_t **>PyMem_RawRealloc(codes.infos, (codes.count + 1) * sizeof(code_info_t *))
    cdef code_info_t *info
    if infos == NULL:
        return NULL
    codes.infos = infos
    info = <code_info_t *>PyMem_RawCalloc(1, sizeof(code_info_t))
    if info == NULL:
        return NULL
    info.code, info.count, info.units, info.lead = code, rows, units, -1
    info.row_at = <int *>PyMem_RawCalloc(max(1, units), sizeof(int))
    info.totals = <total_t *>PyMem_RawCalloc(max(1, rows), sizeof(total_t))
    if info.row_at == NULL or info.totals == NULL or not set_index(codes, code, codes.count):
        PyMem_RawFree(info.row_at)
        PyMem_RawFree(info.totals)
        PyMem_RawFree(info)
        return NULL
    infos[codes.count] = info
    codes.count += 1
    return info


cdef void forget_not_wanted(code_table_t *codes) noexcept:
    cdef int i
    for i in range(codes.size):
        if codes.values[i] == NOT_WANTED:
            codes.values[i] = UNKNOWN
