import pytest

pytest_plugins = ["pytester"]

SHOP = """\
def load(n):
    rows = [bytes(1000) for _ in range(n)]
    return rows


KEPT = []


def remember(n):
    KEPT.append(bytearray(n))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """A function that runs pytest on the text of a module of tests, beside a module ``shop``."""
    for name in ("GITHUB_ACTIONS", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # what else is installed takes time, and is not under test
    pytester.makepyfile(shop=SHOP)

    def run(text, *words, memkit="--memkit"):
        if text is not None:
            pytester.makepyfile(test_it=f"import pytest\nimport shop\n{text}")
        words = *filter(None, [memkit]), "-p", "pytest_memkit.plugin", "-p", "no:cacheprovider", *map(str, words)
        return pytester.runpytest_subprocess(*words)

    return run


@pytest.fixture
def bills(run):
    """A function that does the same and returns what was measured, by test and phase: peak, kept and allocated."""

    def bills(text, *words):
        done = run(text, "--memkit-top=0", *words)
        return done, table(done.outlines)

    return bills


def table(lines):
    """The sizes of each row of the tables, as bytes, by test and phase."""
    from memkit.units import parse_bytes

    found = {}
    for line in lines:
        cells = line.split()
        for phase in ("setup", "call", "teardown"):
            if phase in cells[2:7] and "::" in cells[cells.index(phase) + 1]:
                place = cells.index(phase)
                sizes = " ".join(cells[:place]).replace("B ", "B|").split("|")
                found[cells[place + 1].partition("::")[2], phase] = [
                    None if size == "-" else (-1 if size.startswith("-") else 1) * parse_bytes(size.strip("+-"))
                    for size in sizes
                ]
    return found
