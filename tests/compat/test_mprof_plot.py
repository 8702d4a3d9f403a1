"""mprof's pictures: every element of them, and that no file makes them crash."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.backend_bases import MouseEvent

from memkit.compat.mprof import (
    FLAME_PLOTTER_VARS,
    add_brackets,
    add_timestamp_rectangle,
    flame_plotter,
    function_labels,
    picture,
)
from memkit.compat.mprof import plot_file as draw_file

DATA = Path(__file__).parents[1] / "data"
NESTED, CHILDREN = str(DATA / "mprof_nested.dat"), str(DATA / "mprof_children.dat")
PLAIN = SimpleNamespace(slope=False, xlim=None)


@pytest.fixture(autouse=True)
def axes():
    """Axes of a figure that nobody sees."""
    plt.switch_backend("agg")
    yield plt.figure(figsize=picture.SIZE, dpi=picture.DPI).add_axes(picture.BOX)
    plt.close("all")


@pytest.fixture
def write(tmp_path):
    """A function that writes a text as mprof's file."""

    def write(text, name="a.dat"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.fixture
def plot(tmp_path):
    """A function that runs ``mprof plot`` in a folder of its own, without a display."""

    def run(*words):
        hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        words = [sys.executable, "-m", "memkit.compat.mprof", "plot", *words]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120)

    return run


