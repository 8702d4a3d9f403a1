"""What a comparison is written as: JSON that programs read, Markdown for a pull request, a picture, and the terminal."""

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import memkit
from memkit.report.comparing import document, flame, markdown, page, tables
from memkit.report.comparing.redacted import redacted

DOCS = Path(__file__).resolve().parents[3] / "docs"
HOSTILE = "</script><img onerror=x>|`@ada`[a](b)\x1b[31m"


@pytest.fixture
def comparison(called):
    """One of calls: load grew, parse is new, and one has a name that nobody should have."""
    rows = [(0, "<thread MainThread>", 0), (1, "main", 0), (2, "load", 10, 1, 1, 40, 10, 10), (2, f"x.py:{HOSTILE}", 9)]
    return memkit.compare(called(*rows), called(*rows[:2], (2, "load", 60), (3, "parse", 5), (2, f"x.py:{HOSTILE}", 30)))


def keys_in(value):
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_in(each)


def test_the_document_has_all_that_was_compared(comparison):
    found = json.loads("".join(document.document([comparison], "growth=1MiB")))
    assert (found["format"], found["kind"], found["bounds"]) == (1, "comparison", "growth=1MiB")
    [each] = found["comparisons"]
    assert each["sentence"] == comparison.sentence
    assert each["figures"]["peak"]["before"] == [10 << 20]
    assert [row["after"]["function"]["name"] for row in each["functions"][:2]] == ["load", HOSTILE]
    assert each["functions"][0]["own"]["growth"] == 50 << 20
    ids = {row["id"] for row in each["paths"]}
    assert {row["parent"] for row in each["paths"]} <= {None, *ids}


def test_every_key_of_the_document_is_documented(comparison):
    text = (DOCS / "reference" / "json.rst").read_text(encoding="utf-8").partition("The document of a comparison\n")[2]
    found = json.loads("".join(document.document([comparison, comparison])))
    assert {key for key in keys_in(found) if f"``{key}``" not in text} == set()


def held(text, id):
    [packed] = re.findall(f'<script type="application/gzip" id="{id}">([^<]*)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_a_page_has_the_document_and_no_markup_of_the_program(comparison, tmp_path):
    text = "".join(page.page([comparison], "growth=1MiB"))
    assert "onerror" not in text
    [found] = held(text, "comparison")["comparisons"]
    assert found["sentence"] == comparison.sentence
    assert [fact["figure"] for fact in found["facts"]][2:4] == ["time", "start"]
    (tmp_path / "a.html").write_text(text)
    with pytest.raises(memkit.FormatError, match="is the page of a comparison, not of a recording"):
        memkit.read(tmp_path / "a.html")


def test_a_document_of_a_comparison_is_no_recording(comparison, tmp_path):
    (tmp_path / "a.json").write_text("".join(document.document([comparison])))
    with pytest.raises(memkit.FormatError, match="is a comparison, not a recording"):
        memkit.read(tmp_path / "a.json")


def test_a_page_has_what_changed_most_with_its_callers(comparison, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 1)
    [found] = held("".join(page.page([comparison])), "comparison")["comparisons"]
    assert [row["after"]["function"]["name"] for row in found["functions"]] == ["load"]
    assert {row["after"]["function"]["name"] for row in found["paths"]} == {"load", "main", "<thread MainThread>"}
    assert found["left_out"]["functions"] == len(comparison.functions) - 1


def test_markdown_shows_names_and_runs_none(comparison):
    text = "\n".join(markdown.markdown(comparison, over=["peak is over"]))
    assert "<img" not in text and "\x1b" not in text and "@ada" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[-4:]}) == 1
    assert "❌ peak is over" in text


def test_the_page_tells_sentence_facts_and_tables(comparison):
    text = "\n".join(row.plain for row in tables.page(comparison))
    assert text.splitlines()[1] == comparison.sentence
    assert re.search(r"^peak +10\.0 MiB +10\.0 MiB", text, re.MULTILINE)
    assert re.search(r"\+50\.0 MiB .* load  load\.py:10 < main$", text, re.MULTILINE)
    assert "\x1b" not in text


def test_rows_go_no_further_than_the_terminal(comparison):
    assert max(len(row.plain) for row in [*tables.page(comparison, width=60)][3:]) <= 60


