"""``--mprof``: recordings as mprof's files, and mprof's files as recordings of every report."""

from pathlib import Path

import memkit

CHILDREN = Path(__file__).parents[1] / "data" / "mprof_children.dat"
SPAN = """
import mmap, memkit
with memkit.span("taking it"):
    memory = mmap.mmap(-1, 30 << 20)
    memory[::mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
"""


def test_a_run_is_written_as_mprof_does(memkit_run, tmp_path):
    done = memkit_run("-c", SPAN, options=("-q", "--mprof", "a.dat"))
    assert (done.returncode, done.stderr) == (0, "")
    found = memkit.read(tmp_path / "a.dat")
    assert found.about.argv[0] == "-c"
    assert [span.label for span in found.spans] == ["taking_it"]
    assert abs(found.spans[0].growth - done.recording.spans[0].growth) < 1000
    assert abs(found.peak - done.recording.peak) < 100_000 + 1000
    assert len(found.samples) >= len(done.recording.samples)


def test_standard_output_is_a_file_too(memkit, tmp_path):
    done = memkit("report", "-q", "--mprof", "-", str(CHILDREN))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(CHILDREN.read_text().splitlines())


def test_every_report_takes_a_file_of_mprof(memkit, tmp_path):
    words = ["--csv", "a.csv", "--json", "a.json", "--plot", "a.svg"]
    done = memkit("report", str(CHILDREN), *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python kids.py: ended, exit status unknown" in done.stdout
    assert "between two samples it may have been higher" in done.stdout
    assert (tmp_path / "a.csv").read_text().splitlines()[1].split(",")[1:] == [
        "0",
        "204799",
        "204799",
    ]  # six digits of a MiB


def test_several_recordings_are_refused(memkit):
    done = memkit("report", "--mprof", "a.dat", str(CHILDREN), str(CHILDREN))
    assert done.returncode == 2
    assert "--mprof takes one recording" in done.stderr
