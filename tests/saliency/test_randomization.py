from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm
from torchvision.models import VisionTransformer

from neurovis.saliency import METHODS, Method, cascading_randomization, kernel_saliency
from neurovis.saliency.parameter_use import modules_in_use
from neurovis.saliency.randomization import randomize
from neurovis.saliency.target import LayerTarget


def test_against_layers_randomized_by_hand(network: nn.Module, images: Tensor) -> None:
    images = torch.cat([images, -3 * images])
    check = cascading_randomization(network, images, None, "strongest", seed=7)
    assert check.stages == ["trained", "6", "2", "0"]
    kernels = network(images).argmax(1).tolist()
    assert check.kernels == kernels
    assert len(set(kernels)) > 1
    by_hand = copy.deepcopy(network)
    for stage, layer in enumerate([None, 6, 2, 0]):
        if layer is not None:
            torch.manual_seed(7 + stage)
            by_hand[layer].reset_parameters()
        maps = torch.cat(
            [kernel_saliency(by_hand, images[i, None], None, k).maps for i, k in enumerate(kernels)]
        )
        torch.testing.assert_close(check.maps[stage], maps.abs().amax(1))
        if layer is None:
            trained = maps
        for index in range(len(images)):
            for found, now, then in (
                (check.correlations, maps.abs().amax(1), trained.abs().amax(1)),
                (check.signed_correlations, maps.sum(1), trained.sum(1)),
            ):
                expected = spearmanr(
                    now[index].flatten().numpy(), then[index].flatten().numpy()
                ).statistic
                assert found[stage, index].item() == pytest.approx(expected, abs=1e-4)
    assert (check.correlations[0] == 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_leave_the_network_alone(
    method: Method, network: nn.Module, images: Tensor
) -> None:
    network.train()
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    options: dict[str, Any] = {"samples": 2, "steps": 2, "patch": 4, "max_stages": 2}
    with torch.inference_mode():
        check = cascading_randomization(network, images.clone(), "2", 4, method, **options)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(module.training for module in network.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert check.stages == ["trained", "2", "0"]
    assert check.maps.shape == (3, 2, 12, 12)
    pooled = kernel_saliency(network, images, "2", 4, method, samples=2, steps=2, patch=4).pooled()
    torch.testing.assert_close(check.maps[0], pooled[""])
    assert not torch.allclose(check.maps[2], check.maps[0])


def test_stages_are_merged_evenly_and_end_with_everything(
    network: nn.Module, images: Tensor
) -> None:
    def stages(max_stages: int) -> list[str]:
        return cascading_randomization(network, images, None, 0, max_stages=max_stages).stages

    assert stages(9) == ["trained", "6", "2", "0"]
    assert stages(2) == ["trained", "2", "0"]
    assert stages(1) == ["trained", "0"]
    with pytest.raises(ValueError, match="max_stages must be an integer of at least 1; got 0"):
        stages(0)
    # However many stages: at the last one nothing of the trained network is left.
    torch.manual_seed(1)
    by_hand = copy.deepcopy(network)
    for layer in (6, 2, 0):
        by_hand[layer].reset_parameters()
    check = cascading_randomization(network, images, None, 0, max_stages=1)
    expected = kernel_saliency(by_hand, images, None, 0).pooled()[""]
    torch.testing.assert_close(check.maps[1], expected)


def test_the_seed_fixes_the_weights(network: nn.Module, images: Tensor) -> None:
    first = cascading_randomization(network, images, None, 0)
    torch.rand(1)
    assert torch.equal(first.maps, cascading_randomization(network, images, None, 0).maps)
    other = cascading_randomization(network, images, None, 0, seed=1)
    assert not torch.equal(first.maps[1:], other.maps[1:])


def test_rows(network: nn.Module, images: Tensor) -> None:
    check = cascading_randomization(network, images, "2", 3, "occlusion", patch=4)
    rows = list(check.rows())
    assert len(rows) == 3 * 2
    assert rows[3] == {
        "layer": "2",
        "method": "occlusion",
        "image": 1,
        "kernel": 3,
        "stage": 1,
        "randomized": "2",
        "correlation": check.correlations[1, 1].item(),
        "signed_correlation": check.signed_correlations[1, 1].item(),
    }
    free = cascading_randomization(network, images, "2", lambda a: a.sum((1, 2, 3)))
    assert next(free.rows())["kernel"] is None


def test_an_empty_map_has_no_correlation(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network[2].bias.fill_(-100)
    check = cascading_randomization(network, images, "3", 0)
    assert check.correlations.isnan().all()


def test_nothing_to_randomize(images: Tensor) -> None:
    with pytest.raises(ValueError, match='no parameter works towards layer "0"'):
        cascading_randomization(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 3)), images, "0", 0)


class Woven(nn.Module):
    """Parameters that are used by functions, twice, after a block's parts, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.rand(1, 4, 1, 1))
        self.unused = nn.Linear(3, 3)
        self.late = nn.Conv2d(4, 4, 1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.lent = nn.Linear(4, 4)
        self.frozen = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        _ = self.unused.weight.dtype
        x = self.twice(x + self.shift)
        with torch.no_grad():
            x = self.frozen(x)
        x = nn.functional.linear(x.mean((2, 3)), self.lent.weight.data)
        return self.late(self.twice(x[:, :, None, None]))


def in_use(model: nn.Module, layer: str | None, image: Tensor) -> list[str]:
    return list(modules_in_use(model.eval(), LayerTarget(layer), image))


def test_modules_in_use_in_the_order_of_their_use(images: Tensor) -> None:
    model = Woven()
    assert in_use(model, None, images) == ["Woven", "twice", "frozen", "lent", "late"]
    assert in_use(model, "frozen", images) == ["Woven", "twice", "frozen"]


def test_a_transformer_is_randomized_as_a_whole() -> None:
    model = VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3)
    images = torch.rand(1, 3, 8, 8)
    found = in_use(model, None, images)
    block = "encoder.layers.encoder_layer_0"
    assert found[:3] == ["conv_proj", "VisionTransformer", "encoder"]
    assert f"{block}.self_attention" in found
    assert f"{block}.self_attention.out_proj" in found
    assert found[-1] == "heads.head"
    owners = {n for n, m in model.named_modules() if list(m.parameters(recurse=False))}
    assert {name if name != "VisionTransformer" else "" for name in found} == owners
    check = cascading_randomization(model, images, None, 1, max_stages=3)
    assert check.stages[-1] == "conv_proj"


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(4, 5, 3),
        lambda: weight_norm(nn.Conv2d(4, 5, 3)),
        lambda: parametrizations.weight_norm(nn.Conv2d(4, 5, 3)),
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.LSTM(4, 4),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_no_parameter_stays_what_it_was(build: Callable[[], nn.Module]) -> None:
    module = build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    before = [parameter.clone() for parameter in module.parameters()]
    for part in module.modules():
        randomize(part)
    for parameter, trained in zip(module.parameters(), before, strict=True):
        assert (parameter != trained).all()


def test_without_a_reset_the_numbers_are_as_large_as_they_were() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gains = nn.Parameter(3 + 0.1 * torch.randn(10_000))

    module = Scaled()
    trained = module.gains.detach().clone()
    randomize(module)
    assert module.gains.mean().item() == pytest.approx(3, abs=0.01)
    assert module.gains.std().item() == pytest.approx(0.1, abs=0.01)
    assert abs(torch.corrcoef(torch.stack([module.gains.detach(), trained]))[0, 1]) < 0.05


def test_a_batch_norms_statistics_are_reset_with_it() -> None:
    norm = nn.BatchNorm2d(4)
    norm(9 + 5 * torch.rand(8, 4, 3, 3))
    randomize(norm)
    assert norm.running_mean is not None
    assert not norm.running_mean.any()


def test_weights_that_silence_a_kernel_are_drawn_again() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1)
    )
    network.append(nn.ReLU())
    with torch.no_grad():
        network[4].weight.fill_(1.0)
    images = torch.randn(2, 3, 8, 8)
    silenced = 0
    for seed in range(12):
        check = cascading_randomization(network, images, None, 0, seed=seed)
        assert check.correlations.isfinite().all()
        by_hand = copy.deepcopy(network)
        torch.manual_seed(seed + 1)
        by_hand[4].reset_parameters()
        silenced += not by_hand(images).gt(0).all()
    assert silenced > 0, "no weights would have silenced the kernel: nothing was tested"


@pytest.mark.parametrize("max_stages", ["3", 1.5, True])
def test_stages_are_a_number(network: nn.Module, images: Tensor, max_stages: Any) -> None:
    with pytest.raises(ValueError, match="max_stages must be an integer of at least 1; got"):
        cascading_randomization(network, images, None, 0, max_stages=max_stages)
