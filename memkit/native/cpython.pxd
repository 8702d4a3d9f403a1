# The trace and profile API of CPython, declared once.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef struct PyFrameObject:
        pass
    ctypedef struct PyCodeObject:
        int co_firstlineno
        PyObject *co_filename
        PyObject *co_name
        PyObject *co_qualname
    ctypedef struct PyInterpreterState:
        pass
    ctypedef int (*Py_tracefunc)(PyObject *, PyFrameObject *, int, PyObject *) noexcept
    ctypedef struct PyThreadState:
        Py_tracefunc c_tracefunc
        PyObject *c_traceobj
        Py_tracefunc c_profilefunc
        PyObject *c_profileobj
        unsigned long thread_id
        unsigned long native_thread_id
        unsigned long long id   # never given again

    ctypedef PyObject *(*fast_function)(PyObject *, PyObject **, Py_ssize_t) noexcept
    ctypedef PyObject *(*PyCFunction)(PyObject *, PyObject *)
    ctypedef struct PyMethodDef:
        const char *ml_name
        PyCFunction ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    object PyCFunction_New(PyMethodDef *, object)
    ctypedef struct PyCFunctionObject:
        PyMethodDef *m_ml
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    ctypedef struct PyTypeObject:
        pass
    PyTypeObject PyMethodDescr_Type
    bint PyCFunction_Check(PyObject *)
    PyTypeObject *Py_TYPE(PyObject *)

    int PyTrace_CALL
    int PyTrace_LINE
    int PyTrace_RETURN
    int PyTrace_EXCEPTION
    int PyTrace_C_CALL
    int PyTrace_C_EXCEPTION
    int PyTrace_C_RETURN
    void PyEval_SetTrace(Py_tracefunc, PyObject *)
    void PyEval_SetProfile(Py_tracefunc, PyObject *)
    PyCodeObject *PyFrame_GetCode(PyFrameObject *)
    int PyFrame_GetLineNumber(PyFrameObject *)
    int PyFrame_GetLasti(PyFrameObject *)
    int PyCode_Addr2Line(PyCodeObject *, int)

    PyThreadState *PyThreadState_Get()
    PyThreadState *PyThreadState_Swap(PyThreadState *)
    PyInterpreterState *PyInterpreterState_Get()
    PyThreadState *PyInterpreterState_ThreadHead(PyInterpreterState *)
    PyThreadState *PyThreadState_Next(PyThreadState *)
    long PyLong_AsLong(PyObject *)
    void Py_INCREF(PyObject *)
    void Py_DECREF(PyObject *)
    PyObject *Py_None
