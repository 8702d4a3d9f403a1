# What callbacks of sys.monitoring return, and how they tell functions in C.

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject

from memkit.native.cpython cimport (
    Py_INCREF, Py_None, Py_TYPE, PyCFunction_Check, PyCFunctionObject, PyMethodDescr_Type, PyMethodDescrObject,
)

# What the interpreter calls at an event, with the callback itself, the arguments, how many, and the names of some.
ctypedef PyObject *(*event_t)(PyObject *, PyObject **, size_t, PyObject *) noexcept

cdef extern from *:
    """
    #define memkit_owner(function) (((PyCFunctionObject *)(function))->m_self)

    static inline PyObject *memkit_callback(PyObject *owner, void *call) {
        static PyMethodDef definition = {"callback", NULL, METH_FASTCALL, NULL};
        PyObject *made = PyCFunction_New(&definition, owner);
        if (made != NULL)
            ((PyCFunctionObject *)made)->vectorcall = (vectorcallfunc)call;
        return made;
    }

    #if PY_VERSION_HEX >= 0x030C0000
      static inline long memkit_small_int(PyObject *number) {
          PyLongObject *whole = (PyLongObject *)number;
          return PyUnstable_Long_IsCompact(whole) ? (long)PyUnstable_Long_CompactValue(whole) : PyLong_AsLong(number);
      }
    #else
      #define memkit_small_int PyLong_AsLong
    #endif
    """
    # A callable that leads straight into C: the way of a built-in function there is a part of what each event costs.
    object callback "memkit_callback"(object owner, event_t event)
    PyObject *owner_of "memkit_owner"(PyObject *) noexcept      # of a callback
    long small_int "memkit_small_int"(PyObject *) noexcept      # without a call, where it is one


cdef inline PyObject *return_none() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *return_none_unless_raised() noexcept:
    """The result of a callback that did nothing: NULL if an exception of the program is set."""
    return return_none() if PyErr_Occurred() == NULL else NULL


cdef inline PyObject *return_disable(object disable) noexcept:
    """The result that disables the event for this code object: NULL if an exception of the program is set."""
    if PyErr_Occurred() != NULL:
        return NULL
    Py_INCREF(<PyObject *>disable)
    return <PyObject *>disable


cdef inline PyObject *method_definition(PyObject *callable) noexcept:
    """The method definition of a C function, the same however it is bound; NULL for anything else."""
    if PyCFunction_Check(callable):
        return <PyObject *>(<PyCFunctionObject *>callable).m_ml
    if Py_TYPE(callable) == &PyMethodDescr_Type:
        return <PyObject *>(<PyMethodDescrObject *>callable).d_method
    return NULL