def labelled(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def points(line):
    return [(round(float(x), 4), round(float(y), 4)) for x, y in zip(line.get_xdata(), line.get_ydata())]


def crosses(axes):
    """The straight lines through the highest points: heights, and times."""
    ends = [segment for lines in axes.collections for segment in lines.get_segments()]
    flat = [round(float(start[1]), 3) for start, end in ends if start[1] == end[1]]
    upright = [round(float(start[0]), 3) for start, end in ends if start[0] == end[0]]
    return flat, upright


# -- labels --------------------------------------------------------------------------------------------------------------


def test_labels_are_the_shortest_that_differ():
    names = ["x.z", "x.b", "f.a.b", "g.a.b", "g.a.c", "b.c"]
    assert function_labels(names) == {
        "x.z": "z",
        "x.b": "x.b",
        "f.a.b": "f.a.b",
        "g.a.b": "g.a.b",
        "g.a.c": "a.c",
        "b.c": "b.c",
    }
    assert function_labels(["b", "a.b", "main"]) == {"b": "b", "a.b": "a.b", "main": "main"}
    assert function_labels([]) == {}


def test_more_names_take_no_longer_for_each():
    def events(names):
        seen = []
        sys.setprofile(lambda *event: seen.append(event[1]))
        function_labels(names)
        sys.setprofile(None)
        return len(seen)

    few, many = ([f"m.f{number}" for number in range(count)] for count in (100, 1000))
    assert events(many) < 20 * events(few)


# -- the curve -----------------------------------------------------------------------------------------------------------


def test_the_curve_has_samples_and_the_ends_of_calls(axes, write):
    draw_file(write("MEM 1 10\nMEM 3 12\nFUNC m.f 1.5 10.5 2.5 11 0\n"), options=PLAIN)
    curve = axes.lines[0]
    assert points(curve) == [(0, 1), (0.5, 1.5), (1, 2.5), (2, 3)]
    assert (curve.get_color(), curve.get_linestyle(), curve.get_marker()) == ("k", "-", "+")


def test_the_label_says_when_it_began(axes, write):
    draw_file(write("MEM 1 1700000000.1234\nMEM 3 1700000001\n"), options=PLAIN)
    (label,) = labelled(axes)
    assert re.fullmatch(r"\d\d / 11 / 2023 - start at \d\d:\d\d:20\.123", label)
    draw_file(write("MEM 1 1700000000.9996\n"), options=PLAIN)
    assert next(reversed(labelled(axes))).endswith(":21.000")


def test_several_files_have_different_colours_and_begin_at_0(axes, write):
    for index in range(8):
        draw_file(write(f"MEM 1 {index}\nMEM 2 {index + 1}\n"), index, timestamps=False, options=PLAIN)
    assert [line.get_color() for line in axes.lines] == list("kbrgcymk")
    assert {tuple(points(line)) for line in axes.lines} == {((0, 1), (1, 2))}


def test_what_is_drawn_is_returned(write):
    assert draw_file(write("MEM 1 10\n"), options=PLAIN)["mem_usage"] == [1.0]


# -- brackets and crosses ------------------------------------------------------------------------------------------------


def test_each_call_is_a_pair_of_brackets_with_its_label_and_time(axes):
    draw_file(NESTED, options=PLAIN)
    brackets = axes.lines[1:]
    assert [(line.get_label(), line.get_color()) for line in brackets if not line.get_label().startswith("_")] == [
        *[(f"inner {took}s", "c") for took in ("0.154", "0.154", "0.153", "0.153")],
        *[(f"outer {took}s", "y") for took in ("0.519", "0.517")],
    ]
    assert len(brackets) == 12


def test_a_bracket_opens_to_the_right_and_closes_to_the_left(axes):
    axes.set(xlim=(0, 60), ylim=(0, 20))
    axes.autoscale(False)
    add_brackets((10, 30), (5, 6), xshift=2, color="b", label="f", options=PLAIN)
    opening, closing = axes.lines
    assert points(opening) == [(9, 6), (8, 6), (8, 4), (9, 4)]
    assert points(closing) == [(27, 7), (28, 7), (28, 5), (27, 5)]
    assert (opening.get_label(), opening.get_color(), closing.get_color()) == ("f", "b", "b")
    assert closing.get_label().startswith("_")


def test_brackets_outside_of_the_window_are_left_out(axes):
    add_brackets((1, 3), (5, 6), label="f", options=SimpleNamespace(xlim=(2, 4)))
    (closing,) = axes.lines
    assert closing.get_label() == "f"


def test_functions_go_through_the_colours(axes, write):
    calls = "".join(f"FUNC m.f{n} 1 1{n} 1 1{n}.5 0\n" for n in range(6))
    draw_file(write("MEM 1 10\n" + calls), options=PLAIN)
    assert [line.get_color() for line in labelled(axes).values()] == ["k", *"cygrbc"]


def test_many_calls_share_a_label_for_each_function(axes, write):
    calls = "".join(f"FUNC m.f 1 {n} 2 {n + 0.5} 0\n" for n in range(40))
    draw_file(write(f"MEM 1 0\n{calls}FUNC m.g 1 1 1 2 0\n"), options=PLAIN)
    assert list(labelled(axes))[1:] == ["f 40 calls 20.000s", "g 1 calls 1.000s"]


def test_thousands_of_functions_take_few_objects_and_a_short_legend(axes, write):
    """Each call had two lines, and each function a line in the legend, with which the picture was 300 inches high."""
    calls = "".join(f"FUNC m.f{n} 1 {n} 2 {n + 1 + n / 1000} 0\n" for n in range(8000))
    draw_file(write(f"MEM 1 0\n{calls}"), options=PLAIN)
    brackets = [each for each in axes.collections if len(each.get_segments()) > 1]
    assert sum(len(each.get_segments()) for each in brackets) == 16_000
    assert len(axes.get_children()) < 350
    named = list(labelled(axes))[1:]
    assert named[:-1] == sorted(f"f{n} 1 calls {1 + n / 1000:.3f}s" for n in range(7700, 8000))
    assert named[-1] == "and 7700 more functions, which took less time"


def test_brackets_of_many_calls_are_those_of_few(axes, write):
    axes.set(xlim=(0, 60), ylim=(0, 20))
    axes.autoscale(False)
    draw_file(write("MEM 1 0\n" + "FUNC m.f 5 10 6 30 0\n" * 31), options=PLAIN)
    brackets = axes.collections[0].get_segments()
    assert brackets[0].tolist() == [[11, 6], [10, 6], [10, 4], [11, 4]]
    assert brackets[1].tolist() == [[29, 7], [30, 7], [30, 5], [29, 5]]
    assert len(brackets) == 62


def test_functions_without_a_call_in_the_window_are_not_in_the_legend(axes, write):
    calls = "FUNC m.f 5 10 6 30 0\n" * 30 + "FUNC m.g 5 50 6 60 0\n"
    draw_file(write(f"MEM 1 0\n{calls}"), options=SimpleNamespace(xlim=(5, 35), slope=False))
    assert list(labelled(axes))[1:] == ["f 30 calls 600.000s"]


@pytest.mark.parametrize("draw", [draw_file, flame_plotter])
def test_names_that_are_too_long_are_cut(axes, write, draw):
    draw(write(f"MEM 1 0\nFUNC m.{'x' * 300} 1 1 2 3 0\n"), options=PLAIN)
    names = [text.get_text() for each in axes.figure.axes for text in each.texts] + [*labelled(axes)]
    assert [name for name in names if "xxx" in name] and max(map(len, names)) < 120


def test_a_red_cross_goes_through_the_highest(axes, write):
    draw_file(write("MEM 1 10\nMEM 5 11\nMEM 2 13\n"), options=PLAIN)
    assert crosses(axes) == ([5], [1])
    colour = axes.collections[0].get_edgecolor()[0]
    assert [float(value) for value in colour] == [1, 0, 0, 1]


def test_without_timestamps_there_are_no_brackets_and_no_cross(axes):
    draw_file(NESTED, timestamps=False, options=PLAIN)
    assert (len(axes.lines), len(axes.collections)) == (1, 0)


# -- children and trends ---------------------------------------------------------------------------------------------------


def test_children_are_curves_with_a_cross_of_their_own(axes):
    draw_file(CHILDREN, options=PLAIN)
    assert [(label[:11], line.get_color()) for label, line in labelled(axes).items()][1:] == [
        ("child 21070", "b"),
        ("child 21071", "r"),
    ]
    assert crosses(axes) == ([19.578, 31.797], [0.052, 0.053])


def test_children_can_be_left_out(axes):
    draw_file(CHILDREN, children=False, options=PLAIN)
    assert len(labelled(axes)) == 1


def test_the_trend_has_the_least_squares(axes, write):
    options = SimpleNamespace(slope=True, xlim=None)
    draw_file(write("MEM 1 10\nMEM 4 11\nMEM 4 12\nCHLD 7 5 10\nCHLD 7 3 11\n"), options=options)
    (label, _), (child, _) = labelled(axes).items()
    assert label.endswith(" slope 1.50000")
    assert child == "child 7 slope -2.00000"
    trends = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [points(line) for line in trends] == [[(0, 1.5), (2, 4.5)], [(0, 5), (1, 3)]]
    assert [(line.get_color(), line.get_linewidth()) for line in trends] == [("#00e3d8", 0.5), ("black", 0.5)]


@pytest.mark.parametrize("text", ["MEM 1 10\n", "MEM 1 10\nMEM 2 10\n"])
def test_points_at_one_time_have_no_trend(axes, write, text):
    draw_file(write(text), options=SimpleNamespace(slope=True, xlim=None))
    assert not any("slope" in label for label in labelled(axes))


# -- flame ---------------------------------------------------------------------------------------------------------------


def rectangles(axes):
    (hidden,) = (other for other in axes.figure.axes if other is not axes)
    boxes = [drawn.get_paths()[0].get_extents() for drawn in hidden.collections]
    return hidden, [(round(b.x0, 2), round(b.x1, 2), b.y0, b.y1) for b in boxes]


def test_a_flame_has_a_rectangle_for_each_call_as_high_as_its_level(axes):
    flame_plotter(NESTED, options=PLAIN)
    hidden, boxes = rectangles(axes)
    assert boxes == [
        (0.16, 0.68, 0, 1),
        (0.69, 1.2, 0, 1),
        (0.16, 0.32, 1, 2),
        (0.53, 0.68, 1, 2),
        (0.69, 0.84, 1, 2),
        (1.05, 1.2, 1, 2),
    ]
    assert [text.get_text() for text in hidden.texts] == ["__main__.outer"] * 2 + ["__main__.inner"] * 4
    assert not any(text.get_visible() for text in hidden.texts)
    assert plt.gca() is axes


def test_colours_alternate_and_pale_with_the_level(axes):
    flame_plotter(NESTED, options=PLAIN)
    hidden, _ = rectangles(axes)
    colours = [tuple(round(float(c), 2) for c in drawn.get_facecolor()[0]) for drawn in hidden.collections]
    assert colours[0] == (1, 0, 0, 0.5)
    assert colours[2] == colours[4] == (1, 0.35, 0.35, 0.5)
    assert len(set(colours)) == 4


def test_a_rectangle_can_be_added_to_any_axes(axes):
    rectangle, text = add_timestamp_rectangle(axes, 1, 2, 3, 4, "f", color="red")
    assert rectangle in axes.collections
    assert (text.get_text(), text.get_position(), text.get_visible()) == ("f", (1, 4), False)


def test_the_mouse_shows_names_and_zooms(axes):
    flame_plotter(NESTED, options=PLAIN)
    axes.figure.canvas.draw()
    hidden, _ = rectangles(axes)

    def mouse(kind, x, y):
        x, y = hidden.transData.transform((x, y))
        axes.figure.canvas.callbacks.process(kind, MouseEvent(kind, axes.figure.canvas, x, y, button=1))

    mouse("motion_notify_event", 0.2, 1.5)
    assert [text.get_text() for text in hidden.texts if text.get_visible()] == ["__main__.inner"]
    assert FLAME_PLOTTER_VARS["hovered_text"].get_text() == "__main__.inner"
    whole = axes.get_xlim()
    mouse("button_press_event", 0.2, 1.5)
    assert [round(float(limit), 3) for limit in axes.get_xlim()] == [0.163, 0.317]
    mouse("button_press_event", 0.2, 2.3)
    assert axes.get_xlim() == whole
    mouse("motion_notify_event", 1.29, 1.5)
    assert not any(text.get_visible() for text in hidden.texts)
    assert FLAME_PLOTTER_VARS == {"hovered_rect": None, "hovered_text": None, "alpha": None}


def test_many_rectangles_show_no_names(axes, write):
    calls = "".join(f"FUNC m.f 1 {n} 2 {n + 0.5} 0\n" for n in range(100))
    flame_plotter(write(f"MEM 1 0\n{calls}"), options=PLAIN)
    followers = axes.figure.canvas.callbacks.callbacks["motion_notify_event"].values()
    assert [each() for each in followers if "_Mouse" in repr(each())] == []


def test_thousands_of_rectangles_are_few_objects_that_can_be_clicked(axes, write):
    calls = "".join(f"FUNC m.f{n} 1 {n} 2 {n + 0.5} {n % 2}\n" for n in range(8000))
    flame_plotter(write(f"MEM 1 0\n{calls}"), options=PLAIN)
    (hidden,) = (other for other in axes.figure.axes if other is not axes)
    assert (len(hidden.collections), len(hidden.texts)) == (4, 0)
    boxes = sorted(path.get_extents().bounds for drawn in hidden.collections for path in drawn.get_paths())
    assert boxes == [(n, n % 2, 0.5, 1) for n in range(8000)]
    axes.figure.canvas.draw()
    axes.set_xlim(100, 110)
    x, y = hidden.transData.transform((101.3, 1.5))
    canvas = axes.figure.canvas
    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, x, y, button=1))
    assert [round(float(limit), 3) for limit in axes.get_xlim()] == [101, 101.5]


