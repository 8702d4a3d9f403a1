"""Putting a page together: its markup, styles and scripts, and the recording, packed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING

from memkit.report.document import document
from memkit.report.page.redact import redacted
from memkit.report.page.thin import thinned
from memkit.report.page.view import view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memkit.model.recording import Recording

SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    *("format.js", "terms.js", "table.js", "curves.js", "overview.js", "processes.js", "lines.js", "tree.js"),
    *("icicle.js", "calls.js", "workers.js", "worker.js", "made_of.js", "about.js", "start.js"),
)
STYLES = ("vendor/uPlot.min.css", "page.css")


def html_page(recording: Recording, *, source: bool = True, redact: bool = False) -> Iterator[str]:
    """The page of a recording, in pieces: HTML that asks no server for anything, and runs no script but its own.

    Without ``source`` it has no source text; with ``redact`` no paths, arguments, texts of errors, host and source either.
    """
    whole = redacted(recording) if redact else recording
    shown, left_out = thinned(whole)
    words = json.dumps(view(whole, shown, left_out, source and not redact, redact))
    yield from assembled(SCRIPTS, {"recording": document(shown), "view": [words]})


def assembled(names: Iterable[str], held: dict[str, Iterable[str]]) -> Iterator[str]:
    """A page in pieces, of scripts by their names and the documents that it holds by their ids."""
    styles = [_asset(name) for name in STYLES]
    scripts = [_asset(name) for name in names]
    yield "<!doctype html>\n<!-- memkit page 1: memkit report FILE reads it -->\n"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts, styles)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>memkit</title>\n'
    yield from (f"<style>{style}</style>\n" for style in styles)
    yield f"</head>\n{_asset('page.html')}"
    for id, pieces in held.items():
        yield from _held(id, pieces)
    yield from (f"<script>{script}</script>\n" for script in scripts)
    yield "</body>\n</html>\n"


def _asset(name: str) -> str:
    return (files("memkit.report.page") / "assets" / name).read_text("utf-8")


def _policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """A content security policy that lets run what is in the page, by its hash, and nothing be loaded from anywhere."""
    parts = [
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, scripts))}",
        f"style-src {' '.join(map(_hash, styles))}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(parts)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _held(id: str, pieces: Iterable[str]) -> Iterator[str]:
    """A part of the page that holds a document, packed: letters and digits only, so that no text in it can end it."""
    packed = gzip.compress("".join(pieces).encode("utf-8", "backslashreplace"), mtime=0)
    yield f'<script type="application/gzip" id="{id}">{base64.b64encode(packed).decode()}</script>\n'
