"""``--plot-lines``: what stands in the picture, and that it can be made in every kind."""

import os
import warnings
from dataclasses import replace

import pytest

import memkit
from memkit.model.recording import Function, Line, Tracing
from memkit.report import pictures
from memkit.report.reporters.plot_lines import MOST_LINES, draw, rows_of

MIB = 1 << 20


@pytest.fixture
def function(tmp_path):
    """A function of four lines, in a file older than the recordings."""
    path = tmp_path / "load.py"
    path.write_text("def load():\n    kept = 'costs $5 and $6'\n    pass\n    return kept\n")
    os.utime(path, (1, 1))
    return Function(str(path), "load", 1)


@pytest.fixture
def traced(made_up):
    """A function that makes a recording of lines: function, number, growth and peak in MiB."""

    def make(*rows):
        lines = tuple(
            Line(function, number, 1, 5, int(growth * MIB), 10 * MIB, int(peak * MIB))
            for function, number, growth, peak in rows
        )
        return replace(made_up((0, 10)), lines=lines, tracing=Tracing("settrace", "perf", None, 1.0, 1.0, 3, 3))

    return make


def bars(axes):
    """The bars by row: how far each reaches, and its colour."""
    return {round(bar.get_y() + bar.get_height() / 2): (bar.get_width(), bar.get_facecolor()[:3]) for bar in axes.patches}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_each_line_has_its_text_and_its_bars(traced, function):
    text, growth, peak = draw(traced((function, 2, 8, 20), (function, 4, -2, 400))).axes
    assert texts(text) == [
        "load  load.py:1",
        r"    2      kept = 'costs \$5 and \$6'",
        "    3      pass",
        "    4      return kept",
    ]
    assert {row: width for row, (width, _) in bars(growth).items()} == {1: 8, 3: -2}
    assert {row: width for row, (width, _) in bars(peak).items()} == {1: 20, 3: 400}
    assert bars(growth)[1][1] != bars(growth)[3][1]
    assert (growth.get_title(), peak.get_title()) == ("growth (MiB)", "peak (MiB)")
    assert texts(growth) == ["8.0", "-2.0"]
    assert texts(peak) == ["20.0", "400.0"]


def test_the_bar_of_a_peak_begins_at_the_memory_before(traced, function):
    recording = traced((function, 2, 8, 20), (function, 4, -2, 400))
    lines = tuple(line._replace(rise=5 * MIB) for line in recording.lines)
    peak = draw(replace(recording, lines=lines)).axes[2]
    assert [(bar.get_x(), bar.get_width()) for bar in peak.patches] == [(15, 5), (395, 5)]
    assert texts(peak) == ["20.0", "400.0"]


def test_bars_are_in_units_that_suit_them(traced, function):
    _, growth, peak = draw(traced((function, 2, 0.5, 2048))).axes
    assert (growth.get_title(), peak.get_title()) == ("growth (KiB)", "peak (GiB)")
    assert bars(growth)[1][0] == 512
    assert bars(peak)[1][0] == 2


def test_rows_are_told_from_headings(traced, function):
    rows = list(rows_of(traced((function, 2, 8, 20))))
    assert [heading for _, _, heading in rows] == [True, False]
    assert rows[1][1].number == 2


def test_every_function_has_a_heading(traced, function):
    other = function._replace(name="parse", line=3)
    rows = [text for text, _, heading in rows_of(traced((function, 2, 1, 1), (other, 4, 1, 1))) if heading]
    assert rows == ["load  load.py:1", "parse  load.py:3"]


def test_without_a_source_the_lines_that_ran_stand_alone_and_it_is_said(traced):
    made = Function("<made>", "load", 1)
    rows = list(rows_of(traced((made, 2, 1, 1), (made, 5, 1, 1))))
    assert [text.strip() for text, _, _ in rows] == ["load  <made>:1", "(the source is not to be found: <made>)", "2", "5"]


def test_a_source_that_was_changed_is_marked(traced, function):
    os.utime(function.file, (1_800_000_000, 1_800_000_000))
    assert "the file was changed after the recording began" in list(rows_of(traced((function, 2, 1, 1))))[1][0]


def test_more_lines_than_can_be_drawn_are_counted(traced, tmp_path):
    path = tmp_path / "long.py"
    path.write_text("pass\n" * 300)
    os.utime(path, (1, 1))
    function = Function(str(path), "load", 1)
    figure = draw(traced(*[(function, number, 1, 1) for number in range(1, 301)]))
    text, growth, _ = figure.axes
    assert len(texts(text)) == MOST_LINES
    assert texts(figure) == [f"and {301 - MOST_LINES} more lines; --csv-lines and --json have all of them"]
    assert len(bars(growth)) == MOST_LINES - 1


