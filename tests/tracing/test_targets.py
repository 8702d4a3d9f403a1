"""What is wanted: every way to name code, and what is said of a name that is wrong."""

import asyncio
import functools
import os
import sys
import types

import pytest

import memkit
from memkit.tracing.targets import Targets, codes_of, find_module, names_in

SOURCE = """
import functools


def plain():
    def inner():
        return [number for number in range(3)]

    return inner, lambda: 1


class Thing:
    number = 1

    def method(self):
        return 1

    @classmethod
    def made(cls):
        return cls()

    @staticmethod
    def still():
        return 2

    @property
    def size(self):
        return 3

    @size.setter
    def size(self, value):
        self.number = value

    @functools.cached_property
    def slow(self):
        return 4

    @functools.cache
    def cached(self):
        return 5

    half = functools.partialmethod(method)

    class Inner:
        def deep(self):
            return 6


async def coroutine():
    return 7


async def numbers():
    yield 8


def generator():
    yield 9
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that was imported, and whose file is ``wanted_here.py`` in the current folder."""
    (tmp_path / "wanted_here.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    yield importlib.import_module("wanted_here")
    del sys.modules["wanted_here"]


def codes_in(code):
    """All code objects of a module, by qualified name."""
    found = {code.co_qualname: code}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= codes_in(constant)
    return found


def wanted(targets, module):
    """The names of the module's code that are wanted, in the order in which they first run."""
    with open(module.__file__) as file:
        text = file.read()
    known = {code.co_qualname: code for code in live_codes(module)}
    known = codes_in(compile(text, module.__file__, "exec")) | known
    asked = sorted(known.values(), key=lambda code: code.co_qualname.count("."))  # what is outside runs first
    return {code.co_qualname for code in asked if targets.wants(code)}


def live_codes(module):
    """The code objects that the functions of a module have, and what is in them."""
    found = []
    for value in vars(module).values():
        if isinstance(value, (types.FunctionType, type)) and getattr(value, "__module__", None) == module.__name__:
            for code in codes_of(value):
                found += codes_in(code).values()
    return found


PLAIN = {"plain", "plain.<locals>.inner", "plain.<locals>.<lambda>"} | (
    {"plain.<locals>.inner.<locals>.<listcomp>"} if sys.version_info < (3, 12) else set()
)
METHODS = {f"Thing.{name}" for name in ("method", "made", "still", "size", "slow", "cached")}
THING = {"Thing", "Thing.Inner", "Thing.Inner.deep"} | METHODS
REST = {"coroutine", "numbers", "generator"}
WHOLE = {"<module>"} | PLAIN | THING | REST


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("wanted_here", WHOLE),
        ("wanted_here.py", WHOLE),
        ("./wanted_here.py", WHOLE),
        ("wanted_*.py", WHOLE),
        ("wanted_here:plain", PLAIN),
        ("wanted_here.py:plain", PLAIN),
        ("wanted_here:plain.<locals>.inner", {name for name in PLAIN if "inner" in name}),
        ("wanted_here:Thing", THING),
        ("wanted_here:Thing.size", {"Thing.size"}),
        ("wanted_here:Thing.Inner", {"Thing.Inner", "Thing.Inner.deep"}),
        ("wanted_here:Thing.s*", {"Thing.still", "Thing.size", "Thing.slow"}),
        ("wanted_here:*", WHOLE),
        ("wanted_here.py:[cn]*", {"coroutine", "numbers"}),
        ("*.py:generator", {"generator"}),
    ],
)
def test_names_want_what_they_name_and_what_is_nested_in_it(module, target, names):
    targets = Targets(target)
    targets.check()
    assert wanted(targets, module) == names


def test_an_absolute_path_and_a_link_are_the_same_file(module, tmp_path):
    (tmp_path / "link.py").symlink_to(module.__file__)
    assert wanted(Targets(str(tmp_path / "wanted_here.py")), module) == WHOLE
    assert wanted(Targets("link.py"), module) == WHOLE


def test_a_path_is_of_the_folder_that_was_current_when_it_was_named(module, tmp_path, monkeypatch):
    targets = Targets("wanted_here.py")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert wanted(targets, module) == WHOLE
    assert wanted(Targets("wanted_here.py"), module) == set()


def test_a_module_wants_everything_in_its_file(module):
    assert wanted(Targets(module), module) == WHOLE


def test_a_function_wants_its_code_and_what_is_nested_in_it(module):
    assert wanted(Targets(module.plain), module) == PLAIN


def test_a_class_wants_every_function_in_it(module):
    assert wanted(Targets(module.Thing), module) >= METHODS
    assert wanted(Targets(module.Thing), module) & (PLAIN | REST) == set()


