"""What people read: bytes and nanoseconds as they write them, there and back, and text that a terminal only shows.

Nothing else in memkit knows a unit.
"""

from __future__ import annotations

from memkit.base.errors import UsageError

SECOND = 1_000_000_000
SHORTEST_INTERVAL = SECOND // 10_000
LONGEST_INTERVAL = 24 * 3600 * SECOND

_BLANKS = "\t\xa0\u2007\u202f\u3000"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_TIMES = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}


def scale(size: int) -> tuple[int, str]:
    """The unit that suits a size: its bytes and its name."""
    power = 0
    while power < len(_SIZES) - 1 and abs(size) >= 1024 ** (power + 1):
        power += 1
    return 1024**power, _SIZES[power]


def show_text(text: str) -> str:
    """Any text as one that any font, page and stream of UTF-8 takes: what it cannot spell is a backslash and its code.

    That is what Python makes of a byte that is none of a text, as in the name of a file, and such a name may be a span's.
    """
    return text.encode("utf-8", "backslashreplace").decode()


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
    """A size in bytes: a whole number of them, or text such as ``"4096"``, ``"64KiB"`` or ``"1.5 MiB"``."""
    number, unit = text, 1
    if isinstance(text, str):
        number = text.strip()
        for power, name in reversed(list(enumerate(_SIZES))):
            if number.endswith(name):
                number, unit = number[: -len(name)], 1024**power
                break
    try:
        size = float(number) * unit
        if isinstance(text, bool) or size < 0 or size != int(size):
            raise ValueError
        return int(size)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a size: write whole bytes, or a number with {', '.join(_SIZES)}") from None


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
