"""Code that is made while the program runs."""
# fmt: off
# ruff: noqa

from oracle import MADE, drop, keep

TEXT = """
def grow(size):
    block = keep(size)
    return block

block = grow(SIZE)
"""


def execute(size):
    space = {"keep": keep, "SIZE": size}
    exec(compile(TEXT, MADE, "exec"), space)
    drop(space["block"])
    drop(space["grow"](size))
    return space["grow"]


def evaluate(*parts):  # nobody has the whole text
    return eval(compile("".join(parts), MADE, "eval"))


def unseen():
    exec("\n".join(["total = 1", "total += 1"]))  # nobody has the text
    return eval("1 + 1")


for turn in range(3):
    execute(turn + 1)
evaluate("[number ", "for number in range(3)]")
drop(evaluate("keep", "(1)"))
unseen()
