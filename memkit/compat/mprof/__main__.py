"""``python -m memkit.compat.mprof`` is the command ``mprof``."""

from memkit.compat.mprof.commands import main

if __name__ == "__main__":
    main()
