"""The simulated GPU refuses what CUDA refuses, counts what CUDA waits for, and computes."""

from __future__ import annotations

import pytest
import torch
from on_simulated_gpu import DEVICE, MODE
from simulated_gpu import counting, refusing_waits
from torch import nn
from torch.nn import functional

OTHER = torch.device(DEVICE.type, 1)


def test_it_computes_what_the_cpu_computes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    there = images.detach().to(DEVICE).requires_grad_()
    (expected,) = torch.autograd.grad(network(images).square().sum(), images)
    (found,) = torch.autograd.grad(network.to(DEVICE)(there).square().sum(), there)
    torch.testing.assert_close(found.cpu(), expected)


def test_grouped_transposed_convolutions_have_all_gradients() -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    images = torch.rand(2, 4, 8, 8)
    layer(images).square().sum().backward()
    expected = [parameter.grad for parameter in layer.parameters()]
    layer.zero_grad()
    layer.to(DEVICE)(images.to(DEVICE)).square().sum().backward()
    found = [parameter.grad.cpu() for parameter in layer.parameters()]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("other", ["cpu", "simulated:1"])
def test_tensors_of_two_devices_do_not_mix(other: str) -> None:
    here, there = torch.rand(3, 4, device=DEVICE), torch.rand(3, 4, device=other)
    with pytest.raises(RuntimeError, match="at least two devices"):
        here + there
    with pytest.raises(RuntimeError, match="at least two devices"):
        torch.cat([here, there])
    kernels = torch.rand(2, 3, 1, 1, device=other)
    with pytest.raises(RuntimeError, match="at least two devices"):
        functional.conv2d(torch.rand(1, 3, 5, 5, device=DEVICE), kernels)


def test_numbers_and_indices_of_the_host_are_accepted() -> None:
    here = torch.arange(4.0, device=DEVICE)
    assert (here * torch.tensor(2.0)).tolist() == [0, 2, 4, 6]
    assert here[torch.tensor([3, 1])].tolist() == [3, 1]
    with pytest.raises(RuntimeError, match="indices should be"):
        torch.arange(4.0)[torch.tensor([3, 1], device=DEVICE)]


def test_generators_belong_to_a_device() -> None:
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.rand(3, device=DEVICE, generator=torch.Generator())
    own = torch.Generator(DEVICE).manual_seed(3)
    again = torch.Generator(DEVICE).manual_seed(3)
    assert torch.equal(
        torch.rand(3, device=DEVICE, generator=own), torch.rand(3, device=DEVICE, generator=again)
    )


def test_random_states_are_the_devices_own() -> None:
    torch.manual_seed(5)
    first = torch.rand(3, device=DEVICE)
    before = torch.get_rng_state()
    second = torch.rand(3, device=DEVICE)
    dropped = functional.dropout(torch.ones(99, device=DEVICE), 0.5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3, device=DEVICE), first)
    assert torch.equal(torch.rand(3, device=DEVICE), second)
    assert torch.equal(functional.dropout(torch.ones(99, device=DEVICE), 0.5), dropped)
    assert not torch.equal(functional.dropout(torch.ones(99, device=DEVICE), 0.5), dropped)


def test_dtypes_do_not_mix_in_convolutions_and_there_is_no_way_to_numpy() -> None:
    half = torch.rand(1, 3, 5, 5, device=DEVICE, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="should be the same"):
        functional.conv2d(half, torch.rand(2, 3, 1, 1, device=DEVICE))
    with pytest.raises(TypeError):
        half.float().numpy()


def test_autocast_computes_in_half_precision_what_cuda_does() -> None:
    images = torch.rand(1, 3, 5, 5, device=DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        convolved = functional.conv2d(images, torch.rand(2, 3, 1, 1, device=DEVICE))
        assert convolved.dtype == torch.bfloat16
        assert convolved.softmax(1).dtype == torch.float32


def test_there_is_float64_but_on_apple_s_gpus() -> None:
    if MODE == "no-float64":
        with pytest.raises(TypeError, match="float64"):
            torch.rand(3, device=DEVICE).double()
        assert not torch.rand(3, device=DEVICE).is_cuda
    else:
        assert torch.rand(3, device=DEVICE).double().dtype == torch.float64
        assert torch.rand(3, device=DEVICE).is_cuda
    assert not torch.rand(3).is_cuda


def test_kernels_and_waits_are_counted() -> None:
    host = torch.rand(3, 4)
    with counting() as counts:
        values = host.to(DEVICE)
        total = values.relu().sum()
        values.t().contiguous()
    assert (counts.kernels, counts.copies, counts.waits) == (2, 1, {"copy to device": 1})
    with counting(lines=True) as counts:
        total.item()
        total.cpu()
        values[values > 0.5]
    assert counts.waits["item"] == counts.waits["copy to host"] == 1
    assert counts.waits["aten::nonzero"] + counts.waits["boolean index"] >= 1
    assert sum(counts.lines.values()) == counts.all_waits
    with refusing_waits(), pytest.raises(RuntimeError, match="waits for the device: item"):
        total.item()
    total.item()