def test_several_targets_want_what_each_of_them_wants(module):
    assert wanted(Targets([module.coroutine, "wanted_here:generator"]), module) == {"coroutine", "generator"}
    assert wanted(Targets((module.coroutine,)), module) == {"coroutine"}
    assert wanted(Targets(), module) == set()
    more = Targets(module.coroutine)
    more.add("wanted_here:numbers")
    assert wanted(more, module) == {"coroutine", "numbers"}


def test_an_equal_function_is_not_wanted():
    def make():
        space = {}
        exec("def twin():\n    return 1\n", space)
        return space["twin"]

    one, other = make(), make()
    assert one.__code__ == other.__code__
    targets = Targets(one)
    assert targets.wants(one.__code__)
    assert not targets.wants(other.__code__)


# -- what is looked through --------------------------------------------------------------------------------------------


def work():
    return 1


async def waits():
    return 1


async def yields():
    yield 1


def generates():
    yield 1


class Called:
    def __call__(self):
        return 1

    def method(self):
        return 1


def wrapping(function):
    @functools.wraps(function)
    def wrapped(*args):
        return function(*args)

    return wrapped


@pytest.mark.parametrize(
    "target",
    [
        work,
        wrapping(work),
        wrapping(wrapping(work)),
        functools.partial(work),
        functools.partial(functools.partial(wrapping(work))),
        functools.cache(work),
        functools.lru_cache(maxsize=3)(work),
        functools.singledispatch(work),
        staticmethod(work),
        classmethod(work),
        property(work),
        functools.cached_property(work),
        functools.partialmethod(work),
        functools.cache(wrapping(work)),
        staticmethod(wrapping(work)),
        types.MethodType(work, 1),
    ],
    ids=repr,
)
def test_whatever_is_wrapped_around_a_function_is_looked_through(target):
    assert work.__code__ in codes_of(target)


@pytest.mark.parametrize("function", [waits, yields, generates])
def test_functions_of_every_kind_lead_to_their_code(function):
    assert codes_of(function) == [function.__code__]
    assert codes_of(wrapping(function)) == [function.__code__]


def test_a_property_leads_to_all_that_it_does():
    both = property(work, generates)
    assert set(codes_of(both)) == {work.__code__, generates.__code__}


def test_a_bound_method_leads_to_its_function():
    assert codes_of(Called().method) == [Called.method.__code__]


def test_an_instance_that_can_be_called_leads_to_what_is_called():
    assert codes_of(Called()) == [Called.__call__.__code__]


def test_a_class_leads_to_its_methods_of_every_kind():
    class Each:
        one = staticmethod(work)
        two = classmethod(waits)
        three = property(generates)
        four = functools.cached_property(yields)

        def five(self):
            return 5

    expected = {function.__code__ for function in (work, waits, generates, yields, Each.five)}
    assert expected <= set(codes_of(Each))


def test_a_wrapper_that_leads_to_itself_is_no_endless_loop():
    def function():
        return 1

    function.__wrapped__ = function
    assert codes_of(function) == [function.__code__]


@pytest.mark.parametrize(
    "target", [len, int.__add__, 5, None, "".join, asyncio.Lock().locked.__name__.upper, functools.partial(len)]
)
def test_what_has_no_python_code_is_refused_in_a_line(target):
    with pytest.raises(memkit.UsageError) as caught:
        codes_of(target)
    assert str(caught.value) == (f"{target!r} has no Python code to trace: name a function, a method, a class or a module")
    with pytest.raises(memkit.UsageError, match="has no Python code to trace"):
        Targets([work, target])


def test_a_recording_refuses_it_at_once(native_only):
    with pytest.raises(memkit.UsageError, match="has no Python code to trace"):
        memkit.record(lines=len)
    with pytest.raises(memkit.UsageError, match="not made of Python source"):
        memkit.record(lines=sys)


# -- names that are wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("wanted_here:plian", "target 'wanted_here:plian': there is no 'plian' in wanted_here.py (did you mean 'plain'?)"),
        ("wanted_here.py:Thing.sise", "there is no 'Thing.sise' in wanted_here.py (did you mean 'Thing.size'?)"),
        ("wanted_here:zzz", "target 'wanted_here:zzz': there is no 'zzz' in wanted_here.py"),
        ("wanted_here:zz*", "there is no 'zz*' in wanted_here.py"),
        ("wanted_there.py", "target 'wanted_there.py': there is no file"),
    ],
)
def test_a_name_that_is_not_there_is_said_with_the_nearest_that_is(module, target, said):
    with pytest.raises(memkit.UsageError) as caught:
        Targets(target).check()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "refused"), [("x = 1\n", True), ("", True), ("def f(:\n", False)])
