"""What both modules share: the check whether the original is installed, too."""

from __future__ import annotations

import os
import sys

MENDED = "python -m pip uninstall -y memory-profiler memkit-memory-profiler, and install memkit-memory-profiler again"
OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def refusal() -> str | None:
    """What is wrong and how to mend it, in one line, where the original is installed beside this; None otherwise.

    One in a folder that comes later on the path, as below a virtual environment, is not in the way.
    """
    folders = [os.path.abspath(folder) for folder in sys.path]
    for folder in folders[: folders.index(OWN) + 1] if OWN in folders else [OWN]:
        try:
            names = os.listdir(folder)
        except OSError:  # a zip file, or nothing
            continue
        for name in names:
            if name.lower().startswith("memory_profiler-") and name.endswith((".dist-info", ".egg-info")):
                version = name.split("-")[1].removesuffix(".dist").removesuffix(".egg")
                return (
                    f"memory-profiler {version} and memkit-memory-profiler are both installed, and have files of the "
                    f"same names: keep one of them. To keep memkit's: {MENDED}"
                )
    return None


def check() -> None:
    """Raise ``ImportError`` where the original is installed beside this."""
    reason = refusal()
    if reason:
        raise ImportError(reason)


def mprof() -> int:
    """The command ``mprof``."""
    reason = refusal()
    if reason:
        print(f"mprof: {reason}", file=sys.stderr)
        return 1
    from memkit.compat.mprof import main

    main()
    return 0
