"""pymemtrace's tracers, ``from memkit.compat.pymemtrace import cPyMemTrace``, and its decorators, ``cpymemtrace_decs``."""