def boxes_of(figure):
    """Where the words of a picture stand: the text, and its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    found = [text for axes in figure.axes for text in axes.texts]
    for axes in figure.axes[1:]:
        low, high = axes.get_xlim()
        ticks = [tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        found += [axes.title, *ticks]
    return [(text.get_text(), text.get_window_extent()) for text in found]


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("growth", [-20, 0, 20])
@pytest.mark.parametrize("comment", ["", "  # and so on" * 20])
def test_words_stand_clear_of_each_other_and_fill_the_picture(traced, tmp_path, count, growth, comment):
    path = tmp_path / "long.py"
    path.write_text(f"pass{comment}\n" * count)
    os.utime(path, (1, 1))
    figure = draw(traced(*[(Function(str(path), "load", 1), number, growth, 400) for number in range(1, count + 1)]))
    boxes = boxes_of(figure)
    assert len(boxes) > 2 * count
    width, height = figure.bbox.size
    for text, box in boxes:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    for number, (text, box) in enumerate(boxes):
        for other, another in boxes[:number]:
            assert not box.overlaps(another), (text, other)
    assert height - max(box.y1 for _, box in boxes) < 0.25 * figure.dpi
    assert min(box.y0 for _, box in boxes) < 0.25 * figure.dpi
    assert min(box.x0 for _, box in boxes) < 0.25 * figure.dpi


def test_the_value_of_a_line_that_did_not_rise_is_in_the_picture(traced, function):
    recording = traced((function, 2, 8, 400), (function, 4, 0, 400))
    figure = draw(replace(recording, lines=tuple(line._replace(rise=line.growth) for line in recording.lines)))
    assert max(box.x1 for text, box in boxes_of(figure) if text == "400.0") < figure.bbox.width


def test_text_that_is_cut_says_so(traced, tmp_path):
    path = tmp_path / "long.py"
    path.write_text("pass  # " + "x" * 200 + "\n")
    os.utime(path, (1, 1))
    text, *_ = draw(traced((Function(str(path), "load", 1), 1, 1, 1))).axes
    assert len(texts(text)[1]) == 100
    assert texts(text)[1].endswith("x…")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_tabs_are_columns_and_letters_that_no_font_has_warn_of_nothing(traced, tmp_path, suffix):
    path = tmp_path / "wide.py"
    path.write_text("def load():\n\tif 1:\n\t\tkept = '日本語'\n\tx\t= '\U0001f600'\n" + f"\ty = '{'長' * 200}'\n")
    recording = traced(*[(Function(str(path), "load", 1), number, 1, 400) for number in range(1, 6)])
    rows = [text for text in texts(draw(recording).axes[0]) if "  " in text]
    assert rows[2] == "    2      if 1:"
    assert rows[3] == "    3          kept = '日本語'"
    assert rows[4] == "    4      x   = '\U0001f600'"
    assert pictures.columns(rows[5]) in (99, 100) and rows[5].endswith("長…")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.save(draw(recording), str(tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_suffix_says_which_kind_of_picture(traced, function, tmp_path, suffix, start):
    path = tmp_path / f"a.{suffix}"
    memkit.report(traced((function, 2, 8, 20), (function, 4, 0, 0)), plot_lines=path, quiet=True)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a", "a.bmp"])
def test_another_suffix_is_refused_with_those_there_are(traced, function, tmp_path, name):
    with pytest.raises(memkit.UsageError, match=r"end it in \.png, \.svg, \.pdf"):
        memkit.report(traced((function, 2, 8, 20)), plot_lines=tmp_path / name, quiet=True)


def test_nothing_to_draw_is_one_clear_error(made_up, tmp_path):
    with pytest.raises(memkit.MemkitError, match="no lines were traced; record with --lines"):
        memkit.report(made_up((0, 10)), plot_lines=tmp_path / "a.png", quiet=True)
    with pytest.raises(memkit.UsageError, match="--plot-lines takes one recording, not 2"):
        memkit.report([made_up((0, 10)), made_up((0, 10))], plot_lines=tmp_path / "a.png", quiet=True)
    assert os.listdir(tmp_path) == []


def test_without_what_draws_it_is_refused_before_anything_is_made(traced, function, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(memkit.UsageError, match="a picture needs matplotlib: python -m pip install matplotlib"):
        memkit.report(traced((function, 2, 8, 20)), plot_lines=tmp_path / "a.png")
    assert capsys.readouterr() == ("", "")


def test_a_picture_can_be_made_of_a_run(script, memkit_run, tmp_path, native_only):
    script("def work():\n    return [0] * 1000\n\n\nwork()\n")
    done = memkit_run("program.py", options=("-q", "--lines", "--plot-lines=a.png"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
