"""A name that a module has from another is traced where it is defined, and one that nobody defines is refused."""

import sys

import pytest

import memkit
from memkit.tracing.reexports import defined_at
from memkit.tracing.targets import Targets, find_module

FILES = {
    "shop/__init__.py": "from shop.api import *\nfrom . import tools as kit\n"
    "from .parts.wheels import wheel as round_thing\nimport shop.parts\n",
    "shop/api.py": "try:\n    from .parts import read\nexcept ImportError:\n    pass\nload = read\nlimit = 5\n",
    "shop/parts/__init__.py": "if True:\n    from .readers import read\n\ndef own():\n    pass\n",
    "shop/parts/readers.py": "import functools\n\n@functools.lru_cache\ndef read():\n    return 1\n",
    "shop/parts/wheels.py": "class wheel:\n    def turn(self):\n        return 2\n",
    "shop/circle.py": "from .circle import hammer\n",
    "shop/tools.py": "def saw():\n    return 3\n",
}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The folder of a package whose functions are defined deep inside."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


FOUND = {
    "shop:read": "shop/parts/readers.py:read",
    "shop:load": "shop/parts/readers.py:read",
    "shop.api:load": "shop/parts/readers.py:read",
    "shop:round_thing": "shop/parts/wheels.py:wheel",
    "shop:round_thing.turn": "shop/parts/wheels.py:wheel.turn",
    "shop:kit": "shop/tools.py",
    "shop:kit.saw": "shop/tools.py:saw",
    "shop.parts:own": "shop.parts:own",
}
WRONG = {
    "shop:raed": "there is no 'raed' in __init__.py",
    "shop:round_thig": "there is no 'round_thig' in __init__.py (did you mean 'round_thing'?)",
    "shop.circle:hammer": "there is no 'hammer' in circle.py",
    "shop.api:limit": "there is no 'limit' in api.py",
}


@pytest.mark.parametrize("target", FOUND)
def test_a_name_is_followed_without_an_import(shop, target):
    targets = Targets([target])
    targets.check(str(shop))
    assert [text.replace(f"{shop}/", "") for text in targets.texts()] == [FOUND[target]]
    assert "shop" not in sys.modules


@pytest.mark.parametrize("target", WRONG)
def test_a_name_that_leads_nowhere_is_refused(shop, target):
    with pytest.raises(memkit.UsageError) as refused:
        Targets([target]).check(str(shop))
    assert str(refused.value) == f"target {target!r}: {WRONG[target]}"


def test_a_module_that_is_no_package_has_no_modules_in_it(shop):
    (shop / "saw.py").write_text("")
    assert find_module("shop.tools.saw") is None


def test_a_circle_of_modules_ends():
    assert defined_at(__file__, "nothing", "a", lambda name: __file__) == []


@pytest.mark.parametrize("imported", [False, True])
def test_what_a_name_leads_to_is_traced(shop, native_only, imported):
    if imported:
        __import__("shop")
    with memkit.record(lines=["shop:load", "shop:round_thing"], calls="shop:kit") as run:
        import shop as package

        package.load(), package.round_thing().turn()
    assert {line.function.name for line in run.recording.lines} == {"read", "wheel", "wheel.turn"} - (
        {"wheel"} if imported else set()
    )


@pytest.mark.parametrize("imported", [False, True])
def test_from_python_a_misspelt_name_is_refused_too(shop, native_only, imported):
    if imported:
        __import__("shop")
    for what in (dict(lines="shop:raed"), dict(calls=["shop:raed"])):
        with pytest.raises(memkit.UsageError, match=r"there is no 'raed' in __init__\.py"):
            memkit.record(**what)
    with pytest.raises(memkit.UsageError, match=r"there is no 'maen' in statistics\.py \(did you mean 'mean'"):
        memkit.LineProfiler("statistics:maen")
    memkit.record(lines=["later.made:name", "made_later.py:name", "made_later"])


def test_on_the_command_line_it_is_the_same(shop, script, memkit_run, memkit, native_only):
    script("import shop\nshop.load()\n")
    done = memkit_run("program.py", options=("-q", "--lines=shop:load"))
    assert {(line.function.name, line.hits) for line in done.recording.lines} == {("read", 1)}
    refused = memkit("run", "--lines=shop:raed", "program.py")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "memkit run: target 'shop:raed': there is no 'raed' in __init__.py\n"
