"""memory_profiler's names, on memkit; those that need IPython, psutil or a program to run are loaded when first used."""

from memkit.compat.memory_profiler.backends import _get_child_memory, _get_memory, choose_backend
from memkit.compat.memory_profiler.code_map import CodeMap
from memkit.compat.memory_profiler.profiler import LineProfiler, profile
from memkit.compat.memory_profiler.table import LogFile, show_results
from memkit.compat.memory_profiler.time_stamper import TimeStamper
from memkit.record.memory_usage import memory_usage

__version__ = "0.61.0"
"""The version of memory_profiler that these names are of."""

_TWO_20 = float(2**20)
has_tracemalloc = True

__all__ = [
    "CodeMap",
    "LineProfiler",
    "LogFile",
    "MemitResult",
    "MemoryProfilerMagics",
    "TimeStamper",
    "_get_child_memory",
    "_get_memory",
    "choose_backend",
    "exec_with_profiler",
    "has_tracemalloc",
    "load_ipython_extension",
    "memory_usage",
    "profile",
    "psutil",
    "run_module_with_profiler",
    "show_results",
]
_ELSEWHERE = {
    "MemitResult": ("memkit.ipython.memit", "MemitResult"),
    "MemoryProfilerMagics": ("memkit.compat.memory_profiler.magics", "MemoryProfilerMagics"),
    "_find_script": ("memkit.compat.memory_profiler.command", "_find_script"),
    "exec_with_profiler": ("memkit.compat.memory_profiler.command", "exec_with_profiler"),
    "psutil": ("psutil", None),
    "run_module_with_profiler": ("memkit.compat.memory_profiler.command", "run_module_with_profiler"),
}


def __getattr__(name):
    from importlib import import_module

    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, wanted = _ELSEWHERE[name]
    value = import_module(module)
    globals()[name] = value = getattr(value, wanted) if wanted else value
    return value


def load_ipython_extension(ip):
    """``%load_ext memory_profiler``: ``%memit`` and ``%mprun``."""
    ip.register_magics(__getattr__("MemoryProfilerMagics"))


def _func_exec(stmt, ns):
    exec(stmt, ns)
