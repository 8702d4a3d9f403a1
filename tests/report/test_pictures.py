"""What all pictures share: their files, palette, legend, units and words."""

import re

import pytest

import memkit

pictures = memkit.pictures
S = memkit.units.SECOND


def test_letters_that_matplotlib_has_not_get_the_fonts_that_are_installed(tmp_path, monkeypatch):
    from matplotlib import font_manager

    monkeypatch.setattr(pictures, "CJK_FONTS", ("No Such Font", "DejaVu Serif"))
    assert "DejaVu Serif" in {font.name for font in font_manager.fontManager.ttflist}
    figure = pictures.new_figure()
    odd, plain = figure.text(0, 0, "数据"), figure.text(0, 0.5, "data")
    pictures.save(figure, str(tmp_path / "a.svg"))
    assert odd.get_fontfamily() == [*plain.get_fontfamily(), "DejaVu Serif"]


@pytest.mark.parametrize("suffix", [*pictures.SUFFIXES, ".PNG"])
def test_a_picture_is_of_the_kind_that_its_suffix_says(tmp_path, suffix):
    path = pictures.path(tmp_path / f"a{suffix}")
    pictures.save(pictures.new_figure(1, width=1), path)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix.lower()]
    with open(path, "rb") as file:
        assert file.read(len(start)) == start


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a", r"cannot tell the kind of picture from .*: end it in \.png, \.svg, \.pdf"),
        ("a.bmp", "cannot tell the kind"),
        ("-", "cannot tell the kind of picture from '-'"),
        ("no/a.png", "there is no folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(memkit.UsageError, match=said):
        pictures.path(name)


@pytest.mark.parametrize("option", ["plot", "flame", "plot_lines"])
def test_without_matplotlib_a_picture_is_refused_before_any_report(made_up, tmp_path, monkeypatch, capsys, option):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(memkit.UsageError, match="a picture needs matplotlib: python -m pip install matplotlib"):
        memkit.report(made_up((0, 10)), **{option: tmp_path / "a.png"})
    assert capsys.readouterr() == ("", "")


def light(colour):
    """Relative luminance, as WCAG 2 defines it."""
    parts = (int(each, 16) / 255 for each in re.findall("..", colour[1:]))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [pictures.MEMORY, pictures.PEAK, pictures.FREED, pictures.FAILED])
def test_what_a_notebook_draws_stands_out_from_white_and_black(colour):
    assert 1.05 / (light(colour) + 0.05) >= 3
    assert (light(colour) + 0.05) / 0.05 >= 3


def test_no_colour_of_the_palette_is_there_twice():
    others = (pictures.FAILED, pictures.LIMIT, pictures.REACHED, pictures.TOGETHER, pictures.OTHERS)
    assert len({*pictures.PROCESSES, *others}) == len(pictures.PROCESSES) + len(others)


@pytest.mark.parametrize(
    ("longest", "name", "size"),
    [
        (0, "µs", 1_000),
        (S // 100, "ms", 1_000_000),
        (S, "s", S),
        (3 * 60 * S, "min", 60 * S),
        (3 * 3600 * S, "h", 3600 * S),
        (5 * 86_400 * S, "days", 86_400 * S),
    ],
)
def test_the_unit_of_an_axis_suits_its_length(longest, name, size):
    assert pictures.time_unit(longest)[:2] == (size, name)


def test_a_legend_of_many_curves_is_below_the_plot():
    figure = pictures.new_figure()
    axes = figure.subplots()
    curves = axes.plot([0, 1], [0, 1], label="a")
    pictures.add_legend(axes, curves, below=True)
    assert (len(figure.legends), axes.get_legend()) == (1, None)
    pictures.add_legend(axes, curves, below=False)
    assert axes.get_legend() is not None


def test_text_is_cut_and_its_dollar_signs_are_no_mathematics():
    assert pictures.shorten("abcdef", 6) == "abcdef"
    assert pictures.shorten("abcdefg", 6) == "abcde…"
    assert pictures.shorten("odd\udce9", 20) == r"odd\udce9"
    assert pictures.literal("$5 and $6", 20) == r"\$5 and \$6"