# -- no file makes it crash ------------------------------------------------------------------------------------------------


ODD = {
    "one_sample": "MEM 1 10\n",
    "calls_of_no_time": "MEM 1 10\nFUNC m.f 1 10 1 10 0\n",
    "calls_without_level": "MEM 1 10\nFUNC m.f 1 10 1 11\n",
    "a_child_alone": "CHLD 7 1 10\n",
    "children_without_time": "MEM 1 10\nCHLD 7 1 10\n",
    "a_dollar": "CMDLINE python -c '$x_{'\nMEM 1 10\n",
    "nothing": "",
    "a_command": "CMDLINE x\n",
    "a_picture": "\x89PNG\n",
}


@pytest.mark.parametrize("kind", [(), ("-f",), ("-s",), ("-n", "-w", "0,1")], ids=["plain", "flame", "slope", "window"])
def test_odd_files_are_drawn(monkeypatch, write, tmp_path, capsys, kind):
    from memkit.compat.mprof import plot_action

    for name, text in ODD.items():
        monkeypatch.setattr(sys, "argv", ["mprof", *kind, "-o", str(tmp_path / f"{name}.png"), write(text, f"{name}.dat")])
        plot_action()
        empty = "No memory usage values have been found" in capsys.readouterr().out
        assert empty == ("MEM" not in text), name
        assert (tmp_path / f"{name}.png").exists() == (not empty), name


