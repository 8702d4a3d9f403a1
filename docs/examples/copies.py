"""Adds up the lines of a text. Each line is cut off the rest, which is copied."""


def first_number(text):
    line, text = text[: text.index("\n")], text[text.index("\n") + 1 :]
    return int(line), text


def total(text):
    found = 0
    while text:
        number, text = first_number(text)
        found += number
    return found


print(total("".join(f"{number}\n" for number in range(20_000))))
