"""The options in front of a statement, and the statement as it was typed."""

import re

import pytest

from memkit.base.errors import UsageError
from memkit.ipython.magic_args import number, split


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("x = 1", {}, "x = 1"),
        ("", {}, ""),
        ("-r 3 x", {"r": ["3"]}, "x"),
        ("-r3 x", {"r": ["3"]}, "x"),
        ("-co x", {"c": [""], "o": [""]}, "x"),
        ("-or3 x", {"o": [""], "r": ["3"]}, "x"),
        ("-r 1 -r 2 x", {"r": ["1", "2"]}, "x"),
        ("-o -- -x", {"o": [""]}, "-x"),
        ("-- --x", {}, "--x"),
        ("--5", {}, "--5"),
        ("-1 + 2", {}, "-1 + 2"),
        ("-o  f('a  b',  -r)", {"o": [""]}, "f('a  b',  -r)"),
        ("-r 'a b' it's", {"r": ["a b"]}, "it's"),
        ('-r "a b" x', {"r": ["a b"]}, "x"),
        ("-o", {"o": [""]}, ""),
    ],
)
def test_options_are_taken_from_the_front_and_the_statement_is_unchanged(line, options, rest):
    assert split("magic", line, "co", "r") == (options, rest)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-z 3", r"^%magic has no option -z; it has -c, -o, -r; write --"),
        ("-r", "-r: a value is missing"),
        ("--heap", r"^%magic has no option --heap; it has -c, -o, -r; %%memkit has those of memkit-run; write --"),
        ("--heap -r f()", "has no option --heap; "),
        ("-o --on-limit=stop x", "has no option --on-limit; "),
    ],
)
def test_an_unknown_option_is_refused(line, said):
    with pytest.raises(UsageError, match=said):
        split("magic", line, "co", "r")


@pytest.mark.parametrize("text", ["x", "0", "-1", "1.5", "nan"])
def test_a_wrong_number_is_refused(text):
    with pytest.raises(UsageError, match=re.escape(f"%memit -r {text!r}: write a whole number greater than 0")):
        number("memit", {"r": [text]}, "r", 1, int)


def test_the_last_value_counts():
    assert number("memit", {"i": ["1", "0.5"]}, "i", 0.1, float) == 0.5
    assert number("memit", {}, "i", 0.1, float) == 0.1