def test_the_picture_has_the_larger_side_and_red_where_there_is_more(called, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [(0, "<thread MainThread>", 0), (1, "load", 10), (1, "kept", 20), (1, "dropped", 30)]
    comparison = memkit.compare(called(*rows), called(rows[0], (1, "load", 50), (1, "kept", 20)))
    boxes = {box.call.function.name: box for box in flame._layout(comparison.paths, "growth").boxes}
    assert [round(boxes[name].width * 100) for name in ("load", "kept", "dropped")] == [50, 20, 30]
    red, blue = flame.colour(40 << 20, 40 << 20), flame.colour(-30 << 20, 40 << 20)
    assert red[0] > red[2] and blue[2] > blue[0]
    assert flame.colour(0, 40 << 20) == flame.LIKE
    figure = flame.draw(comparison)
    texts = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert "load" in texts and "+40.0 MiB" in texts and "(gone)" in texts
    memkit.pictures.save(figure, str(tmp_path / "a.svg"))
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_a_picture_needs_calls_on_both_sides_and_a_figure_that_is_known(made_up, comparison):
    pytest.importorskip("matplotlib")
    with pytest.raises(memkit.UsageError, match="calls were not recorded on both sides"):
        flame.draw(memkit.compare(made_up((0, 1)), made_up((0, 1))))
    with pytest.raises(memkit.UsageError, match="not known of both sides"):
        flame.draw(comparison, "alive")
    with pytest.raises(memkit.UsageError, match="can be by growth"):
        flame.draw(comparison, "peak")


@pytest.mark.parametrize("name", [HOSTILE, "a\nb", "\ud800", "\u202e", "", "x" * 5000, "| --- |"])
def test_any_name_is_shown_on_a_line_of_its_own(called, name):
    root = (0, "<thread MainThread>", 0)
    comparison = memkit.compare(called(root, (1, f"a b.py:{name}", 1)), called(root, (1, f"a b.py:{name}", 40)))
    shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(name.split()))[:20]
    rows = [row.plain for row in tables.page(comparison)]
    assert all(row.isprintable() for row in rows)
    lines = [*markdown.markdown(comparison)]
    assert all("\n" not in line and line.isprintable() for line in lines)
    assert len(lines) == len([*markdown.markdown(memkit.compare(*plain(comparison)))])
    if shown.isascii() and shown.isalnum():
        assert any(shown in row for row in rows)
    assert comparison.sentence.isprintable()
    json.loads("".join(document.document([comparison])))


def plain(comparison):
    """The same sides with a name that nobody minds."""
    return [
        replace(side[0], calls=tuple(call._replace(function=call.function._replace(name="f")) for call in side[0].calls))
        for side in (comparison.before, comparison.after)
    ]


def test_what_is_redacted_tells_of_no_machine_and_matches_as_before(traced, tmp_path):
    text = "def load():\n    rows = read('secret')\n    return rows\n"
    one = traced(text, {"rows =": 10}, folder="old")
    other = traced(text.replace("'secret'", "'secret', 2"), {"rows =": 30}, folder="new", growth=20)
    whole = memkit.compare(one, other)
    bare = redacted(whole)
    assert [row.changes for row in bare.lines] == [row.changes for row in whole.lines]
    assert [row.notes for row in bare.lines] == [row.notes for row in whole.lines]
    assert {row.place.function.file for row in bare.lines} == {".../pipeline.py"}
    file = whole.page(tmp_path / "bare.html", redact=True).path
    written = "".join(document.document([bare])) + json.dumps(held(Path(file).read_text("utf-8"), "comparison"))
    assert "pipeline.py" in written and "load" in written
    assert "secret" not in written and str(tmp_path) not in written


def test_a_redacted_comparison_says_that_texts_were_missing_not_where(traced):
    one, other = (traced("x = 1\n", {"x": size}, folder=name, lost=True) for size, name in ((1, "old"), (9, "new")))
    assert any("pipeline.py" in remark for remark in memkit.compare(one, other).remarks)
    remarks = redacted(memkit.compare(one, other)).remarks
    assert any("not there any more" in remark for remark in remarks)
    assert not any("pipeline.py" in remark for remark in remarks)


def test_a_comparison_is_a_page_in_a_notebook(comparison, tmp_path):
    page = comparison.page(tmp_path / "changes.html")
    assert comparison.sentence in held(Path(page.path).read_text("utf-8"), "view")["verdict"]
    assert "<iframe" in page._repr_html_()
