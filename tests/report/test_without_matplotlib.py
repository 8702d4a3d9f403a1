"""Where only pluggy, psutil and rich were installed beside memkit, everything works but pictures."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from memkit.system import engine

pytestmark = pytest.mark.skipif(os.name != "posix", reason="packages are linked into a folder")
NEEDED = ("memkit", "pluggy", "psutil", "rich")
ABSENT = ("matplotlib", "numpy", "IPython", "pygments")


@pytest.fixture
def bare(tmp_path):
    """A function that runs an interpreter with the standard library, memkit and the three packages, and nothing else."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(Path(find_spec(name).origin).parent, target_is_directory=True)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("MEMKIT_")}
    settings |= {"PYTHONPATH": str(folder), "MEMKIT_ENGINE": engine.NAME, "PYTHONIOENCODING": "utf-8"}

    def run(*words):
        words = [sys.executable, "-S", *words]
        return subprocess.run(words, cwd=tmp_path, env=settings, capture_output=True, text=True, encoding="utf-8")

    done = run("-c", f"from importlib.util import find_spec; print(*filter(find_spec, {NEEDED + ABSENT}))")
    assert done.stdout.split() == list(NEEDED), done.stderr
    return run


def test_a_program_is_recorded_and_reported_on(bare, tmp_path):
    program = "kept = b'x' * 50_000_000"
    done = bare("-m", "memkit", "run", "-o", "a.memkit", "--csv", "a.csv", "--json", "a.json", "-c", program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"memkit   -c {program}: finished\n")
    assert json.loads((tmp_path / "a.json").read_text())["growth"] >= 50_000_000
    assert (tmp_path / "a.csv").stat().st_size


@pytest.mark.skipif(engine.NAME != "native", reason="lines and calls are traced by the native engine only")
def test_lines_and_calls_are_traced_and_printed(bare, tmp_path):
    program = "kept = b'x' * 50_000_000"
    done = bare("-m", "memkit", "run", "-o", "a.memkit", "--lines", "--calls", "--speedscope", "a.json", "-c", program)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^stayed: \+4[789]\.\d MiB; <module>", done.stderr, re.MULTILINE)
    assert json.loads((tmp_path / "a.json").read_text())["profiles"]


def test_a_picture_is_refused_in_one_line_before_the_program_runs(bare, tmp_path):
    done = bare("-m", "memkit", "run", "--plot", "a.png", "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "memkit run: a picture needs matplotlib: python -m pip install matplotlib\n"
    assert not (tmp_path / "a.png").exists()
