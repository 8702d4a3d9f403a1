"""``--flame``: where the boxes are, what stands in them, and that a picture can be made in every kind."""

import dataclasses
import os

import pytest

import memkit
from memkit.report.reporters.flame import MOST_LEVELS, Box, Layout, draw, label
from memkit.report.transforms import LONGEST_CHAIN

MIB = 1 << 20
MAIN = "<thread MainThread>"


def boxes(recording, by=None):
    """(name, level, left, width) of all boxes, with shares as percentages."""
    found = Layout(recording.calls, by).boxes
    return [(box.call.function.name, box.level, round(100 * box.left), round(100 * box.width)) for box in found]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def words(figure):
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [*(text.get_text() for text in figure.texts), *legends, *(axes.get_title(loc="left") for axes in figure.axes)]


def test_a_box_is_as_wide_as_its_call_grew_below_its_caller(called):
    recording = called((0, MAIN, 0), (1, "a", 50), (2, "b", 30), (1, "c", 20))
    assert sorted(boxes(recording)) == [
        ("<thread MainThread>", 0, 0, 100),
        ("a", 1, 0, 80),
        ("b", 2, 0, 30),
        ("c", 1, 80, 20),
    ]


def test_what_shrank_stands_right_of_what_grew_and_has_its_width(called):
    recording = called((0, MAIN, 0), (1, "shrank", -20), (1, "grew", 60))
    assert boxes(recording) == [(MAIN, 0, 0, 100), ("shrank", 1, 75, 25), ("grew", 1, 0, 75)]


def test_what_kept_nothing_is_left_out_with_all_that_it_called(called):
    recording = called((0, MAIN, 0), (1, "loop", 0), (2, "take", 900), (2, "free", -900), (1, "keep", 10))
    assert boxes(recording) == [(MAIN, 0, 0, 100), ("keep", 1, 0, 100)]
    assert Layout(recording.calls).narrow == 3


def test_what_is_narrower_than_a_dot_is_left_out_and_counted(called):
    recording = called((0, MAIN, 0), (1, "a", 1000), (1, "b", 0.5), (2, "c", 0.1))
    assert [name for name, *_ in boxes(recording)] == [MAIN, "a"]
    assert "left out: 2 narrower than a dot" in words(draw(recording))[1]


def test_threads_stand_beside_each_other(called):
    recording = called((0, MAIN, 30), (0, "<thread A>", 0), (1, "a", 10))
    assert sorted(boxes(recording)) == [("<thread A>", 0, 75, 25), (MAIN, 0, 0, 75), ("a", 1, 75, 25)]


def test_the_picture_can_be_by_time(called):
    recording = called((0, MAIN, 0, 1, 0), (1, "a", 50, 1, 10), (1, "b", 0, 1, 30))
    assert sorted(boxes(recording, by="time")) == [(MAIN, 0, 0, 100), ("a", 1, 75, 25), ("b", 1, 0, 75)]
    assert words(draw(recording, by="time"))[0] == (
        "load.py data.csv: calls took 40.0 ms and grew memory by 50.0 MiB, peak 10.0 MiB"
    )


def test_where_nothing_grew_the_picture_is_by_rise_and_says_so(called):
    recording = called((0, MAIN, 0, 1, 0, 10, 30, 30), (1, "hold", 0, 1, 1, 40, 30, 30), (1, "spin", 0, 1, 900, 10, 0, 0))
    assert boxes(recording) == [(MAIN, 0, 0, 100), ("hold", 1, 0, 100)]
    title, how, *_ = words(draw(recording))
    assert title == "load.py data.csv: calls by rise, the highest 30.0 MiB; they grew memory by 0 B, peak 40.0 MiB"
    assert how.startswith("callers above what they called; as wide as they rose above what there was when they began")


def test_the_picture_can_be_by_peak(called):
    recording = called((0, MAIN, 0, 1, 0, 10), (1, "hold", 0, 1, 1, 40), (1, "keep", 5, 1, 1, 20))
    assert sorted(boxes(recording, by="peak")) == [(MAIN, 0, 0, 100), ("hold", 1, 0, 75), ("keep", 1, 75, 25)]
    assert "calls by peak" in words(draw(recording, by="peak"))[0]


