"""``memkit.size``: every recording that is running is told, and the last one holds."""

import pytest

import memkit


def test_a_recording_has_the_last_size_that_was_told():
    with memkit.record() as outer:
        memkit.size(3)
        with memkit.record() as inner:
            memkit.size(4.5)
    assert outer.recording.size == inner.recording.size == 4.5


def test_nothing_happens_where_nothing_is_recorded():
    memkit.size(7)
    with memkit.record() as run:
        pass
    assert run.recording.size is None


@pytest.mark.parametrize("value, error", [("5", TypeError), (None, TypeError), (True, TypeError), (0, ValueError)])
def test_what_is_no_number_above_zero_is_refused(value, error):
    with pytest.raises(error, match="size of an input"):
        memkit.size(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1 << 70])
def test_numbers_that_no_file_can_hold_are_refused(value):
    with pytest.raises(ValueError, match="above 0"):
        memkit.size(value)