def test_a_file_without_samples_is_a_message(plot, write, tmp_path):
    write("CMDLINE x\n")
    done = plot("a.dat")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "** No memory usage values have been found in the profile file.**",
        "File path: a.dat",
        "File may be empty or invalid.",
        'It can be deleted with "mprof rm a.dat"',
    ]
    assert os.listdir(tmp_path) == ["a.dat"]


# -- the figure ------------------------------------------------------------------------------------------------------------


def drawn(monkeypatch, *words):
    """The figure of ``mprof plot`` with some words."""
    from memkit.compat.mprof import plot_action

    figures = []
    monkeypatch.setattr(picture, "_show_or_save", lambda figure, *_: figures.append(figure))
    monkeypatch.setattr(sys, "argv", ["mprof", "-o", "-", *words])
    plot_action()
    return figures[0]


def test_a_figure_has_labels_a_grid_a_title_and_a_legend(monkeypatch):
    figure = drawn(monkeypatch, NESTED)
    (axes,) = figure.axes
    assert axes.get_title() == "/usr/bin/python3 nest.py a 'b c'"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (in seconds)", "memory used (in MiB)")
    assert (tuple(figure.get_size_inches()), figure.dpi) == ((14, 6), 90)
    assert len(axes.get_legend().get_texts()) == 7


