"""Prints, as JSON, what a program can see of the way it is run."""

names = sorted(dir())


def spec_of(spec):
    if spec is None:
        return None
    return [spec.name, spec.origin, spec.parent, spec.cached, spec.has_location, type(spec.loader).__name__]


def seen():
    import os
    import signal
    import sys
    import warnings

    main = sys.modules["__main__"]
    return {
        "names": names,
        "main": vars(main) is globals(),
        "name": __name__,
        "file": globals().get("__file__"),
        "cached": globals().get("__cached__"),
        "package": __package__,
        "doc": __doc__,
        "spec": spec_of(__spec__),
        "loader": (__loader__ if isinstance(__loader__, type) else type(__loader__)).__name__,
        "builtins": type(__builtins__).__name__,
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "path": sys.path,
        "flags": str(sys.flags),
        "options": [sys.warnoptions, {name: str(value) for name, value in sys._xoptions.items()}],
        "filters": str(warnings.filters),
        "streams": [str(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "traced": [sys.gettrace(), sys.getprofile()],
        "hook": sys.excepthook is sys.__excepthook__,
        "signals": {str(number): str(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()},
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "limit": sys.getrecursionlimit(),
        "assertions": __debug__,
    }


def show():
    import json

    print(json.dumps(seen(), indent=1, sort_keys=True))


show()
