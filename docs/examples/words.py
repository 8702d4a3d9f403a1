"""Counts words: one line keeps memory, another needs it for a moment."""


def read(lines):
    words = []
    for number in range(lines):
        words.append(f"word {number * 7919 % 50_000}")
    return words


def count(words):
    text = " ".join(words)
    longest = max(map(len, text.split(" ")))
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts, longest


def main():
    words = read(200_000)
    counts, longest = count(words)
    print(len(counts), "words, the longest of", longest)


main()
