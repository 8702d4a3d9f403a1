"""``memkit-run --requests``: applications are found as their servers load them, and the program is not changed.

A module that is known to load applications is watched for, and one function of it is wrapped once it has been imported.
"""

from __future__ import annotations

import functools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def install() -> None:
    """Watch from now on, in this process; what is imported already is wrapped at once."""
    if any(isinstance(finder, _Watch) for finder in sys.meta_path):
        return
    for name, wrap in _KNOWN.items():
        if name in sys.modules:
            wrap(sys.modules[name])
    sys.meta_path.insert(0, _Watch())


def wrapped(app: Any) -> Any:
    """An application with a span around each request: of ASGI where it is asynchronous, else of WSGI."""
    from memkit.integrations import asgi, wsgi

    if isinstance(app, (asgi.SpanMiddleware, wsgi.SpanMiddleware)):
        return app
    return (asgi if _is_asynchronous(app) else wsgi).SpanMiddleware(app)


def _is_asynchronous(app: Any) -> bool:
    import inspect

    return any(map(inspect.iscoroutinefunction, (app, getattr(app, "__call__", None))))  # noqa: B004 (it is looked into)


class _Watch:
    """Finds the modules that are watched for, as the other finders do."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _KNOWN:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, _KNOWN[name])  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, and then wraps a function of it."""

    def __init__(self, loader: Any, wrap: Callable[[Any], None]) -> None:
        self._loader, self._wrap = loader, wrap

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._wrap(module)
        except Exception as error:  # another version of the server: it serves all the same
            from memkit.base.errors import in_a_line
            from memkit.base.stderr import to_stderr

            to_stderr(f"--requests does not know this {module.__name__}: {in_a_line(error)}")


def _after(owner: Any, name: str, then: Callable[..., Any]) -> None:
    """Have a method call ``then`` with its object and its result, once it has run; what that returns is the result."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return then(self, original(self, *args, **kwargs))

    setattr(owner, name, method)


def _uvicorn(module: Any) -> None:
    def loaded(config: Any, result: Any) -> Any:
        config.loaded_app = wrapped(config.loaded_app)
        return result

    _after(module.Config, "load", loaded)


def _hypercorn(module: Any) -> None:
    def made(wrapper: Any, result: Any) -> Any:
        wrapper.app = wrapped(wrapper.app)
        return result

    for kind in (module.ASGIWrapper, module.WSGIWrapper):
        _after(kind, "__init__", made)


def _gunicorn(module: Any) -> None:
    def found(server: Any, app: Any) -> Any:
        server.callable = wrapped(app)
        return server.callable

    _after(module.BaseApplication, "wsgi", found)


def _wsgiref(module: Any) -> None:
    def has(server: Any, result: Any) -> Any:
        server.application = wrapped(server.application)
        return result

    _after(module.WSGIServer, "set_app", has)


def _celery(module: Any) -> None:
    from memkit.integrations import celery

    celery.connect(module)


_KNOWN: dict[str, Callable[[Any], None]] = {
    "uvicorn.config": _uvicorn,
    "hypercorn.app_wrappers": _hypercorn,
    "gunicorn.app.base": _gunicorn,
    "wsgiref.simple_server": _wsgiref,
    "celery.signals": _celery,
}
"""By the name of the module: what wraps a function of it."""
