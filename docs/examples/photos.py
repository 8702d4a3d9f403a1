"""Looks at made-up photos: one function keeps each photo that it is asked about, another needs much for a moment."""

SEEN = {}


def catalogue():
    return [f"photo {number}" for number in range(200_000)]


def load(number):
    return bytes([number]) * (40 << 20)


def size(number):
    return len(load(number))


def corner(number):
    if number not in SEEN:
        SEEN[number] = load(number)
    return SEEN[number][:4]


def framed(number):
    return len(load(number).center(60 << 20))


def main():
    names = catalogue()
    for number in range(1, 4):
        print(names[number], size(number), corner(number), framed(number))


main()
