"""Measures what ``pytest --memkit`` adds to a suite of 2,000 small tests, beside pytest-memray where that is installed.

Target: at most 5 % of the time that pytest takes, and at most 1 ms a test. Needs ``pip install plugins/pytest-memkit``.

Each run is a process of its own, and what is compared is its CPU time, children included. A test builds a few thousand
objects, as small tests of real projects do; ``python bench_pytest.py empty`` has tests that do nothing, where pytest is all.
"""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import paired

FILES, TESTS, ROUNDS, SHARE, MILLISECONDS = 20, 100, 3, 1.05, 1.0
HEAD = """\
import json
import pytest


@pytest.fixture
def rows():
    return [{{"id": number, "name": str(number), "tags": ["a", "b"]}} for number in range({size})]


@pytest.mark.parametrize("number", range({tests}))
def test_round_trip(number, rows):
    assert json.loads(json.dumps(rows)) == rows
"""
PLUGINS = {"memkit": ["-p", "pytest_memkit.plugin", "--memkit"], "memray": ["-p", "pytest_memray.plugin", "--memray"]}


def run(folder, *words):
    """Seconds of CPU time that pytest takes for the suite."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, str(folder)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules would be compiled in each run
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    output = started.stdout.read()
    _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        sys.exit(output)
    return usage.ru_utime + usage.ru_stime


def main():
    size = 0 if "empty" in sys.argv else 150
    paired.header(f"what memkit adds to {FILES * TESTS:,} small tests")
    if find_spec("pytest_memkit") is None:
        sys.exit("pytest-memkit is not installed: pip install plugins/pytest-memkit")
    names = [name for name in PLUGINS if find_spec(f"pytest_{name}")]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FILES):
            (Path(folder) / f"test_{number}.py").write_text(HEAD.format(size=size, tests=TESTS))
        runs = {name: lambda words=PLUGINS[name]: run(folder, *words) for name in names}
        rounds = paired.by_turns(ROUNDS, plain=lambda: run(folder), **runs)
    rows = [("plain", f"{paired.median(rounds, 'plain'):.2f} s", "", "")]
    for name in names:
        added = paired.difference(rounds, name, "plain") / (FILES * TESTS) * 1e3
        ratio = paired.ratio(rounds, name, "plain")
        rows.append((name, f"{paired.median(rounds, name):.2f} s", f"{ratio:.2f}", f"{added:.3f} ms"))
    paired.table(("CPU time", "whole run", "ratio", "added to a test"), rows)
    added = paired.difference(rounds, "memkit", "plain") / (FILES * TESTS) * 1e3
    print("\nratio:", paired.verdict(paired.ratio(rounds, "memkit", "plain"), SHARE))
    print("added to a test:", paired.verdict(added, MILLISECONDS, " ms"))


if __name__ == "__main__":
    main()
