"""A page as a notebook and an interactive session show it."""

from __future__ import annotations

import os
import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from memkit.base import paths
from memkit.report.output import output, output_path
from memkit.report.page.build import html_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memkit.model.recording import Recording

HEIGHT = 760
"""Of the page in a notebook, in pixels."""


class Page:
    """The page of a recording or of a comparison, in a file.

    A notebook shows the page itself below the cell, in a frame that holds all of it: Jupyter, VS Code and Colab need no
    file for that, and the frame may run scripts, but reach nothing of the notebook.
    """

    def __init__(self, path: str):
        self.path = path
        """The file."""

    def __repr__(self) -> str:
        return f"<memkit.Page {self.path!r}: .open() shows it in a browser>"

    def _repr_html_(self) -> str:
        text = Path(self.path).read_text("utf-8")
        name = escape(self.path)
        return (
            f'<iframe srcdoc="{escape(text)}" sandbox="allow-scripts allow-popups" title="memkit" '
            f'style="width:100%;height:{HEIGHT}px;border:1px solid #8886"></iframe>'
            f'<div style="font-size:12px">the same as a file, for a browser: <code>{name}</code></div>'
        )

    def open(self) -> bool:
        """Open the page in a browser; returns whether there is one."""
        import webbrowser

        try:
            return webbrowser.open(Path(self.path).resolve().as_uri())
        except webbrowser.Error:
            return False


def page_of(
    recording: Recording,
    path: str | os.PathLike[str] | None = None,
    *,
    stem: str = "memkit",
    source: bool = True,
    redact: bool = False,
) -> Page:
    """Write the page of a recording; see ``written``."""
    return written(html_page(recording, source=source, redact=redact), path, stem)


def written(pieces: Iterable[str], path: str | os.PathLike[str] | None, stem: str) -> Page:
    """Write a page, by default into a temporary folder that only its user can read.

    Raises ``UsageError`` for what is no path of a file, and ``MemkitError`` where the file cannot be written.
    """
    if path is None:
        place = os.path.join(tempfile.mkdtemp(prefix="memkit-"), f"{stem}.html")
    else:
        place = output_path(paths.text_of(path))
    with output(place) as file:
        file.writelines(pieces)
    return Page(place)
