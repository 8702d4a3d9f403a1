"""Recordings that could not be written to their end: what the code that was typed gave is not lost with them."""

import os
import re
from contextlib import suppress

import pytest

import memkit
from memkit.ipython.measurement import Measurement
from memkit.system import engine

traced = pytest.mark.skipif(engine.NAME != "native", reason="lines are traced by the native engine only")
INCOMPLETE = (
    r"memkit: the recording is incomplete: \d+ rows did not reach a temporary file: .+; what was written before .+\n"
)


@pytest.fixture
def full(loaded):
    """A shell with ``fill()``, from which on no file can grow until the cell has ended: pytest may write into one, too."""
    resource = pytest.importorskip("resource", reason="the limit stands in for a full disk")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def clear(_=None):
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    loaded.ip.user_ns |= {"fill": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1])), "clear": clear}
    loaded.ip.events.register("post_run_cell", clear)
    yield loaded
    loaded.ip.events.unregister("post_run_cell", clear)
    clear()


@pytest.fixture
def closing(loaded):
    """A shell with ``close()``, which closes what a recording opened."""
    loaded("%%memkit -q\n1")  # what stays open from the first recording on
    before = set(descriptors())

    def close():
        for each in descriptors():
            if each not in before:
                with suppress(OSError):  # of a reading of memory: the thread that samples has closed it meanwhile
                    os.close(each)

    loaded.ip.user_ns["close"] = close
    return loaded


def descriptors():
    """The descriptors that are open."""
    found = []
    for number in range(3, 1024):
        with suppress(OSError):
            os.fstat(number)
            found.append(number)
    return found


def test_a_full_disk_keeps_the_value_of_a_recorded_cell(full):
    printed = full("%%memkit --out run\nfill()\n7")
    assert full.error is None
    assert full.result.result == 7
    assert re.fullmatch(INCOMPLETE, full.complaint)
    assert printed.startswith("memkit   In [2]: not known: the recording has no end")
    assert full.ip.user_ns["run"].ending.kind == "unknown"


def test_a_full_disk_keeps_the_error_of_a_recorded_cell(full):
    full("%%memkit -q\nfill()\n1 / 0")
    assert isinstance(full.error, ZeroDivisionError)
    assert full.error.__context__ is None
    assert re.fullmatch(INCOMPLETE, full.complaint)


@traced
@pytest.mark.parametrize("then", ["", "; 1 / 0"])
def test_tables_of_incomplete_recordings_are_shown(full, then):
    full("def work():\n    fill()")
    printed = full(f"profiler = %mprun -r -f work work(){then}")
    assert re.fullmatch(INCOMPLETE, full.complaint)
    # The sums are written every quarter of a second, and that may fall between the two lines.
    assert printed.startswith(("no lines are known: the recording was cut off before any were written\n", "work  In [2]:1"))
    assert (full.error is None) == (not then)
    assert isinstance(full.ip.user_ns.get("profiler"), memkit.LineProfiler if not then else type(None))


def test_a_measurement_whose_curve_was_cut_off_lacks_only_samples(full):
    measurement = Measurement(curve=True)
    full.ip.user_ns["fill"]()
    measured = measurement.end()
    full.ip.user_ns["clear"]()
    assert measured.peak >= measured.after > 0


def test_a_cell_that_closes_descriptors_has_its_value(closing):
    closing("%%memkit\nclose()\n6")
    assert closing.error is None
    assert closing.result.result == 6
    assert re.fullmatch(
        INCOMPLETE + "memkit: the recording cannot be shown: the program closed the temporary file of the recording: .+\n",
        closing.complaint,
    )


@traced
def test_a_statement_that_closes_descriptors_is_reported_in_lines(closing):
    closing("def work():\n    close()")
    closing("%mprun -f work work()")
    assert closing.error is None
    assert re.fullmatch(INCOMPLETE + "memkit: no tables can be shown: the program closed .+\n", closing.complaint)


def test_a_failing_report_keeps_the_value(loaded, tmp_path):
    (tmp_path / "away").mkdir()
    loaded(f"%%memkit -q --csv {tmp_path / 'away' / 'a.csv'}\nimport os; os.rmdir({str(tmp_path / 'away')!r})\n5")
    assert loaded.result.result == 5
    assert re.fullmatch("memkit: .+a.csv.+\n", loaded.complaint)


@traced
def test_tables_that_cannot_be_saved_are_reported_in_one_line(loaded, tmp_path):
    (tmp_path / "away").mkdir()
    loaded("def work():\n    import os; os.rmdir(place)")
    loaded.ip.user_ns["place"] = str(tmp_path / "away")
    printed = loaded(f"profiler = %mprun -r -T {tmp_path / 'away' / 'a.txt'} -f work work()")
    assert "saved to text file" not in printed
    assert re.fullmatch("memkit: cannot write .+\n", loaded.complaint)
    assert isinstance(loaded.ip.user_ns["profiler"], memkit.LineProfiler)
