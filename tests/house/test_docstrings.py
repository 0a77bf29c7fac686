"""Docstring and signature agree: everything reachable from `fsmf.__all__` is documented as it is called."""

import dataclasses
import enum
import inspect
from functools import cached_property
from types import ModuleType

import pytest
from numpydoc.docscrape import NumpyDocString

import fsmf
from fsmf.solvers.dispatch import TABLE

PROPERTIES = (property, cached_property)


def doc(thing):
    return NumpyDocString(inspect.getdoc(thing) or "")


def documented(sections, section):
    """The names in one section, `x, y : int` and `*args` taken apart."""
    return [name.strip().lstrip("*") for entry in sections[section] for name in entry.name.split(",")]


def called(function):
    """The names of the arguments, in order, without `self` or `cls`."""
    names = [name for name in inspect.signature(function).parameters if not name.startswith("_")]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def public(owner, names):
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, ModuleType):
            yield from public(value, value.__all__)
        elif callable(value):
            yield f"{value.__module__}.{value.__qualname__}", value


def members(cls):
    """The public functions and properties that a class of fsmf defines, or inherits within fsmf."""
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("fsmf"):
            for name, raw in vars(base).items():
                value = getattr(raw, "__func__", raw)
                if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, PROPERTIES)):
                    yield f"{cls.__module__}.{cls.__qualname__}.{name}", getattr(cls, name)


THINGS = dict(public(fsmf, fsmf.__all__))
CLASSES = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in THINGS.items() if not inspect.isclass(thing)}
MEMBERS = dict(pair for cls in CLASSES.values() for pair in members(cls))
METHODS = {name: thing for name, thing in MEMBERS.items() if not isinstance(thing, PROPERTIES)}
SOLVERS = {type(solver).__name__: type(solver) for solver in TABLE}


def each(things):
    return pytest.mark.parametrize("thing", things.values(), ids=things.keys())


@each(THINGS | MEMBERS)
def test_begins_with_a_sentence(thing):
    summary = " ".join(doc(thing)["Summary"])
    assert summary.endswith(".")


@each(FUNCTIONS | METHODS)
def test_parameters_are_the_signature(thing):
    """A method may say it all in its first sentence, as the array methods that it resembles do."""
    found = documented(doc(thing), "Parameters")
    assert found == called(thing) or (thing in METHODS.values() and not found)


@each(FUNCTIONS)
def test_functions_say_what_comes_back_and_show_it(thing):
    sections = doc(thing)
    assert sections["Returns"] or sections["Yields"]
    assert ">>> " in "\n".join(sections["Examples"])


@each({name: cls for name, cls in CLASSES.items() if not issubclass(cls, enum.Enum | BaseException)})
def test_class_parameters_are_the_signature(thing):
    """Of a dataclass, the fields may be documented as attributes, among others."""
    sections, names = doc(thing), called(thing)
    found = documented(sections, "Parameters")
    if not found and (dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")):
        found = [name for name in documented(sections, "Attributes") if name in names]
    assert found == names


@each(SOLVERS)
def test_solvers_say_what_they_promise_and_what_it_costs(thing):
    notes = "\n".join(doc(thing)["Notes"])
    assert "Guarantee" in notes
    assert "Cost" in notes
