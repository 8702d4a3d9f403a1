"""The README's comparison: what it says of memkit is so, and it says of when and of which versions it speaks."""

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from memkit.base.version import VERSION

README = (Path(__file__).resolve().parents[1] / "README.rst").read_text(encoding="utf-8")
SECTION = README[README.index("What it answers, and what others do") : README.index("Try it\n---")]
ROWS = [  # each begins with its question
    [" ".join(cell.split()) for cell in re.split(r"\n {6}-", row.rstrip())]
    for row in re.split(r"\n {4}\* - ", SECTION.partition(".. list-table::")[2])[1:]
]
PROGRAM = """\
import subprocess, sys
import memkit

def taken():
    with memkit.span("a request"):
        return [0] * 10**6

kept = taken()
subprocess.run([sys.executable, "-c", "kept = bytearray(10**7)"])
"""
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
BALANCE = "import memkit; print(memkit.balance())"
# Question: the options, the program, and what the report then has. None: what other tests run, such as those of notebooks.
ANSWERS = {
    "How much, over time?": ([], PROGRAM, r"^peak +\d"),
    "And if it is killed by ``SIGKILL``?": ([], KILLED, r"killed by SIGKILL[\s\S]*^peak "),
    "Which line?": (["--lines"], PROGRAM, r"hits +time +growth +memory +rise +peak +source[\s\S]* return \[0\]"),
    "Which call, by which path?": (["--calls"], PROGRAM, r"^ +\+[78]\.\d MiB.* 1 .*taken "),
    "Which cell, in a notebook?": None,
    "What is alive, and who allocated it?": (["--heap"], PROGRAM, r"^ +7\.6 MiB +\d+% +\d+ +taken "),
    "Why is resident memory more than the heap?": ([], BALANCE, r"% of it explained[\s\S]+ free room in Python's arenas"),
    "Which request, task or test?": ([], PROGRAM, r"^a request .*\+[78]\.\d MiB"),
    "And child processes?": (["--children"], PROGRAM, r"^together .*; 2 processes"),
    "A process that runs already?": None,
    "Will it fit, what limits it?": ([], PROGRAM, r"^limit .* left at the start"),
    "What changed between two runs?": None,
}


def test_every_row_of_the_comparison_is_checked_here_or_known_not_to_be():
    assert [row[0] for row in ROWS[1:]] == list(ANSWERS)
    assert {len(row) for row in ROWS} == {6}
    assert ROWS[0] == ["question", "memkit", "memory_profiler", "memray", "scalene", "fil"]


def test_the_comparison_has_its_date_and_the_versions_that_it_compares():
    month, year = re.search(r"As of (\w+) (\d{4}), on Linux, in ", SECTION).groups()
    months = [date(2000, number, 1).strftime("%B") for number in range(1, 13)]
    assert month in months and int(year) >= 2026
    versions = dict(re.findall(r"(\w+)\s+(\d+(?:\.\d+)+)", SECTION.partition(", on Linux, in ")[2].partition(".. list")[0]))
    assert list(versions) == ROWS[0][1:]
    assert versions["memkit"] == VERSION


@pytest.mark.parametrize("question", [question for question, answer in ANSWERS.items() if answer])
def test_the_report_answers_what_the_comparison_says_it_does(question, native_only, tmp_path):
    options, program, found = ANSWERS[question]
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "memkit", "run", *options, "program.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    report = said.stderr + said.stdout
    assert re.search(found, report, re.MULTILINE), report
