"""The compiled modules; everything else is in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# Without symbols for a debugger, which would be four fifths of what is installed. They stay where CFLAGS has -g.
debug = any(flag.startswith("-g") and flag != "-g0" for flag in os.environ.get("CFLAGS", "").split())
slim = {} if debug else {"extra_compile_args": ["-g0"], "extra_link_args": ["-Wl,--strip-all"]}
sources = (
    "counting.c",
    "counting.h",
    "blocks.h",
    "booking.h",
    "hooks.h",
    "maps.h",
    "sampled.h",
    "sampled_hooks.h",
    "spans.h",
    "stretches.h",
)
sources += ("c_hooks.h", "patching.h", "patching_tables.h")
books = [f"memkit/native/heap/{name}" for name in sources]
own = Extension("memkit.native.heap.own", ["memkit/native/heap/own.pyx"], depends=books, libraries=["m"], **slim)
# Two numbers side by side are not worth a vector: the hooks are as fast as their instructions are few.
scalar = "-fno-tree-slp-vectorize"
own.extra_compile_args = [*own.extra_compile_args, scalar]
modules = [own, Extension("*", ["memkit/native/**/*.pyx"], **slim)]

# No module, but a library that memkit-run preloads; it defines malloc, so that the compiler must not know what malloc does.
preload = Extension("memkit.native.heap.preload", ["memkit/native/heap/preload.c"], **slim)
preload.extra_compile_args = [*preload.extra_compile_args, scalar, "-fno-builtin", "-fvisibility=hidden"]
# Before glibc 2.34 dlsym is in a library of its own, which what a followed program starts need not have.
preload.libraries = ["dl", "m"]
preload.depends = books

# They read Linux's /proc. Elsewhere memkit/system/portable.py does their work with psutil.
setup(ext_modules=cythonize([*modules, preload], build_dir="build") if sys.platform == "linux" else [])