def test_where_nothing_grew_and_no_rises_are_known_the_picture_is_by_time(called):
    recording = called((0, MAIN, 0, 1, 0), (1, "load", 50, 1, 10), (1, "free", -50, 1, 30))
    assert sorted(boxes(recording)) == [(MAIN, 0, 0, 100), ("free", 1, 0, 75), ("load", 1, 75, 25)]


def test_the_middle_of_a_long_chain_is_one_box(called):
    recording = called((0, MAIN, 0), *((1 + k, f"f{k}", 0) for k in range(50)), (51, "keep", 90))
    found = Layout(recording.calls).boxes
    assert [(box.call.function.name, box.between) for box in found] == [
        *((MAIN, 0), ("f0", 0), ("f1", 0), ("f2", 46), ("f48", 0), ("f49", 0), ("keep", 0))
    ]
    assert [box.level for box in found] == list(range(LONGEST_CHAIN))
    assert "... 46 calls between" in texts(draw(recording))
    assert "several calls in one" in words(draw(recording))


def test_what_is_deeper_than_can_be_drawn_is_cut_and_counted(called):
    rows = [row for k in range(100) for row in ((1 + k, "walk", 0), (2 + k, "leaf", 1))]
    recording = called((0, MAIN, 0), *rows)
    layout = Layout(recording.calls)
    assert max(box.level for box in layout.boxes) == MOST_LEVELS - 1
    drawn = sum(box.level >= 0 for box in layout.boxes)
    assert layout.deep + layout.narrow + drawn == len(recording.calls)
    assert f"{layout.deep:,} calls deeper than {MOST_LEVELS} levels" in words(draw(recording))[1]


def test_a_very_deep_recursion_is_drawn(called):
    layout = Layout(called((0, MAIN, 0), *((1 + k, "walk", 0.01) for k in range(5000))).calls)
    assert layout.deep + layout.narrow + sum(max(1, box.between) for box in layout.boxes) == 5001


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (1.0, "load  load.py:10  +8.0 MiB, peak 10.0 MiB"),
        (0.21, "load  +8.0 MiB, peak 10.0 MiB"),
        (0.12, "load  +8.0 MiB"),
        (0.05, "load"),
        (0.01, ""),
    ],
)
def test_a_label_says_as_much_as_it_has_room_for(called, width, text):
    [_, call] = called((0, MAIN, 0), (1, "load", 8)).calls
    assert label(Box(call, 0, width, 0), "growth") == text


def test_a_label_says_what_a_call_that_grew_gave_back_itself(called):
    [_, main, load] = called((0, MAIN, 0), (1, "main", -30), (2, "load", 50)).calls
    assert label(Box(main, 0, 1.0, 0), "growth") == "main  load.py:10  +20.0 MiB (itself -30.0 MiB), peak 10.0 MiB"
    assert label(Box(load, 0, 1.0, 0), "growth") == "load  load.py:10  +50.0 MiB, peak 10.0 MiB"


def test_a_long_name_is_shortened_or_left_out(called):
    [_, call] = called((0, MAIN, 0), (1, "a_name_of_many_characters", 8)).calls
    assert label(Box(call, 0, 0.08, 0), "growth") == "a_name_of_m…"
    assert label(Box(call, 0, 0.02, 0), "growth") == ""
    assert label(Box(call, 0, 1.0, 0), "time") == "a_name_of_many_characters  load.py:10  1.00 ms, peak 10.0 MiB"


