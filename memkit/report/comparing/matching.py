"""Which function of one side is which of the other: by name and file, what was moved or renamed by its text and place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from memkit.report.comparing.sides import Key, Side, common_tail

ALIKE = 0.6
"""Texts at least so much alike are taken for the same code, changed; 1 is the same text."""
MOST_TRIED = 300
"""Of functions that have no namesake, so many a side are compared by their texts."""
MOST_BY_LETTERS = 1000
"""Of so many pairs of texts the letters are compared, of more whole statements only."""
_MOST_STATEMENTS = 60
_LONG = 3
"""A body of fewer statements tells little: it has to be the same to be taken for the same function."""


class Matched(NamedTuple):
    """The functions that the two sides have in common."""

    pairs: dict[Key, Key]
    """Those of the first side, each with that of the second."""
    renamed: set[Key]
    """Those of the first side that have another name in the second."""
    moved: set[Key]
    """Those of the first side that stand in another file in the second."""


def match(one: Side, other: Side) -> Matched:
    """Match the functions of two sides. Each is matched once at most."""
    found = _Matching(one, other)
    files = _files(one.functions, other.functions)
    found.by_name(files)
    found.in_other_files()
    found.by_text(files)
    found.by_place(files)
    renamed = {key for key, its in found.pairs.items() if key.name != its.name}
    moved = {key for key, its in found.pairs.items() if files.get(key.file) != its.file}
    return Matched(found.pairs, renamed, moved)


class _Matching:
    """The pairs that have been found so far."""

    def __init__(self, one: Side, other: Side):
        self._one, self._other = one, other
        self.pairs: dict[Key, Key] = {}
        self._taken: set[Key] = set()

    def by_name(self, files: dict[str, str]) -> None:
        """The functions that have the same name in files that are matched."""
        for key in self._left():
            same = Key(files.get(key.file, ""), key.name, key.place)
            if key.file in files and same in self._other.functions:
                self._take(key, same)

    def in_other_files(self) -> None:
        """The functions whose name nothing else has on either side, wherever they stand, unless their texts are unlike."""
        ones, others = _by_name(self._left()), _by_name(self._left_there())
        for name, keys in ones.items():
            if len(keys) == 1 and len(others.get(name, ())) == 1 and not name.startswith("<") and keys[0].file:
                key, its = keys[0], others[name][0]
                alike = likeness(self._one.body(key), self._other.body(its))
                if its.file and (alike is None or alike >= ALIKE):
                    self._take(key, its)

    def by_text(self, files: dict[str, str]) -> None:
        """The functions whose texts are most alike, those in the same file first."""
        bodies = {key: _named_alike(body, key) for key in self._left() if (body := self._one.body(key))}
        theirs = {key: _named_alike(body, key) for key in self._left_there() if (body := self._other.body(key))}
        found = []
        letters = len(bodies) * len(theirs) <= MOST_BY_LETTERS
        for key, body in list(bodies.items())[:MOST_TRIED]:
            for its, text in list(theirs.items())[:MOST_TRIED]:
                alike = likeness(body, text, letters) or 0.0
                least = 1.0 if min(len(body), len(text)) < _LONG and files.get(key.file) != its.file else ALIKE
                if alike >= least:
                    found.append((files.get(key.file) == its.file, alike, key, its))
        for _, _, key, its in sorted(found, key=lambda each: (not each[0], -each[1])):
            if key not in self.pairs and its not in self._taken:
                self._take(key, its)

    def by_place(self, files: dict[str, str]) -> None:
        """Where texts are not known: a function alone between two that are matched is the one alone between these there."""
        gaps: dict[object, list[Key]] = {}
        for key, before, after in _between(self._one, set(self.pairs)):
            gaps.setdefault((files.get(key.file), before and self.pairs[before], after and self.pairs[after]), []).append(
                key
            )
        theirs: dict[object, list[Key]] = {}
        for key, before, after in _between(self._other, self._taken):
            theirs.setdefault((key.file, before, after), []).append(key)
        for gap, keys in gaps.items():
            its = theirs.get(gap, [])
            if len(keys) == len(its) == 1 and not (self._one.body(keys[0]) and self._other.body(its[0])):
                self._take(keys[0], its[0])

    def _take(self, key: Key, its: Key) -> None:
        self.pairs[key] = its
        self._taken.add(its)

    def _left(self) -> list[Key]:
        return [key for key in self._one.functions if key not in self.pairs]

    def _left_there(self) -> list[Key]:
        return [key for key in self._other.functions if key not in self._taken]


def _files(ones: Iterable[Key], others: Iterable[Key]) -> dict[str, str]:
    """Which file of the first side is which of the second: by path, by the end of the path, by the names in it."""
    mine, theirs = _names_by_file(ones), _names_by_file(others)
    files = {file: file for file in mine if file in theirs}
    found = []
    for file in mine.keys() - files.keys():
        for its in theirs.keys() - files.keys():
            names = (mine[file] & theirs[its]) - {"<module>"}
            ends = common_tail(file, its)
            if ends or 2 * len(names) >= max(1, min(len(mine[file]), len(theirs[its]))):
                found.append((ends, len(names), file, its))
    taken = set(files.values())
    for _, _, file, its in sorted(found, key=lambda each: (-each[0], -each[1], each[2], each[3])):
        if file not in files and its not in taken:
            files[file] = its
            taken.add(its)
    return files


def _names_by_file(keys: Iterable[Key]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key in keys:
        found.setdefault(key.file, set()).add(key.name)
    return found


def _by_name(keys: Iterable[Key]) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for key in keys:
        found.setdefault(key.name, []).append(key)
    return found


def likeness(one: Sequence[str], other: Sequence[str], letters: bool = True) -> float | None:
    """How much two bodies are alike, from 0 to 1; None where the text of one is not known."""
    if not one or not other:
        return None
    if one == other:
        return 1.0
    statements = SequenceMatcher(None, one, other, autojunk=False)
    whole = statements.ratio() if statements.quick_ratio() >= ALIKE else 0.0  # no more than that can be alike
    if not letters or len(one) + len(other) > _MOST_STATEMENTS:
        return whole
    return max(whole, SequenceMatcher(None, "\n".join(one), "\n".join(other), autojunk=False).ratio() - 0.1)


def _named_alike(body: tuple[str, ...], key: Key) -> tuple[str, ...]:
    """A body without the function's own name in it, which a recursion has."""
    name = key.name.rpartition(".")[2]
    return tuple(text.replace(name, "_") for text in body) if len(name) > 2 else body


def _between(side: Side, matched: set[Key]) -> list[tuple[Key, Key | None, Key | None]]:
    """The functions that are not matched, each with the nearest ones above and below it in its file that are."""
    by_file: dict[str, list[Key]] = {}
    for key in sorted(side.functions, key=lambda key: (key.file, side.functions[key].line)):
        if key.file and not key.name.startswith("<"):
            by_file.setdefault(key.file, []).append(key)
    found = []
    for keys in by_file.values():
        for place, key in enumerate(keys):
            if key not in matched:
                before = next((each for each in reversed(keys[:place]) if each in matched), None)
                after = next((each for each in keys[place + 1 :] if each in matched), None)
                found.append((key, before, after))
    return found
