"""Libraries that read a file in threads of their own: what they take belongs to the function that called them."""

import pytest

from engines import GATES, MIB, allowed

pytestmark = pytest.mark.usefixtures("native_only")

ROWS = 5000
"""Rows of a block, which the file repeats."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A file of 100 MB of comma-separated values."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    rows = (f"{row},{row * 0.37:.6f},{row * 7 % 1000},{row / 3:.6f},name{row % 500}\n" for row in range(ROWS))
    block = "".join(rows).encode()
    with open(path, "wb") as file:
        file.write(b"a,b,c,d,name\n")
        file.writelines([block] * (100_000_000 // len(block)))
    return path


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_file_that_is_read_in_threads_belongs_to_its_reader(python, table, library, gate):
    pytest.importorskip(library)
    allowed(gate)
    by_calls, by_lines, truth = python(
        f"""
import json
import memkit
import {library} as library

def begin():
    return library.read_csv({str(table)!r}, {"nrows" if library == "pandas" else "n_rows"}=1000)

def load():
    return library.read_csv({str(table)!r})

begin()                     # its pool, if it has one
with memkit.record(calls=True) as run:
    before = memkit.rss()
    frame = load()
    grown = memkit.rss() - before
calls = [call.growth for call in run.recording.calls if call.function.name == "load"]
del frame
with memkit.record(lines=load) as run:
    before = memkit.rss()
    frame = load()
    by_lines = memkit.rss() - before
print(json.dumps([sum(calls) - grown, sum(line.growth for line in run.recording.lines) - by_lines, grown]))
""",
        gate=gate,
    )
    assert truth > 20 * MIB
    assert by_calls == pytest.approx(0, abs=max(MIB, 0.02 * truth))
    assert by_lines == pytest.approx(0, abs=max(MIB, 0.02 * truth))
