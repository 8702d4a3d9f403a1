"""The signatures of the names in ``memkit.__all__`` as a type checker, and so an editor, sees them."""

import contextlib
import inspect
from pathlib import Path

import pytest

import memkit

pytest.importorskip("mypy.build")

from mypy.build import build
from mypy.main import process_options
from mypy.modulefinder import BuildSource
from mypy.nodes import Decorator, FuncDef, MypyFile, OverloadedFuncDef, TypeAlias, TypeInfo, Var
from mypy.types import AnyType, CallableType, TupleType, TypeOfAny, get_proper_type

ROOT = Path(__file__).parents[1]
SPECIAL = {"__init__", "__new__", "__call__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__"}
UNKNOWN = {TypeOfAny.unannotated, TypeOfAny.from_unimported_type, TypeOfAny.from_error, TypeOfAny.from_omitted_generics}


@pytest.fixture(scope="module")
def names():
    """The node of each name of the package as mypy resolves it, with its settings and its cache for this project."""
    with contextlib.chdir(ROOT):
        _, options = process_options([])
        found = build([BuildSource(None, None, "import memkit")], options).files["memkit"].names
    return {name: meant_by(each.node) for name, each in found.items()}


def meant_by(node):
    """A node itself; for another name of a class, the class."""
    if not isinstance(node, TypeAlias):
        return node
    target = get_proper_type(node.target)
    return target.partial_fallback.type if isinstance(target, TupleType) else target.type


def members_of(node):
    """The nodes below a node: the public members of a class or a module, and the overloads of a function."""
    if isinstance(node, TypeInfo):
        tables = [base.names for base in node.mro if base.module_name.startswith("memkit")]
        public = [each.node for table in tables for name, each in table.items() if name in SPECIAL or name[0] != "_"]
        return [member for member in public if not isinstance(member, TypeInfo)]
    if isinstance(node, MypyFile):
        return [
            each.node for each in node.names.values() if each.node and each.node.fullname.startswith(f"{node.fullname}.")
        ]
    return node.items if isinstance(node, OverloadedFuncDef) else []


def functions_in(node):
    """The functions behind a name: a function itself, the public methods of a class, the functions of a module."""
    if isinstance(node, (FuncDef, Decorator)):
        return [node if isinstance(node, FuncDef) else node.func]
    return [function for member in members_of(node) for function in functions_in(member)]


def is_known(found):
    found = get_proper_type(found)
    return not (isinstance(found, AnyType) and found.type_of_any in UNKNOWN)


def faults_of(function):
    """The parameters of a function that have no type, and the function if its result has none."""
    if not isinstance(function.type, CallableType):
        return [] if function.fullname.endswith(".__init__") and len(function.arg_names) == 1 else [function.fullname]
    bound = bool(function.info) and not function.is_static
    parameters = list(zip(function.arg_names, function.type.arg_types))[bound:]
    faults = [f"{function.fullname}({name})" for name, found in parameters if not is_known(found)]
    return faults + ([] if is_known(function.type.ret_type) else [f"{function.fullname} -> ?"])


@pytest.mark.parametrize("name", memkit.__all__)
def test_a_public_name_has_a_type_for_every_parameter_and_result(names, name):
    assert [fault for function in functions_in(names[name]) for fault in faults_of(function)] == []


@pytest.mark.parametrize("name", memkit.__all__)
def test_a_public_name_is_to_mypy_what_it_is_at_run_time(names, name):
    value, node = getattr(memkit, name), names[name]
    if isinstance(value, type):
        assert isinstance(node, TypeInfo)
    elif inspect.ismodule(value):
        assert isinstance(node, MypyFile)
    elif inspect.isroutine(value):
        assert isinstance(node, (Decorator, FuncDef, OverloadedFuncDef))
    else:
        assert isinstance(node, Var) and is_known(node.type)


FUNCTIONS = [name for name in memkit.__all__ if inspect.isroutine(getattr(memkit, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_parameters_of_a_function_are_those_that_it_has_at_run_time(names, name):
    overloads = functions_in(names[name])
    assert overloads
    for function in overloads:
        assert list(inspect.signature(getattr(memkit, name)).parameters) == function.arg_names


CLASSES = [name for name in memkit.__all__ if isinstance(getattr(memkit, name), type)]


@pytest.mark.parametrize("name", CLASSES)
def test_the_parameters_of_a_class_are_those_that_it_has_at_run_time(names, name):
    info = names[name]
    makers = [info.get_method(method) for method in ("__init__", "__new__")]
    made_here = [maker for maker in makers if isinstance(maker, FuncDef) and maker.info.module_name.startswith("memkit")]
    if made_here:
        assert list(inspect.signature(getattr(memkit, name)).parameters) == made_here[0].arg_names[1:]
    else:
        assert info.is_protocol or issubclass(getattr(memkit, name), Exception)
