"""``--speedscope``: the rules of the format, and what speedscope's own importer makes of a file."""

import json
import os
import shutil
import subprocess
import tarfile

import pytest

import memkit
from memkit.report.reporters.speedscope import document
from memkit.report.transforms import MOST_LEVELS

MIB = 1 << 20
MS = 1_000_000
MAIN = "<thread MainThread>"
RELEASE = "speedscope@1.25.0"
PROGRAM = (
    (0, MAIN, 0, 1, 1),
    *((1, "main", 0.5, 1, 30), (2, "read", 40, 1, 900), (3, "numpy.ones", 30, 5, 200)),
    *((2, "clean", -12, 3, 400), (2, 'walk "é"', 1, 9, 7), (3, 'walk "é"', 2, 9, 0)),
)


def made(recording):
    return json.loads("".join(document(recording)))


def check(found):
    """Assert the rules of https://www.speedscope.app/file-format-schema.json, and those of sense."""
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert all(isinstance(found[key], str) for key in ("exporter", "name"))
    assert 0 <= found["activeProfileIndex"] < len(found["profiles"])
    frames = found["shared"]["frames"]
    for frame in frames:
        assert {"name": str} == {key: type(frame[key]) for key in frame if key not in ("file", "line")}
        assert isinstance(frame.get("file", ""), str)
        assert frame.get("line", 1) > 0
    assert len({json.dumps(frame) for frame in frames}) == len(frames)
    for profile in found["profiles"]:
        assert set(profile) == {"type", "name", "unit", "samples", "weights", "startValue", "endValue"}
        assert profile["type"] == "sampled"
        assert profile["unit"] in ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes")
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(weight > 0 for weight in profile["weights"])
        assert all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample)
        assert (profile["startValue"], profile["endValue"]) == (0, sum(profile["weights"]))


def test_a_file_keeps_the_rules_of_the_format(called):
    check(made(called(*PROGRAM)))
    check(made(called((0, MAIN, 0, 1, 0))))  # nothing grew, nothing took time


def test_samples_are_stacks_in_tree_order_weighted_by_what_each_did_itself(called):
    found = made(called((0, MAIN, 0, 1, 0), (1, "a", 2, 1, 5), (2, "b", 3, 1, 0), (1, "c", 1, 1, 7), (2, "a", -1, 1, 1)))
    growth, time, back = found["profiles"]
    assert [frame["name"] for frame in found["shared"]["frames"]] == [MAIN, "a", "b", "c"]
    assert (growth["name"], growth["unit"], growth["weights"]) == ("growth", "bytes", [2 * MIB, 3 * MIB, MIB])
    assert growth["samples"] == [[0, 1], [0, 1, 2], [0, 3]]
    assert (time["name"], time["unit"], time["weights"]) == ("time", "nanoseconds", [5 * MS, 7 * MS, MS])
    assert time["samples"] == [[0, 1], [0, 3], [0, 3, 1]]
    assert (back["name"], back["unit"], back["weights"]) == ("freed", "bytes", [MIB])
    assert back["samples"] == [[0, 3, 1]]
    assert found["name"] == "load.py data.csv"


def test_what_is_very_deep_counts_as_the_call_at_the_greatest_depth(called):
    recording = called((0, MAIN, 0), *((1 + k, "walk", 0) for k in range(5000)), (5001, "keep", 1))
    [sample] = made(recording)["profiles"][0]["samples"]
    assert sample == [0, *[1] * (MOST_LEVELS - 1)]


def test_the_file_opens_with_what_is_asked_for(called):
    recording = called((0, MAIN, 0, 1, 0, 10, 20, 20), (1, "main", 2, 1, 5, 30, 15, 15))

    def opened(recording, by=None):
        found = json.loads("".join(document(recording, by)))
        check(found)
        return found["profiles"][found["activeProfileIndex"]]

    assert opened(recording)["name"] == "growth"
    assert (opened(recording, "rise")["name"], opened(recording, "rise")["weights"]) == ("rise", [5 * MIB, 15 * MIB])
    assert (opened(recording, "peak")["unit"], opened(recording, "peak")["weights"]) == ("bytes", [20 * MIB])
    assert opened(recording, "time")["name"] == "time"
    assert opened(called((0, MAIN, 0, 1, 0), (1, "main", 0, 1, 5, 30, 15, 15)))["name"] == "rise"


def test_where_nothing_was_freed_there_is_no_such_profile(called):
    assert [profile["name"] for profile in made(called((0, MAIN, 1)))["profiles"]] == ["growth", "time"]


def test_a_function_has_its_place_unless_it_is_in_c(called):
    frames = made(called((0, MAIN, 0), (1, "/a/b.py:f", 1), (2, "numpy.ones", 1)))["shared"]["frames"]
    assert frames == [{"name": MAIN}, {"name": "f", "file": "/a/b.py", "line": 10}, {"name": "numpy.ones"}]


