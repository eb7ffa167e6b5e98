"""In what precision the network is run, and when it is not."""

from __future__ import annotations

import pytest
import torch
from climbing import GRAY, Climber
from torch import Tensor, nn

from neurovis.copies import frozen_copy
from neurovis.maximization import ActivationMaximization
from neurovis.maximization import network as networks
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.network import computes_in_bfloat16, fast_copy

pytestmark = pytest.mark.usefixtures("without_figures")

CPU = torch.device("cpu")


class Sensitive(nn.Module):
    """What is left of a large number after another is taken off has no digits in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return (self.conv(images) + 1e4) - 1e4


class Fixed(nn.Module):
    """Multiplies by numbers of a type of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.conv(images) * torch.ones(4, 1, 1))


def dtype_of(network: nn.Module, layer: str, precision: str) -> torch.dtype:
    response = LayerResponse(frozen_copy(network), layer, GRAY)
    return next(fast_copy(response, precision, CPU).parameters()).dtype  # type: ignore[arg-type]


@pytest.fixture
def fast_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "computes_in_bfloat16", lambda _: True)


@pytest.mark.usefixtures("fast_in_bfloat16")
def test_auto_is_bfloat16_where_the_response_hardly_changes(small_network: nn.Module) -> None:
    torch.manual_seed(0)
    assert dtype_of(small_network, "3", "auto") == torch.bfloat16
    assert dtype_of(small_network, "3", "float32") == torch.float32
    assert dtype_of(nn.Sequential(Sensitive()), "0", "auto") == torch.float32
    assert dtype_of(Fixed(), "out", "auto") == torch.float32
    assert dtype_of(small_network.double(), "3", "auto") == torch.float64


def test_auto_is_float32_elsewhere(
    small_network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "computes_in_bfloat16", lambda _: False)
    assert dtype_of(small_network, "3", "auto") == torch.float32


def test_what_cannot_be_run_in_bfloat16_is_named() -> None:
    with pytest.raises(ValueError, match=r'Fixed cannot be run in bfloat16: .*"float32"'):
        dtype_of(Fixed(), "out", "bfloat16")


def test_the_device_tells() -> None:
    told = getattr(torch.cpu, "get_capabilities", dict)()
    assert computes_in_bfloat16(CPU) == any(told.get(f"{name}_bf16") for name in ("avx512", "amx"))
    assert not computes_in_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_are_float32_ones_either_way(
    climb: Climber, small_network: nn.Module, precision: str
) -> None:
    am = ActivationMaximization(small_network, "5", [0, 3], GRAY, steps=12, precision=precision)
    climb(am)
    small_network.eval()
    with torch.no_grad():
        own = small_network[:6](GRAY.to_network(am.results.images)).mean((2, 3))
    assert torch.equal(own[[0, 1], [0, 3]], am.results.activations)
    assert (am.results.activations > am.results.noise_activations).all()
