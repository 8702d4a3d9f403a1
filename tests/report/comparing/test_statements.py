"""Statements of a text: which one a line belongs to, what it says in any layout, and which names it uses."""

import textwrap

from memkit.report.comparing.statements import Statements


def statements(text):
    return Statements(textwrap.dedent(text).strip("\n").split("\n"))


def test_a_line_belongs_to_the_innermost_statement_or_the_head_of_one():
    found = statements(
        """
        def load(path,
                 size):
            with open(path) as file:
                rows = [
                    row  # each
                    for row in file
                ]
            return rows
        """
    )
    heads = [(found.at(number).first, found.at(number).last, found.at(number).text) for number in (2, 3, 6, 8)]
    assert heads == [
        (1, 2, "def load(path, size):"),
        (3, 3, "with open(path) as file:"),
        (4, 7, "rows = [row for row in file]"),
        (8, 8, "return rows"),
    ]
    assert found.at(9) is None


def test_layout_quotes_and_comments_make_no_other_text():
    one = statements("kept = call('a', [1, 2])  # first\n").at(1)
    other = statements('kept = call(\n    "a",\n    [1,\n     2],\n)\n').at(3)
    assert one.text == other.text == "kept = call('a', [1, 2])"
    assert one.names == other.names == {"call"}


def test_two_statements_on_a_line_are_one():
    assert statements("a = 1; b = load(a)").at(1).text == "a = 1; b = load(a)"


def test_every_kind_of_compound_statement_has_a_head():
    text = """
        @cached
        class Reader(Base):
            pass
        try:
            pass
        except (A, B) as error:
            raise
        match value:
            case [1, *_]:
                done()
        while (wait
               and more):
            pass
        for each in found:
            pass
        else:
            last()
        """
    found = statements(text)
    heads = {number: found.at(number).text for number in (1, 4, 6, 8, 11, 14, 17)}
    assert heads == {
        1: "@cached\nclass Reader(Base):",
        4: "try:",
        6: "except (A, B) as error:",
        8: "match value:",
        11: "while wait and more:",
        14: "for each in found:",
        17: "last()",
    }


def test_a_body_is_the_statements_of_a_function_without_its_head():
    text = "class A:\n    @property\n    def size(self):\n        found = len(self)\n        return found\n"
    assert Statements(text.split("\n")).body("A.size", 2) == ("found = len(self)", "return found")
    assert Statements(text.split("\n")).body("A.size", 3) == ()


def test_what_is_not_python_has_no_statements():
    assert statements("{% for row in rows %}").at(1) is None
    assert Statements([]).at(1) is None
    assert Statements(["x = '\0'"]).body("f", 1) == ()
