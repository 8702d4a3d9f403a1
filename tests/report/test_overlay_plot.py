"""The picture of several trackers' files: its curves, axes and ends, looked up in the figure."""

import os
import sys

import pytest

import memkit
from memkit.report import pictures

HEAD = "delta,ram\n"
MIB = 1 << 20


@pytest.fixture
def report(tmp_path):
    """A function that writes a tracker's file, seconds -> MiB, with these last lines, and returns its path."""

    def write(rows, last="0,0\n", name="t.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HEAD + "".join(f"{time},{size / 1024}\n" for time, size in rows.items()) + last)
        return tmp_path / name

    return write


def legend(figure):
    [axes] = figure.axes
    found = figure.legends[0] if figure.legends else axes.get_legend()
    return [text.get_text() for text in found.get_texts()]


def shown(figure):
    [axes] = figure.axes
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_curves_are_in_the_units_that_suit_the_longest_and_the_highest(report):
    paths = [report({0: 10, 1.5: 20}, name="a.csv"), report({0: 10, 60: 30, 150: 40}, name="b.csv")]
    figure = memkit.plot_reports(paths)
    assert shown(figure) == [([0, 1.5], [10, 20]), ([0, 60, 150], [10, 30, 40])]
    [axes] = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (s)", "memory (MiB)")
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("longest", "unit", "step"),
    [
        (0.0005, "µs", 100),
        (0.01, "ms", 2),
        (100, "s", 20),
        (200, "min", 0.5),
        (1500, "min", 3),
        (7200, "min", 20),
        (20_000, "h", 1),
        (86_400, "h", 3),
        (172_000, "h", 6),
        (800_000, "days", 1),
    ],
)
def test_the_axis_of_time_counts_as_people_do(report, longest, unit, step):
    [axes] = memkit.plot_reports(report({0: 1, longest: 2})).axes
    assert axes.get_xlabel() == f"time ({unit})"
    assert list(axes.get_xticks())[:3] == pytest.approx([0, step, 2 * step])


def test_each_end_is_marked_and_said(report):
    paths = [
        report({0: 10, 1: 20}, name="well.csv"),
        report({0: 10, 1: 30}, "0,0\n-1,-1\n", "raised.csv"),
        report({0: 10, 1: 40}, "1.5,0.0", "killed.csv"),
        report({}, "", "nothing.csv"),
    ]
    figure = memkit.plot_reports(paths)
    assert legend(figure) == ["well", "raised: raised an exception", "killed: killed, or still running", "nothing: no rows"]
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o", "X", "D", "None"]
    assert [line.get_markevery() for line in figure.axes[0].lines] == [[-1], [-1], [-1], None]


def test_a_recording_is_drawn_beside_them(report, tmp_path):
    with memkit.record(tmp_path / "r.memkit") as run:
        pass
    figure = memkit.plot_reports([report({0: 10, 1: 20}), tmp_path / "r.memkit"])
    assert legend(figure) == ["t", "r"]
    assert shown(figure)[1][1][-1] == run.recording.end / MIB


def test_files_of_the_same_name_are_shown_with_their_folders(report, tmp_path):
    figure = memkit.plot_reports([report({0: 1}, name=name) for name in ("x/t.csv", "y/t.csv", "u.csv")])
    assert legend(figure) == [str(tmp_path / "x/t"), str(tmp_path / "y/t"), "u"]


def test_damaged_rows_are_counted_in_the_legend(report):
    [path] = [report({0: 1, 1: 2}, "2,nothing\n3,nan\n0,0\n")]
    assert legend(memkit.plot_reports(path)) == ["t (2 rows unread)"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such names")
def test_a_name_that_no_encoding_can_spell_is_spelled_out(report):
    figure = memkit.plot_reports(report({0: 1, 1: 2}, name=os.fsdecode(b"n\xff.csv")))
    figure.canvas.draw()
    assert legend(figure) == [r"n\udcff"]


def test_many_curves_differ_by_colour_and_stroke(report):
    figure = memkit.plot_reports([report({0: 1, 1: 2}, name=f"{number}.csv") for number in range(20)])
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 20
    assert len(legend(figure)) == 20


def test_calibrated_curves_may_lie_below_zero(report):
    [axes] = memkit.plot_reports(report({0: -5, 1: -1})).axes
    assert axes.get_ylim()[0] <= -5
    assert axes.get_ylim()[1] >= 0


def test_where_nothing_was_written_the_picture_says_so(report):
    [axes] = memkit.plot_reports(report({}, "")).axes
    assert [text.get_text() for text in axes.texts] == ["no rows were written"]
    assert list(axes.get_xticks()) == []


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_it_is_saved_as_what_the_suffix_says(report, tmp_path, suffix, begins):
    memkit.plot_reports([report({0: 1, 1: 2})], save=tmp_path / f"p.{suffix}")
    assert (tmp_path / f"p.{suffix}").read_bytes().startswith(begins)


def test_a_figure_of_ones_own_is_drawn_into(report):
    from matplotlib.figure import Figure

    mine = Figure()
    assert memkit.plot_reports(report({0: 1, 1: 2}), figure=mine) is mine
    assert len(mine.axes) == 1


@pytest.mark.parametrize(
    ("paths", "settings", "said"),
    [
        ([], {}, "there is nothing to draw"),
        (3, {}, r"plot_reports\(\) takes paths, not 3"),
        (["t.csv"], {"save": "p.txt"}, r"cannot tell the kind of picture from 'p.txt': end it in .png, .svg, .pdf"),
        (["t.csv"], {"save": "no/p.png"}, "there is no folder 'no'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_read(tmp_path, monkeypatch, paths, settings, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(memkit.UsageError, match=said):
        memkit.plot_reports(paths, **settings)


def test_without_matplotlib_there_is_one_clear_error(report, monkeypatch):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(memkit.UsageError, match="a picture needs matplotlib: python -m pip install matplotlib"):
        memkit.plot_reports(report({0: 1}))
