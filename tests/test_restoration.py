"""Whatever a forward changes, wherever a module keeps it, is put back."""

from __future__ import annotations

import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurovis.recording import undisturbed
from neurovis.restoration import same_state


class Center:
    """A helper that is no module, as teachers' centers are kept."""

    def __init__(self) -> None:
        self.value = torch.zeros(3)
        self.history: dict[str, list[float]] = {"means": []}

    def update(self) -> None:
        self.value.add_(1)
        self.value = self.value + 1
        self.history["means"].append(1.0)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.zeros(4, 3), requires_grad=False)
        self.register_buffer("count", torch.zeros(()))
        self.in_dictionary = {"center": torch.zeros(3)}
        self.in_list = [torch.zeros(3)]
        self.queue = deque([1, 2], maxlen=2)
        self.names = {"a"}
        self.center = Center()
        self.namespace = SimpleNamespace(steps=0)
        self.array = np.zeros(3)
        self.torch_generator = torch.Generator().manual_seed(0)
        self.numpy_generator = np.random.default_rng(0)
        self.old_numpy_generator = np.random.RandomState(0)
        self.python_generator = random.Random(0)
        self.hidden = [nn.BatchNorm1d(3)]

    def forward(self) -> None:
        with torch.no_grad():
            self.codebook.lerp_(torch.ones(4, 3), 0.1)
            self.codebook.data[0] = 5
        self.count += 1
        self.in_dictionary["center"].mul_(2).add_(1)
        self.in_list[0].add_(1)
        self.in_list.append(torch.ones(1))
        self.queue.append(3)
        self.names.add("b")
        self.center.update()
        self.namespace.steps += 1
        self.array += 1
        torch.rand(1, generator=self.torch_generator)
        self.numpy_generator.normal()
        self.old_numpy_generator.normal()
        self.python_generator.random()
        self.hidden[0](torch.randn(8, 3))

    def state(self) -> dict[str, Any]:
        """All of it, in what can be compared."""
        return {
            "codebook": self.codebook.tolist(),
            "count": self.count.item(),
            "in_dictionary": self.in_dictionary["center"].tolist(),
            "in_list": [tensor.tolist() for tensor in self.in_list],
            "queue": list(self.queue),
            "names": set(self.names),
            "center": (self.center.value.tolist(), list(self.center.history["means"])),
            "namespace": self.namespace.steps,
            "array": self.array.tolist(),
            "torch_generator": self.torch_generator.get_state().tolist(),
            "numpy_generator": str(self.numpy_generator.bit_generator.state),
            "old_numpy_generator": str(self.old_numpy_generator.get_state()),
            "python_generator": self.python_generator.getstate(),
            "hidden": self.hidden[0].running_mean.tolist(),
        }


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name, value in before.items() if after[name] != value}


def test_the_forward_changes_all_of_it() -> None:
    module = Stateful()
    before = module.state()
    module()
    assert changed(before, module.state()) == set(before)


@pytest.mark.parametrize("around", [same_state, undisturbed])
def test_all_of_it_is_put_back(around: Any) -> None:
    module = nn.Sequential(Stateful())
    before = module[0].state()
    center, tensors = module[0].center, module[0].in_list
    with around(module):
        module[0]()
    assert changed(before, module[0].state()) == set()
    assert module[0].center is center
    assert module[0].in_list is tensors


def test_after_an_exception() -> None:
    module = Stateful()
    before = module.state()

    def fail() -> None:
        with same_state(module):
            module()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert changed(before, module.state()) == set()


def test_what_refers_to_itself() -> None:
    module = nn.Identity()
    module.loop = {"self": module}  # type: ignore[assignment]
    module.loop["loop"] = module.loop  # type: ignore[operator,index]
    with same_state(module):
        module.loop["more"] = 1  # type: ignore[operator,index]
    assert set(module.loop) == {"self", "loop"}  # type: ignore[arg-type]
