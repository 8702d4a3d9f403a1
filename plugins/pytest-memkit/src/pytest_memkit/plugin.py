"""The options, the ini settings and the marker; what measures is loaded only where one of the options is given."""

from __future__ import annotations

from typing import Any

import pytest

OPTIONS: dict[str, dict[str, Any]] = {
    "--memkit": {"action": "store_true", "help": "measure the memory of tests: a table of what each phase took and kept"},
    "--memkit-meter": {
        "choices": ("auto", "heap", "rss"),
        "default": "auto",
        "help": "exact bytes of the heap, or resident memory with its error; auto, the default, is the heap where possible",
    },
    "--memkit-top": {"type": int, "default": 10, "metavar": "N", "help": "rows of each table; 0 for all. The default is 10"},
    "--memkit-paths": {
        "action": "store_true",
        "help": "trace lines and calls of every test, not only of those with a marker, to name what was over a budget",
    },
    "--memkit-save": {"action": "store_true", "help": "write what the tests used into the baseline"},
    "--memkit-check": {"action": "store_true", "help": "fail tests that use more than the baseline and the tolerance allow"},
    "--memkit-baseline": {"metavar": "FILE", "help": "the baseline; the default is the ini setting memkit_baseline"},
    "--memkit-markdown": {"metavar": "FILE", "help": "append a table for a pull request to FILE"},
    "--memkit-html": {"metavar": "DIR", "help": "write a page for each test, and index.html with links to them"},
}
MARKER = (
    "memkit(peak=None, kept=None, allocated=None, allow_leaks=False, warmup=0, processes=False): what a test may use, with "
    "--memkit; sizes are bytes, or text such as '24 MiB'."
)
IMPLYING = ("memkit", "memkit_save", "memkit_check", "memkit_paths", "memkit_markdown", "memkit_html")
SETTINGS = {
    "memkit_peak": "the budget of every test for its peak, such as 100 MiB",
    "memkit_kept": "the budget of every test for what it keeps",
    "memkit_allocated": "the budget of every test for what it allocates in all",
    "memkit_warmup": "how often every test runs before it is measured",
    "memkit_baseline": "the file of the baseline, below the root folder; memkit-baseline.txt",
    "memkit_tolerance": "what a test may use more than its baseline: a share and a size, whichever is more; 10% 64 KiB",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("memkit", "memory of tests")
    for name, how in OPTIONS.items():
        group.addoption(name, **how)
    for name, text in SETTINGS.items():
        parser.addini(name, text, default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if any(config.getoption(name) for name in IMPLYING):
        from pytest_memkit.measuring import register

        register(config)