def test_a_curve_is_drawn_in_pieces_whose_length_has_an_end(monkeypatch):
    import matplotlib

    pieces = []
    monkeypatch.setattr(picture, "_show_or_save", lambda *_: pieces.append(matplotlib.rcParams["agg.path.chunksize"]))
    before = matplotlib.rcParams["agg.path.chunksize"]
    from memkit.compat.mprof import plot_action

    monkeypatch.setattr(sys, "argv", ["mprof", "-o", "-", NESTED])
    plot_action()
    assert pieces == [picture.PIECE]
    assert matplotlib.rcParams["agg.path.chunksize"] == before


def test_a_title_can_be_given(monkeypatch):
    assert drawn(monkeypatch, "-t", "mine", NESTED).axes[0].get_title() == "mine"


def test_several_files_have_no_title_and_no_calls(monkeypatch):
    (axes,) = drawn(monkeypatch, NESTED, CHILDREN).axes
    assert axes.get_title() == ""
    assert [line.get_color() for line in labelled(axes).values()] == ["k", "b", "r", "g"]


def test_the_window_option_sets_the_limits_of_the_x_axis(monkeypatch):
    (axes,) = drawn(monkeypatch, "-w", "0.2,0.6", NESTED).axes
    assert axes.get_xlim() == (0.2, 0.6)
    assert [line.get_label() for line in axes.lines[1:]] == ["inner 0.154s"] * 2  # of one the end, of one the beginning


