"""Lines of a heap that was sampled: matched between two runs, and a difference only where the errors of both allow one."""

import json
import math
import os
import random
import textwrap
from dataclasses import replace

import pytest

import memkit
from memkit.model.calls import Call, Function
from memkit.model.heap import NO_SAMPLES, Heap, HeapErrors, HeapTotal
from memkit.model.heap_paths import HeapPath, heap_lines
from memkit.report.comparing import flame, tables
from memkit.report.comparing.changes import noise_of_samples
from memkit.report.comparing.document import document
from memkit.report.comparing.markdown import markdown
from memkit.report.comparing.redacted import redacted
from memkit.report.comparing.statements import Statements

MIB = 1 << 20
DISTANCE = 512 << 10
LIBRARY = Function("/usr/lib/python3.13/json/decoder.py", "decode", 10)
PROGRAM = """
    def load(n):
        rows = [bytes(100)] * n
        table = list(rows)
        return table

    def main():
        load(3)
"""
EDITED = """
    import os


    def load(n):
        rows = [bytes(100)] * n
        table = tuple(rows)
        return table

    def main():
        load(3)
"""


def heap(alive, error):
    size = int(alive * MIB)
    return Heap(size, 0, size, None, 1, 0, HeapErrors(error * MIB, 0, error * MIB, error * MIB, 0, 0))


@pytest.fixture
def sampled(made_up, tmp_path):
    """A function that writes a file, and builds a recording whose lines have so many MiB alive, with such an error.

    ``alive`` maps a part of a line's text to both, and perhaps to what of it a library did that the line called.
    """

    def make(text, alive, folder="a"):
        path = tmp_path / folder / "pipeline.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        os.utime(path, (1_600_000_000, 1_600_000_000))
        lines = path.read_text().splitlines()
        number_of = {part: next(n for n, line in enumerate(lines, 1) if part in line) for part in ("def", *alive, "load(3)")}
        load, main = (
            Function(str(path), name, next(n for n, line in enumerate(lines, 1) if f"def {name}" in line))
            for name in ("load", "main")
        )
        functions = [Function("", "<all threads>", 0), main, load, LIBRARY]
        owns = [NO_SAMPLES] * 4
        paths = [HeapPath(1, None, main, number_of["load(3)"], 2, NO_SAMPLES)]
        for part, (size, error, *of_library) in alive.items():
            paths.append(HeapPath(len(paths) + 1, 1, load, number_of[part], 3, heap(size, error)))
            owns[2] = owns[2].plus(heap(size, error))
            if of_library:
                paths.append(HeapPath(len(paths) + 1, len(paths), LIBRARY, 12, 4, heap(of_library[0], 0)))
                owns[3] = owns[3].plus(heap(of_library[0], 0))
        calls, whole = [], NO_SAMPLES
        for id, function, own in reversed(list(zip((1, 2, 3, 4), functions, owns))):
            whole = whole.plus(own)
            calls.append(Call(id, id - 1 or None, function, 0, 0, 0, 0, 0, 0, 0, 0, heap=whole, own_heap=own))
        total = HeapTotal("python", whole.alive, whole.alive, 0, sampled=DISTANCE, alive_error=whole.errors.alive)
        found = replace(made_up((0, 200), argv=("pipeline.py",)), calls=tuple(calls[::-1]), heap=total)
        return replace(found, heap_paths=tuple(paths), heap_lines=heap_lines(tuple(paths)))

    return make


def changed(comparison):
    return [(row.place.text, row.weight(), row.state, row.notes) for row in comparison.changed("lines")]


def test_a_line_that_has_more_alive_is_the_cause(sampled):
    before = sampled(PROGRAM, {"rows = ": (20, 1), "table = ": (30, 1)})
    after = sampled(PROGRAM, {"rows = ": (20.5, 1), "table = ": (50, 2)}, "b")
    found = memkit.compare(before, after)
    assert changed(found) == [("table = list(rows)", 20 * MIB, "both", ())]
    (row,) = found.changed("lines")
    change = row.change("alive")
    assert (change.before, change.after) == ((30 * MIB,), (50 * MIB,))
    assert change.noise == round(math.hypot(3 * MIB, 6 * MIB, 9 * DISTANCE))
    assert found.cause is row and "+20.0 MiB in `load`, `pipeline.py:3`" in found.sentence


