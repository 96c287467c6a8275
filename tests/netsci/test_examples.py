"""The examples in the docstrings of network science and the data sets print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import neuroprune.datasets
import neuroprune.netsci

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (neuroprune.netsci, neuroprune.datasets)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    if name.endswith("communities"):
        pytest.importorskip("leidenalg")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(examples) > 40
