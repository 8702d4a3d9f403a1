"""The compiled modules; everything else is in pyproject.toml."""

import sys

from Cython.Build import cythonize
from setuptools import setup

# They read Linux's /proc. Elsewhere memkit/system/portable.py does their work with psutil.
setup(ext_modules=cythonize("memkit/native/**/*.pyx", build_dir="build") if sys.platform == "linux" else [])
