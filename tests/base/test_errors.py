"""The hint for a misspelled word."""

import pytest

from memkit.base.errors import nearest


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("heep", ["heap", "help"], " (did you mean 'heap'?)"),  # equally like both: the first
        ("heep", ["help", "heap"], " (did you mean 'help'?)"),
        ("hlep", ["heap", "help"], " (did you mean 'help'?)"),  # equally like both: the one of the same letters
        ("lins", ["limit", "lines", "live"], " (did you mean 'lines'?)"),
        ("zebra", ["lines"], ""),
        ("", [], ""),
        ("", ["lines"], ""),
    ],
)
def test_the_nearest_word_is_the_most_alike_and_of_equals_the_first(word, known, hint):
    assert nearest(word, iter(known)) == hint