@pytest.mark.parametrize(("after", "is_change"), [(30, False), (50, True)])
def test_what_was_alive_at_the_peak_alone_is_ranked_by_that(sampled, after, is_change):
    def freed(recording):
        paths, calls = (
            tuple(each._replace(own_heap=each.own_heap._replace(freed=each.own_heap.allocated)) for each in rows)
            for rows in (recording.heap_paths, recording.calls)
        )
        return replace(recording, heap_paths=paths, heap_lines=heap_lines(paths), calls=calls)

    runs = [freed(sampled(PROGRAM, {"rows = ": (size, size / 10)}, folder)) for size, folder in ((20, "a"), (after, "b"))]
    found = memkit.compare(*runs)
    assert found.changed("lines", "alive") == []
    assert changed(found) == [("rows = [bytes(100)] * n", 30 * MIB, "both", ())][:is_change]
    title = "lines by change in their own alive or heap-peak; what is in brackets is no change"
    assert (title in [row.plain for row in tables.page(found)]) == is_change
    rows = [*found.changed("lines", "heap-peak"), *found.changed("paths", "heap-peak")]
    assert [row.weight("heap-peak") for row in rows] == [30 * MIB, 30 * MIB][: 2 * is_change]
    change = found.rows("lines", "heap-peak")[0].change("heap-peak")
    assert (change.before, change.after) == ((20 * MIB,), (after * MIB,))
    assert change.noise == round(math.hypot(6 * MIB, 0.3 * after * MIB, 9 * DISTANCE))


def test_code_that_was_moved_and_edited_is_matched_by_its_text(sampled):
    before = sampled(PROGRAM, {"rows = ": (20, 1), "table = ": (30, 1)})
    after = sampled(EDITED, {"rows = ": (40, 1), "table = ": (10, 1)}, "b")
    found = memkit.compare(before, after)
    assert changed(found) == [
        ("rows = [bytes(100)] * n", 20 * MIB, "both", ()),
        ("table = tuple(rows)", -20 * MIB, "both", ("edited",)),
    ]
    assert [(row.before.number, row.after.number) for row in found.changed("lines")] == [(2, 5), (3, 6)]


@pytest.mark.parametrize(
    ("before", "after", "is_change"),
    [
        ((30, 3), (42, 3), False),  # 12 MiB of 13.5
        ((30, 3), (44, 3), True),
        ((30, 0), (34, 0), False),  # a block of 4 MiB may not have been sampled
        ((30, 0), (35, 0), True),
    ],
)
def test_a_difference_has_to_be_beyond_the_errors_of_both(sampled, before, after, is_change):
    one, other = (sampled(PROGRAM, {"table = ": each}, folder) for each, folder in ((before, "a"), (after, "b")))
    found = memkit.compare(one, other)
    assert bool(found.changed("lines")) == bool(found.changed("paths")) == is_change
    assert found.figure("alive").is_change == is_change
    assert bool(found.exceeded("alive=5%")) == is_change


def test_what_libraries_allocated_counts_for_the_line_that_called_them(sampled):
    before, after = (sampled(PROGRAM, {"table = ": (1, 1, each)}, folder) for each, folder in ((10, "a"), (40, "b")))
    found = memkit.compare(before, after)
    assert changed(found) == [("table = list(rows)", 30 * MIB, "both", ())]
    shown = memkit.compare(before, after, libraries=True)
    (row,) = shown.changed("lines")
    assert (row.place.function, row.weight()) == (LIBRARY, 30 * MIB)


def test_one_run_is_the_same_whether_its_paths_are_known_or_not(sampled):
    run = sampled(PROGRAM, {"table = ": (1, 1, 40)})
    found = memkit.compare(run, replace(run, heap_paths=()))  # as it is read from JSON
    assert not found.changed("lines") and not found.changed("paths")


def test_a_heap_that_was_counted_in_one_run_only_is_named(sampled):
    run = sampled(PROGRAM, {"table = ": (10, 1)})
    counted = replace(run, heap=run.heap._replace(sampled=None), heap_lines=(), heap_paths=())
    said = "the heap was sampled in the run after only, where stacks begin elsewhere: paths are new or gone by that alone"
    assert said in memkit.compare(counted, run).remarks
    assert said not in memkit.compare(run, run).remarks


def test_what_was_not_measured_is_not_told(sampled):
    before, after = (sampled(PROGRAM, {"table = ": (each, 1)}, folder) for each, folder in ((10, "a"), (40, "b")))
    found = memkit.compare(before, after)
    known = {change.measure for row in (*found.lines, *found.paths) for change in row.changes if change.known}
    assert known == {"allocated", "alive", "heap-peak"}
    assert not any("lines" in remark or "calls" in remark for remark in found.remarks)


def test_a_line_that_stands_on_both_sides_is_not_new(sampled):
    before = sampled(PROGRAM, {"rows = ": (20, 1)})
    after = sampled(EDITED.replace("tuple", "list"), {"rows = ": (20, 1), "table = ": (30, 1)}, "b")
    found = memkit.compare(before, after)
    assert changed(found) == [("table = list(rows)", 30 * MIB, "both", ())]
    (row,) = found.changed("lines")
    assert (row.before.number, row.after.number) == (3, 6)
    assert {change.measure: (change.before, change.after) for change in row.changes if change.known} == {
        "allocated": ((0,), (30 * MIB,)),
        "alive": ((0,), (30 * MIB,)),
        "heap-peak": ((0,), (30 * MIB,)),
    }
    back = memkit.compare(after, before)
    assert changed(back) == [("table = list(rows)", -30 * MIB, "both", ())]


