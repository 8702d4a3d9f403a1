"""``--plot``: what stands in the picture, and that it can be made in every kind."""

import pytest

import memkit
from memkit.recording import Ending, Span
from memkit.reporters.plot import draw

MIB = 1 << 20
MS = 1_000_000


def axes_of(*recordings):
    [axes] = draw(recordings).axes
    return axes


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_suffix_says_which_kind_of_picture(made_up, tmp_path, suffix, start):
    path = tmp_path / f"a.{suffix}"
    memkit.report(made_up((0, 10), (5, 20)), plot=path, quiet=True)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a", "a.bmp", "a.jpeg"])
def test_another_suffix_is_refused_with_those_there_are(made_up, tmp_path, name):
    with pytest.raises(memkit.UsageError, match=r"end it in \.png, \.svg, \.pdf"):
        memkit.report(made_up((0, 10)), plot=tmp_path / name, quiet=True)


def test_the_curve_is_in_units_that_suit_it(made_up):
    axes = axes_of(made_up((0, 512), (3000, 2048), (9000, 1024)))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (s)", "memory (GiB)")
    line = axes.lines[0]
    assert list(line.get_xdata()) == [0, 3, 9]
    assert list(line.get_ydata()) == [0.5, 2, 1]


@pytest.mark.parametrize(("last", "label"), [(80, "time (ms)"), (30_000, "time (s)"), (1_200_000, "time (min)")])
def test_time_is_in_units_that_suit_it(made_up, last, label):
    assert axes_of(made_up((0, 10), (last, 20))).get_xlabel() == label


def test_peaks_between_samples_are_an_envelope(made_up):
    axes = axes_of(made_up((0, 10), (5, 10, 400), (9, 10)))
    assert len(axes.collections) == 1
    assert axes.collections[0].get_datalim(axes.transData).y1 == pytest.approx(400)
    assert "rss, peak between samples" in legend(axes)
    assert "400.0 MiB" in texts(axes)


def test_a_steady_rise_has_no_envelope_of_its_own(made_up):
    assert len(axes_of(made_up((0, 10), (5, 20), (6, 30, 30.5), (7, 30))).collections) == 1
    assert len(axes_of(made_up((0, 10), (5, 20), (6, 30))).collections) == 0


def test_without_such_peaks_there_is_no_envelope(made_up):
    assert len(axes_of(made_up((0, 10), (5, 20))).collections) == 0


def test_a_peak_that_was_only_seen_says_so(made_up):
    assert "20.0 MiB (seen)" in texts(axes_of(made_up((0, 10), (5, 20), peaks="samples")))


def test_an_exact_peak_says_how_far_it_can_be_off(made_up):
    assert "20.0 MiB ±0.5 MiB" in texts(axes_of(made_up((0, 10), (5, 20), peaks_error=507_904)))
    assert "20.0 MiB" in texts(axes_of(made_up((0, 10), (5, 20), peaks_error=4096)))
    assert "20.0 MiB (seen)" in texts(axes_of(made_up((0, 10), (5, 20), peaks_error=507_904, peaks="samples")))


def test_a_death_is_marked_and_explained(made_up):
    ending = Ending("killed", signal=9, finished=False)
    axes = axes_of(made_up((0, 10), (5, 20), ending=ending))
    assert "killed by SIGKILL" in legend(axes)
    assert axes.lines[1].get_marker() == "X"
    unseen = axes_of(made_up((0, 10), (5, 20), took=80, ending=ending)).lines[1]
    assert (list(unseen.get_xdata()), unseen.get_linestyle()) == ([5, 80], ":")
    assert axes_of(made_up((0, 10), (5, 20))).lines[1].get_marker() == "o"


def test_spans_are_brackets_with_their_labels(made_up):
    spans = [
        Span("outer", 7, 0, 0, 90 * MS, 0, 0, 50),
        Span("inner", 7, 1, 10 * MS, 40 * MS, 0, 0, 20),
        Span("doomed", 7, 1, 50 * MS, None, 0, None, 20),
    ]
    axes = axes_of(made_up((0, 10), (100, 20), spans=spans))
    assert {"outer", "inner", "doomed (unfinished)"} <= set(texts(axes))
    outer, inner, doomed = axes.lines[2:5]
    assert list(outer.get_xdata()) == [0, 0, 90, 90]
    assert max(outer.get_ydata()) > max(inner.get_ydata())
    assert doomed.get_xdata()[-1] == 100


def test_several_recordings_are_laid_over_each_other(made_up):
    axes = axes_of(made_up((0, 10), (5, 20), argv=("a.py",)), made_up((0, 30), (9, 40), argv=("b.py",)))
    assert [label.split()[0] for label in legend(axes)] == ["a.py", "b.py"]
    assert axes.lines[0].get_color() != axes.lines[2].get_color()


@pytest.mark.parametrize("count", [4, 30])
def test_the_legend_of_many_recordings_stands_below_the_plot(made_up, count):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    words = ("load.py", *["--a-long-option"] * 9)
    recordings = [made_up((0, 10), (5, 20, 400), (9, 10), argv=(f"{number}", *words)) for number in range(count)]
    figure = draw(recordings)
    FigureCanvasAgg(figure).draw()
    [axes], [below] = figure.axes, figure.legends
    assert axes.get_legend() is None
    assert [text.get_text().split()[0] for text in below.get_texts()] == [f"{number}" for number in range(count)]
    box = below.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 < axes.get_tightbbox().y0
    assert axes.get_window_extent().height > 3 * figure.dpi


@pytest.mark.parametrize("highest", [0, 5, 9])
def test_the_height_of_the_peak_stands_within_the_plot(made_up, highest):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw([made_up(*[(time, 1000 if time == highest else 900) for time in range(10)])])
    FigureCanvasAgg(figure).draw()
    [axes] = figure.axes
    [words], frame = axes.texts, axes.get_window_extent()
    box = words.get_window_extent()
    assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    assert frame.y0 <= box.y0 < box.y1 <= frame.y1


@pytest.mark.parametrize("samples", [(), ((0, 10),), ((0, 0), (0, 0))])
def test_hardly_anything_can_be_drawn_too(made_up, tmp_path, samples):
    memkit.report(made_up(*samples), plot=tmp_path / "a.png", quiet=True)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_drawing_leaves_no_figure_in_pyplot(made_up, tmp_path):
    import sys

    memkit.report(made_up((0, 10), (5, 20)), plot=tmp_path / "a.png", quiet=True)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
