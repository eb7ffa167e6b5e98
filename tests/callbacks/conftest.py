"""Small networks run fastest, and repeatably, on one thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning.fabric.utilities import registry
from promise import outcome

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _plugins_found_once() -> Iterator[None]:
    """Let Trainers share the list of installed plugins: to read it takes most of making one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "entry_points", functools.cache(registry.entry_points))
        yield


@pytest.fixture(scope="module")
def plain_outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return what a training without monitors leaves behind, trained once for a file's tests."""

    @functools.cache
    def train(**arguments: Any) -> dict[str, Any]:
        return outcome([], tmp_path_factory.mktemp("plain"), **arguments)

    return train


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
