"""Comparing things that are run by turns, so that a machine's moods fall on all of them, and printing what came of it."""

import os
import platform
import statistics


def header(title: str) -> None:
    """Print what is measured, and on what."""
    print(f"== {title} ==")
    print(f"Python {platform.python_version()}, {platform.machine()} with {os.cpu_count()} CPUs, {platform.platform()}")


def by_turns(rounds: int, **runs) -> list[dict]:
    """What each of the callables returned, one dictionary a round; every other round goes through them backwards."""
    names, found = list(runs), []
    for number in range(rounds):
        results = {name: runs[name]() for name in (names[::-1] if number % 2 else names)}
        found.append({name: results[name] for name in names})
    return found


def median(rounds: list[dict], name: str) -> float:
    """The median of what one callable returned."""
    return statistics.median(round[name] for round in rounds)


def ratio(rounds: list[dict], name: str, reference: str) -> float:
    """The median of the ratios within each round."""
    return statistics.median(round[name] / round[reference] for round in rounds)


def difference(rounds: list[dict], name: str, reference: str) -> float:
    """The median of the differences within each round."""
    return statistics.median(round[name] - round[reference] for round in rounds)


def verdict(value: float, target: float, unit: str = "") -> str:
    """A value that must not exceed a target, in words."""
    return f"{value:.2f}{unit}, target <= {target:g}{unit}: {'reached' if value <= target else 'MISSED'}"


def table(headings: tuple, rows: list[tuple]) -> None:
    """Print columns: the first to the left, the others to the right."""
    lines = [[str(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    print()
    for line in lines:
        first, *rest = (cell.rjust(width) for cell, width in zip(line, widths))
        print("  ".join([line[0].ljust(len(first)), *rest]).rstrip())
