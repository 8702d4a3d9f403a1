"""The stubs of the compiled modules, against the modules: what an editor and a type checker are told is what there is."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("memkit.native.journal", reason="the compiled modules are not built here")

import memkit.native

ROOT = Path(memkit.native.__file__).parent
MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.pyx"))
STUBS = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.pyi"))


def module(name):
    return importlib.import_module("memkit.native." + ".".join(name.parts))


def stub(name):
    return ast.parse((ROOT / name).with_suffix(".pyi").read_text())


def own_names(name):
    """The public names that a compiled module defines itself, whether functions, classes or constants."""
    source = (ROOT / name).with_suffix(".pyx").read_text()
    defined = re.findall(r"^(?:def|cdef class|cpdef [\w.]+) (\w+)", source, re.MULTILINE)
    constants = re.findall(r"^([A-Z]+) = ", source, re.MULTILINE)
    found = vars(module(name))
    return {each for each in [*defined, *constants] if each in found}


def parameters_of(function):
    """Of a function in a stub: name and kind of each parameter, and whether it has a default."""
    given = function.args
    found = [(each.arg, "positional", False) for each in [*given.posonlyargs, *given.args]]
    for place in range(len(given.defaults)):
        found[-1 - place] = (found[-1 - place][0], "positional", True)
    found += [(given.vararg.arg, "var", False)] if given.vararg else []
    found += [(each.arg, "keyword", default is not None) for each, default in zip(given.kwonlyargs, given.kw_defaults)]
    return found


KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "var",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
}


def parameters(function):
    """The same of a compiled function."""
    signature = inspect.signature(function)
    return [(each.name, KINDS[each.kind], each.default is not each.empty) for each in signature.parameters.values()]


def special_parameters(name, owner, method):
    """The same of a special method, which Python cannot be asked about: from the source."""
    source = (ROOT / name).with_suffix(".pyx").read_text()
    body = re.split(r"^cdef class (\w+).*:$", source, flags=re.MULTILINE)
    found = re.search(rf"^    def {method}\((.*?)\):$", body[body.index(owner) + 1], re.MULTILINE | re.DOTALL)
    if found is None:
        return [("self", "positional", False)]
    python = re.sub(r"(?<=[(, ])(?:[\w.]+) (?=\w)", "", "(" + " ".join(found[1].split()) + ")")
    return parameters_of(ast.parse(f"def f{python}: ...").body[0])


def test_each_compiled_module_with_public_names_has_a_stub_and_no_other():
    assert [name for name in MODULES if own_names(name)] == STUBS


@pytest.mark.parametrize("name", STUBS, ids=str)
def test_a_stub_has_the_names_that_its_module_has(name):
    told = set()
    for node in stub(name).body:
        if isinstance(node, ast.AnnAssign):
            told.add(node.target.id)
        elif isinstance(node, ast.FunctionDef) or (isinstance(node, ast.ClassDef) and not node.decorator_list):
            told.add(node.name)
    assert told == own_names(name)


FUNCTIONS = [(name, node) for name in STUBS for node in stub(name).body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize(("name", "node"), FUNCTIONS, ids=lambda each: getattr(each, "name", str(each)))
def test_a_function_in_a_stub_has_the_parameters_that_it_takes(name, node):
    assert parameters_of(node) == parameters(getattr(module(name), node.name))


CLASSES = [
    (name, node)
    for name in STUBS
    for node in stub(name).body
    if isinstance(node, ast.ClassDef) and not node.decorator_list  # others are for type checkers alone
]


@pytest.mark.parametrize(("name", "node"), CLASSES, ids=lambda each: getattr(each, "name", str(each)))
def test_a_class_in_a_stub_has_the_members_that_it_has(name, node):
    found = getattr(module(name), node.name)
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    told = methods | {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}
    own = {each for each in vars(found) if not each.startswith("_")}
    assert told - {"__new__", "__call__"} == own
    assert [base.id for base in node.bases] == [base.__name__ for base in found.__bases__ if base is not object]


@pytest.mark.parametrize(("name", "node"), CLASSES, ids=lambda each: getattr(each, "name", str(each)))
def test_a_method_in_a_stub_has_the_parameters_that_it_takes(name, node):
    found = getattr(module(name), node.name)
    for each in node.body:
        if not isinstance(each, ast.FunctionDef):
            continue
        decorators = {decorator.id for decorator in each.decorator_list}
        if each.name == "__new__":
            assert parameters_of(each)[1:] == special_parameters(name, node.name, "__cinit__")[1:]
        elif each.name == "__call__":
            assert parameters_of(each) == special_parameters(name, node.name, "__call__")
        elif inspect.isgetsetdescriptor(vars(found)[each.name]):
            assert decorators == {"property"}
        else:
            assert decorators == set()
            assert parameters_of(each) == parameters(getattr(found, each.name))


@pytest.mark.parametrize("name", STUBS, ids=str)
def test_every_parameter_and_result_in_a_stub_has_a_type(name):
    for node in ast.walk(stub(name)):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None, node.name
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert all(each.annotation is not None for each in given if each.arg not in ("self", "cls")), node.name
