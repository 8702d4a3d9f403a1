"""``%load_ext memory_profiler``: its magics, and its table."""

import builtins
import re
import sys

import pytest

from memkit.system import engine

pytestmark = pytest.mark.skipif(engine.NAME != "native", reason="growth is exact with the native engine only")
HEAD = "Line #    Mem usage    Increment  Occurrences   Line Contents\n" + "=" * 61 + "\n"
TAKES = "def take(size):\n    kept = touched(size)\n    kept.close()\n    return size"
ROW = re.compile(r" *(\d+) +([\d.]+) MiB +(-?[\d.]+) MiB +(\d+)   (.*)")


@pytest.fixture
def loaded(shell):
    """A shell with the extension of memory_profiler."""
    assert shell("%load_ext memkit.compat.memory_profiler") == ""
    return shell


def rows(text):
    """Of a table: (line, increment, occurrences, text) of each line that ran."""
    found = [ROW.fullmatch(line) for line in text.splitlines()]
    return [(int(row[1]), float(row[3]), int(row[4]), row[5]) for row in found if row]


def test_the_table_has_five_columns(loaded):
    loaded(TAKES)
    shown = loaded("%mprun -f take take(32)")
    assert shown.startswith("Filename: ") and HEAD in shown
    entry, *body = rows(shown)
    assert (entry[0], entry[2], entry[3]) == (1, 1, "def take(size):")
    assert [(line, times, text) for line, _, times, text in body] == [
        (2, 1, "    kept = touched(size)"),
        (3, 1, "    kept.close()"),
        (4, 1, "    return size"),
    ]
    assert [increment for _, increment, *_ in body] == pytest.approx([32, -32, 0], abs=0.2)


def test_a_cell_measures_its_own_lines(loaded):
    shown = loaded("%%mprun\nkept = touched(16)\nkept.close()")
    assert [(line, text) for line, _, _, text in rows(shown)] == [(1, "kept = touched(16)"), (2, "kept.close()")]
    assert rows(shown)[1][1] == pytest.approx(-16, abs=0.2)


def test_the_profiler_is_returned_and_the_tables_are_written_to_a_file(loaded, tmp_path):
    loaded(TAKES)
    shown = loaded(f"found = %mprun -r -f take -T {tmp_path / 'table.txt'} take(8)")
    assert f"*** Profile printout saved to text file {tmp_path / 'table.txt'}. " in shown
    assert shown.startswith((tmp_path / "table.txt").read_text())
    found = loaded.ip.user_ns["found"]
    ((_, lines),) = found.code_map.items()
    assert dict(lines)[2][0] == pytest.approx(8, abs=0.2)
    assert found.enable_count == 0 and sys.gettrace() is None


def test_methods_of_a_class_and_functions_of_a_module_are_measured(loaded, tmp_path, monkeypatch):
    loaded("class Jobs:\n    def one(self):\n        return 1\n    def two(self):\n        return 2")
    shown = loaded("%mprun -f Jobs Jobs().one() + Jobs().two()")
    assert [text.strip() for *_, text in rows(shown)] == ["def one(self):", "return 1", "def two(self):", "return 2"]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_jobs.py").write_text("def three():\n    return 3\n")
    loaded("import some_jobs")
    assert len(rows(loaded("%mprun -f some_jobs some_jobs.three()"))) == 2
    sys.modules.pop("some_jobs")


@pytest.fixture
def decorated(loaded, tmp_path, monkeypatch):
    """A shell where ``@profile`` is above a function of a module, ``decorated.take``, and of another one that imports it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "decorated.py").write_text("@profile\ndef take(size):\n    return [0] * size\n")
    (tmp_path / "importing.py").write_text(
        "from memkit.compat.memory_profiler import profile\n@profile\ndef take():\n    return 1\n"
    )
    yield loaded
    sys.modules.pop("decorated", None)
    sys.modules.pop("importing", None)


@pytest.mark.parametrize("words", ["", "-f memkit.units.show_bytes"])
def test_functions_under_profile_are_measured_without_printing_tables(decorated, words):
    decorated("import memkit.units")
    shown = decorated(f"%mprun {words} import decorated; kept = decorated.take(5)")
    assert decorated.error is None
    assert shown.count(HEAD) == 1 and decorated.complaint == ""
    assert [(line, times, text) for line, _, times, text in rows(shown)] == [
        (1, 1, "@profile"),
        (3, 1, "    return [0] * size"),
    ]
    assert not hasattr(builtins, "profile")
    assert decorated("decorated.take(1)") == "Out[4]: [0]\n"


def test_functions_under_profile_that_ran_before_are_measured_in_a_cell(decorated):
    shown = decorated("%%mprun\ndef take():\n    return 1\ntake()\ntaken = profile(take)\ntaken()")
    assert (2, 2, "    return 1") in [(line, times, text) for line, _, times, text in rows(shown)]


def test_an_imported_profile_still_prints_its_own_table(decorated):
    for cell in ("%mprun import importing; importing.take()", "importing.take();"):
        assert [text for *_, text in rows(decorated(cell))] == ["@profile", "    return 1"]


def test_where_nothing_was_measured_nothing_is_shown(loaded):
    assert loaded("%mprun kept = 1").strip() == ""
    assert loaded.error is None and loaded.ip.user_ns["kept"] == 1


def test_errors_are_reported_as_by_memkits_own_magics(loaded):
    loaded(TAKES)
    loaded("%mprun -f take take(None)")
    assert isinstance(loaded.error, TypeError)
    assert "*** SystemExit exception caught in code being profiled." in loaded("%mprun -f take raise SystemExit")
    loaded("%mprun -f a:b take(1)")
    assert "-f a:b: name a function, a method, a class or a module" in loaded.complaint
    assert sys.gettrace() is None


def test_memit_is_there_too(loaded):
    assert re.fullmatch(r"peak memory: [\d.]+ MiB, increment: [\d.]+ MiB\n", loaded("%memit spike(8)"))
