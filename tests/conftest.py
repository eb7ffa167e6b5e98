"""Share fixtures and marks among all tests."""

from __future__ import annotations

import functools
import importlib
from collections import Counter
from collections.abc import Iterator

import pytest

from neurovis.figures.page_figure import PageFigure


@pytest.fixture(autouse=True, scope="class")
def _blank_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave figures blank but in tests marked ``drawn``, or whose class or module is.

    They are laid out, made into pixels and saved as ever; to draw their text takes half of the
    time, and few tests look at it.
    """
    with pytest.MonkeyPatch.context() as patched:
        if not request.node.get_closest_marker("drawn"):
            patched.setattr(PageFigure, "draw", lambda *_: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _parsers_built_once() -> Iterator[None]:
    """Let the commands of a process share their parsers, which take as long as to be refused."""
    module = importlib.import_module("neurovis.cli.main")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "build_parser", functools.cache(module.build_parser))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but an n-th of the cases of a test that is marked ``sampled(n)``."""
    seen: Counter[str] = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None:
            test = item.nodeid.partition("[")[0]
            # Askew, so that of each parameter's values more than one is among them.
            if (seen[test] + seen[test] // sampled.args[0]) % sampled.args[0]:
                item.add_marker("slow")
            seen[test] += 1
