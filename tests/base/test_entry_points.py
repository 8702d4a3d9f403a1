"""Plugins are found where they are installed, and ``importlib.metadata`` is imported only where there may be some."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from memkit.base import entry_points

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_the_reporters_are_those_that_the_distribution_names():
    named = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["memkit"]
    assert {name: f"memkit.report.reporters.{module}" for name, module in entry_points.REPORTERS.items()} == named
    assert list(entry_points.REPORTERS) == sorted(entry_points.REPORTERS)


def test_every_reporter_can_be_loaded():
    assert [point.load().__name__.rpartition(".")[2] for point in entry_points.own()] == [*entry_points.REPORTERS.values()]


def test_a_plugin_of_another_distribution_is_found(install_plugin):
    before = [point.name for point in entry_points.others()]
    install_plugin("value = 5")
    [point] = [point for point in entry_points.others() if point.name not in before]
    assert (point.name, point.distribution, point.version) == ("stranger", "stranger-distribution", "1.5")
    assert not point.is_own
    assert point.load().value == 5


def test_the_reporters_are_not_found_a_second_time():
    assert not [point for point in entry_points.others() if point.is_own]


def has_imported(tmp_path, layout, on_path):
    """Whether importlib.metadata is imported where a folder like that is the last on the path."""
    for name, text in layout.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code = (
        f"import sys; sys.path[:] = [each for each in sys.path if 'site-packages' not in each] + [{str(on_path)!r}]\n"
        f"sys.path.insert(0, {str(PROJECT.parent)!r})\n"
        "from memkit.base import entry_points\n"
        "found = entry_points.others()\n"
        "print('importlib.metadata' in sys.modules, [point.name for point in found])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


ABOUT = "Metadata-Version: 2.1\nName: other\nVersion: 1\n"
POINTS = "[memkit]\nother = other_module\n"


@pytest.mark.parametrize(
    ("layout", "found"),
    [
        ({"other-1.dist-info/METADATA": ABOUT}, "False []"),
        ({"memkit_profiler-1.dist-info/entry_points.txt": POINTS}, "False []"),
        ({"memkit_profiler.egg-info/entry_points.txt": POINTS}, "False []"),
        ({"other-1.dist-info/METADATA": ABOUT, "other-1.dist-info/entry_points.txt": "[x]\ny = z\n"}, "False []"),
        ({"other-1.dist-info/METADATA": ABOUT, "other-1.dist-info/entry_points.txt": POINTS}, "True ['other']"),
        ({"other-1.egg-info/PKG-INFO": ABOUT, "other-1.egg-info/entry_points.txt": POINTS}, "True ['other']"),
    ],
)
def test_the_slow_search_is_made_only_where_a_plugin_may_be(tmp_path, layout, found):
    assert has_imported(tmp_path, layout, tmp_path) == found


def test_an_egg_on_the_path_is_searched(tmp_path):
    egg = tmp_path / "other-1.egg"
    layout = {f"{egg.name}/EGG-INFO/PKG-INFO": ABOUT, f"{egg.name}/EGG-INFO/entry_points.txt": POINTS}
    assert has_imported(tmp_path, layout, egg) == "True ['other']"


def test_a_plugin_in_a_zip_file_is_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("other-1.dist-info/METADATA", ABOUT)
        archive.writestr("other-1.dist-info/entry_points.txt", POINTS)
    assert has_imported(tmp_path, {}, tmp_path / "all.zip") == "True ['other']"


def test_a_folder_on_the_path_that_is_not_there_is_no_matter(tmp_path):
    assert has_imported(tmp_path, {}, tmp_path / "missing") == "False []"
