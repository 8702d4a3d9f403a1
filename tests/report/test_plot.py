"""``--plot``: what stands in the picture, and that it can be made in every kind."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.recording import Crossing, Limit, Span
from memkit.report.reporters.plot import draw

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


def test_a_span_that_is_too_narrow_for_its_label_has_it_upright(made_up):
    spans = [
        Span("wide enough", 1, 0, 0, 50 * MS, 0, 0, 9),
        Span("a narrow one", 1, 0, 60 * MS, 61 * MS, 0, 0, 8),
        Span("too near", 1, 0, 60 * MS + 500_000, 61 * MS, 0, 0, 7),
        Span("narrow", 1, 0, 80 * MS, 81 * MS, 0, 0, 6),
    ]
    axes = axes_of(made_up((0, 10), (100, 20), spans=spans))
    upright = {text.get_text(): text.get_rotation() for text in axes.texts if text.get_rotation()}
    assert upright == {"a narrow …": 90, "narrow": 90}
    plain = axes_of(made_up((0, 10), (100, 20), spans=spans[:1]))
    assert axes.get_ylim()[1] > plain.get_ylim()[1]


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


# -- limits ------------------------------------------------------------------------------------------------------------

GROUP = Limit("cgroup /jobs", 100 * MIB, 40 * MIB, "cgroup")
MACHINE = Limit("memory of this machine", 32 << 30, 8 << 30, "machine")
IN_WORDS = "cgroup /jobs, 100.0 MiB: 60.0 MiB left at the start"


def levels(axes):
    """Where lines go across the whole picture."""
    return [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]


def test_the_limit_is_a_line_where_growth_reaches_it(made_up):
    axes = axes_of(replace(made_up((0, 10), (5, 30)), limits=(GROUP, MACHINE)))
    assert levels(axes) == [70]
    assert axes.get_ylim()[1] > 70
    assert IN_WORDS in texts(axes)


def test_a_limit_that_is_far_away_is_a_note_and_squeezes_no_curve(made_up):
    axes = axes_of(replace(made_up((0, 10), (5, 27)), limits=(GROUP,)))
    assert (levels(axes), texts(axes)[-1]) == ([], f"↑ {IN_WORDS}")
    assert axes.get_ylim()[1] < 40
    assert levels(axes_of(replace(made_up((0, 10), (5, 28)), limits=(GROUP,)))) == [70]


def test_a_limit_of_something_else_than_was_measured_is_a_note(made_up):
    space = Limit("RLIMIT_AS", 200 * MIB, 190 * MIB, "address space")
    axes = axes_of(replace(made_up((0, 10), (5, 30)), limits=(space, GROUP)))
    assert levels(axes) == [70]
    assert "RLIMIT_AS, 200.0 MiB: 10.0 MiB left at the start (counts address space)" in texts(axes)


def test_a_note_stands_clear_of_what_is_drawn(made_up):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    spans = [Span("all", 7, 0, 0, 9 * MS, 0, 0, 20)]
    figure = draw([replace(made_up((0, 10), (9, 20), spans=spans), limits=(MACHINE,))])
    FigureCanvasAgg(figure).draw()
    [axes] = figure.axes
    note, frame = axes.texts[-1].get_window_extent(), axes.get_window_extent()
    assert frame.x0 <= note.x0 < note.x1 <= frame.x1
    assert all(not note.overlaps(text.get_window_extent()) for text in axes.texts[:-1])
    bracket = axes.transData.transform([(0, max(axes.lines[2].get_ydata()))])[0][1]
    assert bracket < note.y0 < note.y1 <= frame.y1


def test_the_group_that_limits_has_a_curve_that_ends_at_its_line(made_up):
    used = [(0, 40), (4, 70), (5, 100)]
    group = tuple(memkit.GroupUse(time * MS, GROUP.name, size * MIB) for time, size in used)
    recording = replace(made_up((0, 10), (5, 30)), limits=(GROUP, MACHINE), group=group)
    axes = axes_of(recording)
    assert "all of cgroup /jobs, less what others had at the start" in legend(axes)
    [curve] = [line for line in axes.lines if str(line.get_label()).startswith("all of")]
    assert [list(map(round, curve.get_ydata())), levels(axes)] == [[10, 40, 70], [70]]
    assert not any("all of" in text for text in legend(axes_of(replace(recording, limits=(MACHINE, GROUP)))))
    assert not any("all of" in text for text in legend(axes_of(recording, recording)))


def test_limits_of_several_recordings_have_their_colours_each_drawn_once(made_up):
    recording = replace(made_up((0, 10), (5, 30)), limits=(GROUP,))
    axes = axes_of(recording, replace(recording, limits=(Limit("cgroup /", 103 * MIB, 40 * MIB, "cgroup"),)))
    assert levels(axes) == [70, 73]
    first, second = [line.get_color() for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert (first, second) == (axes.lines[0].get_color(), axes.lines[2].get_color())
    assert levels(axes_of(recording, recording)) == [70]
    notes = [text for text in texts(axes_of(*[replace(recording, limits=(MACHINE,))] * 3)) if "↑" in text]
    assert notes == ["↑ memory of this machine, 32.0 GiB: 24.0 GiB left at the start"]


@pytest.mark.parametrize(
    ("ending", "markers"),
    [
        (Ending("ok"), ["o"]),
        (Ending("ended"), ["o"]),
        (Ending("exited", code=0, finished=False), ["o"]),
        (Ending("exited", code=3), ["X"]),
        (Ending("killed", signal=9), ["X"]),
        (Ending("detached"), []),
        (Ending("unknown"), []),
    ],
)
def test_a_cross_is_for_what_is_known_to_have_failed(made_up, ending, markers):
    axes = axes_of(made_up((0, 10), (5, 30), ending=ending))
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("o", "X")] == markers


def test_crossings_are_marked_and_explained(made_up):
    crossings = (
        Crossing(2 * MS, 20 * MIB, 20 * MIB, "rss", "report"),
        Crossing(4 * MS, 82 * MIB, 80 * MIB, "cgroup /jobs", "raise"),
    )
    axes = axes_of(replace(made_up((0, 10), (5, 30)), limits=(GROUP,), crossings=crossings))
    assert legend(axes)[1:] == ["reached 20.0 MiB of rss", "reached 80% of cgroup /jobs, 80.0 MiB: MemoryError raised"]
    assert [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]] == [2, 4]
    assert levels(axes) == [20, 70]


# -- trees of processes ------------------------------------------------------------------------------------------------


KILLED = Ending("killed", signal=9, finished=False)


@pytest.fixture
def small_tree(tree):
    children = {5: ([(2, 20), (4, 30)], KILLED), 6: ([(2, 10), (4, 10), (8, 10)],)}
    return tree([(0, 10), (4, 20), (8, 10)], children, [(0, 8, 10), (2, 30, 40), (4, 45, 60), (8, 18, 20)])


def test_the_processes_of_a_tree_are_stacked_up_to_what_they_use_together(small_tree):
    axes, lanes = draw([small_tree]).axes
    assert list(axes.lines[0].get_ydata()) == [8, 30, 45, 18]
    tops = [max(path.get_paths()[0].vertices[:, 1]) for path in axes.collections]
    assert tops == pytest.approx([15, 37.5, 45])  # 20, 30 and 10 of 60 MiB, scaled to 45
    assert lanes.get_xlabel() == "time (ms)"


def test_each_process_of_a_tree_has_a_lane_from_its_start_to_its_end(small_tree):
    axes, lanes = draw([small_tree]).axes
    names = [label.get_text() for label in lanes.get_yticklabels()]
    assert names == ["load.py data.csv  4242", "work.py 5  5", "work.py 6  6"]
    bars = [bar.get_paths()[0].vertices[:, 0] for bar in lanes.collections]
    assert [(min(bar), max(bar)) for bar in bars] == [(0, 8), (2, 4), (2, 8)]
    assert [(line.get_marker(), line.get_xdata()[0]) for line in lanes.lines] == [("o", 8), ("X", 4), ("o", 8)]
    [cross] = [line for line in axes.lines if line.get_marker() == "X"]
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([4], [45])


def below(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_of_a_tree_says_how_it_was_summed_up(small_tree):
    assert below(draw([small_tree])) == [
        "all processes, summed by PSS; the areas are shares of that, in proportion to the RSS of each",
        "processes that failed: 1",
    ]
    sum_of_rss = below(draw([replace(small_tree, summed="rss")]))[0]
    assert sum_of_rss == "all processes, sum of RSS: a page that several share is in there once for each"
    off = replace(small_tree, totals=(*small_tree.totals[:-1], small_tree.totals[-1]._replace(estimated=MIB)))
    assert "by how much that may be off" in below(draw([off]))


def test_a_large_tree_shows_those_that_rose_highest_and_the_rest_as_one(tree):
    children = {pid: ([(1, pid % 50), (9, pid % 50)],) for pid in range(100, 300)}
    recording = tree([(0, 10), (9, 10)], children, [(0, 10, 10), (1, 3000, 4000), (9, 3000, 4000)])
    axes, lanes = draw([recording]).axes
    names = [label.get_text().split()[-1] for label in lanes.get_yticklabels()]
    assert len(axes.collections) == len(names) == 13
    assert names[0] == "4242"
    assert {int(pid) % 50 for pid in names[1:12]} == {47, 48, 49}
    assert lanes.get_yticklabels()[-1].get_text() == "189 more"
    colours = [tuple(area.get_facecolor()[0]) for area in axes.collections]
    assert len(set(colours)) == 13


def test_a_limit_of_a_tree_is_one_of_all_its_processes(small_tree):
    axes = draw([replace(small_tree, limits=(GROUP,))]).axes[0]
    assert levels(axes) == [68]


def test_a_tree_without_children_or_with_their_samples_lost_is_drawn_too(tree, tmp_path):
    for children in ({}, {5: ([(2, 0), (2, 0)],)}):
        recording = replace(tree([(0, 10), (8, 10)], children, [(0, 8, 10), (8, 18, 20)]), others=())
        memkit.report(recording, plot=tmp_path / "a.png", quiet=True)
    memkit.report(tree([], {}, [(0, 8, 10), (8, 18, 20)]), plot=tmp_path / "a.png", quiet=True)


def test_beside_others_a_tree_is_the_curve_of_all_its_processes(small_tree, made_up):
    axes = axes_of(small_tree, made_up((0, 10), (5, 30)))
    assert list(axes.lines[0].get_ydata()) == [8, 30, 45, 18]
    assert legend(axes)[0].endswith(", 3 processes by PSS")


def test_processes_of_which_no_total_is_known_have_a_curve_each(small_tree):
    recording = replace(small_tree, totals=(), summed=None, limits=(GROUP,))
    figure = draw([recording])
    axes, lanes = figure.axes
    curves = [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1]
    assert curves == [[10, 20, 10], [20, 30], [10, 10, 10]]
    assert len(lanes.collections) == 3
    assert below(figure) == ["rss of each process; what they used together was not recorded"]
    assert IN_WORDS in texts(axes)


def test_a_lane_ends_with_a_question_mark_where_the_end_is_unknown(tree):
    children = {5: ([(2, 20), (4, 30)], Ending("unknown", finished=False))}
    lanes = draw([tree([(0, 10), (8, 10)], children, [(0, 8, 10), (4, 30, 40), (8, 9, 10)])]).axes[1]
    assert [(mark.get_text(), mark.xy) for mark in lanes.texts] == [("?", (4, 1))]
    assert max(lanes.collections[1].get_paths()[0].vertices[:, 0]) == 4


def test_lanes_and_curves_of_commands_that_begin_alike_are_told_apart(small_tree, made_up):
    folder = "/srv/shop/releases/2024-11-30/code/of/the/service"
    commands = [f"/usr/bin/python3 {folder}/work.py --shard {number}" for number in range(3)]
    processes = tuple(
        process._replace(command=command) for process, command in zip(small_tree.processes, commands, strict=True)
    )
    names = [label.get_text() for label in draw([replace(small_tree, processes=processes)]).axes[1].get_yticklabels()]
    assert sorted(name.split("  ")[0] for name in names) == [f"/srv/shop/r...py --shard {number}" for number in range(3)]
    [axes] = draw([made_up((0, 10), (5, 20), argv=tuple(command.split())) for command in commands]).axes
    assert len({label.rsplit(" ", 1)[0] for label in legend(axes)}) == 3


def test_dollar_signs_are_no_mathematics(small_tree, made_up, tmp_path):
    odd = "echo $a^$"
    processes = tuple(process._replace(command=odd) for process in small_tree.processes)
    limits = (Limit(f"cgroup /{odd}", 9, 5, "cgroup"),)
    recording = replace(small_tree, processes=processes, limits=limits, spans=(Span(odd, 7, 0, 0, 8 * MS, 0, 0, 1),))
    memkit.report(recording, plot=tmp_path / "a.png", quiet=True)
    died = made_up((0, 10), (5, 20), argv=(odd,), ending=Ending("error", error=odd))
    memkit.report(died, plot=tmp_path / "a.png", quiet=True)
    memkit.report([died] * 5, plot=tmp_path / "a.png", quiet=True)
    assert [label.get_text() for label in draw([recording]).axes[1].get_yticklabels()] == [
        f"echo \\$a^\\$  {pid}" for pid in (4242, 5, 6)
    ]
