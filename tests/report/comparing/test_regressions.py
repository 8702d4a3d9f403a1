"""Planted regressions are found, and the same program does not fail a gate: a few of what ``tests/regressions.py`` tries."""

import pytest

import memkit

import regressions

pytestmark = pytest.mark.usefixtures("native_only")


def test_planted_lines_are_first_or_second_whatever_was_done_to_the_code(tmp_path):
    found = {case: rank for case, rank, _ in regressions.tried(tmp_path, 8, seed=5)}
    assert len({case[2] for case in found}) == len(regressions.KINDS)
    assert {case: rank for case, rank in found.items() if rank[0] not in (1, 2)} == {}


def test_two_recordings_of_the_same_program_fail_no_gate(tmp_path):
    assert list(regressions.failed_gates(tmp_path, 5)) == []


def test_a_line_of_a_changed_file_is_found_by_the_text_that_was_kept(tmp_path):
    file, options = tmp_path / "pipeline.py", ("--lines", "--keep-source")
    source = regressions.PROGRAMS["pipeline"].lstrip()
    before = regressions.record(source, file, options)
    assert dict(before.sources) == {str(file): source}
    more = "    unlike = 1\n    other = 2\n"
    planted = more + f"    {regressions.KINDS['growth']}\n"
    after = regressions.record(source.replace("    found = []\n", f"    found = []\n{planted}", 1), file, options)
    comparison = memkit.compare(before, after)
    rows = [row for row in comparison.lines if row.place.function.name == "enrich"]
    assert [row.state for row in rows if row.place.text.startswith(("unlike", "other", "KEPT"))] == ["new"] * 3
    assert {row.after.number - row.before.number for row in rows if row.state == "both"} == {0, 3}
    assert "037" in comparison.cause.place.text
    assert not any("matched by their places" in note for note in comparison.remarks)
