"""Functions and lines are matched by name and text: what moved, was renamed or laid out anew is compared with itself."""

import memkit

LOAD = """
    def load(count):
        rows = [str(number) for number in range(count)]
        return rows

    def enrich(rows):
        found = [dict(row=row) for row in rows]
        total = len(found)
        return found
"""


def lines(comparison):
    """What the lines of a comparison are: {text now, or before: (number before, number after, notes)}."""
    return {
        row.place.text: (row.before and row.before.number, row.after and row.after.number, row.notes)
        for row in comparison.lines
    }


def functions(comparison):
    return {
        (row.before and row.before.function.name, row.after and row.after.function.name): row.notes
        for row in comparison.functions
    }


def test_lines_below_new_ones_are_matched_by_their_text(traced):
    after = LOAD.replace("def load(count):", "def load(count):\n        # a comment\n        count = int(count)")
    found = lines(memkit.compare(traced(LOAD), traced(after, folder="b")))
    assert found["return rows"] == (3, 5, ())
    assert found["found = [dict(row=row) for row in rows]"] == (6, 8, ())
    assert found["count = int(count)"] == (None, 3, ())


def test_functions_in_another_order_are_matched_by_name(traced):
    head, tail = LOAD.split("    def enrich")
    after = "    def enrich" + tail + "\n" + head
    found = lines(memkit.compare(traced(LOAD), traced(after, folder="b")))
    assert found["rows = [str(number) for number in range(count)]"] == (2, 8, ())
    assert None not in [place for each in found.values() for place in each[:2]]


def test_a_renamed_function_is_matched_by_its_text(traced):
    comparison = memkit.compare(traced(LOAD), traced(LOAD.replace("enrich", "add_sizes"), folder="b"))
    assert functions(comparison) == {("load", "load"): (), ("enrich", "add_sizes"): ("renamed",)}
    assert lines(comparison)["total = len(found)"] == (7, 7, ("renamed",))


def test_a_function_that_was_renamed_and_edited_is_matched_by_its_text(traced):
    after = LOAD.replace("enrich", "add_sizes").replace("total = len(found)", "total = len(found) + 1")
    comparison = memkit.compare(traced(LOAD), traced(after, folder="b"))
    assert functions(comparison)["enrich", "add_sizes"] == ("renamed",)
    assert lines(comparison)["total = len(found) + 1"] == (7, 7, ("renamed", "edited"))


def test_a_function_with_another_text_and_another_name_is_new(traced):
    after = LOAD.split("    def enrich")[0] + "    def draw(sizes):\n        for each in sizes:\n            print(each)\n"
    comparison = memkit.compare(traced(LOAD), traced(after, folder="b"))
    assert functions(comparison) == {("load", "load"): (), ("enrich", None): (), (None, "draw"): ()}
    assert {row.state for row in comparison.functions} == {"both", "gone", "new"}


def test_a_file_with_another_name_is_matched_by_the_functions_in_it(traced):
    comparison = memkit.compare(traced(LOAD), traced(LOAD, folder="b", name="job.py"))
    assert functions(comparison) == {("load", "load"): (), ("enrich", "enrich"): ()}


def test_a_statement_that_was_laid_out_anew_is_matched(traced):
    wide = "rows = [str(number) for number in range(count)]"
    tall = "rows = [\n            str(number)\n            for number in range(count)\n        ]"
    comparison = memkit.compare(traced(LOAD, {wide: 5}), traced(LOAD.replace(wide, tall), {"str(number)": 9}, folder="b"))
    row = next(row for row in comparison.lines if row.before and row.before.text == wide)
    assert (row.state, row.notes) == ("both", ())
    assert row.change("growth")[1:3] == ((5 << 20,), (9 << 20,))


def test_a_statement_that_went_into_another_function_is_matched(traced):
    after = LOAD.replace("        total = len(found)\n", "") + "\n    def size(found):\n        total = len(found)\n"
    found = lines(memkit.compare(traced(LOAD), traced(after, folder="b")))
    assert found["total = len(found)"] == (7, 10, ("moved",))


def test_statements_in_another_order_are_matched(traced):
    after = LOAD.replace("total = len(found)\n        return found", "return found").replace(
        "found = [dict(", "total = len(found)\n        found = [dict("
    )
    found = lines(memkit.compare(traced(LOAD), traced(after, folder="b")))
    assert None not in [place for each in found.values() for place in each[:2]]


def test_a_line_that_was_edited_is_compared_with_what_it_was(traced):
    after = LOAD.replace("range(count)", "range(2 * count)")
    comparison = memkit.compare(traced(LOAD, {"range": 5}), traced(after, {"range": 12}, folder="b"))
    row = comparison.changed("lines")[0]
    assert (row.before.number, row.after.number, row.notes) == (2, 2, ("edited",))
    assert row.change("growth").difference == 7 << 20


def test_where_the_text_is_lost_lines_are_matched_by_their_place(traced):
    moved = "\n\n" + LOAD
    comparison = memkit.compare(traced(LOAD, lost=True), traced(moved, {"dict": 8}, folder="b"))
    rows = [(row.before.number, row.after.number) for row in comparison.lines if row.state == "both"]
    assert len(rows) == len(comparison.lines) == 5
    assert [note for note in comparison.remarks if "matched by their places" in note]


def test_where_the_text_is_lost_a_renamed_function_is_matched_by_its_place(traced):
    after = LOAD.replace("enrich", "add_sizes")
    comparison = memkit.compare(traced(LOAD, lost=True), traced(after, folder="b", lost=True))
    assert functions(comparison)["enrich", "add_sizes"] == ("renamed",)


def test_odd_names_and_texts_are_matched_like_any_other(traced):
    text = "def f():\n    rows = '</script><img onerror=x>\\x1b[31m'\n    return rows\n"
    comparison = memkit.compare(traced(text), traced(text, {"rows =": 9}, folder="b"))
    assert [row.state for row in comparison.lines] == ["both", "both"]
    assert comparison.changed("lines")[0].place.number == 2
