# How this Python lays out its threads, frames, code objects and strings: what is where in a copy of one.
#
# From 3.13 on CPython says it itself: `_PyRuntime` begins with a table of offsets for debuggers. Source:
# pycore_debug_offsets.h, in 3.13 pycore_runtime.h. Before, pycore_frame.h of each version says it. Code objects, bytes and
# strings are declared in public headers.

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <string.h>
    #if defined(__has_include)
      #ifndef Py_BUILD_CORE
        #define Py_BUILD_CORE 1
      #endif
      #if PY_VERSION_HEX >= 0x030E0000
        #if __has_include("internal/pycore_debug_offsets.h")
          #include "internal/pycore_debug_offsets.h"
          #define MEMKIT_DEBUG_OFFSETS 1
        #endif
      #elif PY_VERSION_HEX >= 0x030D0000
        #if __has_include("internal/pycore_runtime.h")
          #include "internal/pycore_runtime.h"
          #define MEMKIT_DEBUG_OFFSETS 1
        #endif
      #elif __has_include("internal/pycore_frame.h")
        #include "internal/pycore_frame.h"
        #define MEMKIT_FRAME_HEADER 1
      #endif
    #endif

    typedef struct {
        size_t next_thread, thread_id, top_frame;
        int top_frame_in_cframe;    /* -1: a thread leads to its frame directly */
        size_t frame_size, previous, executable, instruction, owner;
    } memkit_layout_t;

    #if defined(MEMKIT_DEBUG_OFFSETS)
      #include <dlfcn.h>
      static inline const char *memkit_find_layout(memkit_layout_t *layout, size_t most) {
          const _Py_DebugOffsets *table = (const _Py_DebugOffsets *)dlsym(RTLD_DEFAULT, "_PyRuntime");
      #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
          return "each thread of a free-threaded Python has instructions of its own, which memkit does not read";
      #endif
          if (table == NULL || memcmp(table->cookie, _Py_Debug_Cookie, sizeof(table->cookie)) != 0)
              return "this Python has no table of offsets for debuggers";
          if (table->version >> 16 != PY_VERSION_HEX >> 16)   /* it is the same in all releases of, say, 3.14 */
              return "the offsets for debuggers are of another version of Python than memkit was compiled for";
          layout->next_thread = table->thread_state.next;
          layout->thread_id = table->thread_state.native_thread_id;
          layout->top_frame = table->thread_state.current_frame;
          layout->top_frame_in_cframe = -1;
          layout->frame_size = table->interpreter_frame.localsplus;
          layout->previous = table->interpreter_frame.previous;
          layout->executable = table->interpreter_frame.executable;
          layout->instruction = table->interpreter_frame.instr_ptr;
          layout->owner = table->interpreter_frame.owner;
          if (layout->frame_size > most)
              return "frames of this Python are larger than any that memkit knows";
          return NULL;
      }
    #elif defined(MEMKIT_FRAME_HEADER)
      #if PY_VERSION_HEX >= 0x030D0000
        #error "later versions have a table of offsets"
      #endif
      static inline const char *memkit_find_layout(memkit_layout_t *layout, size_t most) {
          layout->next_thread = offsetof(PyThreadState, next);
          layout->thread_id = offsetof(PyThreadState, native_thread_id);
          layout->top_frame = offsetof(PyThreadState, cframe);
          layout->top_frame_in_cframe = (int)offsetof(_PyCFrame, current_frame);
          layout->frame_size = offsetof(_PyInterpreterFrame, localsplus);
          layout->previous = offsetof(_PyInterpreterFrame, previous);
          layout->executable = offsetof(_PyInterpreterFrame, f_code);
          layout->instruction = offsetof(_PyInterpreterFrame, prev_instr);
          layout->owner = offsetof(_PyInterpreterFrame, owner);
          return layout->frame_size > most ? "frames of this Python are larger than any that memkit knows" : NULL;
      }
    #else
      static inline const char *memkit_find_layout(memkit_layout_t *layout, size_t most) {
          return "how this Python keeps its frames was not known when memkit was compiled";
      }
    #endif

    /* Up to 3.13 an address, later a tagged reference: the lowest two bits say who owns it. */
    #define MEMKIT_TAG ((uintptr_t)3)
    /* Frames of threads, generators and frame objects run code, those of a higher number stand between two runs of the
       interpreter's loop. Source: `enum _frameowner`. */
    #define MEMKIT_OWNER_OF_CODE 2

    static inline const char *memkit_pointer(const char *copy, size_t offset) {
        const char *found;
        memcpy(&found, copy + offset, sizeof(found));
        return found;
    }
    static inline const char *memkit_frame(
        const memkit_layout_t *layout, const void *copy, const char **code, const char **instruction
    ) {
        const char *frame = (const char *)copy;
        *code = (const char *)((uintptr_t)memkit_pointer(frame, layout->executable) & ~MEMKIT_TAG);
        *instruction = memkit_pointer(frame, layout->instruction);
        if (frame[layout->owner] > MEMKIT_OWNER_OF_CODE)
            *code = NULL;
        return memkit_pointer(frame, layout->previous);
    }

    #define MEMKIT_NO_CODE (-1)
    #define MEMKIT_CODE_SIZE offsetof(PyCodeObject, co_code_adaptive)

    static inline int memkit_code(const void *copy, const char **file, const char **name, const char **lines) {
        const PyCodeObject *code = (const PyCodeObject *)copy;
        *file = (const char *)code->co_filename;
        *name = (const char *)code->co_qualname;
        *lines = (const char *)code->co_linetable;
        /* Below an `__init__` that a class calls is a frame of the interpreter's own, to see that it returns None. */
        return *file == *name && code->co_firstlineno == 0 ? MEMKIT_NO_CODE : code->co_firstlineno;
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
    const char *first_thread "memkit_first_thread"() noexcept nogil
    ctypedef struct layout_t "memkit_layout_t":
        size_t next_thread          # in a thread's state
        size_t thread_id
        size_t top_frame
        int top_frame_in_cframe     # -1: a thread leads to its frame directly
        size_t frame_size           # without its variables
    # NULL, or why the layout of threads and frames is not known; `most` is the size of the largest frame that can be copied.
    const char *find_layout "memkit_find_layout"(layout_t *layout, size_t most) noexcept nogil
    # The address of the caller's is returned; `code` is NULL for one that runs no code.
    const char *read_frame "memkit_frame"(
        const layout_t *layout, const void *copy, const char **code, const char **instruction
    ) noexcept nogil
    # Objects. A code object is followed by its instructions, a bytes object's head by its bytes.
    bint has_type "memkit_has_type"(const void *copy, void *type) noexcept nogil
    size_t CODE_SIZE "MEMKIT_CODE_SIZE"
    # Returns the first line; NO_CODE: it is none of a program.
    int NO_CODE "MEMKIT_NO_CODE"
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
