"""A line of a statement of several lines has one hit each time that the statement runs."""

import sys

import pytest

import memkit
from memkit.tracing.statements import statement_numbers

pytestmark = pytest.mark.usefixtures("native_only")

PROGRAM = """
import contextlib
def called(a, b=None):
    return a

def nested(turns):
    for _ in range(turns):
        called(
            len(
                "x",
            ), b=1,
        )

def only(turns):
    left = iter(range(turns))
    while True:
        if (
            next(left)
            < turns - 2
        ):
            continue
        return (
            1 +
            turns
        )

def handles(turns):
    try:
        raise ValueError
    except (
        KeyError,
        ValueError,
    ):
        for number in range(turns):
            called(
                number
            )

def within(turns):
    with contextlib.nullcontext(
        1
    ):
        for number in range(turns):
            called(
                number
            )
    try:
        raise KeyError
    except KeyError:
        for number in range(turns):
            called(number)

def recursive(n):
    return called(
        recursive(n - 1) if n else 0,
        n,
    )

def generates(turns):
    for number in range(turns):
        called(
            (yield number),
            1,
        )

def assigned(turns):
    for _ in range(turns):
        table = {
            "a": [1,
                  2],
            "b": called(3),
        }
        text = (
            "one "
            f"{table}"
        )
    return text

def decides(turns):
    for number in range(turns):
        if (number
                and turns
                and number != 5):
            called(1)
        elif (not number
                or turns
                or called(2)):
            called(
                number
            )
        chosen = (number and
                  turns or
                  called(4))
        assert (turns and
                turns)
        while (chosen
                and number):
            chosen = 0
        if turns:
            called(5)
            called(6)
    return chosen

def single(turns):
    for _ in range(turns):
        called(called(called(1)))
"""


def lines_of(name):
    """The lines of a function, from its ``def`` on."""
    return PROGRAM.splitlines()[PROGRAM[: PROGRAM.index(f"def {name}(")].count("\n") :]


@pytest.fixture
def hits(tracer, monkeypatch):
    """A function that calls a function of the program, and returns the hits of its lines by their numbers below ``def``."""
    monkeypatch.setenv("MEMKIT_TRACER", tracer)
    space = {}
    exec(compile(PROGRAM, "<statements>", "exec"), space)

    def of(name, *given):
        with memkit.record(lines=space[name]) as run:
            result = space[name](*given)
            if name == "generates":
                list(result)
        first = space[name].__code__.co_firstlineno
        return {line.number - first: line.hits for line in run.recording.lines}

    return of


def test_a_call_whose_arguments_stand_on_lines_of_their_own(hits):
    assert hits("nested", 100) == {1: 101, 2: 100, 3: 100, 4: 100, 5: 100}


def test_a_condition_and_a_result(hits):
    found = hits("only", 50)
    assert {found[number] for number in (4, 5)} == {49}
    assert [found[number] for number in (8, 9, 10)] == [1, 1, 1] if 8 in found else found[9] == 1


def test_conditions_that_are_made_of_jumps_alone(hits):
    found = hits("decides", 10)
    assert [found.get(number, 0) for number in range(1, 12)] == [11, 10, 9, 9, 8, 2, 1, 0, 2, 2, 0]
    assert [found.get(number, 0) for number in range(12, 24)] == [10, 9, 1, 10, 10, 19, 10, 9, 10, 10, 10, 1]


def test_a_loop_in_a_handler_is_no_part_of_it(hits):
    found = hits("handles", 100)
    assert (found[7], found[8], found[9]) == (101, 100, 100)


def test_the_body_of_a_with_is_no_part_of_it(hits):
    found = hits("within", 100)
    assert [found[number] for number in (4, 5, 6, 11, 12)] == [101, 100, 100, 101, 100]


def test_a_recursion_and_a_generator(hits):
    assert {hits("recursive", 5)[number] for number in (1, 2, 3)} == {6}
    found = hits("generates", 20)
    assert (found[1], found[2], found[3], found[4]) == (21, 20, 20, 20)


def test_displays_and_texts(hits):
    found = hits("assigned", 10)
    assert found.pop(1) == 11
    assert set(found.values()) == {1, 10}
    assert hits("single", 7) == {1: 8, 2: 7}


def test_neighbours_have_other_numbers_and_single_lines_none():
    space = {}
    exec(compile(PROGRAM, "<statements>", "exec"), space)
    code = space["assigned"].__code__
    found = {line - code.co_firstlineno: number for line, number in statement_numbers(code).items()}
    assert found.keys() >= {2, 3, 4, 5, 6}
    assert found[2] == found[6] and found[2] != found.get(7)
    assert statement_numbers(space["single"].__code__) == {}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="comprehensions have tables of their own before Python 3.12")
def test_a_comprehension_of_several_lines_is_hit_once():
    space = {}
    text = "def work(turns):\n    return [\n        number\n        for number in range(turns)\n        if number\n    ]\n"
    exec(compile(text, "<comprehension>", "exec"), space)
    with memkit.record(lines=space["work"]) as run:
        space["work"](50)
    assert {line.hits for line in run.recording.lines} == {1}
