"""What people read: bytes and nanoseconds as they write them, there and back, and text that a terminal only shows.

Nothing else in memkit knows a unit.
"""

from __future__ import annotations

from memkit.base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SECOND = 1_000_000_000
SHORTEST_INTERVAL = SECOND // 10_000
LONGEST_INTERVAL = 24 * 3600 * SECOND

TAB = 4
"""Columns from tab stop to tab stop, where source is shown."""

_COMMANDS = (*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in (*_COMMANDS, 0xFFFE, 0xFFFF)}
_DOTS = "..."
_MOST_CUTS = 5
"""Those that differ in a second place, too, are cut a second time, and so on; this is enough for what people call alike."""
_LETTERS = "bikmgtBIKMGT"
_BLANKS = "\t\xa0\u2007\u202f\u3000"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_BYTES_IN = {"b": 1}
"""How many bytes a unit has, in small letters: GiB and G, as containers have it, are powers of 1024, GB is one of 1000."""
for _power, _letter in enumerate("kmgt", 1):
    _BYTES_IN |= {f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power, _letter: 1024**_power}
_TIMES = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}


def scale(size: int) -> tuple[int, str]:
    """The unit that suits a size: its bytes and its name."""
    power = 0
    while power < len(_SIZES) - 1 and abs(size) >= 1024 ** (power + 1):
        power += 1
    return 1024**power, _SIZES[power]


def show_text(text: str) -> str:
    """Any text as one that any font, page and stream of UTF-8 takes: what it cannot spell is a backslash and its code.

    That is what Python makes of a byte that is none of a text, as in the name of a file, and such a name may be a span's. So
    is what would command a terminal, change the direction of a line, or end an SVG file; the ends of lines and tabs stay.
    """
    if text.isprintable():
        return text
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def show_on_a_line(text: str) -> str:
    """The same on one line: blanks of any kind are one space."""
    return show_text(" ".join(text.split()))


