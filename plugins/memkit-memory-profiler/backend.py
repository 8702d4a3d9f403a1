"""Setuptools, except that nothing is installed where memory-profiler is.

pip builds with the interpreter that it installs for, but hides its packages; another process of that interpreter sees them.
A front end that builds with an interpreter of its own finds nothing, and builds.
"""

import subprocess
import sys

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (the hooks of a build backend)

_ASK = """\
import sysconfig
from importlib.metadata import distributions
print(*[found.version for found in distributions(name="memory-profiler", path=[sysconfig.get_path("purelib")])])
"""


def get_requires_for_build_wheel(config_settings=None):
    _refuse_beside_the_original()
    return build_meta.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings=None):
    _refuse_beside_the_original()
    return build_meta.get_requires_for_build_editable(config_settings)


def _refuse_beside_the_original():
    found = subprocess.run([sys.executable, "-E", "-P", "-c", _ASK], capture_output=True, text=True)
    if version := found.stdout.strip():
        sys.exit(
            f"memory-profiler {version} is installed here, and its files have the names of these.\n"
            "Remove it, then install again:  python -m pip uninstall memory-profiler"
        )
