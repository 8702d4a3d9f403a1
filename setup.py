"""The compiled modules; everything else is in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# Without symbols for a debugger, which would be four fifths of what is installed. They stay where CFLAGS has -g.
debug = any(flag.startswith("-g") and flag != "-g0" for flag in os.environ.get("CFLAGS", "").split())
slim = {} if debug else {"extra_compile_args": ["-g0"], "extra_link_args": ["-Wl,--strip-all"]}
modules = [Extension("*", ["memkit/native/**/*.pyx"], **slim)]

# They read Linux's /proc. Elsewhere memkit/system/portable.py does their work with psutil.
setup(ext_modules=cythonize(modules, build_dir="build") if sys.platform == "linux" else [])