def csv_cell(text: str) -> str:
    """Text for a cell of a CSV file: a spreadsheet takes it for no formula, since it begins with an apostrophe then."""
    shown = show_text(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t", "\n")) else shown


def show_bytes(size: int | None, *, sign: bool = False) -> str:
    """A size to be read: ``1572864`` is ``1.5 MiB``, with ``sign`` ``+1.5 MiB``; None is ``?``.

    Below one KiB bytes are whole; above, one decimal, which is as much as resident memory means.
    """
    if size is None:
        return "?"
    unit, name = scale(size)
    digits = 0 if unit == 1 else 1
    return f"{size / unit:{'+' if sign else ''}.{digits}f} {name}"


def show_error(size: int | None) -> str:
    """How far sizes can be off, to be read: ``507904`` is ``0.5 MiB``, rounded up.

    Empty where that is less than 0.1 MiB, which no size of some MiB shows, and for None.
    """
    return f"{-(-size * 10 >> 20) / 10:.1f} MiB" if size and size * 10 >= 1 << 20 else ""


def show_time(time: int | None) -> str:
    """A duration in nanoseconds to be read: ``1.50 s``, ``2 min 05 s``, ``3 h 07 min``; None is ``?``."""
    if time is None:
        return "?"
    if time < 0:
        return f"-{show_time(-time)}"
    if time >= 3600 * SECOND:
        minutes = round(time / (60 * SECOND))
        return f"{minutes // 60} h {minutes % 60:02} min"
    if time >= 60 * SECOND:
        seconds = round(time / SECOND)
        return f"{seconds // 60} min {seconds % 60:02} s"
    for name in ("s", "ms", "µs"):
        if time >= _TIMES[name]:
            value = time / _TIMES[name]
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {name}"
    return f"{time} ns"


def printable(text: str) -> str:
    """A line of text for a terminal: what would command the terminal, or end the line, is a question mark, one for each.

    What no encoding can spell stays, for the stream to spell out; see ``show_text``.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in _BLANKS or _is_odd(letter) else "?" for letter in text)


def cut_apart(texts: Iterable[str], most: int) -> list[str]:
    """The texts, each of at most so many characters, and those that differ still different: dots are for what is left out.

    That is the middle, or, of those that would be cut alike, what they have in common before their first difference.
    """
    texts = list(texts)
    cut = {text: _cut_before(text, most, len(text)) for text in texts}
    for _ in range(_MOST_CUTS):
        alike: dict[str, list[str]] = {}
        for text, short in cut.items():
            alike.setdefault(short, []).append(text)
        for those in alike.values():
            if len(those) > 1:
                first, last = min(those), max(those)  # these two differ first
                difference = next(at for at, letter in enumerate(last) if first[at : at + 1] != letter)
                cut |= {text: _cut_before(text, most, difference) for text in those}
    return [cut[text] for text in texts]


def _cut_before(text: str, most: int, place: int) -> str:
    """A text of at most so many characters: its beginning, and what is around a place, from the beginning of a word on."""
    if len(text) <= most:
        return text
    head = (most - len(_DOTS)) // 2
    room = most - len(_DOTS) - head
    nearby = range(max(place - room // 2, 0), min(place, len(text)))
    word = next((at + 1 for at in nearby if text[at] in " /=,"), place - room // 4)
    if word + room >= len(text):
        return text[:head] + _DOTS + text[-room:]
    if word <= head + len(_DOTS):
        return text[: most - len(_DOTS)] + _DOTS
    return text[:head] + _DOTS + text[word : word + room - len(_DOTS)] + _DOTS


def _is_odd(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"


def parse_time(text: str | float | int) -> int:
    """A duration in nanoseconds: a number of seconds, or text such as ``"10ms"`` or ``"2 min"``."""
    number, unit = text, SECOND
    if isinstance(text, str):
        number = text.strip()
        for name in sorted(_TIMES, key=len, reverse=True):
            if number.endswith(name):
                number, unit = number[: -len(name)], _TIMES[name]
                break
    try:
        time = float(number) * unit
        return round(time)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a time: write seconds, or a number with ns, us, ms, s, min or h") from None


def parse_bytes(text: str | int) -> int:
    """A size in bytes: a whole number of them, or text such as ``"4096"``, ``"64KiB"``, ``"1.5 GB"`` or ``"5e9"``.

    ``KiB``, ``MiB``, ``GiB`` and ``TiB``, and ``K``, ``M``, ``G`` and ``T``, are powers of 1024; ``kB``, ``MB``, ``GB`` and
    ``TB`` are powers of 1000. Small letters are as good as capitals.
    """
    number, unit = text, 1
    if isinstance(text, str):
        number = text.strip()
        name = number[len(number.rstrip(_LETTERS)) :].lower()
        if name in _BYTES_IN:
            number, unit = number[: -len(name)], _BYTES_IN[name]
    try:
        size = float(number) * unit
        if isinstance(text, bool) or size < 0 or (size != int(size) and unit < 1000):
            raise ValueError
        return round(size)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a size: write whole bytes, or a number with {', '.join(_SIZES)}, kB, MB, GB or TB"
        ) from None


def parse_interval(text: str | float | int, *, auto: bool = True) -> int:
    """Nanoseconds between two samples; 0 for ``"auto"``, if there is such a thing."""
    if auto and text == "auto":
        return 0
    or_auto, choose = (", or auto", "; write auto to let memkit choose") if auto else ("", "")
    try:
        time = parse_time(text)
    except UsageError:
        raise UsageError(f"interval {text!r} is not a time: write seconds, such as 0.01, or 10ms{or_auto}") from None
    if time < SHORTEST_INTERVAL:
        raise UsageError(f"interval {text!r} is too short: the shortest is 0.0001 s{choose}")
    if time > LONGEST_INTERVAL:
        raise UsageError(f"interval {text!r} is too long: the longest is a day{choose}")
    return time
