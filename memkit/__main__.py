"""``python -m memkit`` is ``memkit``; the installed commands begin here as well, where next to nothing is imported yet."""

import sys

INTERRUPTED = 130


def main() -> int:
    """The ``memkit`` command; returns its exit code."""
    return _command("main")


def run() -> int:
    """The ``memkit-run`` command; returns the program's exit code."""
    return _command("run")


def _command(name: str) -> int:
    try:
        from memkit import cli

        return getattr(cli, name)()
    except KeyboardInterrupt:  # most likely in the middle of an import, of which nobody wants to know
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