def test_the_legend_is_never_cut_off(monkeypatch):
    """mprof cut the slope off."""
    figure = drawn(monkeypatch, "-s", NESTED)
    legend = figure.axes[0].get_legend()
    figure.canvas.draw()
    assert legend.get_window_extent().x1 <= figure.bbox.width


def legend_of(figure):
    """Its texts; all of it is in the picture."""
    figure.canvas.draw()
    legend = figure.axes[0].get_legend()
    box = legend.get_window_extent()
    assert box.x1 <= figure.bbox.width and box.y0 >= 0 and box.y1 <= figure.bbox.height
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(("name", "count"), [("load", 60), ("load", 300), ("long" * 60, 5)], ids=["60", "300", "wide"])
def test_the_picture_grows_with_its_legend(monkeypatch, write, name, count):
    """The first and the last of many functions were cut off."""
    calls = "".join(f"FUNC m.{name}{number} 1 1{number} 2 2{number} 0\n" for number in range(count))
    figure = drawn(monkeypatch, write(f"MEM 1 10\n{calls}MEM 2 20\n"))
    assert len(legend_of(figure)) == count + 1
    assert figure.axes[0].get_position().width >= picture.NARROWEST - 0.001


def test_every_function_is_in_the_legend_by_its_name(monkeypatch, write):
    """Those that begin with _ were left out, and a $ was taken for mathematics."""
    names = ["_hidden", "__init__", "_child0", "a$b", "$x_{"]
    figure = drawn(monkeypatch, write("MEM 1 10\n" + "".join(f"FUNC m.{name} 1 10 2 11 0\n" for name in names)))
    assert sorted(text.split()[0] for text in legend_of(figure)[1:]) == sorted(names)


def test_a_name_with_a_dollar_is_shown_as_it_is_under_the_mouse(axes):
    _, text = add_timestamp_rectangle(axes, 0, 1, 0, 1, "$x_{")
    text.set_visible(True)
    axes.figure.canvas.draw()


@pytest.mark.parametrize("backend", ["svg", "pdf", "ps", "template", "agg"])
def test_any_backend_of_matplotlib_can_draw(plot, write, tmp_path, backend):
    """svg and the like have no renderer to be asked for."""
    write("MEM 1 10\nMEM 2 11\n")
    done = plot("--backend", backend, "a.dat")
    assert (done.returncode, done.stderr) == (0, f"mprof: --backend {backend} shows nothing: the plot is in a.png\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    done = plot("--backend", backend, "-o", "b.svg", "a.dat")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_suffix_chooses_the_picture_format(plot, tmp_path, suffix):
    done = plot("-o", f"a.{suffix}", NESTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(start)


def test_without_a_display_the_picture_is_beside_the_file(plot, write, tmp_path):
    write("MEM 1 10\nMEM 2 11\n")
    done = plot("a.dat")
    assert (done.returncode, done.stderr) == (0, "mprof: there is no display here: the plot is in a.png\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-w", "a", NESTED], "mprof: error: argument --window/-w: invalid xlim_type value: 'a'"),
        (["-w", "3,1", NESTED], "mprof: error: argument --window/-w: '3,1' ends before it begins"),
        (["--backend", "nothing", NESTED], "mprof: --backend 'nothing': "),
    ],
)
def test_wrong_options_are_told(plot, words, reason):
    done = plot(*words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(reason)


def test_a_picture_that_cannot_be_written_is_one_line(plot):
    for name in ("nowhere/a.png", "a.nothing"):
        done = plot("-o", name, NESTED)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"mprof: cannot write {name!r}: ")
