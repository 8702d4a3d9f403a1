"""The label of a request: its method and the template of its route, not its URL, of which there are too many."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Label = Callable[[str, str], str]

NO_ROUTE = "<no route>"
OTHER = "<other>"
"""A method that is none: strangers may write what they like, and labels are few."""
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "WEBSOCKET"}
_MOST_KNOWN = 4096  # paths whose label is kept; others are looked up each time
_MOST_LAYERS = 50  # of middleware around an application


def labeller(app: object) -> Label:
    """What tells the label of a request to an application, from its method and its path.

    The template is that of the route that the application would take, where it is of Starlette, FastAPI, Flask or Django; of
    others the parts of the path that have a digit in them stand for any.
    """
    find = _finder(app)
    known: dict[tuple[str, str], str] = {}

    def label(method: str, path: str) -> str:
        found = known.get((method, path))
        if found is None:
            try:
                template = find(method, path)
            except Exception:  # it is not as we know it: the request is answered all the same
                template = without_digits(path)
            found = f"{method if method in _METHODS else OTHER} {template}"
            if len(known) < _MOST_KNOWN:
                known[method, path] = found
        return found

    return label


def without_digits(path: str) -> str:
    """A path where each part that has a digit in it, as identifiers do, is ``{}``."""
    return "/".join("{}" if any(map(str.isdigit, part)) else part for part in path.split("/"))


def _finder(app: Any) -> Label:
    for _ in range(_MOST_LAYERS):
        if isinstance(getattr(app, "routes", None), list):
            routed = app
            return lambda method, path: _of_starlette(routed.routes, method, path) or NO_ROUTE
        if hasattr(app, "url_map"):
            return _of_flask(app)
        if type(app).__module__.partition(".")[0] == "django":
            return _of_django
        inner = getattr(app, "app", None) or getattr(app, "wsgi_app", None) or getattr(app, "application", None)
        if inner is None:
            break
        app = inner
    return lambda method, path: without_digits(path)


def _of_starlette(routes: Iterable[Any], method: str, path: str) -> str | None:
    """The first route that takes the path and the method, else the first that takes the path; as Starlette finds it."""
    partly = None
    for route in _each(routes):
        matched = route.path_regex.match(path) if hasattr(route, "path_regex") else None
        if matched is None:
            continue
        template: str = route.path
        if getattr(route, "routes", None) is not None and "path" in matched.groupdict():  # applications below it
            below = _of_starlette(route.routes or (), method, "/" + matched["path"].lstrip("/"))
            return template + (below or "/" + NO_ROUTE)
        methods = getattr(route, "methods", None)
        if methods is None or method in methods:
            return template
        partly = partly or template
    return partly


def _each(routes: Iterable[Any]) -> Iterator[Any]:
    """The routes, with those of routers that FastAPI has included in their places."""
    for route in routes:
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            yield from included()


def _of_flask(app: Any) -> Label:
    def find(method: str, path: str) -> str:
        exceptions = sys.modules["werkzeug.exceptions"]
        try:
            rule, _ = app.url_map.bind("localhost").match(path, method=method, return_rule=True)
        except exceptions.HTTPException:
            return NO_ROUTE
        template: str = rule.rule
        return template

    return find


def _of_django(method: str, path: str) -> str:
    urls = sys.modules["django.urls"]
    try:
        return f"/{urls.resolve(path).route}"
    except urls.Resolver404:
        return NO_ROUTE
