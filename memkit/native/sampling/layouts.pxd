# How each version of Python lays out its threads, frames, code objects and strings: what is where in a copy of one.
# Source: pycore_frame.h of each version. From 3.14 on frames are not known, and FRAMES_KNOWN is false.

cdef extern from *:
    """
    #include <stddef.h>
    #if PY_VERSION_HEX < 0x030E0000 && defined(__has_include)
      #if __has_include("internal/pycore_frame.h")
        #ifndef Py_BUILD_CORE
          #define Py_BUILD_CORE 1
        #endif
        #include "internal/pycore_frame.h"
        #define MEMKIT_FRAMES_KNOWN 1
      #endif
    #endif

    #define MEMKIT_CODE_SIZE offsetof(PyCodeObject, co_code_adaptive)
    #define MEMKIT_NEXT_THREAD offsetof(PyThreadState, next)
    #define MEMKIT_THREAD_ID offsetof(PyThreadState, native_thread_id)

    #ifdef MEMKIT_FRAMES_KNOWN
      #define MEMKIT_FRAME_SIZE offsetof(_PyInterpreterFrame, localsplus)
      #if PY_VERSION_HEX >= 0x030D0000
        #define MEMKIT_TOP_FRAME offsetof(PyThreadState, current_frame)
        #define MEMKIT_TOP_FRAME_IN_CFRAME -1
        #define memkit_executable f_executable
        #define memkit_instruction instr_ptr
      #else
        #define MEMKIT_TOP_FRAME offsetof(PyThreadState, cframe)
        #define MEMKIT_TOP_FRAME_IN_CFRAME ((int)offsetof(_PyCFrame, current_frame))
        #define memkit_executable f_code
        #define memkit_instruction prev_instr
      #endif
      static inline const char *memkit_frame(const void *copy, const char **code, const char **instruction) {
          const _PyInterpreterFrame *frame = (const _PyInterpreterFrame *)copy;
          *code = (const char *)frame->memkit_executable;
          *instruction = (const char *)frame->memkit_instruction;
      #if PY_VERSION_HEX >= 0x030C0000
          if (frame->owner == FRAME_OWNED_BY_CSTACK)      /* between two runs of the interpreter's loop */
              *code = NULL;
      #endif
          return (const char *)frame->previous;
      }
    #else
      #define MEMKIT_FRAMES_KNOWN 0
      #define MEMKIT_FRAME_SIZE 0
      #define MEMKIT_TOP_FRAME 0
      #define MEMKIT_TOP_FRAME_IN_CFRAME -1
      static inline const char *memkit_frame(const void *copy, const char **code, const char **instruction) { return NULL; }
    #endif

    static inline int memkit_code(const void *copy, const char **file, const char **name, const char **lines) {
        const PyCodeObject *code = (const PyCodeObject *)copy;
        *file = (const char *)code->co_filename;
        *name = (const char *)code->co_qualname;
        *lines = (const char *)code->co_linetable;
        return code->co_firstlineno;
    }
    static inline int memkit_has_type(const void *copy, void *type) {
        return (void *)((const PyObject *)copy)->ob_type == type;
    }
    static inline int memkit_string(const void *copy, int *width, Py_ssize_t *length) {
        const PyASCIIObject *string = (const PyASCIIObject *)copy;
        *width = string->state.kind;
        *length = string->length;
        return !string->state.compact ? 0 : string->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    }
    static inline const char *memkit_first_thread(void) {
        PyInterpreterState *main = PyInterpreterState_Main();
        return main == NULL ? NULL : (const char *)PyInterpreterState_ThreadHead(main);
    }
    """
    # Threads.
    const char *first_thread "memkit_first_thread"() noexcept nogil
    size_t NEXT_THREAD "MEMKIT_NEXT_THREAD"
    size_t THREAD_ID "MEMKIT_THREAD_ID"
    size_t TOP_FRAME "MEMKIT_TOP_FRAME"
    int TOP_FRAME_IN_CFRAME "MEMKIT_TOP_FRAME_IN_CFRAME"    # -1: a thread leads to its frame directly
    # Frames. The address of the caller's is returned; `code` is NULL for one that runs no code.
    bint FRAMES_KNOWN "MEMKIT_FRAMES_KNOWN"
    size_t FRAME_SIZE "MEMKIT_FRAME_SIZE"
    const char *read_frame "memkit_frame"(const void *copy, const char **code, const char **instruction) noexcept nogil
    # Objects. A code object is followed by its instructions, a bytes object's head by its bytes.
    bint has_type "memkit_has_type"(const void *copy, void *type) noexcept nogil
    size_t CODE_SIZE "MEMKIT_CODE_SIZE"
    int read_code "memkit_code"(const void *copy, const char **file, const char **name, const char **lines) noexcept nogil
    size_t BYTES_HEAD "offsetof(PyBytesObject, ob_sval)"
    Py_ssize_t length_of_bytes "Py_SIZE"(const void *copy) noexcept nogil
    size_t STRING_HEAD "sizeof(PyCompactUnicodeObject)"
    # The offset of the letters, and how many bytes each has; 0 for a string whose letters are elsewhere.
    int read_string "memkit_string"(const void *copy, int *width, Py_ssize_t *length) noexcept nogil
    int PyCode_Type
    int PyUnicode_Type
    int PyBytes_Type

cdef enum:
    RECORD = 64                 # words of 8 bytes, aligned as a record is: more than any that is copied whole
