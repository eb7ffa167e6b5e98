"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import neurovis

MODULES = [
    module.name
    for module in pkgutil.walk_packages(neurovis.__path__, "neurovis.")
    if module.name != "neurovis.__main__"
]


def test_examples() -> None:
    failed = [name for name in MODULES if doctest.testmod(importlib.import_module(name)).failed]
    assert failed == []


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    examples = [
        test.name
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(examples) >= 10
