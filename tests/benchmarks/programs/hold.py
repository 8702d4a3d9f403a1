"""Calls C once, which holds the GIL for so many seconds and touches so many MiB meanwhile. First argument: the library."""

import ctypes
import mmap
import sys

from reply import Reply

library, seconds, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) << 20
touch_slowly = ctypes.PyDLL(library).touch_slowly
touch_slowly.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int64
memory = mmap.mmap(-1, size)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
with Reply():
    touch_slowly(address, size, mmap.PAGESIZE, round(seconds * 1e9))
