"""Numbers as people write them."""

import pytest

from memkit import units
from memkit.base.errors import UsageError


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_572_864, "1.5 MiB"),
        (-1_572_864, "-1.5 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 50, "5120.0 TiB"),
        (None, "?"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_suits_it(size, shown):
    assert units.show_bytes(size) == shown


def test_a_growth_is_shown_with_its_sign():
    assert [units.show_bytes(size, sign=True) for size in (4096, -4096, 0)] == ["+4.0 KiB", "-4.0 KiB", "+0 B"]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (None, ""),
        (0, ""),
        (104_857, ""),
        (104_858, "0.2 MiB"),
        (507_904, "0.5 MiB"),
        (1 << 20, "1.0 MiB"),
        (66_584_576, "63.5 MiB"),
        (66_584_577, "63.6 MiB"),
    ],
)
def test_an_error_is_rounded_up_to_a_tenth_of_a_mebibyte(size, shown):
    assert units.show_error(size) == shown


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.50 µs"),
        (12_345_678, "12.3 ms"),
        (999_600_000, "1000 ms"),
        (1_000_000_000, "1.00 s"),
        (59_900_000_000, "59.9 s"),
        (125_000_000_000, "2 min 05 s"),
        (3_599_700_000_000, "60 min 00 s"),
        (11_220_000_000_000, "3 h 07 min"),
        (None, "?"),
    ],
)
def test_a_duration_is_shown_with_three_figures(time, shown):
    assert units.show_time(time) == shown


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0.5", 500_000_000),
        ("10ms", 10_000_000),
        (" 2 min", 120_000_000_000),
        ("250us", 250_000),
        (0.1, 100_000_000),
        ("1h", 3600 * units.SECOND),
    ],
)
def test_a_time_is_seconds_or_a_number_with_its_unit(text, time):
    assert units.parse_time(text) == time


@pytest.mark.parametrize("text", ["", "soon", "ms", "1 parsec", "nan", "inf", None, [1]])
def test_what_is_no_time_is_refused_with_its_text(text):
    with pytest.raises(UsageError, match="is not a time") as caught:
        units.parse_time(text)
    assert repr(text) in str(caught.value)


def test_an_interval_is_a_time_or_auto():
    assert [units.parse_interval(text) for text in ("auto", "1ms", 0.5)] == [0, 1_000_000, 500_000_000]


@pytest.mark.parametrize("text", ["25h", 1e12])
def test_an_interval_above_a_day_is_refused(text):
    with pytest.raises(UsageError, match="too long"):
        units.parse_interval(text)


@pytest.mark.parametrize("text", [0, "0", -1, "-0.5", "1us", "99us"])
def test_an_interval_below_a_tenth_of_a_millisecond_is_refused(text):
    with pytest.raises(UsageError, match="too short"):
        units.parse_interval(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *((4096, 4096), ("4096", 4096), ("4096B", 4096), ("64KiB", 65536), ("1.5 MiB", 3 << 19), (" 2GiB ", 2 << 30)),
        *(("0", 0), ("5e9", 5 * 10**9), ("5GB", 5 * 10**9), ("5G", 5 << 30), ("5GiB", 5 << 30), ("5g", 5 << 30)),
        *(("1 kB", 1000), ("1KB", 1000), ("1MB", 10**6), ("1.5 mb", 1_500_000), ("2T", 2 << 40), ("1.001kB", 1001)),
    ],
)
def test_a_size_is_bytes_or_a_number_with_its_unit(text, size):
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "1MiBs", "1 PB", "GB", -1, "-1KiB", 0.5, "0.3B", "nan", "inf", None, "KiB"])
def test_what_is_no_size_is_refused_with_the_units_there_are(text):
    with pytest.raises(UsageError, match=r"is not a size: write whole bytes, or a number with B, KiB, MiB, GiB, TiB"):
        units.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x9b0m\x07", "?[31mred?0m?"),
        ("one\r\ntwo", "one??two"),
        ("\u202egnp.exe", "?gnp.exe"),
        ("a\tb\xa0c\u3000d é 大 █", "a\tb\xa0c\u3000d é 大 █"),
        ("\udcff", "\udcff"),
    ],
)
def test_what_would_command_a_terminal_is_a_question_mark(text, shown):
    assert units.printable(text) == shown


SPAWNED = "-c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle={}) --multiprocessing-fork"
WORKER = "serve.py --config /etc/shop/production/one.toml --id {} --port {} --log /var/log/shop/all.log"


@pytest.mark.parametrize("most", [24, 26, 40, 60])
@pytest.mark.parametrize(
    "texts",
    [
        [f"/srv/app/releases/2024-11-30/code/worker_{name}.py" for name in "abc"],
        [SPAWNED.format(number) for number in (7, 9, 11)],
        [WORKER.format(*each) for each in ((1, 80), (2, 80), (2, 81))],
        ["x" * 99, "x" * 50 + "y" + "x" * 48, "x" * 98 + "z"],
        ["job " + "x" * 100, "job " + "x" * 100 + " --again and again and again and again and again"],
        ["short", "y" * 100],
    ],
)
def test_texts_that_differ_are_cut_to_texts_that_differ(texts, most):
    cut = units.cut_apart(texts, most)
    assert len(set(cut)) == len(texts)
    assert all(len(each) <= most and each[:4] == text[:4] for each, text in zip(cut, texts))


def test_what_is_cut_shows_its_beginning_and_its_end_or_what_is_its_own():
    path = "/srv/app/releases/2024-11-30/code/worker_{}.py"
    assert units.cut_apart([path.format("a")], 24) == ["/srv/app/r.../worker_a.py"[:10] + "...worker_a.py"]
    assert units.cut_apart([WORKER.format(1, 80), WORKER.format(2, 80)], 32) == [
        "serve.py --con...--id 1 --por...",
        "serve.py --con...--id 2 --por...",
    ]


def test_what_fits_is_not_cut_and_the_same_stays_the_same():
    assert units.cut_apart(["a" * 24, "b" * 25, "b" * 25], 24) == ["a" * 24, *["b" * 10 + "..." + "b" * 11] * 2]
    assert units.cut_apart([], 24) == []
