"""How Sphinx builds the documentation."""

from memkit.base.version import VERSION

project = "memkit"
release = version = VERSION
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"memkit {VERSION}"
highlight_language = "none"
autodoc_member_order = "bysource"
html_show_copyright = False
# Types of other projects, and two that have no page of their own.
nitpick_ignore_regex = [("py:class", r"(?!memkit\.).*|memkit\.base\.protocols\.Option|memkit\.report\.transforms\.T")]
nitpick_ignore = [
    ("py:class", name)
    for name in (
        *("datetime.datetime", "collections.abc.Iterable", "collections.abc.Iterator"),
        *("Namespace", "InteractiveShell"),
        *("Meters", "OptionParser", "Registry"),
    )
]


def without_field_numbers(app, what, name, thing, options, lines):
    """Fields of a named tuple that speak for themselves have no docstring; Python gives them one that says nothing."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    app.connect("autodoc-process-docstring", without_field_numbers)
