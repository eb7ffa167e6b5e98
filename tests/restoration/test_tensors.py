"""Tensors are bitwise what they were: values, sizes, types, memory and versions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurovis import undisturbed


def state(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.layout is not torch.strided:
        return tensor.shape, tensor.to_dense().tolist()
    bits = tensor.detach().clone().reshape(-1).view(torch.uint8)
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.data_ptr(), bits.tolist()


TENSORS: dict[str, Callable[[], Tensor]] = {
    "numbers": lambda: torch.arange(12.0).view(3, 4),
    "one number": lambda: torch.tensor(3),
    "odd": lambda: torch.arange(3.0),
    "none": lambda: torch.zeros(0, 3),
    "transposed": lambda: torch.arange(12.0).view(3, 4).t(),
    "every other": lambda: torch.arange(24.0).view(6, 4)[::2, 1:3],
    "channels last": lambda: torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "expanded": lambda: torch.arange(3.0)[:, None].expand(3, 4),
    "bfloat16": lambda: torch.rand(5).bfloat16(),
    "complex": lambda: torch.rand(3, dtype=torch.complex128),
    "conjugate": lambda: torch.rand(3, dtype=torch.complex64).conj(),
    "flags": lambda: torch.tensor([True, False]),
    "not numbers": lambda: torch.tensor([math.nan, -0.0, math.inf]),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quarter": lambda: torch.rand(4).to(torch.float8_e4m3fn),
}


#: What cannot be changed in all of the ways below, or is compared in other ways.
OTHERS = ("sparse", "expanded", "conjugate")

CHANGES: dict[str, Callable[[Tensor], object]] = {
    "in place": lambda tensor: tensor.zero_() if tensor.numel() else tensor,
    "unseen": lambda tensor: tensor.data.zero_(),
    "other data": lambda tensor: setattr(tensor, "data", torch.ones(7).to(tensor.dtype)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [kind for kind in TENSORS if kind not in OTHERS])
def test_a_buffer_is_what_it_was(kind: str, change: str) -> None:
    module = nn.Module()
    module.register_buffer("buffer", TENSORS[kind]())
    buffer, before = module.buffer, state(module.buffer)
    with undisturbed(module), torch.no_grad():
        CHANGES[change](module.buffer)
    assert module.buffer is buffer
    assert state(buffer) == before


def test_other_kinds_of_buffers() -> None:
    module = nn.Module()
    for kind in OTHERS:
        module.register_buffer(kind, TENSORS[kind]())
    before = [state(module.get_buffer(kind)) for kind in OTHERS]
    with undisturbed(module):
        module.expanded[:, 0].fill_(7)
        module.sparse.mul_(2)
        module.conjugate.mul_(2)
    assert [state(module.get_buffer(kind)) for kind in OTHERS] == before


@pytest.mark.parametrize("sign", [0.0, -0.0])
def test_the_sign_of_zero(sign: float) -> None:
    module = nn.BatchNorm1d(1)
    module.running_mean.fill_(sign)
    with undisturbed(module):
        module.running_mean.fill_(-sign)
    assert math.copysign(1, module.running_mean.item()) == math.copysign(1, sign)


def test_a_buffer_that_grows() -> None:
    module = nn.Module()
    for name in ("resized", "replaced", "none"):
        module.register_buffer(name, None if name == "none" else torch.arange(3.0))
    before = dict(module._buffers)
    with undisturbed(module):
        module.resized.resize_(10).fill_(1)
        module.replaced = torch.cat([module.replaced, torch.ones(2)])
        module.none = torch.ones(3)
        module.register_buffer("new", torch.ones(1))
        assert list(module.state_dict()) == ["resized", "replaced", "none", "new"]
    assert list(module._buffers) == list(before)
    assert all(module._buffers[name] is buffer for name, buffer in before.items())
    assert module.resized.tolist() == module.replaced.tolist() == [0, 1, 2]


def test_a_parameter_of_another_type() -> None:
    module = nn.Linear(3, 3)
    weight, before = module.weight, state(module.weight)
    with undisturbed(module):
        module.half()
        module.bias = None
    assert module.weight is weight
    assert state(weight) == before
    assert weight.requires_grad
    assert isinstance(module.bias, nn.Parameter)


def test_what_did_not_change_is_not_written_to() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    tensors = (*module.parameters(), *module.buffers())
    versions = [tensor._version for tensor in tensors]
    with undisturbed(module):
        module(torch.rand(2, 3))
    assert [tensor._version for tensor in tensors] == versions


def test_a_graph_from_before_can_still_be_differentiated() -> None:
    """Although the forward changed a tensor in place that the graph keeps."""
    module = nn.Module()
    module.register_buffer("scale", torch.tensor([2.0, 3.0]))
    images = torch.ones(2, requires_grad=True)
    output = (images * module.scale).sum()
    with undisturbed(module):
        module.scale.mul_(2)
    output.backward()
    assert images.grad is not None
    assert images.grad.tolist() == [2, 3]


def test_a_large_tensor_that_changes_is_named() -> None:
    module = nn.Linear(1024, 1025)
    module.register_buffer("large", torch.zeros(1025, 1024))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with undisturbed(module), torch.no_grad():
            module.weight.add_(1)
            module.large.add_(1)
    assert ["cannot be restored: Linear.weight." in str(one.message) for one in said] == [True]
    assert module.large.sum() == 0


def test_a_large_tensor_that_is_replaced_is_put_back() -> None:
    module = nn.Linear(1024, 1025)
    pointer, before = module.weight.data_ptr(), module.weight.detach().clone()
    with undisturbed(module):
        module.weight.data = torch.zeros(2, 2)
    assert module.weight.data_ptr() == pointer
    assert torch.equal(module.weight, before)


def test_tensors_in_lists_are_copied_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurovis.restoration._MOST_COPIED_VALUES", 10)
    module = nn.Module()
    module.items = [torch.zeros(6), torch.zeros(6)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with undisturbed(module):
            for item in module.items:
                item.add_(1)
    assert ["cannot be restored: Module.items[1]." in str(one.message) for one in said] == [True]
    assert [item.sum().item() for item in module.items] == [0, 6]