def test_statements_of_a_module_are_those_outside_of_functions_and_classes():
    text = "import os\nif os:\n    x = 1\ndef f():\n    y = 2\nclass C:\n    z = 3\nw = [\n 4]"
    found = list(Statements(text.splitlines()).of_module())
    assert [(each.first, each.text.partition("\n")[0]) for each in found] == [
        (1, "import os"),
        (2, "if os:"),
        (3, "x = 1"),
        (4, "def f():"),
        (6, "class C:"),
        (8, "w = [4]"),
    ]


def test_a_line_that_was_written_since_is_new(sampled):
    before = sampled(PROGRAM, {"rows = ": (20, 1)})
    after = sampled(
        PROGRAM.replace("return", "more = [0] * n\n        return"), {"rows = ": (20, 1), "more = ": (30, 1)}, "b"
    )
    assert changed(memkit.compare(before, after)) == [("more = [0] * n", 30 * MIB, "new", ())]
    assert changed(memkit.compare(after, before)) == [("more = [0] * n", -30 * MIB, "gone", ())]


def test_two_lines_sampled_once_each_are_not_one_that_was_edited(sampled):
    text = PROGRAM.replace("table = list(rows)", "first = list(rows)\n        other = list(rows)").replace(
        "return table", "pass"
    )
    before, after = sampled(text, {"first = ": (30, 1)}), sampled(text, {"other = ": (30, 1)}, "b")
    found = memkit.compare(before, after)
    assert sorted(changed(found)) == [
        ("first = list(rows)", -30 * MIB, "both", ()),
        ("other = list(rows)", 30 * MIB, "both", ()),
    ]


def test_several_runs_a_side_are_apart_by_more_than_their_errors(sampled):
    before = [sampled(PROGRAM, {"table = ": (each, 2)}) for each in (30, 31)]
    near = [sampled(PROGRAM, {"table = ": (each, 2)}, "b") for each in (36, 37)]
    far = [sampled(PROGRAM, {"table = ": (each, 2)}, "b") for each in (46, 47)]
    assert memkit.compare(before, near).changed("lines") == []
    (row,) = memkit.compare(before, far).changed("lines")
    assert row.change("alive").difference == 16 * MIB


def test_beside_a_run_without_heap_one_remark_says_how_to_record_it(sampled, made_up):
    found = memkit.compare(sampled(PROGRAM, {"table = ": (30, 1)}), made_up((0, 200)))
    assert found.lines == found.paths == ()
    told = [remark for remark in found.remarks if "recorded in" in remark]
    assert told == [
        "heap was recorded in the run before only, and is not compared: record the run after with --heap=sampled"
    ]


def test_all_outputs_have_the_lines(sampled):
    before, after = (sampled(PROGRAM, {"table = ": (each, 1)}, folder) for each, folder in ((10, "a"), (40, "b")))
    found = memkit.compare(before, after)
    console = "\n".join(line.plain for line in tables.page(found))
    assert "+30.0 MiB   +30.0 MiB   +30.0 MiB  load  pipeline.py:3  table = list(rows)" in console
    assert "growth" not in console[console.index("lines by change") :].splitlines()[1]
    rows = json.loads("".join(document([found])))["comparisons"][0]["lines"]
    assert rows[0]["changes"]["alive"]["noise"] == found.changed("lines")[0].change("alive").noise
    assert any("table = list" in line for line in markdown(found))
    assert [box.call.function.name for box in flame._layout(found.paths, "alive").boxes] == ["<all threads>", "main", "load"]
    assert "alive" in flame.draw(found).texts[1].get_text()
    assert "table = list" not in "".join(document([redacted(found)]))


@pytest.mark.parametrize(("blocks", "size"), [(300, 4.5), (60, 5), (30, 2.5), (10, 1.5), (1000, 0.1)])
def test_equal_runs_are_called_changed_in_30_of_1000_at_most(blocks, size):
    draw, size = random.Random(blocks), size * MIB
    chance = 1 - math.exp(-size / DISTANCE)

    def estimate():
        sampled = sum(draw.random() < chance for _ in range(blocks))
        return sampled * size / chance, math.sqrt(sampled * (1 - chance)) / chance * size

    pairs = [(estimate(), estimate()) for _ in range(1000)]
    assert sum(abs(one[0] - two[0]) > noise_of_samples(DISTANCE, one[1], two[1]) for one, two in pairs) <= 30
