"""How large the input of a run is, told by the program itself."""

from __future__ import annotations

from memkit.record import active


def size(value: float) -> None:
    """Tell every recording that is running how large the input of this run is: a number above 0, of whatever unit you like.

    ::

        rows = read(path)
        memkit.size(len(rows))

    ``memkit fit`` then tells the peak as a function of it. Of several calls the last one holds. Where nothing is recorded it
    costs next to nothing. Raises ``TypeError`` for what is no number, ``ValueError`` for one that is not above 0.
    """
    if isinstance(value, (str, bytes, bool)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"the size of an input is a number, not {value!r}: write memkit.size(len(rows))")
    number = value if type(value) is int else float(value)
    if not 0 < number < 1 << 63:
        raise ValueError(f"the size of an input is a number above 0, and {value!r} is none")
    for each in list(active.recorders):
        each.spans.size(number)