def test_libraries_are_counted_with_their_callers_unless_all_is_asked_for(called, tmp_path):
    recording = called((0, MAIN, 0), (1, "main", 1), (2, "/usr/lib/python3.13/json/__init__.py:loads", 2))
    memkit.report(recording, speedscope=tmp_path / "a.json", quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["profiles"][0]["weights"] == [3 * MIB]
    memkit.report(recording, speedscope=tmp_path / "a.json", show_all=True, quiet=True)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["profiles"][0]["weights"] == [MIB, 2 * MIB]


def test_nothing_to_write_is_one_clear_error(made_up, called, tmp_path):
    with pytest.raises(
        memkit.UsageError, match="--speedscope has nothing to write: no calls were traced; record with --calls"
    ):
        memkit.report(made_up((0, 10)), speedscope=tmp_path / "a.json", quiet=True)
    with pytest.raises(memkit.MemkitError, match="--speedscope takes one recording, not 2"):
        memkit.report([called(), called()], speedscope=tmp_path / "a.json", quiet=True)
    assert os.listdir(tmp_path) == []


# -- speedscope itself -------------------------------------------------------------------------------------------------

# The viewer is one script for a browser. What it does when it is loaded needs a document that answers anything; its
# importer is found by the place where the page hands it a file, and called instead of drawing the page.
IMPORT = r"""
import fs from 'node:fs'
import path from 'node:path'
import vm from 'node:vm'

const [folder, ...files] = process.argv.slice(2)
const script = fs.readdirSync(folder).find(name => /^speedscope.*\.js$/.test(name))
const text = fs.readFileSync(path.join(folder, script), 'utf8')
const [, , , importer] = text.match(/loadFileFromBase64:\((\w+),(\w+)\)=>\{this\.loadProfile\(\(\)=>(\w+)\(\1,\2\)\)/)
const drawing = text.lastIndexOf('console.log(`speedscope v')
const absent = ['dcodeIO', 'Long'] // a library of long numbers that no browser has, and that protobufjs looks for
const anything = new Proxy(function () {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => '' : absent.includes(key) ? undefined : anything),
  set: () => true,
  apply: () => anything,
  construct: () => anything,
})
const world = { TextDecoder, TextEncoder, URL, atob, btoa, performance, setTimeout, clearTimeout }
Object.assign(world, { console: anything, document: anything, window: anything, navigator: anything })
Object.assign(world, { localStorage: anything, location: { hash: '', protocol: 'file:', search: '' } })
world.self = world
vm.createContext(world)
vm.runInContext(`${text.slice(0, drawing)};globalThis.importFile = ${importer};return;${text.slice(drawing)}`, world)
for (const file of files) {
  const group = await world.importFile(path.basename(file), fs.readFileSync(file).toString('base64'))
  const profiles = group.profiles.map(profile => {
    const frames = {}
    profile.forEachFrame(frame => (frames[frame.name] = [frame.getSelfWeight(), frame.getTotalWeight()]))
    return { name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalWeight(), frames }
  })
  process.stdout.write(JSON.stringify({ name: group.name, shown: group.indexToView, profiles }) + '\n')
}
"""


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The folder of speedscope's release, from npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("speedscope")
    fetch = [shutil.which("npm"), "pack", "--silent", "--prefer-offline", "--fetch-retries=0", RELEASE]
    try:
        done = subprocess.run(fetch, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not fetch {RELEASE} within two minutes")
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"npm cannot fetch {RELEASE}: {done.stderr.strip()[-200:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist" / "release"


@pytest.fixture
def imported(package, tmp_path):
    """A function that has speedscope import files, and returns what it made of each."""

    def run(*files):
        (tmp_path / "import.mjs").write_text(IMPORT)
        command = ["node", str(tmp_path / "import.mjs"), str(package), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_speedscope_itself_loads_the_file(called, imported, tmp_path):
    memkit.report(called(*PROGRAM), speedscope=tmp_path / "a.json", quiet=True)
    [found] = imported(tmp_path / "a.json")
    assert (found["name"], found["shown"]) == ("load.py data.csv", 0)
    growth, time, back = found["profiles"]
    assert (growth["name"], growth["unit"], growth["total"]) == ("growth", "bytes", int(73.5 * MIB))
    assert growth["frames"] == {
        MAIN: [0, int(73.5 * MIB)],
        "main": [MIB // 2, int(73.5 * MIB)],
        "read": [40 * MIB, 70 * MIB],
        "numpy.ones": [30 * MIB, 30 * MIB],
        'walk "é"': [3 * MIB, 3 * MIB],
    }
    assert (time["name"], time["unit"], time["total"]) == ("time", "nanoseconds", 1538 * MS)
    assert time["frames"]["main"] == [30 * MS, 1537 * MS]
    assert (back["name"], back["unit"], back["total"]) == ("freed", "bytes", 12 * MIB)


def test_speedscope_itself_loads_a_file_in_which_nothing_grew(called, imported, tmp_path):
    memkit.report(called((0, MAIN, 0, 1, 0)), speedscope=tmp_path / "a.json", quiet=True)
    [found] = imported(tmp_path / "a.json")
    assert [profile["total"] for profile in found["profiles"]] == [0, 0]


@pytest.mark.parametrize("by", ["growth", "time"])
def test_speedscope_itself_loads_a_profile_of_pprof(called, imported, tmp_path, by):
    memkit.report(called(*PROGRAM), pprof=tmp_path / "a.pb.gz", by=by, quiet=True)
    [found] = imported(tmp_path / "a.pb.gz")
    [profile] = found["profiles"]
    unit, total, read = {"growth": ("bytes", int(73.5 * MIB), 40 * MIB), "time": ("nanoseconds", 1538 * MS, 900 * MS)}[by]
    assert (profile["unit"], profile["total"], profile["frames"]["read"][0]) == (unit, total, read)


def test_speedscope_itself_loads_folded_stacks(called, imported, tmp_path):
    memkit.report(called(*PROGRAM), folded=tmp_path / "a.txt", quiet=True)
    [found] = imported(tmp_path / "a.txt")
    [profile] = found["profiles"]
    assert profile["total"] == int(73.5 * MIB)
    assert profile["frames"]["read (load.py:10)"] == [40 * MIB, 70 * MIB]