def test_no_label_reaches_out_of_its_box(called):
    rows = [(1 + k % 3, f"a_function_with_a_name_of_its_own_{k}", 1 + (k % 17) ** 2) for k in range(60)]
    figure = draw(called((0, MAIN, 0), *rows))
    axes = figure.axes[0]
    figure.draw_without_rendering()
    corners = [path.get_extents() for each in axes.collections for path in each.get_paths()]
    for text in axes.texts:
        (left, top), (right, _) = axes.transData.inverted().transform(text.get_window_extent())
        assert any(box.x0 <= left and right <= box.x1 and box.y0 <= top <= box.y1 for box in corners), text.get_text()
    assert len(axes.texts) > 10


def test_the_peak_is_the_colour_and_what_shrank_is_hatched(called):
    figure = draw(
        called((0, MAIN, 0, 1, 1, 10), (1, "low", 30, 1, 1, 20), (1, "high", 30, 1, 1, 400), (1, "free", -9, 1, 1, 9))
    )
    grew, shrank = figure.axes[0].collections
    assert len({tuple(colour) for colour in grew.get_facecolors()}) == 2
    assert (grew.get_hatch(), shrank.get_hatch()) == (None, "////")
    assert "shrank" in words(figure)
    assert "grew, by peak (MiB)" in words(figure)


def test_by_heap_the_peak_is_said_to_be_of_resident_memory(called):
    heap, none = memkit.Heap(3 * MIB, 0, 3 * MIB, 0, 1, 0), memkit.Heap(*[0] * 6)
    recording = called((0, MAIN, 0), (1, "a", 50, 1, 1, 60))
    root, call = recording.calls
    calls = root._replace(heap=heap, own_heap=none), call._replace(heap=heap, own_heap=heap)
    said = words(draw(dataclasses.replace(recording, calls=calls), "heap"))
    assert said[0].endswith("of what is alive at the end: 3.0 MiB, peak 60.0 MiB resident")
    assert "by peak of resident memory (MiB)" in said


def test_the_title_has_the_program_and_the_sums(called):
    figure = draw(called((0, MAIN, 0), (1, "a", 50, 1, 1, 60)))
    assert words(figure)[0] == "load.py data.csv: calls grew memory by 50.0 MiB, peak 60.0 MiB"


def test_mathematics_in_a_name_is_text(called):
    recording = called((0, MAIN, 0), (1, "cost$_{$\\frac", 50), argv=("a$b$_.py",))
    draw(recording).draw_without_rendering()


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_suffix_says_which_kind_of_picture(called, tmp_path, suffix, start):
    path = tmp_path / f"a.{suffix}"
    memkit.report(called((0, MAIN, 0), (1, "a", 50), (1, "b", -9)), flame=path, quiet=True)
    assert path.read_bytes().startswith(start)


def test_a_picture_of_nothing_can_be_drawn(called, tmp_path):
    memkit.report(called((0, MAIN, 0, 1, 0)), flame=tmp_path / "a.png", quiet=True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_is_of_what_is_not_hidden(called, tmp_path):
    recording = called((0, MAIN, 0), (1, "main", 5), (2, "/usr/lib/python3.13/json/__init__.py:loads", 50))
    memkit.report(recording, flame=tmp_path / "hidden.svg", quiet=True)
    memkit.report(recording, flame=tmp_path / "all.svg", show_all=True, quiet=True)
    assert "loads" not in (tmp_path / "hidden.svg").read_text()
    assert "loads" in (tmp_path / "all.svg").read_text()


@pytest.mark.parametrize("name", ["a", "a.bmp", "-"])
def test_another_suffix_is_refused_with_those_there_are(called, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(memkit.UsageError, match=r"end it in \.png, \.svg, \.pdf"):
        memkit.report(called((0, MAIN, 1)), flame=name, quiet=True)


def test_nothing_to_draw_is_one_clear_error(made_up, called, tmp_path):
    with pytest.raises(memkit.UsageError, match="--flame has nothing to draw: no calls were traced; record with --calls"):
        memkit.report(made_up((0, 10)), flame=tmp_path / "a.png", quiet=True)
    with pytest.raises(memkit.MemkitError, match="--flame takes one recording, not 2"):
        memkit.report([called(), called()], flame=tmp_path / "a.png", quiet=True)
    assert os.listdir(tmp_path) == []
