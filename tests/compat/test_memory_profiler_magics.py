"""``%load_ext memory_profiler``: its magics, and its table."""

import re
import sys

import pytest

from memkit import engine

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


def test_the_profiler_and_a_file_can_be_had(loaded, tmp_path):
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


def test_what_fails_or_cannot_be_measured_is_told_as_ever(loaded):
    loaded(TAKES)
    loaded("%mprun -f take take(None)")
    assert isinstance(loaded.error, TypeError)
    assert "*** SystemExit exception caught in code being profiled." in loaded("%mprun -f take raise SystemExit")
    loaded("%mprun -f a:b take(1)")
    assert "-f a:b: name a function, a method, a class or a module" in loaded.complaint
    assert sys.gettrace() is None


def test_memit_is_there_too(loaded):
    assert re.fullmatch(r"peak memory: [\d.]+ MiB, increment: [\d.]+ MiB\n", loaded("%memit spike(8)"))
