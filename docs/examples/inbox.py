"""Reads messages: each leaves a little behind, and each is copied over and over on the way."""

SEEN = {}


def words_of(text):
    cleaned = ""
    for letter in text:
        cleaned = cleaned + letter.lower()
    return cleaned.split()


def remember(number, words):
    SEEN[number] = {word: len(word) for word in words}


def read(number):
    text = f"Message {number} of the day: " + " ".join(f"Word{number + place}" for place in range(60))
    words = words_of(text)
    remember(number, words)
    return len(words)


def main():
    index = [bytes(200_000) for _ in range(50)]
    total = sum(read(number) for number in range(3000))
    del index
    print(total, "words")


main()
