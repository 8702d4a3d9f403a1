"""``python -m memkit`` is ``memkit``; the installed commands begin here as well, where next to nothing is imported yet."""

import sys

WRONG_USAGE, INTERRUPTED = 2, 130
_NAMES = {"main": "memkit", "run": "memkit-run"}


def main() -> int:
    """The ``memkit`` command; returns its exit code."""
    return _command("main")


def run() -> int:
    """The ``memkit-run`` command; returns the program's exit code."""
    return _command("run")


def _command(name: str) -> int:
    from memkit.base.errors import MemkitError

    try:
        from memkit.cli import main

        code: int = getattr(main, name)()
        return code
    except MemkitError as error:  # of an engine that was asked for and is not there
        print(f"{_NAMES[name]}: {error}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:  # most likely in the middle of an import, of which nobody wants to know
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