def test_a_name_is_refused_of_a_file_without_any(tmp_path, text, refused):
    file = tmp_path / "only_statements.py"
    file.write_text(text)
    targets = Targets(f"{file}:cuont")
    if not refused:  # what it has cannot be told
        return targets.check()
    with pytest.raises(memkit.UsageError, match=r"there is no 'cuont' in only_statements\.py$"):
        targets.check()


@pytest.mark.parametrize("target", ["", ":", ":work", "wanted_here:", "wanted_here.py:"])
def test_half_a_target_is_refused(target):
    with pytest.raises(memkit.UsageError) as caught:
        Targets(target)
    assert str(caught.value) == (
        f"target {target!r}: write file.py, file.py:name, folder/, package.module or package.module:name"
    )


@pytest.mark.parametrize("target", ["not a module", "a-b", "1.5", "a..b"])
def test_what_can_be_neither_file_nor_module_is_refused(target):
    with pytest.raises(memkit.UsageError, match="is neither a file nor the name of a module"):
        Targets(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("not_yet.made:later", "there is no module 'not_yet.made'; for a function write file.py:later"),
        ("json.nosuch", "there is no module 'json.nosuch'; for a function write file.py:json.nosuch"),
        ("time:sleep", "'time' is not made of Python source"),
    ],
)
def test_what_is_to_be_there_now_is_refused_where_it_is_not(target, said):
    with pytest.raises(memkit.UsageError) as caught:
        Targets(target).check(now=True)
    assert str(caught.value) == f"target {target!r}: {said}"


def test_what_is_there_is_not_refused(module):
    Targets(["wanted_here:plain", "json.decoder", "os.path"]).check(now=True)


@pytest.mark.parametrize("target", ["not_yet.made:later", "*/never.py", "src/*.py", "<string>", "<made>:name"])
def test_what_may_still_come_is_not_refused(target):
    Targets(target).check()


def test_a_function_that_is_imported_later_is_found_when_it_runs(native_only, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "to_come").mkdir()
    (tmp_path / "to_come" / "__init__.py").write_text("")
    with memkit.record(lines=["to_come.module:later", "to_come/othe*.py"]) as run:
        (tmp_path / "to_come" / "module.py").write_text("def later():\n    return 1\n\ndef never():\n    return 2\n")
        (tmp_path / "to_come" / "other.py").write_text("def there():\n    return 3\n")
        import importlib

        module = importlib.import_module("to_come.module")
        assert [module.later(), module.later(), module.never()] == [1, 1, 2]
        assert importlib.import_module("to_come.other").there() == 3
    hits = {line.function.name: line.hits for line in run.recording.lines if line.function.name != "<module>"}
    assert hits == {"later": 2, "there": 1}
    for name in [name for name in sys.modules if name.split(".")[0] == "to_come"]:
        del sys.modules[name]


def test_functions_with_equal_code_are_told_apart_in_a_recording(native_only):
    spaces = []
    for _ in range(2):
        spaces.append({})
        exec(compile("def twin(turns):\n    return turns\n", "<twins>", "exec"), spaces[-1])
    with memkit.record(lines=spaces[1]["twin"]) as run:
        spaces[0]["twin"](1), spaces[0]["twin"](1), spaces[1]["twin"](1)
    [line] = run.recording.lines
    assert (line.function.name, line.hits) == ("twin", 1)


# -- files -----------------------------------------------------------------------------------------------------------------


def test_a_module_is_found_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "found_pkg").mkdir()
    (tmp_path / "found_pkg" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "found_pkg" / "inner.py").write_text("raise SystemExit")
    assert find_module("found_pkg") == str(tmp_path / "found_pkg" / "__init__.py")
    assert find_module("found_pkg.inner") == str(tmp_path / "found_pkg" / "inner.py")
    assert find_module("found_pkg.missing") is None
    assert find_module("missing_pkg.inner") is None
    assert find_module("sys") is None
    assert find_module("os") == os.__file__
    assert "found_pkg" not in sys.modules


def test_the_names_in_a_file_are_qualified(module):
    assert names_in(module.__file__) == [
        "plain",
        "plain.<locals>.inner",
        "Thing",
        *(f"Thing.{name}" for name in ("method", "made", "still", "size", "size", "slow", "cached", "Inner", "Inner.deep")),
        "coroutine",
        "numbers",
        "generator",
    ]


def test_a_file_that_cannot_be_read_as_python_has_no_names(tmp_path):
    (tmp_path / "broken.py").write_text("def (:\n")
    assert names_in(str(tmp_path / "broken.py")) is None
    assert names_in(str(tmp_path / "missing.py")) is None
    Targets(f"{tmp_path / 'broken.py'}:work").check()
